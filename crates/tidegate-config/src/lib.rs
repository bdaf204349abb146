//! Settings: from files, flags, and the environment to values that later code need not check.
//!
//! One table ([`settings`]) declares every setting: its name, range, default, and documentation.
//! The parser, `config show`, the reference page, the example file, and the JSON schema all read
//! that table, so none of them can disagree with the others.
//!
//! [`load`] gathers what each source says, lets the strongest source win (flags, then the
//! environment, then the file, then `DATABASE_URL` and the defaults), and checks everything in
//! one pass that reports *all* problems at once, each with its place, the allowed range, and the
//! nearest known name. What comes out, [`Config`], has nothing optional that has a default.
//!
//! Relies on: nothing ambient. The environment and the places to look for a file are arguments;
//! the only files read are the settings file and those that the settings name: password files for
//! their text, the files of TLS to see whether they can be read.
//!
//! Promises: no secret appears in a problem, a warning, or anything that `show` prints.

mod changes;
mod show;
mod document;
mod load;
mod check;
mod gather;
mod table;
mod kind;
mod listen;
mod url;
mod query;
mod config;
mod duration;
mod size;
mod problem;
mod nearest;
mod secret;

pub use changes::{Change, changes, in_force};
pub use config::{
    Address, Auth, ChannelBinding, ClientCert, ClientTimeouts, Config, Console, ConsoleVersion,
    Credential, Environment, Host, Listen, ListenAddress, ListenTls, Log, LogFormat, LogLevel,
    Negotiation, PlanChoice, PoolFor, PoolOverrides, Prepared, Roots, SslMode, TargetSession,
    TimeoutOverrides, Timeouts, TlsMode, Upstream, UpstreamKind, UpstreamTls, User, Verification,
};
pub use document::{example_toml, reference_markdown, schema_json};
pub use duration::{DurationError, format_duration, parse_duration};
pub use load::{Loaded, Origins, Sources, load, search_paths};
pub use problem::{Origin, Place, Problem, Problems};
pub use secret::Secret;
pub use show::{list, show, show_json};
pub use size::{SizeError, format_size, parse_size};
pub use table::{Reload, SettingInfo, settings};
