//! Many numbers as a histogram, for the logs that show one.

/// How values are distributed: counts in ranges of equal width, and what TensorBoard wants to know beside them.
///
/// ```
/// # use nyang_train::logs::Histogram;
/// let h = Histogram::of(&[0.0, 1.0, 1.0, 4.0]);
/// assert_eq!((h.counts.len(), h.counts.iter().sum::<u64>()), (Histogram::RANGES, 4));
/// assert_eq!((h.edges[0], h.edges[Histogram::RANGES], h.sum), (0.0, 4.0, 6.0));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// The ends of the ranges, one more than there are ranges. The last range has both its ends.
    pub edges: Vec<f64>,
    /// How many values are in each range.
    pub counts: Vec<u64>,
    /// The sum of the values.
    pub sum: f64,
    /// The sum of their squares.
    pub sum_squares: f64,
}

impl Histogram {
    /// The number of ranges.
    pub const RANGES: usize = 30;

    /// The histogram of these values; infinite ones and NaN are left out. Equal values are in a range of width 1 around them.
    pub fn of(values: &[f32]) -> Self {
        let finite = || values.iter().filter(|x| x.is_finite()).map(|&x| f64::from(x));
        let (low, high) = finite().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
        let (low, high) = match (low, high) {
            (low, high) if low > high => (0.0, 1.0), // no values
            (low, high) if low == high => (low - 0.5, high + 0.5),
            both => both,
        };
        let width = (high - low) / Self::RANGES as f64;
        let mut counts = vec![0; Self::RANGES];
        let (mut sum, mut sum_squares) = (0.0, 0.0);
        for x in finite() {
            let range = ((x - low) / width) as usize; // `as` saturates
            if let Some(count) = counts.get_mut(range.min(Self::RANGES - 1)) {
                *count += 1;
            }
            sum += x;
            sum_squares += x * x;
        }
        let edges = (0..=Self::RANGES).map(|i| if i == Self::RANGES { high } else { low + width * i as f64 }).collect();
        Histogram { edges, counts, sum, sum_squares }
    }

    /// How many values there are.
    pub fn samples(&self) -> u64 {
        self.counts.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_where_they_are() {
        let h = Histogram::of(&[0.0, 0.05, 1.5, 3.0, f32::NAN, f32::INFINITY]); // width .1
        assert_eq!((h.counts[0], h.counts[15], h.counts[29], h.samples()), (2, 1, 1, 4));
        assert!((h.sum - 4.55).abs() < 1e-7 && (h.sum_squares - 11.2525).abs() < 1e-6); // .05 as f32 is off by 7e-10
    }

    #[test]
    fn equal_values_and_no_values_have_a_width_too() {
        let equal = Histogram::of(&[2.0; 7]);
        assert_eq!((equal.edges[0], equal.edges[30], equal.counts[15]), (1.5, 2.5, 7));
        let none = Histogram::of(&[f32::NAN]);
        assert_eq!((none.edges[0], none.edges[30], none.samples()), (0.0, 1.0, 0));
        assert_eq!(Histogram::of(&[f32::MAX, f32::MIN]).samples(), 2);
    }
}
