//! Pages in memory.
//!
//! Up to eight pages are one set, in which the page not used for the longest time gives way. More of them are several sets
//! of eight, and a page's number tells its set: looking for one takes the same few steps however large the cache is.

use super::Space;

/// Pages of a set.
const WAYS: usize = 8;
/// Bytes beside each page: its number and when it was used last.
pub(crate) const SLOT_BYTES: usize = 8;
/// In a slot that holds none: beyond every volume.
const NO_PAGE: u32 = u32::MAX;
/// For so many page accesses, a page that was given up is not tried again.
const LOST_ACCESSES: u32 = 256;

/// A page that was given up.
#[derive(Debug)]
struct Lost {
    page: u32,
    clock: u32,
    /// A larger decoder may succeed.
    larger_decoder: bool,
}

/// Raw pages, corrected and checked, in the caller's memory.
#[derive(Debug)]
pub(super) struct Cache<'b> {
    /// Number and last use of the page in each slot.
    slots: &'b mut [[u8; SLOT_BYTES]],
    /// The pages; away while one is built or read.
    pages: &'b mut [u8],
    raw_size: usize,
    clock: u32,
    lost: Lost,
}

impl<'b> Cache<'b> {
    /// As many pages as `bytes` has room for.
    pub(super) fn new(bytes: &'b mut [u8], raw_size: usize) -> Self {
        let mut count = bytes.len().checked_div(raw_size + SLOT_BYTES).unwrap_or(0);
        if count > WAYS {
            count -= count % WAYS;
        }
        let (slots, pages) = bytes.split_at_mut_checked(count * SLOT_BYTES).unwrap_or_default();
        let lost = Lost { page: NO_PAGE, clock: 0, larger_decoder: false };
        let mut cache = Self { slots: slots.as_chunks_mut().0, pages, raw_size, clock: 0, lost };
        cache.clear();
        cache
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.slots.as_flattened_mut().fill(u8::MAX);
        self.lost.page = NO_PAGE;
    }

    /// The slot that holds a page.
    pub(super) fn find(&self, page: u32) -> Option<usize> {
        self.set(page).find(|slot| self.page_in(*slot) == page)
    }

    /// As [`Self::find`]; the page has been used just now.
    pub(super) fn touch(&mut self, page: u32) -> Option<usize> {
        self.clock = self.clock.wrapping_add(1);
        let slot = self.find(page)?;
        self.put(slot, page, self.clock);
        Some(slot)
    }

    /// Empties a slot that a page may be put in.
    pub(super) fn borrow(&mut self, page: u32) -> usize {
        let age = |slot: &usize| if self.page_in(*slot) == NO_PAGE { 0 } else { self.last_use(*slot) };
        let slot = self.set(page).min_by_key(age).unwrap_or(0);
        self.put(slot, NO_PAGE, 0);
        slot
    }

    /// From now on, a slot holds this page.
    pub(super) fn keep(&mut self, slot: usize, page: u32) {
        self.put(slot, page, self.clock);
    }

    /// The page in a slot gives way first.
    pub(super) fn make_oldest(&mut self, slot: usize) {
        self.put(slot, self.page_in(slot), 0);
    }

    /// Keeps a page that was just programmed: what was written last is often read next. The one before it gives way, so that
    /// a row of commits does not push out the tree's nodes.
    pub(super) fn remember(&mut self, page: u32, raw: &[u8]) {
        let before =
            page.checked_sub(1).and_then(|before| self.find(before)).filter(|slot| self.set(page).contains(slot));
        let slot = before.unwrap_or_else(|| self.borrow(page));
        let Some(place) = self.pages.get_mut(slot * self.raw_size..).and_then(|rest| rest.get_mut(..raw.len())) else {
            return;
        };
        place.copy_from_slice(raw);
        self.clock = self.clock.wrapping_add(1);
        self.keep(slot, page);
    }

    /// Drops a page.
    pub(super) fn forget(&mut self, page: u32) {
        self.forget_all(|known| known == page);
    }

    /// Drops the pages of a block.
    pub(super) fn forget_block(&mut self, space: &Space, block: u32) {
        self.forget_all(|known| known != NO_PAGE && space.block_of_page(known) == block);
    }

    fn forget_all(&mut self, is_meant: impl Fn(u32) -> bool) {
        for slot in 0..self.slots.len() {
            if is_meant(self.page_in(slot)) {
                self.put(slot, NO_PAGE, 0);
            }
        }
        if is_meant(self.lost.page) {
            self.lost.page = NO_PAGE;
        }
    }

    /// Notes that a page was given up.
    pub(super) fn note_lost(&mut self, page: u32, larger_decoder: bool) {
        self.lost = Lost { page, clock: self.clock, larger_decoder };
    }

    /// Whether a page was given up just now, and whether a larger decoder may succeed.
    pub(super) fn is_lost(&self, page: u32) -> Option<bool> {
        let known = self.lost.page == page && self.clock.wrapping_sub(self.lost.clock) < LOST_ACCESSES;
        known.then_some(self.lost.larger_decoder)
    }

    /// The page in a slot.
    pub(super) fn raw(&self, slot: usize) -> &[u8] {
        self.pages.get(slot * self.raw_size..).and_then(|rest| rest.get(..self.raw_size)).unwrap_or_default()
    }

    /// Takes the memory of all pages away, so that what works on one may borrow the rest; [`Self::give_back`] must follow.
    pub(super) fn take(&mut self) -> &'b mut [u8] {
        core::mem::take(&mut self.pages)
    }

    pub(super) fn give_back(&mut self, pages: &'b mut [u8]) {
        self.pages = pages;
    }

    /// The slots that a page may be in.
    fn set(&self, page: u32) -> core::ops::Range<usize> {
        let count = self.slots.len();
        if count <= WAYS {
            return 0..count;
        }
        let first = (page as usize).checked_rem(count / WAYS).unwrap_or(0) * WAYS;
        first..first + WAYS
    }

    fn page_in(&self, slot: usize) -> u32 {
        self.slots.get(slot).map_or(NO_PAGE, |slot| u64::from_le_bytes(*slot) as u32)
    }

    fn last_use(&self, slot: usize) -> u32 {
        self.slots.get(slot).map_or(0, |slot| (u64::from_le_bytes(*slot) >> u32::BITS) as u32)
    }

    fn put(&mut self, slot: usize, page: u32, last_use: u32) {
        if let Some(slot) = self.slots.get_mut(slot) {
            *slot = (u64::from(page) | u64::from(last_use) << u32::BITS).to_le_bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    extern crate std;
    use std::collections::BTreeMap;
    use std::vec;

    const RAW: usize = 16;

    fn load(cache: &mut Cache<'_>, page: u32, fill: u8) {
        let slot = cache.borrow(page);
        let pages = cache.take();
        pages[slot * RAW..][..RAW].fill(fill);
        cache.give_back(pages);
        cache.keep(slot, page);
    }

    proptest! {
        /// What is found is what was put there last, and nothing that was forgotten; what was used last is there.
        #[test]
        fn a_page_is_found_as_it_was_kept(
            slots in 1usize..40, steps in proptest::collection::vec((0u8..5, 0u32..60, any::<u8>()), 0..200),
        ) {
            let mut bytes = vec![0; slots * (RAW + SLOT_BYTES)];
            let mut cache = Cache::new(&mut bytes, RAW);
            let space = Space::new(&crate::flash::Geometry {
                page_size: 256, spare_size: 0, pages_per_block: 4, block_count: 15, bad_blocks_max: 0,
            }, 200);
            let mut known: BTreeMap<u32, u8> = BTreeMap::new();
            for (step, page, fill) in steps {
                match step {
                    0 | 1 => {
                        if cache.touch(page).is_none() {
                            load(&mut cache, page, fill);
                            known.insert(page, fill);
                        }
                    }
                    2 => {
                        // As a program does.
                        cache.forget(page);
                        cache.remember(page, &[fill; RAW]);
                        known.insert(page, fill);
                    }
                    3 => {
                        cache.forget(page);
                        known.remove(&page);
                    }
                    _ => {
                        cache.forget_block(&space, page / 4);
                        known.retain(|known, _| *known / 4 != page / 4);
                    }
                }
                prop_assert_eq!(cache.find(page).is_some(), step < 3);
                for page in 0..60 {
                    if let Some(slot) = cache.find(page) {
                        prop_assert_eq!(Some(&[known[&page]; RAW][..]), Some(cache.raw(slot)));
                    }
                }
                let held = (0..60).filter(|page| cache.find(*page).is_some()).count();
                prop_assert!(held <= slots);
            }
        }
    }

    #[test]
    fn the_page_not_used_for_the_longest_time_gives_way() {
        let mut bytes = [0; 3 * (RAW + SLOT_BYTES)];
        let mut cache = Cache::new(&mut bytes, RAW);
        for page in [10, 11, 12] {
            cache.touch(page);
            load(&mut cache, page, 1);
        }
        cache.touch(10);
        cache.touch(13);
        load(&mut cache, 13, 1);
        assert_eq!([10, 11, 12, 13].map(|page| cache.find(page).is_some()), [true, false, true, true]);
        // A page that was written gives way to the next one.
        cache.remember(14, &[2; RAW]);
        assert_eq!([10, 12, 13, 14].map(|page| cache.find(page).is_some()), [true, true, false, true]);
    }

    #[test]
    fn a_page_that_was_given_up_is_tried_again_later() {
        let mut bytes = [0; 3 * (RAW + SLOT_BYTES)];
        let mut cache = Cache::new(&mut bytes, RAW);
        assert_eq!(cache.is_lost(7), None);
        cache.note_lost(7, true);
        for _ in 0..LOST_ACCESSES {
            assert_eq!((cache.is_lost(7), cache.is_lost(8)), (Some(true), None));
            cache.touch(1);
        }
        assert_eq!(cache.is_lost(7), None);
        cache.note_lost(7, false);
        cache.forget(7);
        assert_eq!(cache.is_lost(7), None);
    }
}
