//! All scripts of a topic: played directly and through both ports, and compared.

use std::path::PathBuf;

use crate::differences::is_meant;
use crate::play::{Answer, End, play};
use crate::report::{self, difference};
use crate::script::{self, Mode, Script};
use crate::stage::{Route, Stage};

/// The folders of scripts, in order.
pub(crate) fn folders() -> Vec<String> {
    let entries = std::fs::read_dir(script::folder()).expect("the scripts are there");
    let folders = entries.flatten().filter(|entry| entry.path().is_dir());
    let mut names: Vec<String> =
        folders.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Plays a topic; fails with all differences.
///
/// `TIDEGATE_PG_SCRIPTS` leaves only scripts whose names contain it; with `TIDEGATE_PG_SHOW` all
/// that PostgreSQL answers is printed; what was played is counted into a file of the folder
/// `TIDEGATE_PG_COUNTS`.
pub(crate) fn check(topic: &str) {
    let filter = std::env::var("TIDEGATE_PG_SCRIPTS").unwrap_or_default();
    let mut scripts = script::of_topic(topic);
    assert!(!scripts.is_empty(), "{topic} has no scripts");
    scripts.retain(|script| script.name.contains(&filter));
    if scripts.is_empty() {
        return;
    }
    let mut stage = Stage::start();
    scripts.retain(|script| script.head.version_min <= stage.version());
    let mut counts = Counts { scripts: scripts.len(), ..Counts::default() };
    for script in &scripts {
        compare(&mut stage, script, &mut counts);
    }
    // Before the verdict: when a test fails while a gate runs, its whole log is shown.
    drop(stage);
    counts.write(topic);
    let Counts { runs, differences, .. } = counts;
    assert_eq!(differences, 0, "{differences} of {runs} runs of {topic} differ; see above");
}

#[derive(Debug, Default)]
struct Counts {
    scripts: usize,
    /// Through the gate, each compared with one that was not.
    runs: usize,
    differences: usize,
}

impl Counts {
    fn write(&self, topic: &str) {
        let Some(folder) = std::env::var_os("TIDEGATE_PG_COUNTS").map(PathBuf::from) else {
            return;
        };
        let Self { scripts, runs, differences } = self;
        let file = folder.join(topic);
        let written = std::fs::write(&file, format!("{scripts} {runs} {differences}\n"));
        written.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }
}

fn compare(stage: &mut Stage, script: &Script, counts: &mut Counts) {
    let mut differing = [false; 2];
    for (mode, steps) in &script.ways {
        let direct = play(stage, Route::Direct, script, steps);
        let silent = direct.iter().find(|answer| answer.end == End::Silent);
        if let Some(silent) = silent {
            panic!("{}:{}: PostgreSQL itself does not answer", script.name, silent.line);
        }
        if std::env::var_os("TIDEGATE_PG_SHOW").is_some() {
            eprintln!("\n{}, {}:\n{}", script.name, mode.as_str(), report::all(&direct));
        }
        check_sense(script, *mode, &direct);
        for (nth, route) in [Route::Session, Route::Transaction].into_iter().enumerate() {
            counts.runs += 1;
            let gated = play(stage, route, script, steps);
            let Some((line, text)) = difference(&direct, &gated) else { continue };
            differing[nth] = true;
            if is_meant(&script.name, route) {
                continue;
            }
            counts.differences += 1;
            let (version, mode, route) = (stage.version(), mode.as_str(), route.as_str());
            eprintln!("\n{}:{line}, {mode}, {route}, PostgreSQL {version}:\n{text}", script.name);
        }
    }
    for (nth, route) in [Route::Session, Route::Transaction].into_iter().enumerate() {
        if is_meant(&script.name, route) && !differing[nth] {
            counts.differences += 1;
            let route = route.as_str();
            eprintln!("\n{}, {route}: no longer differs; strike it out", script.name);
        }
    }
}

/// A script must not show the same thing in every mode by failing at the protocol.
fn check_sense(script: &Script, mode: Mode, direct: &[Answer]) {
    if mode == Mode::Wire {
        return;
    }
    for answer in direct {
        for frame in &answer.frames {
            let is_several = frame.tag == b'E'
                && frame.field(b'M').contains("multiple commands into a prepared statement");
            let place = format!("{}:{}", script.name, answer.line);
            assert!(!is_several, "{place}: several statements; make it `only: simple`");
            assert!(frame.tag != b'G', "{place}: COPY FROM STDIN is for `.wire` scripts");
        }
    }
}
