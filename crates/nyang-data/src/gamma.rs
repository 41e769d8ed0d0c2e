//! Gamma and beta distributed numbers, for weights that sum to 1.

use nyang_tensor::Rng;

/// Gamma distributed with shape `alpha` > 0 and scale 1 (Marsaglia & Tsang 2000; below 1 by Stuart's x · u^(1/α) of α + 1).
fn gamma(alpha: f64, rng: &mut Rng) -> f64 {
    if alpha < 1.0 {
        let u = 1.0 - rng.uniform(); // above 0
        return gamma(alpha + 1.0, rng) * u.powf(1.0 / alpha);
    }
    let d = alpha - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = rng.normal();
        let v = (1.0 + c * x).powi(3);
        if v > 0.0 && (1.0 - rng.uniform()).ln() < 0.5 * x * x + d - d * v + d * v.ln() {
            return d * v;
        }
    }
}

/// `n` weights that sum to 1, Dirichlet distributed with equal `alpha` > 0: for n = 2 the first is Beta(α, α).
pub(crate) fn dirichlet(alpha: f64, n: usize, rng: &mut Rng) -> Vec<f64> {
    let values: Vec<f64> = (0..n).map(|_| gamma(alpha, rng)).collect();
    let sum: f64 = values.iter().sum();
    if sum > 0.0 {
        return values.iter().map(|v| v / sum).collect();
    }
    let all = rng.below(n); // an α so small that every number is 0: one weight is all
    (0..n).map(|i| if i == all { 1.0 } else { 0.0 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_the_distributions() {
        let (mut rng, n) = (Rng::seed(1), 60_000);
        for alpha in [0.2, 1.0, 4.5] {
            let values: Vec<f64> = (0..n).map(|_| gamma(alpha, &mut rng)).collect();
            let mean = values.iter().sum::<f64>() / n as f64;
            let var = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n as f64;
            assert!((mean / alpha - 1.0).abs() < 0.04 && (var / alpha - 1.0).abs() < 0.1, "{alpha}: {mean} {var}"); // both are α

            let first: Vec<f64> = (0..n).map(|_| dirichlet(alpha, 2, &mut rng)[0]).collect();
            let mean = first.iter().sum::<f64>() / n as f64;
            let var = first.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n as f64;
            let expected = 1.0 / (4.0 * (2.0 * alpha + 1.0)); // of Beta(α, α)
            assert!((mean - 0.5).abs() < 0.008 && (var / expected - 1.0).abs() < 0.04, "{alpha}: {mean} {var}");
        }
        let three = dirichlet(1e-300, 3, &mut rng);
        assert_eq!((three.iter().sum::<f64>(), three.len()), (1.0, 3));
    }
}
