//! From an image file to a mounted volume and back.

use std::path::Path;

use k7fs_core::ecc::Tier;
use k7fs_core::flash::{Flash, Geometry};
use k7fs_core::{
    Error, FormatOptions, GeometryField, Key, MountOptions, Volume, VolumeInfo, buffer_bytes, buffer_bytes_with,
    cache_bytes,
};

use super::clock::now;
use super::error::HostError;
use super::image::{Access, Image, ImageFlash, volume_bytes};
use super::signature::find;
use crate::chip::{ChipKind, ChipSpec};
use crate::codec::HostCodecs;

/// Bytes of the longest logical block.
const LOGICAL_BLOCK_MAX: u32 = 32 << 20;

/// Blocks of a volume, at most.
const BLOCKS_MAX: u32 = 65_535;

/// What opening an image takes besides its path.
#[derive(Clone, Copy, Debug, Default)]
pub struct Opening<'c> {
    /// The chip that the image is of; the volume's signature tells it otherwise.
    pub chip: Option<&'c ChipSpec>,
    /// The key of an authenticated volume.
    pub key: Option<Key>,
    /// The least number that the last commit may have, see [`MountOptions::commit_min`].
    pub commit_min: u64,
    /// Take the newest state that can be read, see [`MountOptions::may_go_back`].
    pub may_go_back: bool,
}

impl Opening<'_> {
    fn mount_options(&self) -> MountOptions {
        MountOptions {
            key: self.key,
            commit_min: self.commit_min,
            may_go_back: self.may_go_back,
            ..MountOptions::default()
        }
    }
}

/// An image whose volume has been found, locked until it is dropped.
#[derive(Debug)]
pub struct OpenImage {
    flash: ImageFlash,
    buffer: Vec<u8>,
    access: Access,
    info: Option<VolumeInfo>,
    codecs: HostCodecs,
    index: Option<String>,
    options: MountOptions,
}

impl OpenImage {
    /// Opens an image and finds its volume by the signature, or by the chip where the signature is unreadable.
    ///
    /// # Errors
    /// `Io`, `Locked`, `NotAFile`, `Truncated`; `WrongChipSize` and `WrongChipShape` where `chip` is given and does not
    /// match; `Volume` with `NotAVolume`, `DamagedSignature` or `UnknownFeature`.
    pub fn open(path: &Path, access: Access, opening: &Opening<'_>) -> Result<Self, HostError> {
        let image = Image::open(path, access)?;
        let (mut flash, mut info) = locate(image, opening.chip)?;
        let blocks = find_size(&mut flash, opening.mount_options())?;
        if let Some((info, blocks)) = info.as_mut().zip(blocks) {
            info.geometry.block_count = blocks;
        }
        let buffer = buffer_for(&flash);
        // Without a readable signature the largest block that there may be.
        let codecs = HostCodecs::new(info.map_or(LOGICAL_BLOCK_MAX, |info: VolumeInfo| info.logical_block_size));
        Ok(Self { flash, buffer, access, info, codecs, index: None, options: opening.mount_options() })
    }

    /// Gives the volume as many blocks as fit so many bytes, and the image just these.
    ///
    /// A command that is killed on the way leaves a volume of the old size or the new, perhaps in an image that is larger.
    ///
    /// # Errors
    /// `Volume` with what the core says, `DataBehind` where something else lies behind the volume, `Io`.
    pub fn resize(&mut self, bytes: u64) -> Result<u32, HostError> {
        let path = self.flash.image().path().to_path_buf();
        let block_bytes = volume_bytes(&Geometry { block_count: 1, ..self.flash.geometry() });
        let blocks = u32::try_from(bytes / block_bytes).unwrap_or(u32::MAX);
        let before = self.with(|volume| Ok(volume.info().geometry.block_count))?;
        let end = |blocks: u32| self.flash.offset() + u64::from(blocks) * block_bytes;
        let (old_end, new_end, image_end) = (end(before), end(blocks), self.flash.image().bytes());
        if blocks > before {
            // As after a command that was killed, erased bytes may be there already.
            if !self.flash.image().is_erased_from(old_end)? {
                return Err(HostError::DataBehind { image: path });
            }
            if blocks > BLOCKS_MAX {
                return Err(HostError::volume(&path)(Error::ResizeTooLarge { blocks_max: BLOCKS_MAX }));
            }
            self.flash.image_mut().set_bytes(new_end.max(image_end))?;
            self.flash.set_blocks(blocks);
            self.buffer = buffer_for(&self.flash);
        }
        let resized = self.with(|volume| volume.resize(blocks).map_err(HostError::volume(&path)));
        if resized.is_ok() && (blocks > before || image_end == old_end) {
            self.flash.image_mut().set_bytes(new_end)?;
        } else if resized.is_err() && blocks > before {
            self.flash.image_mut().set_bytes(image_end)?;
        }
        self.flash.set_blocks(if resized.is_ok() { blocks } else { before });
        self.flash.image().sync()?;
        resized.map(|()| blocks)
    }

    /// Works on this index from now on, instead of the default one.
    pub fn choose_index(&mut self, name: Option<&str>) {
        self.index = name.map(str::to_owned);
    }

    /// What the signature says; `None` where it is unreadable and a chip stood in.
    pub fn info(&self) -> Option<&VolumeInfo> {
        self.info.as_ref()
    }

    /// The image as flash.
    pub fn flash(&self) -> &ImageFlash {
        &self.flash
    }

    /// Mounts the volume, runs `work` on it and stops cleanly, also where `work` failed. With read access nothing is
    /// written.
    ///
    /// # Errors
    /// What `work` says, or `Volume` and `Io` for mounting and stopping.
    pub fn with<R>(
        &mut self, work: impl FnOnce(&mut Volume<'_, &mut ImageFlash>) -> Result<R, HostError>,
    ) -> Result<R, HostError> {
        let path = self.flash.image().path().to_path_buf();
        let result = self.run(&path, work);
        match self.flash.take_host_error() {
            // The chip's interface has no room for the host's own words, such as a full disk.
            Some(error) if result.is_err() => Err(HostError::Io { path, error }),
            _ => result,
        }
    }

    fn run<R>(
        &mut self, path: &Path, work: impl FnOnce(&mut Volume<'_, &mut ImageFlash>) -> Result<R, HostError>,
    ) -> Result<R, HostError> {
        let writes = self.access == Access::Write;
        let options = MountOptions { read_only: !writes, clock: Some(now), ..self.options };
        let mut codecs = self.codecs.lend();
        let mounted = Volume::mount_with(&mut self.flash, &mut self.buffer, options, &mut codecs);
        let mut volume = mounted.map_err(HostError::volume(path))?;
        let chosen =
            self.index.as_deref().map_or(Ok(()), |name| volume.select_index(name).map_err(HostError::index(name)));
        let result = chosen.and_then(|()| work(&mut volume));
        if writes {
            let stopped = volume.unmount().map(|_| ()).map_err(HostError::volume(path));
            let synced = self.flash.image().sync();
            let value = result?;
            stopped.and(synced).map(|()| value)
        } else {
            volume.abandon();
            result
        }
    }
}

/// Pages in memory, beyond those that a volume needs.
const CACHE_PAGES: usize = 1024;

fn buffer_for(flash: &ImageFlash) -> Vec<u8> {
    let geometry = flash.geometry();
    vec![0; buffer_bytes_with(&geometry, Tier::Full) + cache_bytes(&geometry, CACHE_PAGES)]
}

/// A volume that was resized has another number of blocks than its signature says: only a mount tells. `None` where it fails for
/// another reason, which whoever mounts next hears of.
fn find_size(flash: &mut ImageFlash, options: MountOptions) -> Result<Option<u32>, HostError> {
    for _ in 0..2 {
        let mut buffer = buffer_for(flash);
        let options = MountOptions { read_only: true, ..options };
        let mounted = Volume::mount(&mut *flash, &mut buffer, options).map(|volume| volume.info().geometry.block_count);
        match mounted {
            Ok(blocks) => {
                flash.set_blocks(blocks);
                return Ok(Some(blocks));
            }
            Err(Error::WrongGeometry { field: GeometryField::BlockCount, volume, .. }) => {
                let needed = volume_bytes(&Geometry { block_count: volume, ..flash.geometry() });
                if volume > flash.blocks_in_image() {
                    let bytes = flash.image().bytes().saturating_sub(flash.offset());
                    return Err(HostError::Truncated { image: flash.image().path().to_path_buf(), bytes, needed });
                }
                flash.set_blocks(volume);
            }
            Err(_) => break,
        }
    }
    Ok(None)
}

/// Finds the volume in an image, as large as its signature says.
///
/// # Errors
/// As [`OpenImage::open`].
pub fn locate(image: Image, chip: Option<&ChipSpec>) -> Result<(ImageFlash, Option<VolumeInfo>), HostError> {
    if let Some(chip) = chip {
        check_size(&image, chip)?;
    }
    let found = find(image.file(), image.bytes()).map_err(HostError::io(image.path()))?;
    let refusal = match (found, chip) {
        (Ok(found), chip) => {
            if let Some(chip) = chip {
                check_shape(&image, chip, &found.info.geometry)?;
            }
            // A volume as large as the image fills it, though its first blocks may be bad; a smaller one is a part of
            // the chip and starts where it is first seen.
            let whole = image.bytes() <= volume_bytes(&found.info.geometry);
            let offset = if whole { 0 } else { found.position };
            return Ok((ImageFlash::shortened(image, offset, found.info.geometry), Some(found.info)));
        }
        // What makes the volume foreign is readable; another geometry would not help.
        (Err(Error::NotAVolume | Error::DamagedSignature), Some(chip)) => {
            return Ok((ImageFlash::new(image, 0, chip_geometry(chip))?, None));
        }
        (Err(error), _) => error,
    };
    Err(HostError::volume(image.path())(refusal))
}

/// The shape of a volume that fills a chip with the default layout.
pub(super) fn chip_geometry(chip: &ChipSpec) -> Geometry {
    let spare_size = match &chip.kind {
        ChipKind::Nor(_) => 0,
        ChipKind::Nand(nand) => nand.geometry.spare_size,
    };
    Geometry {
        page_size: chip.volume_page_size(),
        spare_size,
        pages_per_block: chip.volume_block_size() / chip.volume_page_size(),
        block_count: chip.volume_block_count(),
        bad_blocks_max: chip.bad_blocks_max(),
    }
}

fn check_size(image: &Image, chip: &ChipSpec) -> Result<(), HostError> {
    if image.bytes() == chip.image_size() {
        return Ok(());
    }
    Err(HostError::WrongChipSize {
        image: image.path().to_path_buf(),
        chip: chip.name,
        bytes: image.bytes(),
        chip_bytes: chip.image_size(),
    })
}

fn check_shape(image: &Image, chip: &ChipSpec, volume: &Geometry) -> Result<(), HostError> {
    let expected = chip_geometry(chip);
    // On NOR pages and blocks are a matter of formatting, as long as a block is made of erase units.
    let fits = match &chip.kind {
        ChipKind::Nor(nor) => {
            let block_size = u64::from(volume.page_size) * u64::from(volume.pages_per_block);
            volume.spare_size == 0 && block_size.is_multiple_of(u64::from(nor.erase_size))
        }
        ChipKind::Nand(_) => {
            let shape = |g: &Geometry| (g.page_size, g.spare_size, g.pages_per_block);
            shape(volume) == shape(&expected)
        }
    };
    if fits && volume_bytes(volume) <= image.bytes() {
        return Ok(());
    }
    Err(HostError::WrongChipShape {
        image: image.path().to_path_buf(),
        chip: chip.name,
        volume: shape(volume),
        shape: shape(&expected),
    })
}

fn shape(geometry: &Geometry) -> String {
    format!(
        "{} blocks of {} pages of {}+{} bytes",
        geometry.block_count, geometry.pages_per_block, geometry.page_size, geometry.spare_size
    )
}

/// Makes an image of an erased chip, or takes the one that is there, and formats a volume that fills it.
///
/// A chip's image keeps its bad-block marks. Without `force` only a missing, empty or blank file is formatted.
///
/// # Errors
/// `VolumeExists`, `DataExists`; `Io`, `Locked`, `NotAFile`; `Volume` where the core refuses.
pub fn format_image(path: &Path, chip: &ChipSpec, options: &FormatOptions, force: bool) -> Result<(), HostError> {
    let existed = path.exists();
    let image = Image::open_or_create(path)?;
    let formatted = format_locked(image, chip, options, force);
    if formatted.is_err() && !existed {
        // Best effort: a failed mkfs leaves nothing behind that was not there before.
        let _ = std::fs::remove_file(path);
    }
    formatted
}

fn format_locked(mut image: Image, chip: &ChipSpec, options: &FormatOptions, force: bool) -> Result<(), HostError> {
    let path = image.path().to_path_buf();
    let blank = image.bytes() == 0 || image.is_filled_with(0)?;
    let erased = !blank && image.is_filled_with(0xff)?;
    if !force && !blank && !erased {
        return Err(match find(image.file(), image.bytes()).map_err(HostError::io(&path))? {
            Err(Error::NotAVolume) => HostError::DataExists { image: path },
            _ => HostError::VolumeExists { image: path },
        });
    }
    // Only an image of the chip's own size can be one of such a chip, with marks worth keeping.
    if blank || image.bytes() != chip.image_size() {
        image.erase_all(chip.image_size())?;
    }
    let geometry = chip_geometry(chip);
    let mut buffer = vec![0; buffer_bytes(&geometry)];
    let mut flash = ImageFlash::new(image, 0, geometry)?;
    let formatted = Volume::format(&mut flash, &mut buffer, options).map_err(HostError::volume(&path));
    match flash.take_host_error() {
        Some(error) if formatted.is_err() => return Err(HostError::Io { path, error }),
        _ => formatted?,
    }
    flash.image().sync()
}
