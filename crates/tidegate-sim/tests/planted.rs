//! Bugs that poolers have had are found when they are planted: a clean run is worth something.
//!
//! `cargo xtask test` runs this with the feature that it needs, `planted`.

use tidegate_sim::play::{Outcome, play_focused};
use tidegate_sim::scenario::Focus;
use tidegate_wire::planted::{Bug, plant};

/// Within so many steps a run must find what is planted.
const STEPS_MAX: usize = 10_000;

/// Of ten runs so many must find it.
const FOUND_MIN: usize = 9;

/// For each bug what there must be more of for it to show, and ten seeds that found it when they
/// were written down. Whatever changes what workers do changes what follows from a seed; a failure
/// prints seeds to put here.
const SEEDS: [(Bug, Focus, [u64; 10]); 11] = [
    (Bug::BudgetForgetsClosing, Focus::Everything, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
    (Bug::DirtyReuse, Focus::Leaving, [3, 4, 7, 8, 9, 10, 11, 12, 13, 15]),
    (Bug::DoubleReturn, Focus::Leaving, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
    (Bug::DrainForgetsWaiters, Focus::Drain, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
    (Bug::HandOffToNobody, Focus::Leaving, [1, 3, 8, 9, 11, 13, 18, 21, 23, 25]),
    (Bug::LateCancel, Focus::Cancels, [2, 6, 7, 8, 9, 10, 11, 14, 15, 16]),
    (Bug::LostWaiter, Focus::Everything, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
    (Bug::Overtaking, Focus::Drain, [1, 2, 4, 5, 6, 8, 10, 11, 12, 13]),
    (Bug::ReplyToAnother, Focus::Leaving, [1, 2, 3, 4, 5, 7, 8, 9, 12, 14]),
    (Bug::SettingsLeak, Focus::Prepared, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
    (Bug::StatementOfAnother, Focus::Prepared, [1, 2, 4, 5, 6, 8, 9, 10, 11, 12]),
];

fn is_found(outcome: &Outcome) -> bool {
    outcome.failure.is_some() && outcome.steps <= STEPS_MAX
}

#[test]
fn each_planted_bug_is_found() {
    // What is found by an assertion is no less found; the panics' words would come from many runs.
    std::panic::set_hook(Box::new(|_| {}));
    let mut missed = Vec::new();
    for (bug, focus, seeds) in SEEDS {
        plant(Some(bug));
        let outcomes = seeds.map(|seed| play_focused(seed, Some(focus)));
        let found = outcomes.iter().filter(|outcome| is_found(outcome));
        let seeds_found: Vec<_> = found.clone().map(|outcome| outcome.seed).collect();
        println!("{bug:?}, {focus:?}: found with seeds {seeds_found:?}");
        for outcome in found.take(1) {
            let words = outcome.failure.as_deref().and_then(|words| words.lines().next());
            println!("  {}", words.unwrap_or_default());
        }
        if seeds_found.len() < FOUND_MIN {
            let plays = (1..).map(|seed| play_focused(seed, Some(focus)));
            let good = plays.take(200).filter(is_found).take(10).map(|outcome| outcome.seed);
            missed.push(format!("{bug:?}, {focus:?}: {:?}", good.collect::<Vec<_>>()));
        }
        plant(None);
        for seed in seeds {
            // It was the bug that was found.
            let sound = play_focused(seed, Some(focus));
            assert_eq!(sound.failure, None, "{focus:?}, seed {seed}, with no bug planted");
        }
    }
    let _ = std::panic::take_hook();
    assert!(missed.is_empty(), "not found; these seeds do find them:\n{}", missed.join("\n"));
}
