//! Plays runs of the simulation, and says which seeds fail.

use std::time::Duration;

use anyhow::{Result, bail};
use clap::Parser;
use tracing_subscriber::filter::LevelFilter;

use tidegate_sim::play::play_focused;
use tidegate_sim::runs::play_all;
use tidegate_sim::scenario::Focus;

/// Whole gates, applications, and PostgreSQL in a world that follows from a seed.
#[derive(Debug, Parser)]
struct Options {
    /// Play this seed only, twice: it must come out the same
    #[arg(long)]
    seed: Option<u64>,
    /// Play so many seeds
    #[arg(long, default_value_t = 2000)]
    runs: u64,
    /// The first of them
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Stop after so many seconds
    #[arg(long)]
    seconds: Option<u64>,
    /// What there is to be more of; without it the seed says that, too
    #[arg(long)]
    focus: Option<Focus>,
    /// Show what the gates log
    #[arg(long)]
    log: bool,
}

fn main() -> Result<()> {
    let options = Options::parse();
    if options.log {
        let log = tracing_subscriber::fmt().with_max_level(LevelFilter::DEBUG);
        log.without_time().with_ansi(false).init();
    }
    match options.seed {
        Some(seed) => play_one(seed, options.focus),
        None => play_many(&options),
    }
}

fn play_one(seed: u64, focus: Option<Focus>) -> Result<()> {
    let first = play_focused(seed, focus);
    println!("{first}");
    let second = play_focused(seed, focus);
    if first != second {
        bail!("played again, it came out differently: {second}");
    }
    println!("played again: the same");
    if first.failure.is_some() {
        bail!("seed {seed} fails");
    }
    Ok(())
}

fn play_many(options: &Options) -> Result<()> {
    // A failure says what is needed; the panics' own words would come from several threads.
    std::panic::set_hook(Box::new(|_| {}));
    let limit = options.seconds.map(Duration::from_secs);
    let summary = play_all(options.from, options.runs, limit, options.focus);
    for outcome in &summary.failures {
        println!("{outcome}");
    }
    let (runs, steps, lines) = (summary.runs, summary.steps, summary.lines);
    println!("{runs} runs, {steps} steps, {lines} lines written, in {:.0?}", summary.took);
    if !summary.failures.is_empty() {
        let seeds: Vec<_> = summary.failures.iter().map(|outcome| outcome.seed).collect();
        bail!("{} of {runs} runs failed; seeds {seeds:?}", seeds.len());
    }
    println!("all as it must be");
    Ok(())
}
