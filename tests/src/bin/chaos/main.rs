//! Repeats a run under injected faults and compares its report with that of a
//! run without any.
//!
//! First the reference: the same tables, undisturbed. Then the same run again,
//! while a counted budget of faults is spent on its processes, on its broker
//! and on the network between them. The tables go on in portions, one after
//! each fault, so that the last fault still meets a run that is not over.
//!
//! The last line is the verdict. A table is *lost* when it ends without an
//! answer, *duplicated* when it, or one of its rows, is reported twice, and
//! *differing* when it is reported otherwise than by the reference.

mod faults;
mod rig;
mod tables;
mod verdict;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context as _;
use clap::Parser;

use faults::{Fault, Injector};
use rig::Rig;
use verdict::Verdict;

/// Spends faults on a run and compares its report with an undisturbed one.
#[derive(Debug, Parser)]
struct Options {
    /// Tables of the run.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=20000))]
    tables: u32,
    /// Faults to inject.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(0..=5000))]
    faults: u32,
    /// Chooses the faults, their order, their victims and their moments [default: random]
    #[arg(long)]
    seed: Option<u64>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    match chaos(&options) {
        Ok(verdict) => {
            for line in verdict.details() {
                say(line);
            }
            say(&verdict.to_string());
            if verdict.is_clean() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::from(2)
        }
    }
}

fn chaos(options: &Options) -> anyhow::Result<Verdict> {
    let Options { tables, faults, .. } = *options;
    let seed = options.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    say(&format!("tables={tables} faults={faults} seed={seed}"));
    let mut rng = fastrand::Rng::with_seed(seed);
    let portions = faults + 1;
    let mut rig = Rig::build(tables, portions).context("the services do not start")?;

    let start = Instant::now();
    let reference = rig.undisturbed_run()?;
    say(&format!(
        "reference: {tables} tables in {:.1} s",
        start.elapsed().as_secs_f64()
    ));

    let start = Instant::now();
    rig.begin_run()?;
    let mut injector = Injector::default();
    for (number, fault) in (0..).zip(Fault::budget(faults, &mut rng)) {
        rig.open_portion(number)?;
        rig.let_tables_finish(rng.u32(1..=(tables / portions).max(1)))?;
        let told = injector
            .inject(fault, &mut rig, &mut rng)
            .with_context(|| format!("fault {} ({fault:?}) cannot be injected", number + 1))?;
        say(&format!(
            "{:6.1} s  fault {:>3}: {told}",
            start.elapsed().as_secs_f64(),
            number + 1
        ));
    }
    injector.end_all(&mut rig)?;
    rig.open_portion(faults)?;
    let disturbed = rig.finish_run()?;
    say(&format!(
        "disturbed: {faults} faults in {:.1} s; {}",
        start.elapsed().as_secs_f64(),
        injector.summary()
    ));
    let left_over = rig.left_over()?;
    Ok(Verdict::compare(&reference, &disturbed, left_over))
}

#[expect(
    clippy::print_stdout,
    reason = "the one place that prints what was found"
)]
fn say(line: &str) {
    println!("{line}");
}
