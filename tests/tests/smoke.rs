//! The first thing to work: a few files on every preset.
use k7fs_core::flash::Flash;
use k7fs_core::*;
use k7fs_sim::chip::*;

fn run(name: &str, blocks: Option<u32>) {
    let spec = ChipSpec::named(name).unwrap();
    let spec = match blocks {
        Some(n) => spec.scaled(n),
        None => spec.clone(),
    };
    let mut flash = SimFlash::new(Chip::new(&spec, 1));
    let geometry = flash.geometry();
    let mut buffer = vec![0; buffer_bytes(&geometry)];
    println!("{name} {geometry:?} buffer {}", buffer.len());
    Volume::format(&mut flash, &mut buffer, &FormatOptions::default()).unwrap();
    let mut v = Volume::mount(flash, &mut buffer, MountOptions::default()).unwrap();
    v.create_dir("/d").unwrap();
    for i in 0..60 {
        v.write(&format!("/d/f{i}"), format!("hello {i}").repeat(i * 3).as_bytes()).unwrap();
    }
    let f = v.open("/big", OpenOptions::new().read(true).write(true).create(true)).unwrap();
    for i in 0..40u32 {
        v.write_at(&f, u64::from(i) * 700, &[i as u8; 900]).unwrap();
    }
    v.close(f).unwrap();
    for i in (0..60).step_by(3) {
        v.remove_file(&format!("/d/f{i}")).unwrap();
    }
    for round in 0..200 {
        v.write("/d/rewrite", &[round as u8; 64]).unwrap();
    }
    let check = |v: &mut Volume<SimFlash>| {
        let mut bytes = vec![0; 40000];
        for i in 0..60 {
            let got = v.read(&format!("/d/f{i}"), &mut bytes);
            if i % 3 == 0 {
                assert_eq!(got, Err(Error::NotFound), "{i}");
            } else {
                let want = format!("hello {i}").repeat(i * 3);
                assert_eq!(&bytes[..got.unwrap()], want.as_bytes());
            }
        }
        let n = v.read("/big", &mut bytes).unwrap();
        assert_eq!(n, 39 * 700 + 900);
        for i in 0..40usize {
            assert!(bytes[i * 700 + (if i > 0 { 200 } else { 0 })..i * 700 + 700].iter().all(|b| *b == i as u8), "{i}");
        }
        let mut faults = vec![];
        let s = v.check(|f| faults.push(f)).unwrap();
        assert!(faults.is_empty(), "{faults:?} {s:?}");
    };
    check(&mut v);
    println!("usage {:?}", v.usage());
    assert_eq!(v.audit(), Ok(None));
    let flash = v.unmount().unwrap();
    let before = flash.chip().counters().clone();
    let mut v = Volume::mount(flash, &mut buffer, MountOptions::default()).unwrap();
    assert!(v.usage().unwrap().clean);
    let after = v.flash_mut().chip().counters().clone();
    println!(
        "clean mount: {} reads, {} ms",
        after.reads - before.reads,
        (after.device_time_ns - before.device_time_ns) as f64 / 1e6
    );
    check(&mut v);
    v.write("/after", b"x").unwrap();
    let flash = v.abandon();
    let before = flash.chip().counters().clone();
    let mut v = Volume::mount(flash, &mut buffer, MountOptions::default()).unwrap();
    let after = v.flash_mut().chip().counters().clone();
    println!(
        "unclean mount: {} reads, {} programs {} ms",
        after.reads - before.reads,
        after.programs - before.programs,
        (after.device_time_ns - before.device_time_ns) as f64 / 1e6
    );
    assert!(!v.usage().unwrap().clean);
    check(&mut v);
    let flash = v.unmount().unwrap();
    assert_eq!(flash.chip().counters().violations, 0, "{:?}", flash.chip().counters());
}

/// Random overwrites far beyond the volume's size, near its capacity.
fn churn(name: &str, blocks: u32, fill: f64) {
    let spec = ChipSpec::named(name).unwrap().scaled(blocks);
    let mut flash = SimFlash::new(Chip::new(&spec, 1));
    let geometry = flash.geometry();
    let mut buffer = vec![0; buffer_bytes(&geometry)];
    Volume::format(&mut flash, &mut buffer, &FormatOptions::default()).unwrap();
    let mut v = Volume::mount(flash, &mut buffer, MountOptions::default()).unwrap();
    let capacity = v.usage().unwrap().capacity_bytes;
    let f = v.open("/big", OpenOptions::new().read(true).write(true).create(true)).unwrap();
    let mut model: Vec<u8> = vec![];
    let mut seed = 7u64;
    let mut rnd = move || {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        seed >> 33
    };
    while (model.len() as f64) < capacity as f64 * fill {
        let b = vec![rnd() as u8; 4096];
        match v.write_at(&f, model.len() as u64, &b) {
            Ok(()) => model.extend(&b),
            Err(Error::NoSpace) => break,
            Err(e) => panic!("{e:?}"),
        }
    }
    v.sync().unwrap();
    println!("{name} filled {} of capacity {capacity}: {:?}", model.len(), v.usage().unwrap());
    let start = v.flash_mut().chip().counters().clone();
    let blocks4 = model.len() / 4096;
    let ops = blocks4 * 4;
    for i in 0..ops {
        let (at, len) = if i % 3 == 0 {
            ((rnd() as usize) % (model.len() - 100), 100)
        } else {
            ((rnd() as usize % blocks4) * 4096, 4096)
        };
        let b = vec![rnd() as u8; len];
        if let Err(e) = v.write_at(&f, at as u64, &b) {
            panic!("op {i}: {e:?} {:?}", v.usage())
        }
        model[at..at + len].copy_from_slice(&b);
        if i % 5 == 0 {
            v.sync().unwrap();
        }
        if i % 200 == 0 {
            assert_eq!(v.audit(), Ok(None), "op {i}");
        }
    }
    let end = v.flash_mut().chip().counters().clone();
    println!(
        "  {ops} ops, programs {} erases {} ms/op {}",
        end.programs - start.programs,
        end.erases - start.erases,
        (end.device_time_ns - start.device_time_ns) as f64 / 1e6 / ops as f64
    );
    let mut back = vec![0; model.len()];
    assert_eq!(v.read_at(&f, 0, &mut back).unwrap(), model.len());
    assert!(back == model);
    v.close(f).unwrap();
    v.remove_file("/big").unwrap();
    assert_eq!(v.audit(), Ok(None));
    println!("  after delete {:?}", v.usage().unwrap());
    let mut faults = vec![];
    v.check(|f| faults.push(f)).unwrap();
    assert!(faults.is_empty(), "{faults:?}");
    let flash = v.unmount().unwrap();
    assert_eq!(flash.chip().counters().violations, 0, "{:?}", flash.chip().counters());
}
#[test]
fn churn_nor_small_80() {
    churn("W25Q80BL", 64, 0.8);
}
#[test]
fn churn_nor_80() {
    churn("W25Q80BL", 256, 0.8);
}
#[test]
fn churn_nor_90() {
    churn("W25Q80BL", 256, 0.9);
}
#[test]
fn churn_nor_full() {
    churn("W25Q80BL", 256, 2.0);
}
#[test]
fn churn_nand_90() {
    churn("W25N01GV", 64, 0.9);
}
#[test]
fn churn_h7() {
    churn("STM32H7", 16, 0.9);
}
#[test]
fn churn_w25q128() {
    churn("W25Q128JV", 32, 0.9);
}

#[test]
fn w25q128() {
    run("W25Q128JV", None);
}
#[test]
fn w25q16() {
    run("W25Q16JV", None);
}
#[test]
fn w25q80() {
    run("W25Q80BL", Some(64));
}
#[test]
fn nrf51() {
    run("nRF51822", None);
}
#[test]
fn nrf52() {
    run("nRF52840", None);
}
#[test]
fn l4() {
    run("STM32L4", None);
}
#[test]
fn h7() {
    run("STM32H7", None);
}
#[test]
fn w25n() {
    run("W25N01GV", None);
}
#[test]
fn mt29() {
    run("MT29F1G01ABAFD", Some(64));
}
#[test]
fn generic() {
    run("GENERIC-4096-224", Some(64));
}

#[test]
fn many_files() {
    let spec = ChipSpec::named("W25Q128JV").unwrap();
    let mut flash = SimFlash::new(Chip::new(spec, 1));
    let geometry = flash.geometry();
    let mut buffer = vec![0; buffer_bytes(&geometry)];
    Volume::format(&mut flash, &mut buffer, &FormatOptions::default()).unwrap();
    let mut v = Volume::mount(flash, &mut buffer, MountOptions::default()).unwrap();
    v.create_dir("/d").unwrap();
    for i in 0..1000 {
        v.write(&format!("/d/file{i:04}"), &[i as u8; 200]).unwrap();
    }
    let mut order: Vec<usize> = (0..1000).collect();
    let mut seed = 3u64;
    for i in (1..1000).rev() {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        order.swap(i, (seed >> 33) as usize % (i + 1));
    }
    for (n, i) in order.iter().enumerate() {
        if let Err(e) = v.remove_file(&format!("/d/file{i:04}")) {
            panic!("{n}: {i} {e:?}")
        }
        if n % 20 == 0 || n > 799 {
            let mut faults = vec![];
            let sum = v.check(|f| faults.push(f)).unwrap();
            assert!(faults.is_empty(), "{n}: {faults:?} {sum:?}");
            assert_eq!(sum.objects, 1000 - n as u64 + 1);
            for j in &order[n + 1..] {
                if let Err(e) = v.metadata(&format!("/d/file{j:04}")) {
                    panic!("after {n}: {j} {e:?}")
                }
            }
        }
    }
    assert_eq!(v.metadata("/d").unwrap().size, 0);
}
