//! `k7fs chips`.

use clap::Args;
use k7fs_sim::chip::{ChipKind, ChipSpec};
use serde::Serialize;

use super::output::JsonOption;
use super::{CliError, Output};

/// List the chips known by name
#[derive(Debug, Args)]
pub(super) struct Chips {
    #[command(flatten)]
    json: JsonOption,
}

/// One chip, as `--json` tells it. The keys are part of the command's contract.
#[derive(Debug, Serialize)]
struct ChipReport {
    name: &'static str,
    kind: &'static str,
    data_bytes: u64,
    image_bytes: u64,
    page_size: u32,
    spare_size: u32,
    pages_per_block: u32,
    block_count: u32,
    write_size: u32,
    erase_size: u32,
    bad_blocks_max: u32,
    endurance: u32,
    read_page_us: f64,
    program_page_us: f64,
    erase_block_us: f64,
    sources: SourceReport,
}

#[derive(Debug, Serialize)]
struct SourceReport {
    geometry: &'static str,
    rules: &'static str,
    read: &'static str,
    program: &'static str,
    erase: &'static str,
    endurance: &'static str,
}

impl Chips {
    pub(super) fn run(self, output: &mut Output) -> Result<(), CliError> {
        let reports: Vec<ChipReport> = ChipSpec::all().iter().map(ChipReport::new).collect();
        if output.json(self.json.target(), &reports)? {
            table(&reports, output)?;
        }
        Ok(())
    }
}

impl ChipReport {
    fn new(spec: &ChipSpec) -> Self {
        let page_size = spec.volume_page_size();
        let block_size = spec.volume_block_size();
        let (kind, spare_size, write_size, erase_size) = match &spec.kind {
            ChipKind::Nor(nor) => ("NOR", 0, nor.write_size, nor.erase_size),
            ChipKind::Nand(nand) => ("NAND", nand.geometry.spare_size, page_size, block_size),
        };
        let (read_ns, program_ns, erase_ns) = times(spec);
        Self {
            name: spec.name,
            kind,
            data_bytes: spec.data_size(),
            image_bytes: spec.image_size(),
            page_size,
            spare_size,
            pages_per_block: block_size / page_size,
            block_count: spec.volume_block_count(),
            write_size,
            erase_size,
            bad_blocks_max: spec.bad_blocks_max(),
            endurance: spec.endurance,
            read_page_us: microseconds(read_ns),
            program_page_us: microseconds(program_ns),
            erase_block_us: microseconds(erase_ns),
            sources: SourceReport {
                geometry: spec.source.geometry,
                rules: spec.source.rules,
                read: spec.source.read,
                program: spec.source.program,
                erase: spec.source.erase,
                endurance: spec.source.endurance,
            },
        }
    }
}

/// Device time of reading and programming a page and of erasing a block, all of the default layout.
fn times(spec: &ChipSpec) -> (u64, u64, u64) {
    let page_size = spec.volume_page_size() as usize;
    let block_size = spec.volume_block_size();
    match &spec.kind {
        ChipKind::Nor(nor) => {
            let large = nor.large_erases.iter().find(|large| large.size == block_size);
            let units = u64::from(block_size / nor.erase_size);
            let erase_ns = large.map_or(units * nor.timing.erase_ns, |large| large.erase_ns);
            (nor.timing.read(page_size), nor.timing.program(page_size), erase_ns)
        }
        ChipKind::Nand(nand) => {
            let bus_ns = nand.timing.bus(page_size + nand.geometry.spare_size as usize);
            (nand.timing.load_ns + bus_ns, nand.timing.program_ns + bus_ns, nand.timing.erase_ns)
        }
    }
}

fn table(reports: &[ChipReport], output: &mut Output) -> Result<(), CliError> {
    output.line("name               kind       size  page+spare  pages  blocks  erase  rated cycles")?;
    for chip in reports {
        output.line(&format!(
            "{:<18} {:<4} {:>6} KiB  {:>10}  {:>5}  {:>6}  {:>4}K  {:>12}",
            chip.name,
            chip.kind,
            chip.data_bytes / 1024,
            format!("{}+{}", chip.page_size, chip.spare_size),
            chip.pages_per_block,
            chip.block_count,
            chip.erase_size / 1024,
            chip.endurance,
        ))?;
    }
    output.line("Page and blocks are a volume's default; --json gives times and the source of every figure.")
}

fn microseconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1000.0
}
