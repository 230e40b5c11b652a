//! What is possible: limits of any code, and what BCH codes with the same parity do.
//!
//! All of this is for the binary symmetric channel: each of `n` bits is wrong with probability `p`, independently. Sums
//! run over logarithms, so that they hold for pages of 35,000 bits and error rates far below 1e-12.
//!
//! The sphere-packing bound is the exact one for finite lengths (Gallager, "Information Theory and Reliable
//! Communication", 1968, theorem 5.8.1), not its exponent: with `m` parity bits a codeword owns 2^m received words on
//! average, and it can do no better than to own those nearest to it. The usual normal approximation of it is up to
//! 25 % optimistic at these lengths.

/// The binomial distributions of up to some number of bits.
#[derive(Clone, Debug)]
pub struct Binomial {
    /// `ln_factorials[i]` is ln(i!).
    ln_factorials: Vec<f64>,
}

/// The least and the largest bit error rate that [`rate_at`] searches.
const RATES: (f64, f64) = (1e-9, 0.5);
/// Terms that are this much smaller than the largest change no sum.
const NEGLIGIBLE: f64 = -100.0;

impl Binomial {
    /// Prepares the distributions of `bits` bits.
    pub fn new(bits: usize) -> Self {
        let mut sum = 0.0;
        let mut ln_factorials = vec![0.0];
        ln_factorials.extend((1..=bits).map(|i| {
            sum += (i as f64).ln();
            sum
        }));
        Self { ln_factorials }
    }

    /// The number of bits.
    pub fn bits(&self) -> usize {
        self.ln_factorials.len() - 1
    }

    /// The logarithm of the number of words of weight `errors`; minus infinity where there are none.
    pub fn ln_choose(&self, errors: usize) -> f64 {
        match self.bits().checked_sub(errors) {
            Some(rest) => self.ln_factorials[self.bits()] - self.ln_factorials[errors] - self.ln_factorials[rest],
            None => f64::NEG_INFINITY,
        }
    }

    /// The probability of exactly `errors` wrong bits at bit error rate `rate`.
    pub fn probability(&self, errors: usize, rate: f64) -> f64 {
        self.ln_probability(errors, rate).exp()
    }

    fn ln_probability(&self, errors: usize, rate: f64) -> f64 {
        if errors > self.bits() {
            return f64::NEG_INFINITY;
        }
        // At rate 0 or 1, zero times minus infinity must be zero.
        let times = |count: usize, ln: f64| if count == 0 { 0.0 } else { count as f64 * ln };
        self.ln_choose(errors) + times(errors, rate.ln()) + times(self.bits() - errors, (-rate).ln_1p())
    }

    /// The expectation of `weight(errors)`, which lies between 0 and 1, at bit error rate `rate`.
    pub fn expect(&self, rate: f64, weight: impl Fn(usize) -> f64) -> f64 {
        self.expect_from(0, rate, weight)
    }

    /// The same of what counts from `first` errors on only.
    fn expect_from(&self, first: usize, rate: f64, weight: impl Fn(usize) -> f64) -> f64 {
        let mode = (((self.bits() + 1) as f64 * rate) as usize).clamp(first, self.bits().max(first));
        let largest = self.ln_probability(mode, rate);
        let term = |errors: usize| {
            let ln = self.ln_probability(errors, rate);
            (ln - largest > NEGLIGIBLE).then(|| ln.exp() * weight(errors))
        };
        // Small terms first, from the mode outwards there are only smaller ones.
        let below: f64 = (first..mode).rev().map_while(term).collect::<Vec<_>>().iter().rev().sum();
        let above: f64 = (mode..=self.bits()).map_while(term).collect::<Vec<_>>().iter().rev().sum();
        below + above
    }

    /// The probability of more than `errors` wrong bits.
    pub fn tail(&self, errors: usize, rate: f64) -> f64 {
        self.expect_from(errors + 1, rate, |_| 1.0)
    }
}

/// The sphere-packing bound of codes with some number of bits and of parity bits.
#[derive(Clone, Debug)]
pub struct SpherePacking {
    binomial: Binomial,
    /// Up to this many errors even a perfect code can correct all patterns.
    radius: usize,
    /// Of the patterns with one error more, the share that it can correct.
    share: f64,
}

impl SpherePacking {
    /// The bound for codes of `bits` bits, `parity_bits` of them parity.
    pub fn new(bits: usize, parity_bits: usize) -> Self {
        let binomial = Binomial::new(bits);
        let room = parity_bits as f64 * core::f64::consts::LN_2;
        // The sum of the shells so far, as a logarithm.
        let mut ball = f64::NEG_INFINITY;
        for errors in 0..=bits {
            let shell = binomial.ln_choose(errors);
            let larger = ln_add(ball, shell);
            if larger > room {
                // What is left of the room, against the shell that does not fit whole.
                let left = room + (-(ball - room).exp()).ln_1p();
                return Self {
                    binomial,
                    radius: errors.saturating_sub(1),
                    share: (left - shell).exp().clamp(0.0, 1.0),
                };
            }
            ball = larger;
        }
        Self { binomial, radius: bits, share: 1.0 }
    }

    /// No code has a smaller frame error rate than this at bit error rate `rate`.
    pub fn frame_error_rate(&self, rate: f64) -> f64 {
        let next = self.radius + 1;
        if next > self.binomial.bits() {
            return 0.0;
        }
        self.binomial.tail(next, rate) + (1.0 - self.share) * self.binomial.probability(next, rate)
    }

    /// No code keeps to this frame error rate at a larger bit error rate than the one returned.
    pub fn rate(&self, frame_error_rate: f64) -> f64 {
        rate_at(frame_error_rate, |rate| self.frame_error_rate(rate))
    }
}

/// The bit error rate up to which arbitrarily long codes with this share of parity can be decoded: where the channel's
/// entropy reaches that share.
pub fn shannon_limit(bits: usize, parity_bits: usize) -> f64 {
    let entropy = |p: f64| -(p * p.log2() + (1.0 - p) * (1.0 - p).log2());
    rate_at(parity_bits as f64 / bits as f64, entropy)
}

/// A BCH code decoded up to half its designed distance.
#[derive(Clone, Debug)]
pub struct Bch {
    binomial: Binomial,
    /// Wrong bits that are corrected, whatever their places.
    pub corrected: usize,
    /// Codewords in a page; the page is lost with any of them.
    pub sectors: usize,
}

impl Bch {
    /// The code that spends `parity_bits` on one codeword of `bits` bits: each corrected error takes as many parity
    /// bits as the smallest field with `bits` places has.
    pub fn whole_page(bits: usize, parity_bits: usize) -> Self {
        let field = (bits + 1).next_power_of_two().ilog2() as usize;
        Self { binomial: Binomial::new(bits), corrected: parity_bits / field.max(1), sectors: 1 }
    }

    /// What makers of chips and controllers assume: the page's `bits` cut into `sectors` codewords, each of which
    /// corrects `corrected` errors.
    pub fn sectored(bits: usize, sectors: usize, corrected: usize) -> Self {
        Self { binomial: Binomial::new(bits / sectors.max(1)), corrected, sectors }
    }

    /// The share of pages lost at bit error rate `rate`.
    pub fn frame_error_rate(&self, rate: f64) -> f64 {
        let sector = self.binomial.tail(self.corrected, rate);
        -(self.sectors as f64 * (-sector.min(1.0)).ln_1p()).exp_m1()
    }

    /// The bit error rate up to which no more than this share of pages is lost.
    pub fn rate(&self, frame_error_rate: f64) -> f64 {
        rate_at(frame_error_rate, |rate| self.frame_error_rate(rate))
    }
}

/// The largest bit error rate at which `frame_error_rate`, which grows with it, stays within `limit`; 0 where there is
/// none above 1e-9.
pub fn rate_at(limit: f64, frame_error_rate: impl Fn(f64) -> f64) -> f64 {
    let (mut low, mut high) = RATES;
    if frame_error_rate(low) > limit {
        return 0.0;
    }
    if frame_error_rate(high) <= limit {
        return high;
    }
    // Halves the ratio: 50 steps leave a relative error of 1e-14.
    for _ in 0..50 {
        let middle = (low * high).sqrt();
        if frame_error_rate(middle) > limit { high = middle } else { low = middle }
    }
    low
}

/// ln(e^a + e^b).
fn ln_add(a: f64, b: f64) -> f64 {
    let (small, large) = if a < b { (a, b) } else { (b, a) };
    if small == f64::NEG_INFINITY { large } else { large + (small - large).exp().ln_1p() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row of the published table: bits, parity bits, the Shannon limit, then sphere packing at frame error rates
    /// of 1e-3, 1e-6 and 1e-12, the errors that BCH corrects, and BCH at the same; rates in 1e-3.
    type Row = (usize, usize, f64, [f64; 3], usize, [f64; 3]);

    const PUBLISHED: [Row; 10] = [
        (2048, 256, 17.1, [10.0, 7.08, 4.12], 21, [5.04, 3.12, 1.44]),
        (4096, 512, 17.1, [11.8, 9.39, 6.65], 39, [5.69, 4.10, 2.48]),
        (8192, 1024, 17.1, [13.2, 11.3, 9.02], 73, [6.14, 4.90, 3.49]),
        (16880, 448, 2.66, [1.65, 1.22, 0.77], 29, [0.94, 0.64, 0.34]),
        (17392, 896, 5.81, [4.25, 3.52, 2.67], 59, [2.24, 1.73, 1.18]),
        (33776, 896, 2.65, [1.91, 1.56, 1.16], 56, [1.08, 0.83, 0.56]),
        (34544, 1664, 5.36, [4.27, 3.73, 3.07], 104, [2.21, 1.83, 1.40]),
        (34800, 1920, 6.31, [5.12, 4.53, 3.80], 120, [2.58, 2.18, 1.70]),
        (32768, 2048, 7.33, [5.99, 5.33, 4.51], 128, [2.95, 2.51, 1.97]),
        (32768, 4096, 17.1, [15.0, 14.0, 12.6], 256, [6.42, 5.74, 4.89]),
    ];

    /// Bits of the page, sectors of 512 bytes, the errors that each corrects, and rates at 1e-4 and 1e-6 in 1e-3.
    const SECTORED: [(usize, usize, usize, [f64; 2]); 3] =
        [(16880, 4, 8, [0.35, 0.20]), (17392, 4, 17, [1.30, 0.92]), (34544, 8, 16, [1.12, 0.79])];

    const TARGETS: [f64; 3] = [1e-3, 1e-6, 1e-12];

    /// Whether `value` rounds to the published figure, given in 1e-3 with two or three digits. A few of those were
    /// rounded twice (2.6545 is given as 2.66), hence the tenth of a digit.
    #[track_caller]
    fn same(value: f64, published: f64, what: &str) {
        let unit = if published >= 10.0 { 0.1 } else { 0.01 };
        assert!((value * 1e3 - published).abs() <= unit * 0.6, "{what}: {:.4} for {published}", value * 1e3);
    }

    #[test]
    fn every_published_row_comes_out() {
        for (bits, parity, shannon, sphere, corrected, bch) in PUBLISHED {
            let name = format!("({bits}, {parity})");
            same(shannon_limit(bits, parity), shannon, &format!("{name} Shannon"));
            let packing = SpherePacking::new(bits, parity);
            let code = Bch::whole_page(bits, parity);
            assert_eq!(code.corrected, corrected, "{name}");
            for (index, target) in TARGETS.into_iter().enumerate() {
                same(packing.rate(target), sphere[index], &format!("{name} sphere packing at {target:e}"));
                same(code.rate(target), bch[index], &format!("{name} BCH at {target:e}"));
            }
        }
    }

    #[test]
    fn sectored_codes_come_out() {
        for (bits, sectors, corrected, rates) in SECTORED {
            let code = Bch::sectored(bits, sectors, corrected);
            same(code.rate(1e-4), rates[0], "1e-4");
            same(code.rate(1e-6), rates[1], "1e-6");
        }
    }

    #[test]
    fn perfect_codes_meet_the_bound() {
        // The Hamming code of 7 bits corrects exactly one error: it is as good as any code can be.
        let packing = SpherePacking::new(7, 3);
        let wrong: f64 = 1.0 - 0.9_f64.powi(7) - 7.0 * 0.1 * 0.9_f64.powi(6);
        assert!((packing.frame_error_rate(0.1) - wrong).abs() < 1e-12);
        // So does the Golay code, for three errors of 23.
        let golay = SpherePacking::new(23, 11);
        assert!((golay.frame_error_rate(0.01) / Binomial::new(23).tail(3, 0.01) - 1.0).abs() < 1e-9);
        // A repetition code of three bits: two parity bits.
        assert!((SpherePacking::new(3, 2).frame_error_rate(0.01) - (3.0 * 1e-4 * 0.99 + 1e-6)).abs() < 1e-15);
    }

    #[test]
    fn extreme_rates_are_no_exception() {
        let binomial = Binomial::new(100);
        assert_eq!((binomial.probability(0, 0.0), binomial.probability(1, 0.0)), (1.0, 0.0));
        assert_eq!((binomial.probability(100, 1.0), binomial.probability(99, 1.0)), (1.0, 0.0));
        assert!((binomial.expect(0.3, |_| 1.0) - 1.0).abs() < 1e-12);
        assert!((binomial.expect(0.3, |errors| errors as f64 / 100.0) - 0.3).abs() < 1e-12);
        assert_eq!(binomial.probability(101, 0.5), 0.0);
        assert_eq!(binomial.tail(100, 0.5), 0.0);
        assert_eq!(rate_at(1e-3, |_| 1.0), 0.0);
        assert_eq!(rate_at(1e-3, |_| 0.0), 0.5);
        assert!(Binomial::new(35_000).tail(500, 1e-4) < 1e-300);
    }
}
