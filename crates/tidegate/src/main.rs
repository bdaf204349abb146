//! The binary: command line, wiring, signals, exit codes.
//!
//! Exit codes: 0 done, 1 the answer is no, 2 usage or configuration, 3 could not run, 130
//! interrupted.

mod run;
mod takeover;

mod config;
mod init;
mod status;
mod operate;
mod ps;
mod explain;

mod reach;

mod settings;

mod cli;
mod demo;

mod exit;
mod log;
mod notify;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command {
        Command::Run(options) => run::run(&options),
        Command::Demo(options) => exit::of(demo::run(&options)),
        Command::Init(options) => init::run(&options),
        Command::Config(command) => config::run(&command),
        Command::Status(options) => status::run(&options),
        Command::Ps(options) => ps::run(&options),
        Command::Pause(options) => operate::pause(&options),
        Command::Resume(options) => operate::resume(&options),
        Command::Reconnect(options) => operate::reconnect(&options),
        Command::Reload(options) => operate::reload(&options),
        Command::Drain(options) => operate::drain(&options),
        Command::Kill(options) => operate::kill(&options),
        Command::Explain(options) => explain::run(&options),
        Command::Completions { shell } => {
            let mut out = std::io::stdout();
            clap_complete::generate(shell, &mut Cli::command(), "tidegate", &mut out);
            ExitCode::SUCCESS
        }
        Command::Version => {
            println!("tidegate {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
    }
}
