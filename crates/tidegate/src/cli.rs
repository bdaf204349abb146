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
    /// Show who is connected: clients, servers, or those who hold a server
    Ps(PsOptions),
    /// Hold new transactions, let those under way end, then close the servers
    Pause(PauseOptions),
    /// Serve again what was paused
    Resume(ScopeOptions),
    /// Replace all servers, without an error to clients
    Reconnect(ScopeOptions),
    /// Read the settings, certificates, and keys again, and say what is different
    Reload(GateOptions),
    /// Let the work end, then end the gate, as SIGTERM does
    Drain(GateOptions),
    /// Close one client, or one server with the client that has it
    Kill(KillOptions),
    /// Say what an error means: a code, an SQLSTATE, or a message as it was pasted
    Explain(ExplainOptions),
    /// Print a completion script for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Print the version
    Version,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainOptions {
    /// TG001, 53300, or the text of an error, tracebacks included; - reads standard input
    #[arg(value_name = "TEXT")]
    pub(crate) text: Vec<String>,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
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

/// Where the gate is, and by what right it is asked.
#[derive(Debug, Args, Default)]
pub(crate) struct GateOptions {
    /// The gate's address: http://HOST:PORT, or unix:PATH for its control socket
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:6545")]
    pub(crate) api: String,
    /// The file with the admin token [default: listen.admin_token_file of the settings]
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// The settings that name the token file [default: as for tidegate run]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ScopeOptions {
    /// The database; all of them without it
    pub(crate) database: Option<String>,
    #[command(flatten)]
    pub(crate) gate: GateOptions,
}

#[derive(Debug, Args)]
pub(crate) struct PauseOptions {
    #[command(flatten)]
    pub(crate) scope: ScopeOptions,
    /// Wait until PostgreSQL has no connection of it any more, at most so long (30s, 5m); exit
    /// code 1 when it still has
    #[arg(long, value_name = "TIME")]
    pub(crate) wait: Option<String>,
}

#[derive(Debug, Args)]
#[group(id = "whom", required = true, multiple = false)]
pub(crate) struct Whom {
    /// A client, by its id in tidegate ps
    #[arg(long, value_name = "ID")]
    pub(crate) client: Option<String>,
    /// A server, by its number in tidegate ps
    #[arg(long, value_name = "NUMBER")]
    pub(crate) server: Option<u64>,
    /// A server, by the pid of its backend
    #[arg(long, value_name = "PID")]
    pub(crate) pid: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct KillOptions {
    #[command(flatten)]
    pub(crate) whom: Whom,
    #[command(flatten)]
    pub(crate) gate: GateOptions,
}

/// What `tidegate ps` shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum List {
    /// Connections from applications
    Clients,
    /// Who holds a server, the longest first
    Holders,
    /// Connections to PostgreSQL
    Servers,
    /// Every connection of the database, whoever has opened it
    Ledger,
}

#[derive(Debug, Args)]
pub(crate) struct PsOptions {
    /// What to show
    #[arg(value_enum, default_value = "clients")]
    pub(crate) list: List,
    /// How many rows at most
    #[arg(long, value_name = "ROWS", default_value_t = 100,
          value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) limit: u16,
    #[command(flatten)]
    pub(crate) gate: GateOptions,
}
