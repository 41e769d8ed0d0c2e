//! Weight decay, both ways: through the gradient, or straight from the parameter.

use nyang_nn::Element;

use crate::Turn;

/// How weight decay acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// g ← g + λ p: what a penalty λ/2 p² in the loss would do.
    Gradient,
    /// p ← p − η λ p, whatever the rule makes of the gradient.
    Parameter,
}

/// One parameter's weight decay in one step.
#[derive(Clone, Copy)]
pub(crate) struct Decay<T> {
    kept: T,  // 1, or 1 − η λ
    added: T, // λ, or 0
}

impl<T: Element> Decay<T> {
    pub fn new(way: Way, turn: Turn) -> Self {
        match way {
            Way::Gradient => Decay { kept: T::ONE, added: T::of(turn.weight_decay) },
            Way::Parameter => Decay { kept: T::of(1.0 - turn.lr * turn.weight_decay), added: T::ZERO },
        }
    }

    /// Decays one value; the gradient that the rule is to go on with.
    #[inline(always)]
    pub fn of(self, p: &mut T, g: T) -> T {
        *p *= self.kept;
        g + self.added * *p
    }
}
