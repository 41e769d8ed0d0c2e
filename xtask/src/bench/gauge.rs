//! Whether the machine is all there: cores that a hypervisor shares out give less than their peak at times.
//!
//! Two processors of a virtual machine may be one core's two threads for a second, or for a minute, and then again two cores. Loops that
//! keep a core's units busy take up to twice as long then, those that wait for memory do not, and a ratio of the two is of no machine that
//! anyone ordered. Besides, threads that wait for work in a loop, as PyTorch's do for some 10 ms after a turn, take a core from the next.
//!
//! So the multiply-add peak is measured for a few milliseconds at a time: a turn begins when it is there, and is taken again if it is not
//! there after it. That holds for every side alike.

use super::side::Side;

type Anything = Box<dyn std::error::Error>;

/// The part of the peak from which on the machine is all there: one core for two threads has half, and a clock wanders by a tenth.
const WHOLE: f64 = 0.8;

/// Seconds of one measurement.
const SECONDS: f64 = 0.004;

/// How often it is measured until the machine is all there: before a turn for a second or two, after it while threads of the turn may still
/// wait for work in a loop.
const BEFORE: usize = 200;
const AFTER: usize = 10;

/// How often a turn is taken at most.
const ATTEMPTS: usize = 3;

/// Turns of a case: how many, how many were taken again, and how many count although the machine was not all there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turns {
    /// Those that count.
    pub taken: usize,
    /// Those that do not.
    pub again: usize,
    /// Those that count in spite of it.
    pub poor: usize,
}

/// A process that multiplies and adds as much as the processor can.
pub struct Gauge {
    side: Side,
    variant: String,
    flops: f64,
    /// GFLOP/s, the most so far: a ceiling is a maximum.
    pub peak: f64,
}

impl Gauge {
    /// On so many threads; the peak is the best of some measurements of `seconds`.
    pub fn new(threads: usize, measurements: usize, seconds: f64, cpu: bool) -> Result<Gauge, Anything> {
        let mut side = Side::ours(&std::env::current_exe()?, "ours", threads, &["peak".to_owned()])?;
        let variant = side.variants()?.into_iter().next().unwrap_or_default();
        let flops = side.prepare(&variant)?.unwrap_or_default() as f64;
        let mut gauge = Gauge { side, variant, flops, peak: 0.0 };
        for _ in 0..measurements {
            gauge.measure(seconds, cpu)?;
        }
        Ok(gauge)
    }

    /// The part of the peak that is there now.
    fn measure(&mut self, seconds: f64, cpu: bool) -> Result<f64, Anything> {
        let now = self.flops / self.side.run(&self.variant, seconds, cpu)? / 1e9;
        self.peak = self.peak.max(now);
        Ok(now / self.peak)
    }

    /// Measures until the machine is all there, so many times at most; whether it is.
    fn settle(&mut self, measurements: usize) -> Result<bool, Anything> {
        for _ in 0..measurements {
            if self.measure(SECONDS, false)? >= WHOLE {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The process's number.
    pub fn id(&self) -> u32 {
        self.side.id()
    }

    /// Takes a turn while the machine is all there, as far as that can be had.
    pub fn turn(&mut self, turns: &mut Turns, take: impl FnMut() -> Result<f64, Anything>) -> Result<f64, Anything> {
        turns.take(|measurements| self.settle(measurements), take)
    }
}

impl Turns {
    /// Takes a turn, again where `settle`, before or after it, says that the machine is not all there.
    fn take(
        &mut self,
        mut settle: impl FnMut(usize) -> Result<bool, Anything>,
        mut take: impl FnMut() -> Result<f64, Anything>,
    ) -> Result<f64, Anything> {
        self.taken += 1;
        let mut attempts = ATTEMPTS;
        loop {
            let before = settle(BEFORE)?;
            let turn = take()?;
            let whole = settle(AFTER)? && before;
            attempts -= 1;
            if whole || attempts == 0 {
                self.poor += usize::from(!whole);
                return Ok(turn);
            }
            self.again += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The turn that counts, and what is counted, when the machine is as `whole` says, measurement after measurement.
    fn taken(whole: &[bool]) -> (f64, Turns) {
        let (mut turns, mut whole, mut n) = (Turns::default(), whole.iter(), 0.0);
        let settle = |_| Ok(*whole.next().ok_or("asked too often")?);
        let turn = turns.take(settle, || {
            n += 1.0;
            Ok(n)
        });
        (turn.unwrap(), turns)
    }

    #[test]
    fn a_turn_without_all_cores_is_taken_again() {
        let turns = |again, poor| Turns { taken: 1, again, poor };
        assert_eq!(taken(&[true, true]), (1.0, turns(0, 0)));
        assert_eq!(taken(&[true, false, true, true]), (2.0, turns(1, 0)));
        assert_eq!(taken(&[false, true, true, true]), (2.0, turns(1, 0)));
        assert_eq!(taken(&[false; 6]), (3.0, turns(2, 1)));
        assert_eq!(taken(&[true, false, true, false, false, true]), (3.0, turns(2, 1)));
        assert_eq!(taken(&[true, false, true, false, true, true]), (3.0, turns(2, 0)));
    }
}
