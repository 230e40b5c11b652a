//! A volume that nobody changes without its key, or puts back to an earlier state.
//!
//! `cargo run -p k7fs-examples --bin authenticated_volume`
//!
//! A device keeps a key, and a counter that only rises, in a safe place of its own; the flash chip beside it can be taken off, read
//! and written by anybody. The key alone tells every page that does not belong where and when it is; the counter tells the
//! chip as it was, as a whole.

use k7fs_core::flash::Flash;
use k7fs_core::{Error, FormatOptions, Key, MountOptions, Volume, buffer_bytes};
use k7fs_sim::chip::{Chip, ChipSpec, SimFlash};

/// In a device: from a fuse, a secure element or a protected page.
const KEY: Key = Key::new([0x2a; 32]);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let spec = ChipSpec::named("W25Q80BL").ok_or("the chip is not known")?;
    let mut flash = SimFlash::new(Chip::new(spec, 1));
    let mut buffer = vec![0; buffer_bytes(&flash.geometry())];
    let options = FormatOptions { volume_id: *b"authentic volume", key: Some(KEY), ..FormatOptions::default() };
    Volume::format(&mut flash, &mut buffer, &options)?;

    // The device's counter: in a real one, a monotonic counter of the hardware.
    let mut counter = 0;
    let mut seen = Vec::new();
    for balance in ["100", "70", "20"] {
        let options = MountOptions { key: Some(KEY), commit_min: counter, ..MountOptions::default() };
        let mut volume = Volume::mount(&mut flash, &mut buffer, options)?;
        volume.write("/balance", balance.as_bytes())?;
        volume.sync()?;
        // Only what is durable is counted: after a power cut between these two the chip is ahead, which is no harm.
        counter = volume.last_commit();
        let _ = volume.abandon();
        seen.push(flash.clone());
    }

    let [oldest, _, newest] = &seen[..] else { return Err("there are three".into()) };
    println!("now: {:?}", balance(&mut newest.clone(), &mut buffer, Some(KEY), counter)?);
    println!("without the key: {:?}", balance(&mut newest.clone(), &mut buffer, None, counter));
    println!("with another key: {:?}", balance(&mut newest.clone(), &mut buffer, Some(Key::new([1; 32])), counter));
    let rolled_back = balance(&mut oldest.clone(), &mut buffer, Some(KEY), counter);
    println!("the chip as it was: {rolled_back:?}");
    assert!(matches!(rolled_back, Err(Error::RolledBack { .. })), "an older state is refused");
    assert_eq!(
        balance(&mut oldest.clone(), &mut buffer, Some(KEY), 0)?,
        "100",
        "without the counter it is a state like any other"
    );
    Ok(())
}

fn balance(flash: &mut SimFlash, buffer: &mut [u8], key: Option<Key>, counter: u64) -> Result<String, Error> {
    let options = MountOptions { key, commit_min: counter, ..MountOptions::default() };
    let mut volume = Volume::mount(flash, buffer, options)?;
    let mut bytes = [0; 16];
    let length = volume.read("/balance", &mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes[..length]).into_owned())
}
