//! `tidegate config`: checks and shows the settings.

use std::process::ExitCode;

use tidegate_config::{schema_json, show, show_json};
use tidegate_proxy::gate;
use tidegate_proxy::tls::expiry::expiring;

use crate::cli::{ConfigCommand, SettingsOptions};
use crate::{exit, settings};

pub(crate) fn run(command: &ConfigCommand) -> ExitCode {
    match command {
        ConfigCommand::Check(options) => check(options),
        ConfigCommand::Show { settings, origins, json } => print(settings, *origins, *json),
        ConfigCommand::Origins(settings) => print(settings, true, false),
        ConfigCommand::Schema => {
            println!("{:#}", schema_json());
            ExitCode::SUCCESS
        }
    }
}

fn check(options: &SettingsOptions) -> ExitCode {
    match settings::loaded(options) {
        Ok(loaded) => {
            if let Err(error) = gate::check(&loaded.config) {
                return exit::with(exit::USAGE, &error);
            }
            for expiring in expiring(&loaded.config) {
                eprintln!("warning: {expiring}");
            }
            match &loaded.file {
                Some(file) => println!("{}: the settings are right", file.display()),
                None => println!("the settings are right (no file; environment and defaults)"),
            }
            ExitCode::SUCCESS
        }
        Err(code) => code,
    }
}

fn print(options: &SettingsOptions, origins: bool, json: bool) -> ExitCode {
    match settings::loaded(options) {
        Ok(loaded) if json => {
            println!("{:#}", show_json(&loaded, origins));
            ExitCode::SUCCESS
        }
        Ok(loaded) => {
            print!("{}", show(&loaded, origins));
            ExitCode::SUCCESS
        }
        Err(code) => code,
    }
}
