//! Random settings.

use nyang_nn::Rng;

/// Draws settings.
pub struct Draw(pub Rng);

impl Draw {
    /// A whole number in low ..= high.
    pub fn whole(&mut self, low: usize, high: usize) -> usize {
        low + self.0.below(high - low + 1)
    }

    /// Two of them.
    pub fn pair(&mut self, low: usize, high: usize) -> [usize; 2] {
        [self.whole(low, high), self.whole(low, high)]
    }

    /// A number between low and high with at most four digits after the point, so that it reads well in an expression.
    pub fn real(&mut self, low: f64, high: f64) -> f64 {
        const UNIT: f64 = 1e4;
        ((low + (high - low) * self.0.uniform()) * UNIT).round() / UNIT
    }

    /// Several of them.
    pub fn reals(&mut self, n: usize, low: f64, high: f64) -> Vec<f64> {
        (0..n).map(|_| self.real(low, high)).collect()
    }

    /// True as often as not.
    pub fn coin(&mut self) -> bool {
        self.0.below(2) == 1
    }

    /// One of some.
    pub fn pick<V: Copy>(&mut self, of: &[V]) -> V {
        of[self.0.below(of.len())]
    }
}

/// Yes and no in Python.
pub fn python(yes: bool) -> &'static str {
    if yes { "True" } else { "False" }
}
