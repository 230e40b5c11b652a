//! The table of open files.

use super::OPEN_FILES_MAX;
use super::types::File;

/// Open files by their slots. The two numbers of a slot lie apart, since together they would take four bytes more.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct OpenFiles {
    /// 0 where a slot is free.
    objects: [u64; OPEN_FILES_MAX],
    serials: [u32; OPEN_FILES_MAX],
    /// The serial number of the last handle given out.
    last: u32,
}

impl OpenFiles {
    /// A slot that is free.
    pub(super) fn free_slot(&self) -> Option<usize> {
        self.objects.iter().position(|object| *object == 0)
    }

    /// Takes a slot for an object and tells the handle's serial number.
    pub(super) fn take(&mut self, slot: usize, object: u64) -> u32 {
        self.last = self.last.wrapping_add(1);
        if let (Some(place), Some(serial)) = (self.objects.get_mut(slot), self.serials.get_mut(slot)) {
            (*place, *serial) = (object, self.last);
        }
        self.last
    }

    /// Frees a handle's slot.
    pub(super) fn free(&mut self, file: &File) {
        if let Some(object) = self.objects.get_mut(usize::from(file.slot)) {
            *object = 0;
        }
    }

    /// Whether a handle is the one that its slot was given to last.
    pub(super) fn knows(&self, file: &File) -> bool {
        let slot = usize::from(file.slot);
        self.objects.get(slot) == Some(&file.object) && self.serials.get(slot) == Some(&file.serial)
    }

    /// Whether a handle holds the object.
    pub(super) fn holds(&self, object: u64) -> bool {
        self.objects.contains(&object)
    }

    /// Whether any handle is open.
    #[cfg(feature = "indexes")]
    pub(super) fn is_any(&self) -> bool {
        self.objects.iter().any(|object| *object != 0)
    }
}
