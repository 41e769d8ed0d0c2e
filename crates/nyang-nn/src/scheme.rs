//! How the first weights are distributed: PyTorch's default, He, Xavier, and what they are made of.
//!
//! A layer's output should have about the variance of its input, else signals die out or blow up over many layers. For y = Σᵢ wᵢ xᵢ over n
//! inputs, Var y = n · Var w · E x²: the variance of the weights is a gain², for the activation that follows, over a fan.

use nyang_tensor::{Rng, Tensor};

use crate::{Error, Result};

/// The activation behind a layer, by how much weights must be larger for what it takes away: PyTorch's `calculate_gain`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Gain {
    /// None, or one that takes nothing: 1.
    Linear,
    /// Sigmoid: 1.
    Sigmoid,
    /// tanh: 5/3.
    Tanh,
    /// ReLU, which stops half of the signal: √2.
    Relu,
    /// Leaky ReLU of slope a: √(2 / (1 + a²)).
    LeakyRelu(f64),
    /// SELU: 3/4.
    Selu,
    /// Any finite number ≥ 0.
    Of(f64),
}

impl Gain {
    /// The gain.
    pub fn value(self) -> f64 {
        self.squared().sqrt()
    }

    /// The gain², which variances take; exact where the gain is a root.
    fn squared(self) -> f64 {
        match self {
            Gain::Linear | Gain::Sigmoid => 1.0,
            Gain::Tanh => 25.0 / 9.0,
            Gain::Relu => 2.0,
            Gain::LeakyRelu(slope) => 2.0 / (1.0 + slope * slope),
            Gain::Selu => 9.0 / 16.0,
            Gain::Of(gain) => gain * gain,
        }
    }

    fn check(self) -> Result<()> {
        match self {
            Gain::LeakyRelu(slope) if !slope.is_finite() => Err(Error::config("Init", "slope", slope, "must be a finite number")),
            Gain::Of(gain) if !(gain.is_finite() && gain >= 0.0) => {
                Err(Error::config("Init", "gain", gain, "must be finite and not negative"))
            }
            _ => Ok(()),
        }
    }
}

/// What the variance is divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fan {
    /// n, the inputs that one output sums over: the signal keeps its size going forward.
    In,
    /// m, the outputs that one input reaches: the gradient keeps its size going backward.
    Out,
    /// (n + m) / 2, between the two.
    Mean,
}

/// The shape of a distribution around 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Draw {
    /// N(0, σ²).
    Normal,
    /// U(−√3 σ, √3 σ).
    Uniform,
    /// N(0, s²) without what is beyond ± 2s, with s = 1.137 σ, so that the standard deviation is σ.
    Truncated,
}

/// s/σ for [`Draw::Truncated`]: 1/√(1 − 4 φ(2) / (2 Φ(2) − 1)), with the density φ and the distribution Φ of N(0, 1).
const TRUNCATED: f64 = 1.136_847_234_338_556_5;

/// How initial weights are distributed.
///
/// With n = `fan_in`, the inputs that one output sums over, and m = `fan_out`, the outputs that one input reaches.
///
/// | | σ² of the weights | PyTorch |
/// |---|---|---|
/// | [`Torch`](Scheme::Torch) | 1/(3n), uniform | the default of its linear and convolution layers |
/// | [`HeNormal`](Scheme::HeNormal), [`HeUniform`](Scheme::HeUniform) | 2/n | `kaiming_normal_`, `kaiming_uniform_` |
/// | [`XavierNormal`](Scheme::XavierNormal), [`XavierUniform`](Scheme::XavierUniform) | 2/(n + m) | `xavier_normal_`, `xavier_uniform_` |
/// | [`XavierFanIn`](Scheme::XavierFanIn) | 1/n | |
/// | [`Scaled`](Scheme::Scaled) | gain² / fan | these with `gain`, `nonlinearity`, `mode`; `trunc_normal_` |
/// | [`Orthogonal`](Scheme::Orthogonal) | gain² / max(rows, columns) | `orthogonal_` |
///
/// [`Scheme::before`] chooses one by the activation that follows.
///
/// ```
/// # use nyang_nn::{Conv2d, Init, scheme::{Draw, Fan, Gain}, Scheme};
/// // ResNet's: He's, for the gradient's way back
/// let scheme = Scheme::Scaled { draw: Draw::Normal, fan: Fan::Out, gain: Gain::Relu };
/// let layer = Conv2d::config(16, 32, 3).init(scheme).build::<f32>(&mut Init::seed(1))?;
/// # Ok::<(), nyang_nn::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Default)]
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
    /// Variance gain²/fan, of which all above are cases. Bias 0.
    Scaled {
        /// The shape of the distribution.
        draw: Draw,
        /// What is divided by.
        fan: Fan,
        /// The activation that follows.
        gain: Gain,
    },
    /// Saxe et al. 2013 (arXiv:1312.6120): of the matrix `[out, the rest]`, rows or columns, whichever are fewer, are orthogonal and of length
    /// gain. Takes min² · max steps, some seconds for 1000 × 1000. Bias 0.
    Orthogonal {
        /// The activation that follows.
        gain: Gain,
    },
}

impl Scheme {
    /// Schemes that are a name and no more.
    const NAMES: [(Scheme, &'static str); 6] = [
        (Scheme::Torch, "torch"),
        (Scheme::HeNormal, "he_normal"),
        (Scheme::HeUniform, "he_uniform"),
        (Scheme::XavierNormal, "xavier_normal"),
        (Scheme::XavierUniform, "xavier_uniform"),
        (Scheme::XavierFanIn, "xavier_fan_in"),
    ];

    /// What the theory wants before this activation: He's by fan-in for those that stop what is negative, Xavier's with the gain for the others.
    pub fn before(activation: Gain) -> Scheme {
        match activation {
            Gain::Relu => Scheme::HeNormal,
            Gain::LeakyRelu(_) => Scheme::Scaled { draw: Draw::Normal, fan: Fan::In, gain: activation },
            Gain::Linear | Gain::Sigmoid => Scheme::XavierUniform,
            _ => Scheme::Scaled { draw: Draw::Uniform, fan: Fan::Mean, gain: activation },
        }
    }

    /// The distribution for these fans.
    ///
    /// # Errors
    /// [`Error::Config`] for a gain that is negative or not finite.
    pub(crate) fn spread(self, fan_in: usize, fan_out: usize) -> Result<Spread> {
        let (draw, fan, gain2) = match self {
            Scheme::Torch => (Draw::Uniform, Fan::In, 1.0 / 3.0),
            Scheme::HeNormal => (Draw::Normal, Fan::In, 2.0),
            Scheme::HeUniform => (Draw::Uniform, Fan::In, 2.0),
            Scheme::XavierNormal => (Draw::Normal, Fan::Mean, 1.0),
            Scheme::XavierUniform => (Draw::Uniform, Fan::Mean, 1.0),
            Scheme::XavierFanIn => (Draw::Normal, Fan::In, 1.0),
            Scheme::Scaled { draw, fan, gain } => {
                gain.check()?;
                (draw, fan, gain.squared())
            }
            Scheme::Orthogonal { gain } => {
                gain.check()?;
                return Ok(Spread::Orthogonal(gain.value()));
            }
        };
        let (n, m) = (fan_in.max(1) as f64, fan_out.max(1) as f64);
        let fan = match fan {
            Fan::In => n,
            Fan::Out => m,
            Fan::Mean => (n + m) / 2.0,
        };
        Ok(match draw {
            Draw::Normal => Spread::Normal((gain2 / fan).sqrt()),
            Draw::Uniform => Spread::Uniform((3.0 * gain2 / fan).sqrt()),
            Draw::Truncated => Spread::Truncated((gain2 / fan).sqrt() * TRUNCATED),
        })
    }
}

/// A distribution with its size.
pub(crate) enum Spread {
    /// ± the bound.
    Uniform(f64),
    /// The standard deviation.
    Normal(f64),
    /// The standard deviation before everything beyond twice of it is drawn again.
    Truncated(f64),
    /// The length of a row or column.
    Orthogonal(f64),
}

/// A number of N(0, 1) that lies in [−2, 2].
pub(crate) fn truncated(rng: &mut Rng) -> f64 {
    loop {
        let v = rng.normal(); // 95 of 100 are taken
        if v.abs() <= 2.0 {
            return v;
        }
    }
}

/// A random matrix whose rows are orthonormal, or whose columns are if there are fewer of them.
///
/// Normal vectors, from each of which is taken what lies along those before it (Gram and Schmidt): every such matrix is equally likely.
pub(crate) fn orthogonal(rows: usize, columns: usize, rng: &mut Rng) -> Result<Tensor<f64>> {
    let (count, length) = (rows.min(columns), rows.max(columns));
    let mut vectors = Tensor::<f64>::normal([count, length], 0.0, 1.0, rng)?;
    let values = vectors.as_mut_slice()?;
    for i in 0..count {
        let (before, rest) = values.split_at_mut(i * length);
        let Some(v) = rest.get_mut(..length) else { break };
        for _ in 0..2 {
            // once would leave rounding errors along those before, where v is nearly in their plane
            for u in before.chunks_exact(length) {
                let along: f64 = v.iter().zip(u).map(|(v, u)| v * u).sum();
                v.iter_mut().zip(u).for_each(|(v, u)| *v -= along * u);
            }
        }
        let norm = v.iter().map(|v| v * v).sum::<f64>().sqrt();
        v.iter_mut().for_each(|v| *v /= norm);
    }
    Ok(if rows <= columns { vectors } else { vectors.transpose()? })
}

/// The name in files and messages: `he_normal`, `scaled/normal/fan_out/leaky_relu(0.01)`, `orthogonal/tanh`.
impl std::fmt::Display for Scheme {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Scheme::Scaled { draw, fan, gain } => write!(f, "scaled/{}/{}/{gain}", name_of(&DRAWS, draw), name_of(&FANS, fan)),
            Scheme::Orthogonal { gain } => write!(f, "orthogonal/{gain}"),
            named => f.write_str(name_of(&Scheme::NAMES, named)),
        }
    }
}

/// From the name in files.
impl std::str::FromStr for Scheme {
    type Err = Error;
    fn from_str(name: &str) -> Result<Self> {
        let parts: Vec<&str> = name.split('/').collect();
        let known = match *parts {
            ["scaled", draw, fan, gain] => {
                (|| Some(Scheme::Scaled { draw: named(&DRAWS, draw)?, fan: named(&FANS, fan)?, gain: gain_of(gain)? }))()
            }
            ["orthogonal", gain] => gain_of(gain).map(|gain| Scheme::Orthogonal { gain }),
            _ => named(&Scheme::NAMES, name),
        };
        known.ok_or_else(|| {
            Error::config(
                "Init",
                "scheme",
                name,
                "must be one of torch, he_normal, he_uniform, xavier_normal, …, scaled/normal/fan_in/relu, …",
            )
        })
    }
}

const DRAWS: [(Draw, &str); 3] = [(Draw::Normal, "normal"), (Draw::Uniform, "uniform"), (Draw::Truncated, "truncated")];
const FANS: [(Fan, &str); 3] = [(Fan::In, "fan_in"), (Fan::Out, "fan_out"), (Fan::Mean, "fan_mean")];
const GAINS: [(Gain, &str); 5] =
    [(Gain::Linear, "linear"), (Gain::Sigmoid, "sigmoid"), (Gain::Tanh, "tanh"), (Gain::Relu, "relu"), (Gain::Selu, "selu")];

fn named<V: Copy>(names: &[(V, &str)], name: &str) -> Option<V> {
    names.iter().find(|n| n.1 == name).map(|n| n.0)
}

fn name_of<V: PartialEq>(names: &[(V, &'static str)], value: &V) -> &'static str {
    names.iter().find(|n| n.0 == *value).map_or("", |n| n.1)
}

fn gain_of(name: &str) -> Option<Gain> {
    let number = |kind: &str| name.strip_prefix(kind)?.strip_prefix('(')?.strip_suffix(')')?.parse().ok();
    named(&GAINS, name).or_else(|| number("leaky_relu").map(Gain::LeakyRelu)).or_else(|| number("gain").map(Gain::Of))
}

impl std::fmt::Display for Gain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Gain::LeakyRelu(slope) => write!(f, "leaky_relu({slope})"),
            Gain::Of(gain) => write!(f, "gain({gain})"),
            named => f.write_str(name_of(&GAINS, named)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Init;

    fn scaled(draw: Draw, fan: Fan, gain: Gain) -> Scheme {
        Scheme::Scaled { draw, fan, gain }
    }

    fn weights(scheme: Scheme, fan_in: usize, fan_out: usize) -> Vec<f64> {
        Init::seed(1).weight::<f64>([fan_out, fan_in], scheme, fan_in, fan_out).unwrap().value.to_vec()
    }

    /// PyTorch's `calculate_gain`.
    #[test]
    fn the_gains() {
        for (gain, want) in [
            (Gain::Linear, 1.0),
            (Gain::Sigmoid, 1.0),
            (Gain::Tanh, 5.0 / 3.0),
            (Gain::Relu, 2f64.sqrt()),
            (Gain::LeakyRelu(0.01), 1.4141428569978354),
            (Gain::LeakyRelu(5f64.sqrt()), 0.5773502691896257),
            (Gain::Selu, 0.75),
            (Gain::Of(3.0), 3.0),
        ] {
            assert!((gain.value() - want).abs() < 1e-15, "{gain}: {}", gain.value());
        }
    }

    /// Every scheme with its σ for n = 50 and m = 2000.
    #[test]
    fn every_scheme_has_its_mean_its_variance_and_its_shape() {
        use Draw::{Normal, Truncated, Uniform};
        for (scheme, draw, var) in [
            (Scheme::Torch, Uniform, 1.0 / 150.0),
            (Scheme::HeNormal, Normal, 2.0 / 50.0),
            (Scheme::HeUniform, Uniform, 2.0 / 50.0),
            (Scheme::XavierNormal, Normal, 2.0 / 2050.0),
            (Scheme::XavierUniform, Uniform, 2.0 / 2050.0),
            (Scheme::XavierFanIn, Normal, 1.0 / 50.0),
            (scaled(Normal, Fan::Out, Gain::Relu), Normal, 2.0 / 2000.0),
            (scaled(Uniform, Fan::Out, Gain::Tanh), Uniform, 25.0 / 9.0 / 2000.0),
            (scaled(Uniform, Fan::In, Gain::LeakyRelu(0.5)), Uniform, 1.6 / 50.0),
            (scaled(Truncated, Fan::In, Gain::Relu), Truncated, 2.0 / 50.0),
            (scaled(Truncated, Fan::Mean, Gain::Of(0.1)), Truncated, 0.01 / 1025.0),
        ] {
            let (sigma, w) = (f64::sqrt(var), weights(scheme, 50, 2000));
            let n = w.len() as f64; // 100,000 draws
            let (mean, second) = (w.iter().sum::<f64>() / n, w.iter().map(|w| w * w).sum::<f64>() / n);
            assert!(mean.abs() < 4.0 * sigma / n.sqrt(), "{scheme}: mean {mean}");
            assert!((second / var - 1.0).abs() < 0.02, "{scheme}: {second}, not {var}"); // 4 σ and more: √(2/n) = 0.0045
            let largest = w.iter().fold(0.0f64, |a, w| a.max(w.abs())) / sigma;
            let within = w.iter().filter(|w| w.abs() < sigma).count() as f64 / n;
            // the share of values within σ: erf(1/√2); 1/√3; erf(1/(1.1368 √2)) / erf(√2)
            let (share, most) = match draw {
                Normal => (0.682689, 3.5..6.0),
                Uniform => (0.577350, 1.7318..1.73206),
                Truncated => (0.650537, 2.2720..2.27370),
            };
            assert!((within - share).abs() < 0.006 && most.contains(&largest), "{scheme}: {within} within σ, largest {largest} σ");
        }
    }

    /// Fan-in 27: default bound .19245009, He-uniform .47140452, 2.45 times wider, which elsewhere was the default by mistake.
    #[test]
    fn uniform_schemes_fill_their_bounds() {
        let xavier = (6.0f64 / 2027.0).sqrt();
        for (scheme, bound) in [
            (Scheme::Torch, 0.19245009),
            (scaled(Draw::Uniform, Fan::In, Gain::LeakyRelu(5f64.sqrt())), 0.19245009),
            (Scheme::HeUniform, 0.47140452),
            (Scheme::XavierUniform, xavier),
            (scaled(Draw::Uniform, Fan::Mean, Gain::Tanh), xavier * 5.0 / 3.0),
        ] {
            let w = weights(scheme, 27, 2000);
            let (low, high) = (w.iter().copied().fold(f64::MAX, f64::min), w.iter().copied().fold(f64::MIN, f64::max));
            let bound = bound + 1e-8;
            assert!(low >= -bound && low < -0.999 * bound && high < bound && high > 0.999 * bound, "{scheme}: {low} {high}");
        }
    }

    #[test]
    fn the_named_schemes_are_scaled_ones_bit_for_bit() {
        for (name, scheme) in [
            (Scheme::HeNormal, scaled(Draw::Normal, Fan::In, Gain::Relu)),
            (Scheme::HeUniform, scaled(Draw::Uniform, Fan::In, Gain::Relu)),
            (Scheme::XavierNormal, scaled(Draw::Normal, Fan::Mean, Gain::Linear)),
            (Scheme::XavierUniform, scaled(Draw::Uniform, Fan::Mean, Gain::Linear)),
            (Scheme::XavierFanIn, scaled(Draw::Normal, Fan::In, Gain::Linear)),
        ] {
            assert_eq!(weights(name, 7, 4), weights(scheme, 7, 4));
        }
    }

    #[test]
    fn the_fewer_of_rows_and_columns_are_orthogonal() {
        for dims in [&[3usize, 8][..], &[8, 3], &[5, 5], &[1, 4], &[4, 2, 3, 3], &[60, 60]] {
            let shape = crate::Shape::new(dims).unwrap();
            let scheme = Scheme::Orthogonal { gain: Gain::Relu };
            let w = Init::seed(1).weight::<f64>(shape, scheme, 1, 1).unwrap().value.to_vec();
            let (rows, columns) = (dims[0], w.len() / dims[0]);
            let w = Tensor::from_vec([rows, columns], w).unwrap();
            let wt = w.transpose().unwrap();
            let gram = if rows <= columns { w.matmul(&wt) } else { wt.matmul(&w) }.unwrap();
            let count = rows.min(columns);
            for (i, g) in gram.to_vec().iter().enumerate() {
                let want = if i / count == i % count { 2.0 } else { 0.0 };
                assert!((g - want).abs() < 1e-12, "{dims:?}: {g} at {i}");
            }
        }
        let none = Init::seed(1).weight::<f32>([0, 3], Scheme::Orthogonal { gain: Gain::Linear }, 3, 0).unwrap();
        assert!(none.value.is_empty());
    }

    #[test]
    fn weights_before_an_activation() {
        assert_eq!(Scheme::before(Gain::Relu), Scheme::HeNormal);
        assert_eq!(Scheme::before(Gain::Linear), Scheme::XavierUniform);
        assert_eq!(Scheme::before(Gain::Tanh).to_string(), "scaled/uniform/fan_mean/tanh");
        assert_eq!(Scheme::before(Gain::LeakyRelu(0.2)).to_string(), "scaled/normal/fan_in/leaky_relu(0.2)");
    }

    #[test]
    fn names_come_back() {
        let mut all: Vec<Scheme> = Scheme::NAMES.iter().map(|n| n.0).collect();
        for gain in GAINS.iter().map(|g| g.0).chain([Gain::LeakyRelu(0.01), Gain::LeakyRelu(-1e-30), Gain::Of(0.1 + 0.2)]) {
            all.push(Scheme::Orthogonal { gain });
            all.extend(DRAWS.iter().flat_map(|d| FANS.map(|f| scaled(d.0, f.0, gain))));
        }
        for scheme in all {
            assert_eq!(scheme.to_string().parse::<Scheme>().unwrap(), scheme);
        }
        for wrong in [
            "magic",
            "",
            "scaled",
            "scaled/normal/fan_in",
            "scaled/normal/fan_in/gain(x)",
            "orthogonal/relu(",
            "orthogonal/gain(1",
            "he_normal/relu",
        ] {
            assert!(wrong.parse::<Scheme>().unwrap_err().to_string().contains(&format!("scheme = {wrong} is not valid")));
        }
    }

    #[test]
    fn gains_that_are_no_sizes_are_errors() {
        for (gain, says) in [
            (Gain::Of(f64::NAN), "Init: gain = NaN is not valid: must be finite and not negative"),
            (Gain::Of(-1.0), "Init: gain = -1"),
            (Gain::Of(f64::INFINITY), "Init: gain = inf"),
            (Gain::LeakyRelu(f64::NAN), "Init: slope = NaN is not valid: must be a finite number"),
        ] {
            for scheme in [Scheme::Orthogonal { gain }, scaled(Draw::Normal, Fan::In, gain)] {
                let error = Init::seed(1).weight::<f32>([2, 2], scheme, 2, 2).unwrap_err().to_string();
                assert!(error.starts_with(says), "{error}");
            }
        }
    }
}
