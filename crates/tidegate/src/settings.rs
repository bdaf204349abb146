//! Loads the settings for a command: the one place that reads the environment and the flags.

use std::path::Path;
use std::process::ExitCode;

use tidegate_config::{Loaded, Problems, Sources, load, search_paths};

use crate::cli::SettingsOptions;
use crate::exit;

/// The settings in force, or every problem on stderr and the exit code for it.
pub(crate) fn loaded(options: &SettingsOptions) -> Result<Loaded, ExitCode> {
    let flags = flags(options).map_err(|problem| exit::with(exit::USAGE, &problem))?;
    let loaded = load_with(options.config.as_deref(), &flags).map_err(|problems| {
        eprintln!("{problems}");
        ExitCode::from(exit::USAGE)
    })?;
    for warning in &loaded.warnings {
        eprintln!("warning: {warning}");
    }
    Ok(loaded)
}

/// What the command line sets, by the settings' names.
pub(crate) fn flags(options: &SettingsOptions) -> Result<Vec<(String, String)>, String> {
    let mut flags = Vec::new();
    for (name, value) in [("plan", &options.plan), ("upstream.url", &options.url)] {
        flags.extend(value.as_ref().map(|value| (name.to_owned(), value.clone())));
    }
    for setting in &options.set {
        let Some((name, value)) = setting.split_once('=') else {
            return Err(format!("--set {setting}: expected NAME=VALUE, such as plan=free"));
        };
        flags.push((name.to_owned(), value.to_owned()));
    }
    Ok(flags)
}

/// The settings as the file, the environment, and these flags have them at this moment.
pub(crate) fn load_with(
    file: Option<&Path>,
    flags: &[(String, String)],
) -> Result<Loaded, Problems> {
    // Variables that are not UTF-8 can't be settings.
    let env: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    load(&Sources { file: file.map(Path::to_owned), search: search_paths(&env), env: &env, flags })
}
