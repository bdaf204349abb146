//! `tidegate status`: asks a running gate how it is.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use tidegate_control::status::fetch;
use tidegate_observe::{report, snapshot::Snapshot};

use crate::cli::StatusOptions;
use crate::exit;

/// The gate answers from memory; one that needs longer is not well, and that is the answer.
const ANSWER_MAX: Duration = Duration::from_secs(5);

pub(crate) fn run(options: &StatusOptions) -> ExitCode {
    let (code, body) = match fetch(&options.api, "/api/v1/snapshot", ANSWER_MAX) {
        Ok(answer) => answer,
        Err(error) => return exit::with(exit::UNABLE, &error),
    };
    if code != 200 {
        let problem = format!("{} answered with status {code}: {}", options.api, body.trim());
        return exit::with(exit::UNABLE, &problem);
    }
    if options.json {
        println!("{body}");
        return ExitCode::SUCCESS;
    }
    match serde_json::from_str::<Snapshot>(&body) {
        Ok(snapshot) => {
            let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            print!("{}", report::status(&snapshot, colour));
            ExitCode::SUCCESS
        }
        Err(error) => {
            let problem =
                format!("{} does not answer as a gate of this version does: {error}", options.api);
            exit::with(exit::UNABLE, &problem)
        }
    }
}
