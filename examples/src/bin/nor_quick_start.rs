//! A file system on an SPI NOR chip, from nothing to a file that survives the power.
//!
//! `cargo run -p k7fs-examples --bin nor_quick_start`
//!
//! The chip is simulated; on a board, put your own driver (anything that implements
//! `embedded_storage::nor_flash::NorFlash`) where `SimNor` is. Nothing else changes.

use embedded_io::{Read, Seek, SeekFrom, Write};
use k7fs_core::flash::{Geometry, Nor, NorConfig};
use k7fs_core::{FormatOptions, MountOptions, OpenOptions, Volume, buffer_bytes};
use k7fs_sim::chip::{Chip, ChipSpec, SimNor};

/// The volume owns the whole of a 1 MiB chip: pages of 256 bytes, blocks of 4 KiB.
const CONFIG: NorConfig = NorConfig { offset: 0, length: 1024 * 1024, page_size: 256, block_size: 4096 };

/// The same as the file system sees it.
const GEOMETRY: Geometry = Geometry {
    page_size: CONFIG.page_size,
    spare_size: 0,
    pages_per_block: CONFIG.block_size / CONFIG.page_size,
    block_count: CONFIG.length / CONFIG.block_size,
    bad_blocks_max: 0,
};

/// All the memory that the volume uses. Its size is known when the program is compiled: on a board, a `static`.
const BUFFER_BYTES: usize = buffer_bytes(&GEOMETRY);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let spec = ChipSpec::named("W25Q80BL").ok_or("the chip is not known")?;
    let driver = SimNor::<1, 4096>::new(Chip::new(spec, 1))?;
    let mut flash = Nor::new(driver, CONFIG).map_err(|error| format!("the layout does not fit: {error:?}"))?;
    let mut buffer = [0; BUFFER_BYTES];
    println!("buffer: {BUFFER_BYTES} bytes for {} KiB of flash", CONFIG.length / 1024);

    // The volume id comes from a random number generator; it tells this volume from every other.
    let options = FormatOptions { volume_id: *b"quick start demo", ..FormatOptions::default() };
    Volume::format(&mut flash, &mut buffer, &options)?;

    // One call writes a whole file, atomically: after a power cut there is the old content or the new one.
    let mut volume = Volume::mount(&mut flash, &mut buffer, MountOptions::default())?;
    volume.create_dir("/config")?;
    volume.write("/config/name", b"weather station 7")?;

    // A log file grows at its end. What was written is durable after `flush`, `sync` or `close`.
    let mut log = volume.open("/log", OpenOptions::new().append(true).create(true))?;
    for hour in 0..24 {
        let line = format!("{hour:02}:00 {}.{} C\n", 15 + hour % 9, hour % 10);
        volume.io(&mut log).write_all(line.as_bytes())?;
    }
    volume.close(log)?;

    // The power goes, without a word of warning.
    let _ = volume.abandon();

    let mut volume = Volume::mount(&mut flash, &mut buffer, MountOptions::default())?;
    let mut name = [0; 64];
    let length = volume.read("/config/name", &mut name)?;
    println!("/config/name: {}", std::str::from_utf8(&name[..length])?);
    assert_eq!(&name[..length], b"weather station 7");

    // Files also read and seek like any `embedded-io` stream.
    let mut log = volume.open("/log", OpenOptions::new().read(true))?;
    let mut last_line = [0; 13];
    let mut stream = volume.io(&mut log);
    stream.seek(SeekFrom::End(-13)).map_err(|error| format!("seek: {error:?}"))?;
    stream.read_exact(&mut last_line).map_err(|error| format!("read: {error:?}"))?;
    print!("/log ends with: {}", std::str::from_utf8(&last_line)?);
    assert!(last_line.starts_with(b"23:00"));
    volume.close(log)?;

    let mut cursor = volume.read_dir("/")?;
    while let Some(entry) = volume.next_entry(&mut cursor, &mut name)? {
        println!("/{} is a {:?}", entry.name, entry.kind);
    }
    let usage = volume.usage()?;
    println!("{} of {} bytes are free", usage.free_bytes, usage.capacity_bytes);
    volume.unmount()?;
    Ok(())
}
