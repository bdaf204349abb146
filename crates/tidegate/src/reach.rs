//! A running gate, for commands that ask it or operate it: where it is, and the token.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;
use tidegate_control::status::{Request, ask};

use crate::cli::GateOptions;
use crate::{exit, settings};

/// The gate answers from memory, and waits two seconds for its workers; one that needs longer is not
/// well, and that is the answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// A gate that may be asked.
pub(crate) struct Reached<'a> {
    options: &'a GateOptions,
    token: Option<String>,
}

impl<'a> Reached<'a> {
    /// For commands that only look. They bring the token if it is known; most need none.
    pub(crate) fn to_look(options: &'a GateOptions) -> Result<Self, ExitCode> {
        let token = match &options.token_file {
            Some(file) => Some(read(file)?),
            None => of_settings(options).ok().flatten(),
        };
        Ok(Self { options, token })
    }

    /// For commands that change something.
    pub(crate) fn to_operate(options: &'a GateOptions) -> Result<Self, ExitCode> {
        if let Some(file) = &options.token_file {
            return Ok(Self { options, token: Some(read(file)?) });
        }
        match of_settings(options) {
            Ok(Some(token)) => Ok(Self { options, token: Some(token) }),
            Ok(None) => {
                let problem = "no token: listen.admin_token_file is not set; set it in the gate's \
                               settings, or name its file with --token-file";
                Err(exit::with(exit::USAGE, &problem))
            }
            Err(problems) => {
                let problem = format!(
                    "no token: name its file with --token-file, or the gate's settings with \
                     --config; as they are, they can't be read:\n{problems}"
                );
                Err(exit::with(exit::USAGE, &problem))
            }
        }
    }

    /// What the gate answers.
    pub(crate) fn get(&self, path: &str) -> Result<Value, ExitCode> {
        self.answer(path, None)
    }

    /// What the gate answers to an operation.
    pub(crate) fn post(&self, operation: &str, body: &Value) -> Result<Value, ExitCode> {
        self.answer(&format!("/api/v1/{operation}"), Some(&body.to_string()))
    }

    /// Prints an answer: as it is, or in words.
    pub(crate) fn print(&self, answer: &Value, words: impl FnOnce(&Value) -> String) {
        match self.options.json {
            true => println!("{answer}"),
            false => print!("{}", words(answer)),
        }
    }

    fn answer(&self, path: &str, body: Option<&str>) -> Result<Value, ExitCode> {
        let api = &self.options.api;
        let request = Request { path, token: self.token.as_deref(), body };
        let (code, body) =
            ask(api, &request, ANSWER_MAX).map_err(|error| exit::with(exit::UNABLE, &error))?;
        let answer: Option<Value> = serde_json::from_str(&body).ok();
        let answer = answer.filter(|answer| answer["schema"].is_string());
        match (code, answer) {
            (200, Some(answer)) => Ok(answer),
            (code, Some(no)) => Err(refused(api, code, &no)),
            (404 | 405, None) => {
                let problem = format!(
                    "{api} does not know {path}: it is no gate, or one of an older version"
                );
                Err(exit::with(exit::UNABLE, &problem))
            }
            (code, None) => {
                let problem = format!("{api} answered with status {code}: {}", body.trim());
                Err(exit::with(exit::UNABLE, &problem))
            }
        }
    }
}

fn refused(api: &str, code: u16, no: &Value) -> ExitCode {
    let detail = no["detail"].as_str().unwrap_or("it does not say why");
    match (code, no["error"].as_str()) {
        (401, _) => {
            let problem = format!(
                "the gate at {api} does not accept the token; it takes the one in the file that \
                 its listen.admin_token_file names"
            );
            exit::with(exit::UNABLE, &problem)
        }
        (422, _) => exit::with(exit::USAGE, &detail),
        (404 | 409, _) => exit::with(exit::NO, &detail),
        _ => exit::with(exit::UNABLE, &detail),
    }
}

/// The token that the settings know; or what is wrong with them.
fn of_settings(options: &GateOptions) -> Result<Option<String>, String> {
    let loaded = settings::load_with(options.config.as_deref(), &[]);
    let loaded = loaded.map_err(|problems| problems.to_string())?;
    Ok(loaded.config.listen.admin_token.map(|token| token.expose().to_owned()))
}

fn read(file: &Path) -> Result<String, ExitCode> {
    let failed = |why: &str| {
        let problem = format!("the token file {}: {why}", file.display());
        exit::with(exit::USAGE, &problem)
    };
    let text = std::fs::read_to_string(file).map_err(|error| failed(&error.to_string()))?;
    let token = text.trim_end_matches(['\r', '\n']);
    match token {
        "" => Err(failed("it is empty")),
        token if token.contains(char::is_control) => Err(failed("a token is one line of text")),
        token => Ok(token.to_owned()),
    }
}
