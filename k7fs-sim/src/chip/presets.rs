//! The chips known by name.
//!
//! Figures are typical values. A source that says "recalled" was not compared with the maker's sheet.

use k7fs_core::flash::nand::NandGeometry;

use super::spec::{ChipKind, ChipSpec, LargeErase, NandSpec, NorSpec, Sources, default_block_size};
use super::timing::{NandTiming, NorTiming};

const KIB: u32 = 1024;
const MIB: u32 = 1024 * 1024;

/// 13 MB/s.
const BUS_BYTE_PS: u64 = 76_923;

const SPI_NOR_LARGE: &[LargeErase] =
    &[LargeErase { size: 64 * KIB, erase_ns: 150_000_000 }, LargeErase { size: 32 * KIB, erase_ns: 120_000_000 }];

const SPI_NOR_TIMING: NorTiming = NorTiming {
    read_ns: 1_000,
    read_byte_ps: 20_000,
    program_ns: 30_000,
    program_byte_ns: 2_500,
    program_max_ns: 400_000,
    erase_ns: 45_000_000,
};

const fn spi_nor(size: u32) -> ChipKind {
    ChipKind::Nor(NorSpec {
        size,
        write_size: 1,
        program_size: 256,
        erase_size: 4 * KIB,
        large_erases: SPI_NOR_LARGE,
        multiwrite: true,
        on_chip_ecc: false,
        page_size: 256,
        block_size: default_block_size(size, 4 * KIB, 256, SPI_NOR_LARGE),
        timing: SPI_NOR_TIMING,
    })
}

/// Flash inside a microcontroller: words are programmed one after the other, and reading is a memory access.
const fn internal_nor(size: u32, write_size: u32, erase_size: u32, timing: NorTiming) -> ChipKind {
    ChipKind::Nor(NorSpec {
        size,
        write_size,
        program_size: 256,
        erase_size,
        large_erases: &[],
        multiwrite: false,
        on_chip_ecc: write_size >= 8,
        page_size: 256,
        block_size: default_block_size(size, erase_size, 256, &[]),
        timing,
    })
}

const fn internal_timing(read_byte_ps: u64, word_bytes: u64, word_ns: u64, erase_ns: u64) -> NorTiming {
    let program_byte_ns = word_ns / word_bytes;
    NorTiming { read_ns: 0, read_byte_ps, program_ns: 0, program_byte_ns, program_max_ns: u64::MAX, erase_ns }
}

const fn nand(geometry: NandGeometry, good_blocks: u32, load_us: u64, program_us: u64, erase_us: u64) -> ChipKind {
    ChipKind::Nand(NandSpec {
        geometry,
        good_blocks,
        read_retry: false,
        timing: NandTiming {
            load_ns: load_us * 1_000,
            bus_byte_ps: BUS_BYTE_PS,
            program_ns: program_us * 1_000,
            erase_ns: erase_us * 1_000,
        },
    })
}

/// The same part with read retry.
const fn with_read_retry(kind: ChipKind) -> ChipKind {
    match kind {
        ChipKind::Nand(nand) => ChipKind::Nand(NandSpec { read_retry: true, ..nand }),
        nor => nor,
    }
}

const fn geometry(page_size: u32, spare_size: u32, block_count: u32, bad: u32, programs: u8) -> NandGeometry {
    NandGeometry {
        page_size,
        spare_size,
        pages_per_block: 64,
        block_count,
        bad_blocks_max: bad,
        programs_per_page: programs,
        on_die_ecc: false,
    }
}

/// Wrong bits among 10^12 where a code that corrects so many errors per 512 bytes, as the maker requires, loses one
/// bit in 10^15, the usual promise of a drive (JESD218, client class). `ecc::bounds` computes the same.
const REQUIRES_4: u64 = 3_320_000;
const REQUIRES_8: u64 = 54_900_000;
/// The usual model of single-level cells at their rated cycles: larger than what the one corrected error per 512
/// bytes that makers ask for would bear.
const SINGLE_LEVEL: u64 = 1_000_000;

const NOR_BIT_ERRORS: &str = "assumed: 1e-6, as single-level NAND at its rated cycles; makers of NOR promise no errors";
const NAND_1_BIT_ERRORS: &str =
    "model of single-level cells at rated cycles: 1e-6; the part requires 1 bit per 512 bytes";

const SPI_NOR_SOURCES: Sources = Sources {
    geometry: "maker's data sheet: 256-byte pages, erases of 4, 32 and 64 KiB",
    rules: "maker's data sheet; each byte once is the NorFlash contract, the part itself lets bits be cleared later",
    read: "project timing model: 1 us + 20 ns per byte",
    program: "project timing model: 30 us + 2.5 us per byte, at most 0.4 ms (data sheet typical) per page",
    erase: "data sheet typical: 45, 120 and 150 ms for 4, 32 and 64 KiB",
    endurance: "data sheet: 100,000 cycles",
    bit_errors: NOR_BIT_ERRORS,
};

const NRF52_SOURCES: Sources = Sources {
    geometry: "product specification: 1 MiB in pages of 4 KiB, words of 4 bytes",
    rules: "stricter than the part, which allows two writes per word (recalled) and 403 per 512 bytes",
    read: "estimated from 64 MHz with wait states: 12 ns per byte",
    program: "product specification: 41 us per word",
    erase: "product specification: 85 ms per page",
    endurance: "product specification: 10,000 cycles",
    bit_errors: NOR_BIT_ERRORS,
};

/// Every preset, in the order in which they are listed.
pub(super) static PRESETS: [ChipSpec; 11] = [
    ChipSpec {
        name: "W25Q128JV",
        kind: spi_nor(16 * MIB),
        endurance: 100_000,
        rated_bit_errors_e12: SINGLE_LEVEL,
        source: SPI_NOR_SOURCES,
    },
    ChipSpec {
        name: "W25Q16JV",
        kind: spi_nor(2 * MIB),
        endurance: 100_000,
        rated_bit_errors_e12: SINGLE_LEVEL,
        source: SPI_NOR_SOURCES,
    },
    ChipSpec {
        name: "W25Q80BL",
        kind: spi_nor(MIB),
        endurance: 100_000,
        rated_bit_errors_e12: SINGLE_LEVEL,
        source: Sources {
            program: "timing model of W25Q128JV; this older part's own typical values were not compared",
            erase: "timing model of W25Q128JV; this older part's own typical values were not compared",
            ..SPI_NOR_SOURCES
        },
    },
    ChipSpec {
        name: "nRF51822",
        kind: internal_nor(256 * KIB, 4, KIB, internal_timing(16_000, 4, 46_000, 22_000_000)),
        endurance: 20_000,
        rated_bit_errors_e12: SINGLE_LEVEL,
        source: Sources {
            geometry: "reference manual: 256 KiB in pages of 1 KiB, words of 4 bytes",
            rules: "stricter than the part, which allows two writes per word (recalled)",
            read: "estimated from 16 MHz: 16 ns per byte",
            program: "recalled: about 46 us per word",
            erase: "recalled: about 22 ms per page",
            endurance: "product specification: 20,000 cycles",
            bit_errors: NOR_BIT_ERRORS,
        },
    },
    ChipSpec {
        name: "nRF52840",
        kind: internal_nor(MIB, 4, 4 * KIB, internal_timing(12_000, 4, 41_000, 85_000_000)),
        endurance: 10_000,
        rated_bit_errors_e12: SINGLE_LEVEL,
        source: NRF52_SOURCES,
    },
    ChipSpec {
        name: "STM32L4",
        kind: internal_nor(MIB, 8, 2 * KIB, internal_timing(8_000, 8, 82_000, 22_000_000)),
        endurance: 10_000,
        rated_bit_errors_e12: SINGLE_LEVEL,
        source: Sources {
            geometry: "reference manual, 1 MiB part: pages of 2 KiB, double words of 8 bytes",
            rules: "reference manual: 64+8-bit error correction, each double word is written once",
            read: "estimated from 80 MHz with wait states: 8 ns per byte",
            program: "recalled: 82 us typical per double word",
            erase: "recalled: 22 ms typical per page",
            endurance: "recalled: 10,000 cycles",
            bit_errors: NOR_BIT_ERRORS,
        },
    },
    ChipSpec {
        name: "STM32H7",
        kind: internal_nor(2 * MIB, 32, 128 * KIB, internal_timing(4_000, 32, 100_000, 1_000_000_000)),
        endurance: 10_000,
        rated_bit_errors_e12: SINGLE_LEVEL,
        source: Sources {
            geometry: "reference manual, 2 MiB part: 16 sectors of 128 KiB, flash words of 32 bytes",
            rules: "reference manual: 256-bit error correction, each flash word is written once",
            read: "estimated from 200 MHz with wait states: 4 ns per byte",
            program: "recalled: 0.1 ms typical per flash word",
            erase: "recalled: 1 s typical per sector",
            endurance: "recalled: 10,000 cycles",
            bit_errors: NOR_BIT_ERRORS,
        },
    },
    ChipSpec {
        name: "W25N01GV",
        kind: nand(geometry(2048, 64, 1024, 20, 4), 1, 25, 250, 2_000),
        endurance: 100_000,
        rated_bit_errors_e12: SINGLE_LEVEL,
        source: Sources {
            geometry: "maker's data sheet: 1024 blocks of 64 pages of 2048+64 bytes",
            rules: "maker's data sheet: 4 programs per page, at most 20 bad blocks, block 0 good",
            read: "data sheet: 25 us with on-die correction off; project timing model: 13 MB/s bus",
            program: "data sheet typical: 250 us",
            erase: "data sheet typical: 2 ms",
            endurance: "recalled: 100,000 cycles",
            bit_errors: NAND_1_BIT_ERRORS,
        },
    },
    ChipSpec {
        name: "MT29F1G01ABAFD",
        kind: nand(geometry(2048, 128, 1024, 20, 4), 8, 25, 200, 2_000),
        endurance: 100_000,
        rated_bit_errors_e12: REQUIRES_8,
        source: Sources {
            geometry: "maker's data sheet: 1024 blocks of 64 pages of 2048+128 bytes",
            rules: "maker's data sheet: at most 20 bad blocks, blocks 0 to 7 good; 4 programs per page recalled",
            read: "data sheet: 25 us with on-die correction off; project timing model: 13 MB/s bus",
            program: "data sheet typical: 200 us",
            erase: "data sheet typical: 2 ms",
            endurance: "data sheet: 100,000 cycles",
            bit_errors: "data sheet: 8 bits per 512 bytes required; 1e-15 lost with that at 5.5e-5",
        },
    },
    ChipSpec {
        name: "MT29F2G08",
        kind: nand(geometry(2048, 64, 2048, 40, 4), 1, 25, 250, 1_500),
        endurance: 100_000,
        rated_bit_errors_e12: REQUIRES_4,
        source: Sources {
            geometry: "maker's data sheet: 2048 blocks of 64 pages of 2048+64 bytes",
            rules: "data sheet: at most 40 bad blocks; 4 programs per page (of 4 to 8) and block 0 good recalled",
            read: "data sheet: 25 us; project timing model: 13 MB/s bus, as for the SPI parts",
            program: "data sheet: between 200 and 300 us",
            erase: "data sheet: between 0.7 and 2 ms",
            endurance: "data sheet: 100,000 cycles",
            bit_errors: "recalled: 4 bits per 512 bytes required; 1e-15 lost with that at 3.3e-6",
        },
    },
    ChipSpec {
        name: "GENERIC-4096-224",
        kind: with_read_retry(nand(geometry(4096, 224, 1024, 20, 1), 1, 45, 300, 3_000)),
        endurance: 60_000,
        rated_bit_errors_e12: REQUIRES_8,
        source: Sources {
            geometry: "assumed: 1024 blocks of 64 pages of 4096+224 bytes, a common shape of 2 Gbit and more",
            rules: "assumed, the strictest in use: one program per page; at most 20 bad blocks, block 0 good; read retry",
            read: "assumed: 45 us; project timing model: 13 MB/s bus",
            program: "assumed: 300 us typical",
            erase: "assumed: 3 ms typical",
            endurance: "assumed: 60,000 cycles",
            bit_errors: "assumed: 8 bits per 512 bytes required; 1e-15 lost with that at 5.5e-5",
        },
    },
];
