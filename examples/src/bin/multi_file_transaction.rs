//! Several files that change together or not at all.
//!
//! `cargo run -p k7fs-examples --bin multi_file_transaction`
//!
//! A device updates its firmware settings: two files, a rename and a delete that make sense only together. The power
//! is cut at every single program and erase of the update in turn; after each cut the device finds the old settings
//! or the new ones, never a mixture.

use k7fs_core::flash::Flash;
use k7fs_core::{Error, FormatOptions, MountOptions, Volume, buffer_bytes};
use k7fs_sim::chip::{Chip, ChipSpec, Cut, CutKind, SimFlash};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let spec = ChipSpec::named("W25Q80BL").ok_or("the chip is not known")?;
    let mut flash = SimFlash::new(Chip::new(spec, 1));
    let mut buffer = vec![0; buffer_bytes(&flash.geometry())];
    let options = FormatOptions { volume_id: *b"transaction demo", ..FormatOptions::default() };
    Volume::format(&mut flash, &mut buffer, &options)?;
    let mut volume = Volume::mount(&mut flash, &mut buffer, MountOptions::default())?;
    volume.write("/network", b"ssid=lab")?;
    volume.write("/secrets", b"key=1234")?;
    volume.write("/pending", b"update to 2.0")?;
    volume.unmount()?;

    let mut kept = 0;
    let mut updated = 0;
    // Each round works on its own copy of the chip, cut one operation later than the round before.
    for operation in 0.. {
        let mut flash = flash.clone();
        flash.chip_mut().faults_mut().cut = Some(Cut { operation, kind: CutKind::HALF });
        let finished = update(&mut flash, &mut buffer).is_ok();
        let was_cut = flash.chip().is_off();
        flash.chip_mut().power_on();
        flash.chip_mut().faults_mut().cut = None;
        if is_updated(&mut flash, &mut buffer)? {
            updated += 1;
        } else {
            assert!(!finished, "the update was reported as done and is lost");
            kept += 1;
        }
        if !was_cut {
            break;
        }
    }
    println!(
        "power cut at {} places: old settings {kept} times, new ones {updated} times, a mixture never",
        kept + updated - 1
    );
    assert!(kept > 0 && updated > 0);
    Ok(())
}

/// Mounts, changes everything in one transaction, unmounts.
fn update(flash: &mut SimFlash, buffer: &mut [u8]) -> Result<(), Error> {
    let mut volume = Volume::mount(flash, buffer, MountOptions::default())?;
    volume.transaction(|volume| {
        volume.write("/network", b"ssid=field")?;
        volume.write("/secrets", b"key=5678")?;
        volume.rename("/pending", "/done")?;
        // An error returned here would undo all of it.
        Ok(())
    })?;
    volume.unmount().map(|_| ())
}

/// Whether the update is there; anything between is an error.
fn is_updated(flash: &mut SimFlash, buffer: &mut [u8]) -> Result<bool, Box<dyn std::error::Error>> {
    let mut volume = Volume::mount(flash, buffer, MountOptions::default())?;
    let mut bytes = [0; 32];
    let mut facts = Vec::new();
    let length = volume.read("/network", &mut bytes)?;
    facts.push(&bytes[..length] == b"ssid=field");
    let length = volume.read("/secrets", &mut bytes)?;
    facts.push(&bytes[..length] == b"key=5678");
    facts.push(volume.metadata("/done").is_ok());
    facts.push(volume.metadata("/pending") == Err(Error::NotFound));
    if facts.iter().any(|fact| *fact != facts[0]) {
        return Err(format!("a mixture of old and new: {facts:?}").into());
    }
    Ok(facts[0])
}
