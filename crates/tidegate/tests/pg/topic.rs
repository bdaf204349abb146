//! All scripts of a topic: played directly and through both ports, and compared.

use std::path::PathBuf;

use crate::differences::{Occurs, is_meant};
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
    let mut differing = [false; GATED.len()];
    for (mode, steps) in &script.ways {
        let direct = play(stage, Route::Direct, script, steps);
        let direct = direct.unwrap_or_else(|left| panic!("{} leaves {left:?}", script.name));
        if std::env::var_os("TIDEGATE_PG_SHOW").is_some() {
            eprintln!("\n{}, {}:\n{}", script.name, mode.as_str(), report::all(&direct));
        }
        check_sense(script, *mode, &direct);
        for (route, differs) in GATED.into_iter().zip(&mut differing) {
            counts.runs += 1;
            let (line, text) = match play(stage, route, script, steps) {
                Ok(gated) => match difference(&direct, &gated) {
                    None => continue,
                    Some(difference) => difference,
                },
                Err(left) => {
                    // The next script is not to suffer from it.
                    *stage = Stage::start();
                    (1, format!("  its clients have gone, and this is left: {left:#?}\n"))
                }
            };
            *differs = true;
            if is_meant(&script.name, route).is_some() {
                continue;
            }
            counts.differences += 1;
            let (version, mode, route) = (stage.version(), mode.as_str(), route.as_str());
            let place = format!("{}:{line}, {mode}, {route}, PostgreSQL {version}", script.name);
            eprintln!("\n{place}:\n{text}");
        }
    }
    for (route, differs) in GATED.into_iter().zip(differing) {
        if is_meant(&script.name, route) == Some(Occurs::Always) && !differs {
            counts.differences += 1;
            let route = route.as_str();
            eprintln!("\n{}, {route}: no longer differs; strike it out", script.name);
        }
    }
}

const GATED: [Route; 2] = [Route::Session, Route::Transaction];

/// A script must not agree everywhere because it fails everywhere.
fn check_sense(script: &Script, mode: Mode, direct: &[Answer]) {
    for answer in direct {
        let place = format!("{}:{}", script.name, answer.line);
        assert!(answer.end != End::Silent, "{place}: PostgreSQL itself does not answer");
        if mode == Mode::Wire {
            continue;
        }
        for frame in &answer.frames {
            let is_several = frame.tag == b'E'
                && frame.field(b'M').contains("multiple commands into a prepared statement");
            assert!(!is_several, "{place}: several statements; make it `only: simple`");
            assert!(frame.tag != b'G', "{place}: COPY FROM STDIN is for `.wire` scripts");
        }
    }
}
