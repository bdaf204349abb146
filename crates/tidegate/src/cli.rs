//! The command line: what can be typed. Each command's module does it.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::demo;

/// A connection gate for PostgreSQL: a hard budget, two ports, and the truth about who holds what.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, max_term_width = 100, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "Examples:
  DATABASE_URL=postgres://app:secret@db.example.com/app tidegate run
  tidegate init --url postgres://app:secret@db.example.com/app
  tidegate run --config tidegate.toml --set plan=free
  tidegate status";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the gate. With no file, DATABASE_URL from the environment is enough
    Run(RunOptions),
    /// Show what the gate does: a throwaway Postgres, a FastAPI app, the same load without and with
    Demo(demo::Options),
    /// Look at the server and write a tidegate.toml with every choice explained
    Init(InitOptions),
    /// Check and show the settings
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Ask a running gate how it is
    Status(StatusOptions),
    /// Print a completion script for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Print the version
    Version,
}

/// Where settings come from, for every command that reads them.
#[derive(Debug, Args, Default)]
pub(crate) struct SettingsOptions {
    /// The settings file [default: tidegate.toml here, in the user's, or in the system's folder]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The plan: free, pro, enterprise, custom, auto, or a managed size
    #[arg(long, value_name = "PLAN")]
    pub(crate) plan: Option<String>,
    /// The upstream's URL [default: DATABASE_URL, then the settings file]
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Any setting by its full name, such as pool.pool_size=5; may be repeated
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub(crate) set: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct RunOptions {
    #[command(flatten)]
    pub(crate) settings: SettingsOptions,
    /// Take over from the gate that runs with the same `listen.control`: its ports, its clients, and
    /// its connections to PostgreSQL, without that a client notices. Without one it starts as usual
    #[arg(long)]
    pub(crate) takeover: bool,
}

#[derive(Debug, Args)]
pub(crate) struct InitOptions {
    /// The server to look at [default: DATABASE_URL]
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Where to write
    #[arg(long, value_name = "FILE", default_value = "tidegate.toml")]
    pub(crate) out: PathBuf,
    /// Replace a file that is there already
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Say whether the settings are right, and every problem if not
    Check(SettingsOptions),
    /// Print the settings in force, without secrets
    Show {
        #[command(flatten)]
        settings: SettingsOptions,
        /// Where each value comes from
        #[arg(long)]
        origins: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Print where each value comes from
    Origins(SettingsOptions),
    /// Print the JSON schema of the settings file
    Schema,
}

#[derive(Debug, Args)]
pub(crate) struct StatusOptions {
    /// The gate's address: http://HOST:PORT, or unix:PATH for its control socket
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:6545")]
    pub(crate) api: String,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
}
