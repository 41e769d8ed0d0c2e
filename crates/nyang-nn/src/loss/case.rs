//! The one list of losses: every loss in several settings. Tests, `cargo xtask gradcheck` and parity read it.

use nyang_tensor::{Element, Rng, Shape, Targets, Tensor};

use super::Loss;
use crate::Result;

/// How a case's loss is built.
pub type BuildLoss<T> = fn() -> Result<Box<dyn Loss<T>>>;

/// What a loss is compared with, and how it is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Aim {
    /// A class index a sample; 0 or 1 where there is one column.
    Classes,
    /// A row of probabilities with sum 1 a sample.
    Rows,
    /// Rows that do not sum to 1, which a formula that takes Σ t = 1 for granted gets wrong.
    Shares,
    /// Zeros and ones of the logits' shape.
    Bits,
    /// Any numbers of the logits' shape.
    Numbers,
}

/// One loss in one setting.
#[derive(Clone, Copy, Debug)]
pub struct LossCase {
    /// Its name, `loss/setting`: `"CrossEntropy/smoothed"`.
    pub name: &'static str,
    /// The shape of the logits.
    pub logits: &'static [usize],
    /// How the targets are drawn.
    pub aim: Aim,
    /// The mean as a PyTorch expression of logits `z` and targets `t`, which are indices for [`Aim::Classes`]; `None` where there is none.
    pub torch: Option<&'static str>,
    /// Builds it for `f32`.
    pub build_f32: BuildLoss<f32>,
    /// Builds it for `f64`.
    pub build_f64: BuildLoss<f64>,
}

impl LossCase {
    /// A case with the loss's builder, given once for each number type.
    pub const fn new(
        name: &'static str,
        logits: &'static [usize],
        aim: Aim,
        torch: &'static str,
        (build_f32, build_f64): (BuildLoss<f32>, BuildLoss<f64>),
    ) -> Self {
        LossCase { name, logits, aim, torch: Some(torch), build_f32, build_f64 }
    }

    /// Random logits, wide enough that a softmax of them is far from uniform; the same for both number types up to rounding.
    ///
    /// # Errors
    /// [`nyang_tensor::Error::Argument`] for more than eight dimensions, [`nyang_tensor::Error::Memory`].
    pub fn random_logits<T: Element>(&self, seed: u64) -> Result<Tensor<T>> {
        Ok(Tensor::normal(Shape::new(self.logits)?, 0.0, 2.0, &mut Rng::keyed([seed, 1, 0, 0]))?)
    }

    /// Random targets.
    ///
    /// # Errors
    /// As [`LossCase::random_logits`].
    pub fn random_targets<T: Element>(&self, seed: u64) -> Result<Targets<T>> {
        let (shape, mut rng) = (Shape::new(self.logits)?, Rng::keyed([seed, 2, 0, 0]));
        let n = self.logits.first().copied().unwrap_or(0);
        let width = shape.len().checked_div(n).unwrap_or(0);
        Ok(match self.aim {
            Aim::Classes => Targets::Classes((0..n).map(|_| rng.below(width.max(2))).collect()),
            Aim::Shares => Targets::Soft(Tensor::uniform(shape, 0.0, 1.0, &mut rng)?),
            Aim::Bits => Targets::Soft(Tensor::from_fn(shape, |_| T::of(f64::from(u8::from(rng.uniform() < 0.5))))?),
            Aim::Numbers => Targets::Soft(Tensor::normal(shape, 0.0, 1.0, &mut rng)?),
            Aim::Rows => {
                let values: Vec<f64> = (0..shape.len()).map(|_| rng.uniform()).collect();
                let sums: Vec<f64> = values.chunks(width.max(1)).map(|row| row.iter().sum()).collect();
                let shares = values.iter().enumerate().map(|(i, v)| T::of(v / sums.get(i / width.max(1)).unwrap_or(&1.0)));
                Targets::Soft(Tensor::from_vec(shape, shares.collect())?)
            }
        })
    }
}
