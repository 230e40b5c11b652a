//! What only the whole core has.

use core::hint::black_box;

use k7fs_core::flash::Flash;
use k7fs_core::{Error, RetentionPolicy, Volume};

use crate::chips::anything;
use crate::{path, time};

/// Uses indexes.
pub(crate) fn use_indexes<F: Flash>(volume: &mut Volume<'_, F>) -> Result<(), Error> {
    let mut space = [0; 8192];
    let bytes = space.get_mut(..anything()).unwrap_or_default();
    let _ = black_box(volume.create_snapshot(path()));
    let _ = black_box(volume.create_branch(path(), path()));
    let _ = black_box(volume.create_subvolume(path()));
    let _ = black_box(volume.roll_back_to(path()));
    let _ = black_box(volume.trim_index(path()));
    let _ = black_box(volume.rename_index(path(), path()));
    let _ = black_box(volume.set_default_index(path()));
    let _ = black_box(volume.select_index(path()));
    let _ = black_box(volume.exclusive_bytes(path()));
    let _ = black_box(volume.retention_policy());
    let policy = RetentionPolicy {
        interval_seconds: anything(),
        daily: anything(),
        weekly: anything(),
        monthly: anything(),
        keep_seconds: anything(),
    };
    let _ = black_box(volume.set_retention_policy(policy));
    let _ = black_box(volume.apply_retention_policy(time()));
    let mut cursor = volume.indexes();
    while let Some(index) = volume.next_index(&mut cursor, bytes)? {
        black_box(index);
    }
    volume.diff(path(), path(), bytes, &mut |change| {
        black_box(change);
    })
}

/// The codecs ask for an allocator. The program is never run, so that one without memory will do.
#[cfg(feature = "full-alloc")]
mod memory {
    use core::alloc::{GlobalAlloc, Layout};

    struct None;

    // SAFETY: a null pointer says that there is no memory.
    unsafe impl GlobalAlloc for None {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            core::hint::black_box(layout);
            core::hint::black_box(core::ptr::null_mut())
        }

        unsafe fn dealloc(&self, place: *mut u8, _layout: Layout) {
            core::hint::black_box(place);
        }
    }

    #[global_allocator]
    static MEMORY: None = None;
}
