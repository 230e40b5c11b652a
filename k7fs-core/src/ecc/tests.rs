extern crate std;

use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::graph::mix;
use super::*;

/// Wrong bits per page that every layout must mend without a single failure in these tests.
const MENDED: &[(Layout, usize)] = &[
    (Layout::Nor128, 2),
    (Layout::Nor256, 8),
    (Layout::Nor512, 18),
    (Layout::Nor1024, 40),
    (Layout::Nand2048Plus64, 8),
    (Layout::Nand2048Plus128, 30),
    (Layout::Nand4096Plus224, 60),
    (Layout::Nand4096Plus128, 10),
    (Layout::Nand4096Plus256, 50),
    (Layout::Archive4096Parity256, 40),
    (Layout::Archive4096Parity512, 90),
];

/// Repeatable numbers, one for each count.
struct Random(u32);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(0x9E37_79B9);
        mix(self.0)
    }

    fn codeword(&mut self, layout: Layout) -> Vec<u8> {
        let mut page: Vec<u8> = (0..layout.codeword_bytes()).map(|_| self.next() as u8).collect();
        set_mark(layout, &mut page, 0xFF);
        encode(&layout, &mut page);
        page
    }

    /// Flips `count` different bits that are not in the factory mark.
    fn spoil(&mut self, layout: Layout, page: &mut [u8], count: usize) {
        let before = page.to_vec();
        let mut flipped = 0;
        while flipped < count {
            let bit = self.next() as usize % (page.len() * 8);
            if page[bit / 8] == before[bit / 8] && !mark(layout).contains(&(bit / 8)) {
                page[bit / 8] ^= 1 << (bit % 8);
                flipped += 1;
            }
        }
    }
}

/// The bytes of the factory mark.
fn mark(layout: Layout) -> core::ops::Range<usize> {
    layout.mark_byte().map_or(0..0, |mark| mark..mark + 2)
}

fn set_mark(layout: Layout, page: &mut [u8], value: u8) {
    page[mark(layout)].fill(value);
}

fn mend(layout: Layout, page: &mut [u8], good: &[u8]) -> Result<Correction, Uncorrectable> {
    let mut scratch = vec![0xA5; layout.scratch_bytes(Tier::Full)];
    decode(&layout, page, &mut scratch, &mut |page| page == good)
}

#[test]
fn sizes_are_those_of_the_format() {
    let sizes: Vec<_> =
        Layout::ALL.iter().map(|layout| (layout.id(), layout.codeword_bytes(), layout.parity_bytes())).collect();
    let expected = [
        (1, 128, 16),
        (2, 256, 32),
        (3, 512, 64),
        (4, 1024, 128),
        (5, 2112, 56),
        (6, 2176, 112),
        (7, 4320, 208),
        (8, 4224, 112),
        (9, 4352, 240),
        (10, 4096, 256),
        (11, 4096, 512),
    ];
    assert_eq!(sizes, expected[..Layout::ALL.len()]);
    for &layout in Layout::ALL {
        assert_eq!(Layout::from_id(layout.id()), Some(layout));
        assert_eq!(Layout::from_name(layout.name()), Some(layout));
        assert!(layout.scratch_bytes(Tier::Small) <= 1300);
    }
    assert_eq!(Layout::for_page(2048, 64), Some(Layout::Nand2048Plus64));
    assert_eq!(Layout::for_page(2048, 0), None);
    assert_eq!(Layout::from_id(0), None);
}

#[test]
fn encoded_pages_satisfy_every_check() {
    let mut random = Random(1);
    for &layout in Layout::ALL {
        for _ in 0..50 {
            let page = random.codeword(layout);
            assert_eq!(syndrome_weight(&layout, &page), 0, "{layout:?}");
            assert!(!looks_erased(&layout, &page));
            let mut wrong = page.clone();
            random.spoil(layout, &mut wrong, 1);
            assert!(!is_codeword(&layout, &wrong));
        }
    }
}

#[test]
fn every_bit_counts_and_every_single_error_is_mended() {
    let mut random = Random(2);
    for layout in [Layout::Nor128, Layout::Nor256, Layout::Nor512, Layout::Nand2048Plus64] {
        let good = random.codeword(layout);
        let mut page = good.clone();
        for bit in (0..good.len() * 8).filter(|bit| !mark(layout).contains(&(bit / 8))) {
            page[bit / 8] ^= 1 << (bit % 8);
            assert!(syndrome_weight(&layout, &page) >= 3);
            assert_eq!(mend(layout, &mut page, &good).map(|correction| correction.bits), Ok(1), "{layout:?} bit {bit}");
            assert_eq!(page, good);
        }
    }
}

#[test]
fn errors_well_inside_the_budget_are_always_mended() {
    let mut random = Random(3);
    for &(layout, errors) in MENDED {
        for _ in 0..300 {
            let good = random.codeword(layout);
            let mut page = good.clone();
            random.spoil(layout, &mut page, errors);
            let bits = mend(layout, &mut page, &good).map(|correction| correction.bits);
            assert_eq!(bits, Ok(errors as u32), "{layout:?}");
            assert_eq!(page, good);
        }
    }
}

#[test]
fn errors_in_the_parity_alone_are_mended() {
    let mut random = Random(4);
    for &(layout, errors) in MENDED {
        for _ in 0..20 {
            let good = random.codeword(layout);
            let mut page = good.clone();
            let parity = good.len() - layout.parity_bytes();
            for _ in 0..errors.min(6) {
                let byte = parity + random.next() as usize % layout.parity_bytes();
                page[byte] ^= 1 << (random.next() % 8);
            }
            assert!(mend(layout, &mut page, &good).is_ok(), "{layout:?}");
            assert_eq!(page, good);
        }
    }
}

/// Just beyond its reach the whole ladder is climbed in vain, which takes many seconds on a large page: small ones will do.
#[test]
fn too_many_errors_leave_the_page_as_it_was() {
    let check = |layout: Layout, errors: usize| {
        let mut random = Random(5 + u32::from(layout.id()));
        let is_quick = layout.codeword_bytes() <= 1024;
        for factor in [3, 5, 20].into_iter().skip(usize::from(!is_quick)) {
            let good = random.codeword(layout);
            let mut page = good.clone();
            random.spoil(layout, &mut page, errors * factor);
            let before = page.clone();
            match mend(layout, &mut page, &good) {
                Ok(_) => assert_eq!(page, good),
                Err(_) => assert_eq!(page, before),
            }
            assert!(factor < 20 || page == before, "{layout:?}");
        }
    };
    std::thread::scope(|scope| {
        for &(layout, errors) in MENDED {
            scope.spawn(move || check(layout, errors));
        }
    });
}

#[test]
fn a_refused_codeword_is_not_returned() {
    let mut random = Random(6);
    for &(layout, errors) in MENDED {
        let mut scratch = vec![0; layout.scratch_bytes(Tier::Full)];
        let mut page = random.codeword(layout);
        for errors in [0, 1, errors] {
            random.spoil(layout, &mut page, errors);
            let before = page.clone();
            let mut shown = 0;
            let mut refuse = |candidate: &[u8]| {
                assert!(is_codeword(&layout, candidate));
                shown += 1;
                false
            };
            assert!(decode(&layout, &mut page, &mut scratch, &mut refuse).is_err());
            assert_eq!(page, before);
            assert!(shown > 0);
        }
    }
}

#[test]
fn erased_pages_violate_every_check_and_are_recognised() {
    let mut random = Random(7);
    for &layout in Layout::ALL {
        let mut page = vec![0xFF; layout.codeword_bytes()];
        assert_eq!(syndrome_weight(&layout, &page), layout.parity_bits());
        assert!(looks_erased(&layout, &page));
        set_mark(layout, &mut page, 0x00);
        assert!(looks_erased(&layout, &page));
        for _ in 0..50 {
            let mut flipped = page.clone();
            random.spoil(layout, &mut flipped, layout.parity_bits() / 32);
            assert!(looks_erased(&layout, &flipped), "{layout:?}");
        }
        random.spoil(layout, &mut page, layout.parity_bits() / 16 + 1);
        assert!(!looks_erased(&layout, &page));
    }
}

#[test]
fn pages_full_of_ones_are_not_taken_for_erased() {
    let mut random = Random(8);
    for &(layout, errors) in MENDED {
        let mut page = vec![0xFF; layout.codeword_bytes()];
        encode(&layout, &mut page);
        random.spoil(layout, &mut page, errors);
        assert!(!looks_erased(&layout, &page), "{layout:?}");
        assert!(!looks_erased(&layout, &vec![0; layout.codeword_bytes()]));
    }
}

#[test]
fn the_factory_mark_is_ignored_and_kept() {
    let mut random = Random(9);
    for &(layout, errors) in MENDED {
        let good = random.codeword(layout);
        for _ in 0..20 {
            let mut marked = good.clone();
            for byte in mark(layout) {
                marked[byte] = random.next() as u8;
            }
            assert!(is_codeword(&layout, &marked));
            let mut again = marked.clone();
            encode(&layout, &mut again);
            assert_eq!(again, marked);
            random.spoil(layout, &mut again, errors);
            assert!(mend(layout, &mut again, &marked).is_ok());
            assert_eq!(again, marked);
        }
    }
}

#[test]
fn wrong_sizes_are_errors() {
    for &layout in Layout::ALL {
        let mut page = vec![0; layout.codeword_bytes()];
        let length = page.len();
        let needed = layout.scratch_bytes(Tier::Small);
        let mut scratch = vec![0; needed];
        let mut accept = |_: &[u8]| true;
        let too_small = Err(Uncorrectable::ScratchTooSmall { needed, given: needed - 1 });
        assert_eq!(decode(&layout, &mut page, &mut scratch[..needed - 1], &mut accept), too_small);
        let too_short = Err(Uncorrectable::PageLength { needed: length, given: length - 1 });
        assert_eq!(decode(&layout, &mut page[1..], &mut scratch, &mut accept), too_short);
        let weak = Err(Uncorrectable::PageLength { needed: length, given: 1 });
        assert_eq!(decode_soft(&layout, &mut page, &[1], &mut scratch, &mut accept), weak);
        assert!(decode(&layout, &mut [], &mut scratch, &mut accept).is_err());
        assert_eq!(syndrome_weight(&layout, &page[..length - 4]), layout.parity_bits());
        assert!(!looks_erased(&layout, &[]));
        encode(&layout, &mut page[..length - 4]);
        assert_eq!(page, vec![0; length]);
    }
}

#[test]
fn parity_never_changes() {
    // The parity of one fixed page per layout: a change here is a change of the format.
    let sums = Layout::ALL.iter().map(|&layout| {
        let page = Random(10).codeword(layout);
        let parity = &page[page.len() - layout.parity_bytes()..];
        parity.iter().fold(0, |sum, byte| mix(sum ^ u32::from(*byte)))
    });
    assert_eq!(sums.collect::<Vec<_>>(), PARITY_SUMS[..Layout::ALL.len()]);
}

const PARITY_SUMS: [u32; 11] = [
    1815611706, 244103531, 1813888613, 4034366400, 1020376792, 3240939805, 1893440424, 1595082544, 1953052263,
    2060717672, 696999233,
];

/// Wrong bits per page that the small decoder often cannot mend and the full one does.
const MENDED_FULLY: [(Layout, usize); 6] = [
    (Layout::Nor256, 17),
    (Layout::Nor512, 36),
    (Layout::Nor1024, 76),
    (Layout::Nand2048Plus64, 23),
    (Layout::Nand2048Plus128, 58),
    (Layout::Nand4096Plus224, 112),
];

#[test]
fn the_full_ladder_mends_what_the_small_one_leaves() {
    let mut random = Random(11);
    let mut left = 0;
    for (layout, errors) in MENDED_FULLY {
        for _ in 0..40 {
            let good = random.codeword(layout);
            let mut wrong = good.clone();
            random.spoil(layout, &mut wrong, errors);
            let mut page = wrong.clone();
            let mut scratch = vec![0; layout.scratch_bytes(Tier::Full) - 1];
            if let Err(error) = decode(&layout, &mut page, &mut scratch, &mut |page| page == good) {
                let scratch_bytes = layout.scratch_bytes(Tier::Full);
                assert_eq!(error, Uncorrectable::LargerDecoder { scratch_bytes });
                assert_eq!(page, wrong);
                left += 1;
            }
            let correction = mend(layout, &mut wrong, &good).expect("the full ladder mends it");
            assert_eq!(correction.bits, errors as u32);
            assert_eq!(i64::from(correction.margin), i64::from(layout.safe_bits()) - errors as i64);
            assert!(correction.rung >= Rung::Flip && correction.iterations > 0);
        }
    }
    assert!(left > 0);
}

#[test]
fn weak_bits_double_what_can_be_mended() {
    let mut random = Random(12);
    for (layout, errors) in [(Layout::Nor256, 26), (Layout::Nand2048Plus64, 40)] {
        for _ in 0..20 {
            let good = random.codeword(layout);
            let mut page = good.clone();
            random.spoil(layout, &mut page, errors);
            let mut weak: Vec<u8> = page.iter().zip(&good).map(|(a, b)| a ^ b).collect();
            // Five of six wrong bits are known to be weak, and as many right ones are.
            let mut kept = 0;
            for bit in 0..weak.len() * 8 {
                if weak[bit / 8] >> (bit % 8) & 1 == 1 {
                    kept += 1;
                    weak[bit / 8] ^= u8::from(kept % 6 == 0) << (bit % 8);
                }
            }
            for _ in 0..errors {
                let bit = random.next() as usize % (weak.len() * 8);
                weak[bit / 8] |= 1 << (bit % 8);
            }
            let mut scratch = vec![0; layout.scratch_bytes(Tier::Full)];
            let mended = decode_soft(&layout, &mut page, &weak, &mut scratch, &mut |page| page == good);
            assert_eq!(mended.map(|correction| correction.bits), Ok(errors as u32), "{layout:?}");
        }
    }
}

#[test]
fn any_scratch_gives_a_precise_answer() {
    let mut random = Random(13);
    for (layout, errors) in [(Layout::Nor128, 2), (Layout::Nor256, 8)] {
        for size in 0..layout.scratch_bytes(Tier::Full) + 5 {
            let good = random.codeword(layout);
            let mut page = good.clone();
            random.spoil(layout, &mut page, errors);
            let mut scratch = vec![0x5A; size];
            let result = decode(&layout, &mut page, &mut scratch, &mut |page| page == good);
            let needed = layout.scratch_bytes(Tier::Small);
            match result {
                Err(error) if size < needed => {
                    assert_eq!(error, Uncorrectable::ScratchTooSmall { needed, given: size });
                }
                other => assert!(other.is_ok(), "{layout:?} with {size} bytes: {other:?}"),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_data_with_any_few_errors_comes_back(
        which in 0..MENDED.len(), seed: u32, fill in prop::option::of(any::<u8>()), share in 0usize..=4,
    ) {
        let (layout, errors) = MENDED[which];
        let mut random = Random(seed);
        let mut good = random.codeword(layout);
        if let Some(fill) = fill {
            good.fill(fill);
            encode(&layout, &mut good);
        }
        let mut page = good.clone();
        random.spoil(layout, &mut page, errors * share / 4);
        let bits = mend(layout, &mut page, &good).map(|correction| correction.bits);
        prop_assert_eq!(bits, Ok((errors * share / 4) as u32));
        prop_assert_eq!(page, good);
    }

    #[test]
    fn decoding_garbage_never_panics_and_never_lies(which in 0..MENDED.len(), seed: u32, zeros in 0usize..400) {
        let layout = Layout::ALL[which];
        let mut random = Random(seed);
        let mut page = vec![0xFF; layout.codeword_bytes()];
        random.spoil(layout, &mut page, zeros.min(layout.codeword_bytes() / 2));
        if zeros > 300 {
            page.iter_mut().for_each(|byte| *byte = random.next() as u8);
        }
        let before = page.clone();
        let mut scratch = vec![0; layout.scratch_bytes(Tier::Full)];
        match decode(&layout, &mut page, &mut scratch, &mut |_| true) {
            Ok(correction) => {
                let flipped: u32 = page.iter().zip(&before).map(|(a, b)| (a ^ b).count_ones()).sum();
                prop_assert_eq!(correction.bits, flipped);
                prop_assert!(is_codeword(&layout, &page));
            }
            Err(_) => prop_assert_eq!(page, before),
        }
    }

    #[test]
    fn parity_is_linear(which in 0..MENDED.len(), a: u32, b: u32) {
        let layout = Layout::ALL[which];
        let (a, b, zero) = (Random(a).codeword(layout), Random(b).codeword(layout), vec![0; layout.codeword_bytes()]);
        let mut zero = zero;
        encode(&layout, &mut zero);
        // With the mark's ones inside every codeword, sums of three codewords are codewords.
        let sum: Vec<u8> = (0..zero.len()).map(|i| a[i] ^ b[i] ^ zero[i]).collect();
        prop_assert!(is_codeword(&layout, &sum));
    }
}
