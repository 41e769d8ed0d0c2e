//! AdamW: Adam whose weight decay does not go through the gradient.

use crate::adam::{AdamWith, Decoupled};

/// AdamW: Adam whose weight decay acts on the parameters themselves, so that it is the same for all.
///
/// ```text
/// p ← p − η λ p
/// m ← β₁ m + (1 − β₁) g          m̂ = m / (1 − β₁ᵗ)
/// v ← β₂ v + (1 − β₂) g²         v̂ = v / (1 − β₂ᵗ)        (AMSGrad: the largest v so far in place of v)
/// p ← p − η m̂ / (√v̂ + ε)
/// ```
///
/// with learning rate η, weight decay λ (0.01), β₁ (0.9), β₂ (0.999), ε (1e-8). In [`Adam`](crate::Adam) a weight whose gradients are large is
/// decayed less, for λ p is divided by √v̂ too.
///
/// # Reference
/// Loshchilov & Hutter 2019, *Decoupled weight decay regularization*, arXiv:1711.05101; PyTorch's `torch.optim.AdamW`.
///
/// # Example
/// ```
/// # use nyang_optim::{AdamW, Group, Optimizer};
/// let adam_w = AdamW::<f32>::new(3e-3).weight_decay(0.05).group(Group::bias_and_norm().weight_decay(0.0));
/// assert_eq!(adam_w.kind(), "AdamW");
/// ```
pub type AdamW<T = f32> = AdamWith<T, Decoupled>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimizer::tests::{close, refused, three_steps};

    /// PyTorch's numbers.
    #[test]
    fn three_steps_are_pytorchs() {
        assert!(close(three_steps(&mut AdamW::new(0.01)), [0.989900001, 0.993462046, 0.9899302892]), "the default decay is 0.01");
        let without = three_steps(&mut AdamW::new(0.01).weight_decay(0.0));
        assert_eq!(without, three_steps(&mut crate::Adam::new(0.01)));
    }

    #[test]
    fn settings_that_could_not_work_are_errors() {
        assert_eq!(refused(AdamW::new(0.1).betas(1.0, 0.9)), "AdamW: beta1 = 1 is not valid: must lie in [0, 1)");
        assert!(refused(AdamW::new(0.1).weight_decay(-0.1)).starts_with("AdamW: weight_decay = "));
    }
}
