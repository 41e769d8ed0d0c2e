//! What flows through a network, in numbers: where activations die, gradients vanish, or a NaN begins.

use std::fmt;

use nyang_nn::{Module, Observer, Param, Pass, Path, Tensor, Visit};

/// How the values of a tensor are spread. Values that are no numbers, or infinite, are counted and otherwise left out.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spread {
    /// The number of values.
    pub values: u64,
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation (÷ n).
    pub std: f64,
    /// The least; 0 if there are none.
    pub min: f64,
    /// The greatest; 0 if there are none.
    pub max: f64,
    /// The share that is exactly 0.
    pub zeros: f64,
    /// How many are NaN or infinite.
    pub not_finite: u64,
}

impl Spread {
    /// The spread of a tensor's values.
    pub fn of(tensor: &Tensor<f32>) -> Self {
        let all = tensor.to_vec();
        let finite = || all.iter().filter(|x| x.is_finite()).map(|&x| f64::from(x));
        let n = finite().count();
        if n == 0 {
            return Spread { values: all.len() as u64, not_finite: all.len() as u64, ..Spread::default() };
        }
        let mean = finite().sum::<f64>() / n as f64;
        // two passes: E[x²] − E[x]² cancels when |mean| ≫ std
        let variance = finite().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n as f64;
        Spread {
            values: all.len() as u64,
            mean,
            std: variance.sqrt(),
            min: finite().fold(f64::INFINITY, f64::min),
            max: finite().fold(f64::NEG_INFINITY, f64::max),
            zeros: finite().filter(|x| *x == 0.0).count() as f64 / all.len() as f64,
            not_finite: (all.len() - n) as u64,
        }
    }

    /// The spread's part of a table's row.
    fn columns(&self) -> String {
        let Spread { mean, std, min, max, zeros, not_finite, .. } = self;
        let bad = if *not_finite > 0 { format!("  {not_finite} NaN or infinite") } else { String::new() };
        format!("{mean:>10.2e} {std:>9.2e} {min:>10.2e} {max:>10.2e} {:>6.1}%{bad}", 100.0 * zeros)
    }
}

const HEADING: &str = "      mean       std        min        max   zeros";

/// A layer's output, or the gradient that came back through it.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerRow {
    /// The layer's path.
    pub path: String,
    /// What kind of layer it is.
    pub kind: &'static str,
    /// Forward: of its output y. Backward: of what it gives back, ∂loss/∂x.
    pub pass: Pass,
    /// How the values are spread.
    pub spread: Spread,
}

/// An observer that notes how the output of every layer is spread, and every gradient on its way back.
///
/// Displayed, it is a table. Outputs that are all zero are dead; a standard deviation of gradients that falls from layer to layer is a
/// gradient that vanishes; the first row with values that are not finite is where a NaN begins.
#[derive(Clone, Debug, Default)]
pub struct LayerStatistics {
    rows: Vec<LayerRow>,
}

impl LayerStatistics {
    /// An observer that has seen nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// One row for each layer and pass, in the order in which they happened.
    pub fn rows(&self) -> &[LayerRow] {
        &self.rows
    }
}

impl Observer<f32> for LayerStatistics {
    fn after(&mut self, path: &str, kind: &'static str, pass: Pass, y: &Tensor<f32>) {
        self.rows.push(LayerRow { path: path.to_owned(), kind, pass, spread: Spread::of(y) });
    }
}

impl fmt::Display for LayerStatistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widest = |of: fn(&LayerRow) -> &str, heading: &str| {
            self.rows.iter().map(|row| of(row).chars().count()).max().unwrap_or(0).max(heading.len())
        };
        let (paths, kinds) = (widest(|row| &row.path, "layer"), widest(|row| row.kind, "kind"));
        writeln!(f, "{:<paths$}  {:<kinds$}  of    {HEADING}", "layer", "kind")?;
        for LayerRow { path, kind, pass, spread } in &self.rows {
            let of = if *pass == Pass::Forward { "y" } else { "dx" };
            writeln!(f, "{path:<paths$}  {kind:<kinds$}  {of:<4}  {}", spread.columns())?;
        }
        Ok(())
    }
}

/// A parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct ParameterRow {
    /// Its path.
    pub path: String,
    /// How its values are spread.
    pub value: Spread,
    /// How its gradient is spread.
    pub grad: Spread,
}

/// How every parameter of a model is spread, and its gradient: between a backward and the optimizer's step, which uses gradients up.
///
/// Displayed, it is a table of the gradients.
#[derive(Clone, Debug, PartialEq)]
pub struct ParameterStatistics {
    /// One row a parameter, in the model's order.
    pub rows: Vec<ParameterRow>,
}

impl ParameterStatistics {
    /// The statistics of this model's parameters.
    pub fn of(model: &dyn Module<f32>) -> Self {
        struct Each(Vec<ParameterRow>);
        impl Visit<f32> for Each {
            fn param(&mut self, at: Path<'_>, param: &Param<f32>) {
                let (value, grad) = (Spread::of(&param.value), Spread::of(&param.grad));
                self.0.push(ParameterRow { path: at.to_string(), value, grad });
            }
        }
        let mut each = Each(Vec::new());
        model.visit(Path::ROOT, &mut each);
        ParameterStatistics { rows: each.0 }
    }
}

impl fmt::Display for ParameterStatistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let paths = self.rows.iter().map(|row| row.path.chars().count()).max().unwrap_or(0).max("parameter".len());
        writeln!(f, "{:<paths$}  {HEADING}  (of its gradient)", "parameter")?;
        self.rows.iter().try_for_each(|row| writeln!(f, "{:<paths$}  {}", row.path, row.grad.columns()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nyang_nn::{Ctx, Flow, Init};

    #[test]
    fn a_spread_by_hand() {
        let spread = Spread::of(&Tensor::from_vec([6], vec![0.0, 2.0, 4.0, -6.0, f32::NAN, f32::INFINITY]).unwrap());
        assert_eq!((spread.values, spread.mean, spread.min, spread.max, spread.not_finite), (6, 0.0, -6.0, 4.0, 2));
        assert!((spread.std - 14.0f64.sqrt()).abs() < 1e-15); // (0 + 4 + 16 + 36) / 4
        assert!((spread.zeros - 1.0 / 6.0).abs() < 1e-15);
        assert_eq!(Spread::of(&Tensor::full([2], f32::NAN).unwrap()).not_finite, 2);
        assert_eq!(Spread::of(&Tensor::zeros([0]).unwrap()), Spread::default());
    }

    #[test]
    fn every_layer_is_seen_forward_and_back_and_dead_ones_show() {
        let mut model = Flow::input([2]).linear(3).relu().linear(2).build::<f32>(&mut Init::seed(1)).unwrap();
        let mut seen = LayerStatistics::new();
        let mut cx = Ctx::train(0).observed(&mut seen);
        let y = model.forward(Tensor::zeros([4, 2]).unwrap(), &mut cx).unwrap();
        model.backward(Tensor::ones(*y.shape()).unwrap(), &mut cx).unwrap();
        let order: Vec<(&str, Pass)> = seen.rows().iter().map(|row| (row.path.as_str(), row.pass)).collect();
        let [forward, backward] = [Pass::Forward, Pass::Backward];
        assert_eq!(order, [("0", forward), ("1", forward), ("2", forward), ("2", backward), ("1", backward), ("0", backward)]);
        assert_eq!(seen.rows()[0].spread.values, 12);
        let table = seen.to_string();
        assert!(table.lines().count() == 7 && table.lines().nth(1).unwrap().starts_with("0      Linear  y "), "{table}");

        let parameters = ParameterStatistics::of(&model);
        assert_eq!(parameters.rows.iter().map(|row| row.path.as_str()).collect::<Vec<_>>(), ["0.weight", "0.bias", "2.weight", "2.bias"]);
        assert_eq!(parameters.rows[3].grad.mean, 4.0); // the sum of four ones for each output
        assert_eq!(parameters.rows[0].grad.zeros, 1.0); // inputs of zero
        assert!(parameters.to_string().contains("2.bias"), "{parameters}");
    }
}
