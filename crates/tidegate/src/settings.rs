//! Loads the settings for a command: the one place that reads the environment and the flags.

use std::process::ExitCode;

use tidegate_config::{Loaded, Sources, load, search_paths};

use crate::cli::SettingsOptions;
use crate::exit;

/// The settings in force, or every problem on stderr and the exit code for it.
pub(crate) fn loaded(options: &SettingsOptions) -> Result<Loaded, ExitCode> {
    // Variables that are not UTF-8 can't be settings.
    let env: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let mut flags = Vec::new();
    for (name, value) in [("plan", &options.plan), ("upstream.url", &options.url)] {
        flags.extend(value.as_ref().map(|value| (name.to_owned(), value.clone())));
    }
    for setting in &options.set {
        let Some((name, value)) = setting.split_once('=') else {
            let problem = format!("--set {setting}: expected NAME=VALUE, such as plan=free");
            return Err(exit::with(exit::USAGE, &problem));
        };
        flags.push((name.to_owned(), value.to_owned()));
    }
    let sources = Sources {
        file: options.config.clone(),
        search: search_paths(&env),
        env: &env,
        flags: &flags,
    };
    let loaded = load(&sources).map_err(|problems| {
        eprintln!("{problems}");
        ExitCode::from(exit::USAGE)
    })?;
    for warning in &loaded.warnings {
        eprintln!("warning: {warning}");
    }
    Ok(loaded)
}
