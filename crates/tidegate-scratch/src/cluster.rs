//! A throwaway cluster: a folder, a port, and the server that runs on them.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;

use crate::account::Account;
use crate::error::{ScratchError, run};
use crate::installation::Installation;
use crate::options::{ClusterOptions, SUPERUSER};
use crate::process::{LOG, Running, StopMode, make_log};
use crate::template;

/// A PostgreSQL of one's own. Dropping it stops the server and removes the folder.
#[derive(Debug)]
pub struct Cluster {
    installation: Installation,
    account: Account,
    options: ClusterOptions,
    port: u16,
    // The order matters: the server ends before its folder goes.
    running: Option<Running>,
    folder: TempDir,
}

impl Cluster {
    /// Makes a cluster and waits until it takes connections.
    pub fn start(
        installation: &Installation,
        options: ClusterOptions,
    ) -> Result<Self, ScratchError> {
        let mut attempts_left = PORT_ATTEMPTS_MAX;
        loop {
            attempts_left -= 1;
            match Self::try_start(installation, options.clone()) {
                // Somebody took the port between our look and the server's start.
                Err(ScratchError::NotStarted { log })
                    if options.port.is_none()
                        && attempts_left > 0
                        && log.contains("could not bind") => {}
                result => return result,
            }
        }
    }

    /// Makes a standby of `primary`, which follows it by streaming, and waits until it takes
    /// connections. `SELECT pg_promote()` makes a primary of it. The primary needs `wal_level` at
    /// `replica`, two `max_wal_senders`, and `local replication postgres trust` in its rules.
    pub fn standby(primary: &Self, options: ClusterOptions) -> Result<Self, ScratchError> {
        let installation = &primary.installation;
        Self::try_start_from(installation, options, |data, account| {
            let mut backup = account.command(installation.program("pg_basebackup"));
            backup.args(["--no-sync", "--checkpoint=fast", "--write-recovery-conf"]);
            backup.args(["--username", SUPERUSER, "--port", &primary.port.to_string()]);
            backup.arg("--host").arg(primary.socket_dir()).arg("--pgdata").arg(data);
            run(&mut backup).map(drop)
        })
    }

    fn try_start(
        installation: &Installation,
        options: ClusterOptions,
    ) -> Result<Self, ScratchError> {
        Self::try_start_from(installation, options, |data, account| {
            template::copy_to(data, installation, account)
        })
    }

    fn try_start_from(
        installation: &Installation,
        options: ClusterOptions,
        make_data: impl FnOnce(&Path, Account) -> Result<(), ScratchError>,
    ) -> Result<Self, ScratchError> {
        let account = Account::choose()?;
        let folder = make_folder(&options)?;
        account.own(folder.path())?;
        let port = options.port.map_or_else(free_port, Ok)?;
        make_data(&folder.path().join("data"), account)?;
        make_log(folder.path(), account)?;
        let mut cluster = Self {
            installation: installation.clone(),
            account,
            options,
            port,
            running: None,
            folder,
        };
        cluster.configure()?;
        cluster.start_again()?;
        Ok(cluster)
    }

    fn configure(&self) -> Result<(), ScratchError> {
        let configuration = self.data_dir().join("postgresql.conf");
        let text = self.options.configuration(&self.socket_dir(), self.port);
        fs::OpenOptions::new()
            .append(true)
            .open(&configuration)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(ScratchError::io("write", &configuration))?;
        self.write_file("pg_hba.conf", &self.options.hba_text())?;
        for (name, text) in self.options.files() {
            self.write_file(name, text)?;
        }
        Ok(())
    }

    /// Writes a file into the data folder, readable by PostgreSQL only: it refuses a private key
    /// that others may read. For `pg_hba.conf` and the like, `SELECT pg_reload_conf()` follows.
    pub fn write_file(&self, name: &str, text: &str) -> Result<(), ScratchError> {
        let path = self.data_dir().join(name);
        fs::write(&path, text).map_err(ScratchError::io("write", &path))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))
            .map_err(ScratchError::io("set the mode of", &path))?;
        self.account.own(&path)
    }

    /// The TCP port, also part of the Unix socket's name.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder of the Unix socket.
    #[must_use]
    pub fn socket_dir(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// PostgreSQL's data folder.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The server's log.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.folder.path().join(LOG)
    }

    /// The server's log as it is now.
    #[must_use]
    pub fn log_text(&self) -> String {
        let bytes = fs::read(self.log_path()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The superuser. Its password over TCP is its name; over the Unix socket it needs none.
    #[must_use]
    pub fn superuser(&self) -> &'static str {
        SUPERUSER
    }

    /// The programs it runs on.
    #[must_use]
    pub fn installation(&self) -> &Installation {
        &self.installation
    }

    /// A connection URL over TCP.
    #[must_use]
    pub fn url(&self, user: &str, password: &str, database: &str) -> String {
        let (user, password, database) = (encoded(user), encoded(password), encoded(database));
        format!("postgres://{user}:{password}@127.0.0.1:{}/{database}", self.port)
    }

    /// A connection URL over the Unix socket.
    #[must_use]
    pub fn unix_url(&self, user: &str, password: &str, database: &str) -> String {
        let (user, password, database) = (encoded(user), encoded(password), encoded(database));
        let folder = encoded(&self.socket_dir().to_string_lossy());
        format!("postgres://{user}:{password}@/{database}?host={folder}&port={}", self.port)
    }

    /// Runs statements as the superuser in the database `postgres`; answers the rows as `psql`
    /// prints them with `-At`, without the last line break. The first error ends it.
    pub fn sql(&self, sql: &str) -> Result<String, ScratchError> {
        self.sql_in("postgres", sql)
    }

    /// [`Cluster::sql`] in another database.
    pub fn sql_in(&self, database: &str, sql: &str) -> Result<String, ScratchError> {
        let program = self.installation.program("psql");
        let run = ScratchError::io("run", &program);
        let mut psql = self
            .account
            .command(&program)
            // From stdin each statement is a transaction of its own, so CREATE DATABASE works.
            .args(["-X", "-q", "-At", "-v", "ON_ERROR_STOP=1", "-f", "-"])
            .args(["-U", SUPERUSER, "-p", &self.port.to_string(), "-d", database])
            .arg("-h")
            .arg(self.socket_dir())
            .env("PGCONNECT_TIMEOUT", "10")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(run)?;
        let mut stdin = psql.stdin.take().expect("stdin is piped");
        let output = std::thread::scope(|scope| {
            // Beside the reading: both pipes may fill. An early end of psql shows in its status.
            scope.spawn(move || stdin.write_all(sql.as_bytes()));
            psql.wait_with_output()
        });
        let output = output.map_err(ScratchError::io("run", &program))?;
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(ScratchError::Sql { stderr });
        }
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(text.strip_suffix('\n').unwrap_or(&text).to_owned())
    }

    /// The postmaster's process id; `None` while the cluster is stopped.
    #[must_use]
    pub fn postmaster_pid(&self) -> Option<u32> {
        let pid = self.running.as_ref()?.postmaster().as_raw_pid();
        u32::try_from(pid).ok()
    }

    /// False when it was stopped, or when the postmaster has ended by itself.
    pub fn is_running(&mut self) -> bool {
        self.running.as_mut().is_some_and(Running::is_alive)
    }

    /// Stops the server and keeps its data. A stop that takes too long (clients that do not
    /// leave a [`StopMode::Smart`]) is an error, and may be followed by a harder one.
    pub fn stop(&mut self, mode: StopMode) -> Result<(), ScratchError> {
        let running =
            self.running.as_mut().ok_or(ScratchError::WrongState { actual: "stopped" })?;
        running.stop(mode)?;
        self.running = None;
        Ok(())
    }

    /// Starts a stopped server on the same port, and waits until it takes connections.
    pub fn start_again(&mut self) -> Result<(), ScratchError> {
        if self.is_running() {
            return Err(ScratchError::WrongState { actual: "running" });
        }
        let folder = self.folder.path();
        let keep = self.options.keep;
        self.running = Some(Running::start(&self.installation, self.account, folder, keep)?);
        Ok(())
    }

    /// [`Cluster::stop`], then [`Cluster::start_again`].
    pub fn restart(&mut self, mode: StopMode) -> Result<(), ScratchError> {
        self.stop(mode)?;
        self.start_again()
    }

    /// Plays a hang: all of PostgreSQL's processes stand still. The kernel still accepts
    /// connections and bytes for them; nothing is answered.
    pub fn pause(&self) -> Result<(), ScratchError> {
        let running =
            self.running.as_ref().ok_or(ScratchError::WrongState { actual: "stopped" })?;
        running.pause();
        Ok(())
    }

    /// Ends [`Cluster::pause`].
    pub fn resume(&self) -> Result<(), ScratchError> {
        let running =
            self.running.as_ref().ok_or(ScratchError::WrongState { actual: "stopped" })?;
        running.resume();
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.end();
        }
    }
}

/// A folder in which the cluster lives, with a name short enough for a Unix socket in it.
fn make_folder(options: &ClusterOptions) -> Result<TempDir, ScratchError> {
    let parent = match &options.parent {
        Some(parent) => parent.clone(),
        None if has_room_in_memory() && !options.keep => PathBuf::from(MEMORY),
        None => std::env::temp_dir(),
    };
    let too_long = parent.as_os_str().len() + FOLDER_AND_SOCKET_BYTES > SOCKET_PATH_BYTES_MAX;
    let parent = if too_long { PathBuf::from("/tmp") } else { parent };
    tempfile::Builder::new()
        .prefix("tg-")
        .disable_cleanup(options.keep)
        .tempdir_in(&parent)
        .map_err(ScratchError::io("make a folder in", &parent))
}

fn has_room_in_memory() -> bool {
    let free = rustix::fs::statvfs(MEMORY).map(|fs| fs.f_bavail.saturating_mul(fs.f_frsize));
    free.is_ok_and(|bytes| bytes >= MEMORY_BYTES_MIN)
}

/// A port that is free now. It may be taken by the time the server wants it.
fn free_port() -> Result<u16, ScratchError> {
    let any = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    any.map(|address| address.port())
        .map_err(ScratchError::io("find a port on", Path::new("127.0.0.1")))
}

/// Percent-encoding of all that is not unreserved (RFC 3986, 2.3).
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

const PORT_ATTEMPTS_MAX: u32 = 10;
/// A file system in memory: the copy of a template takes 0.1 s there whatever else the disk does,
/// and up to 0.8 s on a disk that is busy building.
const MEMORY: &str = "/dev/shm";
/// Room for dozens of clusters at 30 MB each. Containers have 64 MB by default: not enough.
const MEMORY_BYTES_MIN: u64 = 2 << 30;
/// `sun_path` has 108 bytes, the last of them zero (unix(7)).
const SOCKET_PATH_BYTES_MAX: usize = 107;
const FOLDER_AND_SOCKET_BYTES: usize = "/tg-XXXXXX/.s.PGSQL.65535.lock".len();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_survive_any_password() {
        assert_eq!(encoded("p@ss/w:rd é"), "p%40ss%2Fw%3Ard%20%C3%A9");
        assert_eq!(encoded("plain-._~1"), "plain-._~1");
    }
}
