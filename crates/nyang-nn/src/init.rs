//! Where the first values of parameters come from.
//!
//! A layer's output should have about the variance of its input, else signals die out or blow up over many layers. For y = Σᵢ wᵢ xᵢ
//! over n inputs, Var y = n · Var w · E x²; each scheme below solves that for another assumption about what follows.

use nyang_tensor::{Element, Rng, Shape, Tensor};

use crate::{Error, Param, Result};

/// How initial weights are distributed.
///
/// With n = `fan_in`, the inputs that one output sums over, and m = `fan_out`, the outputs that one input reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Scheme {
    /// PyTorch's default for linear and convolution layers: U(−1/√n, 1/√n), the bias too.
    #[default]
    Torch,
    /// He et al. 2015 (arXiv:1502.01852), for ReLU: N(0, 2/n). Bias 0.
    HeNormal,
    /// As [`Scheme::HeNormal`] with a uniform distribution: U(−√(6/n), √(6/n)). Bias 0.
    HeUniform,
    /// Glorot & Bengio 2010, for tanh and linear outputs: N(0, 2/(n + m)). Bias 0.
    XavierNormal,
    /// As [`Scheme::XavierNormal`] with a uniform distribution: U(−√(6/(n + m)), √(6/(n + m))). Bias 0.
    XavierUniform,
    /// Xavier's by fan-in alone: N(0, 1/n). Bias 0.
    XavierFanIn,
}

impl Scheme {
    /// Every scheme with its name in files.
    const NAMES: [(Scheme, &'static str); 6] = [
        (Scheme::Torch, "torch"),
        (Scheme::HeNormal, "he_normal"),
        (Scheme::HeUniform, "he_uniform"),
        (Scheme::XavierNormal, "xavier_normal"),
        (Scheme::XavierUniform, "xavier_uniform"),
        (Scheme::XavierFanIn, "xavier_fan_in"),
    ];

    /// The distribution for these fans.
    fn spread(self, fan_in: usize, fan_out: usize) -> Spread {
        let (n, m) = (fan_in.max(1) as f64, fan_out.max(1) as f64);
        match self {
            Scheme::Torch => Spread::Uniform((1.0 / n).sqrt()),
            Scheme::HeNormal => Spread::Normal((2.0 / n).sqrt()),
            Scheme::HeUniform => Spread::Uniform((6.0 / n).sqrt()),
            Scheme::XavierNormal => Spread::Normal((2.0 / (n + m)).sqrt()),
            Scheme::XavierUniform => Spread::Uniform((6.0 / (n + m)).sqrt()),
            Scheme::XavierFanIn => Spread::Normal((1.0 / n).sqrt()),
        }
    }
}

enum Spread {
    Uniform(f64), // ± bound
    Normal(f64),  // standard deviation
}

/// The name in files and messages.
impl std::fmt::Display for Scheme {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(Scheme::NAMES.iter().find(|s| s.0 == *self).map_or("", |s| s.1))
    }
}

/// From the name in files.
impl std::str::FromStr for Scheme {
    type Err = Error;
    fn from_str(name: &str) -> Result<Self> {
        let known = Scheme::NAMES.iter().find(|s| s.1 == name).map(|s| s.0);
        known.ok_or_else(|| Error::config("Init", "scheme", name, "must be one of torch, he_normal, he_uniform, xavier_normal, …"))
    }
}

/// Gives layers the first values of their parameters: random ones from a seed, or zeros that a file's values will replace.
///
/// ```
/// # use nyang_nn::{Init, Linear};
/// let (a, b) = (Linear::config(4, 2).build::<f32>(&mut Init::seed(1))?, Linear::config(4, 2).build::<f32>(&mut Init::seed(1))?);
/// assert_eq!(a.weight.value, b.weight.value);
/// # Ok::<(), nyang_nn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Init {
    rng: Option<Rng>,
    left: usize,
}

impl Init {
    /// Random values of this seed, the same for `f32` and `f64` up to rounding.
    pub fn seed(seed: u64) -> Self {
        Init { rng: Some(Rng::seed(seed)), left: usize::MAX }
    }

    /// Zeros, at most `values` of them: for a model whose values come from a file that holds so many.
    ///
    /// A damaged file that describes an enormous layer is an [`Error::Budget`] then, instead of an enormous allocation.
    pub fn blank(values: usize) -> Self {
        Init { rng: None, left: values }
    }

    /// Takes `shape`'s values off the budget.
    fn spend(&mut self, shape: &Shape) -> Result<()> {
        let asked = shape.len();
        self.left = self.left.checked_sub(asked).ok_or(Error::Budget { asked, left: self.left })?;
        Ok(())
    }

    /// Weights `[out, in, …]` by a scheme.
    ///
    /// `fan_in` is the number of inputs that one output sums over, `fan_out` the number of outputs that one input reaches.
    ///
    /// # Errors
    /// [`Error::Budget`], [`nyang_tensor::Error::Memory`], here and below.
    pub fn weight<T: Element>(&mut self, shape: impl Into<Shape>, scheme: Scheme, fan_in: usize, fan_out: usize) -> Result<Param<T>> {
        let shape = shape.into();
        self.spend(&shape)?;
        let value = match (&mut self.rng, scheme.spread(fan_in, fan_out)) {
            (None, _) => Tensor::zeros(shape)?,
            (Some(rng), Spread::Uniform(bound)) => Tensor::uniform(shape, -bound, bound, rng)?,
            (Some(rng), Spread::Normal(std)) => Tensor::normal(shape, 0.0, std, rng)?,
        };
        Param::new(value)
    }

    /// A bias `[out]` that goes with weights of that scheme.
    ///
    /// # Errors
    /// As [`Init::weight`].
    pub fn bias<T: Element>(&mut self, out: usize, scheme: Scheme, fan_in: usize) -> Result<Param<T>> {
        match scheme {
            Scheme::Torch => self.weight([out], scheme, fan_in, out),
            _ => Param::new(self.constant([out], 0.0)?),
        }
    }

    /// Every value is `value`: norms, buffers.
    ///
    /// # Errors
    /// As [`Init::weight`].
    pub fn constant<T: Element>(&mut self, shape: impl Into<Shape>, value: f64) -> Result<Tensor<T>> {
        let shape = shape.into();
        self.spend(&shape)?;
        Ok(Tensor::full(shape, T::of(value))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Smallest, largest, and variance of many weights.
    fn moments(scheme: Scheme, fan_in: usize, fan_out: usize) -> (f64, f64, f64) {
        let w = Init::seed(1).weight::<f64>([fan_out, fan_in], scheme, fan_in, fan_out).unwrap().value.to_vec();
        let var = w.iter().map(|v| v * v).sum::<f64>() / w.len() as f64;
        (w.iter().copied().fold(f64::MAX, f64::min), w.iter().copied().fold(f64::MIN, f64::max), var)
    }

    #[test]
    fn uniform_schemes_fill_their_bounds() {
        // fan_in 27: default bound 1/√27 = .19245009, He-uniform √(6/27) = .47140452 (2.45 times wider)
        for (scheme, bound) in
            [(Scheme::Torch, 0.19245009), (Scheme::HeUniform, 0.47140452), (Scheme::XavierUniform, (6.0f64 / 2027.0).sqrt())]
        {
            let (low, high, _) = moments(scheme, 27, 2000);
            assert!(low >= -bound && low < -0.999 * bound && high < bound && high > 0.999 * bound, "{scheme}: {low} {high}");
        }
    }

    #[test]
    fn normal_schemes_have_their_variance() {
        let cases = [(Scheme::HeNormal, 2.0 / 50.0), (Scheme::XavierNormal, 2.0 / 2050.0), (Scheme::XavierFanIn, 1.0 / 50.0)];
        for (scheme, var) in cases {
            let (.., got) = moments(scheme, 50, 2000);
            assert!((got / var - 1.0).abs() < 0.03, "{scheme}: {got}, not {var}"); // 100,000 draws: about 6 σ
        }
    }

    #[test]
    fn only_the_default_scheme_gives_a_random_bias() {
        let bias = |scheme| Init::seed(1).bias::<f64>(100, scheme, 4).unwrap().value;
        assert!(bias(Scheme::Torch).to_vec().iter().all(|v| *v != 0.0 && v.abs() <= 0.5));
        assert_eq!(bias(Scheme::HeNormal).sum(), 0.0);
    }

    #[test]
    fn a_budget_stops_enormous_layers_before_they_are_allocated() {
        let mut init = Init::blank(10);
        assert!(init.weight::<f32>([2, 4], Scheme::Torch, 4, 2).is_ok());
        let error = init.constant::<f32>([1 << 40], 0.0).unwrap_err();
        assert_eq!(error, Error::Budget { asked: 1 << 40, left: 2 });
    }

    #[test]
    fn names_come_back() {
        for (scheme, name) in Scheme::NAMES {
            assert_eq!((scheme.to_string().as_str(), name.parse::<Scheme>().unwrap()), (name, scheme));
        }
        assert!("magic".parse::<Scheme>().is_err());
    }
}
