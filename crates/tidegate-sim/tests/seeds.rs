//! Runs that must come out well, and the same when they are played again.

use std::time::Duration;

use tidegate_sim::play::play;
use tidegate_sim::runs::{Summary, play_all};

fn assert_well(summary: &Summary) {
    for outcome in summary.failures.iter().take(3) {
        println!("{outcome}");
    }
    let seeds: Vec<_> = summary.failures.iter().map(|outcome| outcome.seed).collect();
    assert!(seeds.is_empty(), "play them with `cargo xtask sim --seed N`: {seeds:?}");
    let (runs, steps, lines) = (summary.runs, summary.steps, summary.lines);
    println!("{runs} runs, {steps} steps, {lines} lines written");
    // On average; else nothing much was played.
    assert!(steps > runs * 1000 && lines > runs * 10, "{runs} runs, {steps} steps, {lines} lines");
}

#[test]
fn two_thousand_fixed_seeds_come_out_well() {
    assert_well(&play_all(1, 2000, None, None));
}

/// What no run has seen before. A failure names the seed.
#[test]
fn a_minute_of_new_seeds_comes_out_well() {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("the kernel has randomness");
    // Short enough to be typed.
    let from = u64::from_le_bytes(bytes) % 1_000_000_000_000;
    println!("from {from}");
    assert_well(&play_all(from, u64::MAX, Some(Duration::from_secs(60)), None));
}

#[test]
fn a_seed_is_a_history() {
    let first: Vec<_> = (1..=30).map(play).collect();
    let second: Vec<_> = (1..=30).map(play).collect();
    assert_eq!(first, second);
    let mut histories: Vec<_> = first.iter().map(|outcome| outcome.history).collect();
    histories.sort_unstable();
    histories.dedup();
    assert_eq!(histories.len(), first.len(), "different seeds have different histories");
}
