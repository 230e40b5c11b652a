//! What a number of failures says about the rate behind it.

/// The one-sided Clopper-Pearson upper bound: the rate at which seeing `failures` or fewer among `frames` has the
/// probability `1 - confidence`. 1 where nothing was tried or all failed.
pub fn upper_bound(failures: u64, frames: u64, confidence: f64) -> f64 {
    if frames == 0 || failures >= frames {
        return 1.0;
    }
    let left = 1.0 - confidence;
    if failures == 0 {
        return -(left.ln() / frames as f64).exp_m1();
    }
    let (mut low, mut high) = (failures as f64 / frames as f64, 1.0);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if at_most(failures, frames, middle) > left { low = middle } else { high = middle }
    }
    high
}

/// The probability of at most `failures` among `frames` at this rate, which is above `failures / frames`.
fn at_most(failures: u64, frames: u64, rate: f64) -> f64 {
    let (k, n) = (failures as f64, frames as f64);
    if rate >= 1.0 {
        return 0.0;
    }
    let choose = ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k);
    let mut term = (choose + k * rate.ln() + (n - k) * (-rate).ln_1p()).exp();
    let mut sum = 0.0;
    // Below the mean each term is smaller than the one before it.
    for count in (0..=failures).rev() {
        sum += term;
        if term < sum * 1e-17 {
            break;
        }
        let count = count as f64;
        term *= count / (n - count + 1.0) * (1.0 - rate) / rate;
    }
    sum
}

/// ln(n!) by Stirling's series, exact to 1e-9 from 0 on.
fn ln_factorial(n: f64) -> f64 {
    if n < 10.0 {
        return (2..=n as u64).map(|i| (i as f64).ln()).sum();
    }
    n * n.ln() - n + 0.5 * (2.0 * core::f64::consts::PI * n).ln() + 1.0 / (12.0 * n) - 1.0 / (360.0 * n.powi(3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_agree_with_tables() {
        // From the relation to the F distribution, as tabulated.
        for (failures, frames, expected) in [
            (0, 10, 0.258_866),
            (1, 10, 0.394_163),
            (5, 10, 0.777_559),
            (9, 10, 0.994_884),
            (0, 10_000_000, 2.995_732e-7),
            (3, 1000, 7.735e-3),
            (100, 100_000, 1.181_2e-3),
        ] {
            let bound = upper_bound(failures, frames, 0.95);
            assert!((bound / expected - 1.0).abs() < 2e-3, "{failures} of {frames}: {bound}");
        }
        assert_eq!(upper_bound(0, 0, 0.95), 1.0);
        assert_eq!(upper_bound(4, 4, 0.95), 1.0);
    }

    #[test]
    fn the_middle_is_close_to_the_ratio() {
        assert!((upper_bound(0, 1_000_000, 0.5) * 1e6 - 0.693).abs() < 1e-3);
        assert!((upper_bound(100, 1_000_000, 0.5) * 1e6 - 100.67).abs() < 0.02);
        assert!((upper_bound(500_000, 1_000_000, 0.5) - 0.5).abs() < 1e-5);
    }
}
