//! Throwaway PostgreSQL clusters: for tests, for the demo, for rehearsing a migration.
//!
//! ```no_run
//! use tidegate_scratch::{Cluster, ClusterOptions, Installation};
//!
//! let postgres = Installation::find()?;
//! let options = ClusterOptions::default().setting("max_connections", "20");
//! let cluster = Cluster::start(&postgres, options)?;
//! cluster.sql("CREATE ROLE app LOGIN PASSWORD 'secret'; CREATE DATABASE shop OWNER app")?;
//! println!("{}", cluster.url("app", "secret", "shop"));
//! # Ok::<(), tidegate_scratch::ScratchError>(())
//! ```
//!
//! Relies on PostgreSQL's own programs (`postgres`, `initdb`, `psql`) and on `sh` and `cp`.
//! PostgreSQL refuses to run as root, so root runs it as the operating system's user `postgres`.
//!
//! Promises: clusters share nothing, so any number of tests may run at once. A cluster ends
//! with its [`Cluster`], and also when the process that holds it is killed outright.
//!
//! Costs: the first cluster of a version runs `initdb` (about a second); later ones copy what
//! that made. They are fast and not durable (`fsync = off`): never for data that matters.

mod cluster;
mod process;
mod template;
mod options;
mod installation;
mod account;
pub mod wait;
mod error;

pub use cluster::Cluster;
pub use error::ScratchError;
pub use installation::Installation;
pub use options::ClusterOptions;
pub use process::StopMode;
