//! What not every profile of the core has.

use core::hint::black_box;

use k7fs_core::codec::{ZstdCodec, ZstdScratch};
use k7fs_core::flash::Flash;
use k7fs_core::{Codec as _, CodecId, Device, Error, Kind, Nt, Posix, Volume};

use crate::chips::anything;
use crate::{options, path, time};

/// Uses all of it.
pub(crate) fn use_all<F: Flash>(volume: &mut Volume<'_, F>) -> Result<(), Error> {
    use_zstd();
    let _ = black_box(use_sharing(volume));
    let _ = black_box(volume.transaction(|volume| use_sharing(volume)));
    let _ = black_box(use_attributes(volume));
    let _ = black_box(use_metadata(volume));
    let _ = black_box(use_nt(volume));
    let _ = black_box(volume.transaction(|volume| use_attributes(volume)));
    volume.remove_tree(path())
}

fn use_zstd() {
    let mut scratch = ZstdScratch::new();
    let mut codec = ZstdCodec::new(&mut scratch);
    let (packed, mut plain) = ([anything::<u8>(); 512], [0; 4096]);
    let (packed, plain) =
        (packed.get(..anything()).unwrap_or_default(), plain.get_mut(..anything()).unwrap_or_default());
    let _ = black_box(codec.decodes(CodecId::Zstd));
    let _ = black_box(codec.decode(CodecId::Zstd, packed, black_box(plain)));
}

fn use_sharing<F: Flash>(volume: &mut Volume<'_, F>) -> Result<(), Error> {
    let mut space = [0; 512];
    let bytes = space.get_mut(..anything()).unwrap_or_default();
    let _ = black_box(volume.copy(path(), path()));
    let _ = black_box(volume.deduplicate(path(), path()));
    let _ = black_box(volume.next_chunk(anything()));
    let _ = black_box(volume.read_chunk(anything(), anything(), bytes));
    let file = volume.open(path(), options())?;
    let _ = black_box(volume.append_chunk(&file, bytes));
    let _ = black_box(volume.append_shared(&file, anything()));
    volume.close(file)
}

fn use_attributes<F: Flash>(volume: &mut Volume<'_, F>) -> Result<(), Error> {
    let mut space = [0; 512];
    let bytes = space.get_mut(..anything()).unwrap_or_default();
    let _ = black_box(volume.set_attribute(path(), path(), bytes));
    let _ = black_box(volume.attribute(path(), path(), bytes));
    let _ = black_box(volume.remove_attribute(path(), path()));
    let mut cursor = volume.list_attributes(path())?;
    while let Some(entry) = volume.next_attribute(&mut cursor, bytes)? {
        black_box(entry);
    }
    Ok(())
}

fn use_metadata<F: Flash>(volume: &mut Volume<'_, F>) -> Result<(), Error> {
    let kinds = [Kind::Fifo, Kind::Socket, Kind::CharacterDevice, Kind::BlockDevice, Kind::File];
    let kind = kinds.get(anything::<usize>()).copied().unwrap_or(Kind::Symlink);
    let device = Device { major: anything(), minor: anything() };
    let _ = black_box(volume.create_special(path(), kind, device));
    let _ = black_box(volume.device(path()));
    let _ = black_box(volume.posix(path()));
    let _ = black_box(volume.nt(path()));
    let (created, modified) = (time(), time());
    let (accessed, changed) = ((anything::<u8>() != 0).then(time), (anything::<u8>() != 0).then(time));
    let posix = Posix { mode: anything(), uid: anything(), gid: anything(), created, modified, accessed, changed };
    let _ = black_box(volume.set_posix(path(), &posix));
    volume.set_nt(path(), &Nt { attributes: anything(), created, modified, accessed, changed })
}

fn use_nt<F: Flash>(volume: &mut Volume<'_, F>) -> Result<(), Error> {
    let mut space = [0; 512];
    let bytes = space.get_mut(..anything()).unwrap_or_default();
    let _ = black_box(volume.set_short_name(path(), path()));
    let _ = black_box(volume.short_name(path(), bytes));
    let _ = black_box(volume.set_security_descriptor(path(), bytes));
    let _ = black_box(volume.security_descriptor(path(), bytes));
    let _ = black_box(volume.set_reparse_point(path(), anything(), bytes));
    let _ = black_box(volume.reparse_point(path(), bytes));
    let _ = black_box(volume.remove_reparse_point(path()));
    let _ = black_box(volume.set_stream(path(), path(), bytes));
    let _ = black_box(volume.stream(path(), path(), bytes));
    volume.remove_stream(path(), path())
}
