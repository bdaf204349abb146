//! Debian's PgBouncer in front of a PostgreSQL: the pooler that an upstream may be.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::wait;

/// A running PgBouncer. It is killed when dropped.
pub struct PgBouncer {
    child: Child,
    folder: TempDir,
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
}

/// Free ports are taken by others now and then, between our look and PgBouncer's.
const PORT_ATTEMPTS_MAX: u32 = 10;

impl PgBouncer {
    /// Starts one in session mode for any database of the PostgreSQL at `upstream`, which must
    /// let `users` in without a password, as it does itself. `clients_max` is the most clients
    /// that it takes, and the most servers that it opens for each database and user. All users may use
    /// its console.
    ///
    /// # Panics
    /// When it is not installed or does not start.
    pub fn start(upstream: u16, users: &[&str], clients_max: u32) -> Self {
        for _ in 0..PORT_ATTEMPTS_MAX {
            if let Some(started) = Self::try_start(upstream, users, clients_max) {
                return started;
            }
        }
        panic!("PgBouncer found no port in {PORT_ATTEMPTS_MAX} attempts");
    }

    fn try_start(upstream: u16, users: &[&str], clients_max: u32) -> Option<Self> {
        let folder = TempDir::new().expect("a temporary folder");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let port = port.expect("a free port").port();
        let admins = users.join(",");
        let users: String = users.iter().map(|user| format!("\"{user}\" \"\"\n")).collect();
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={upstream}\n[pgbouncer]\n\
             listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = trust\nauth_file = {folder}/users\nlogfile = {folder}/log\n\
             pool_mode = session\nmax_client_conn = {clients_max}\n\
             default_pool_size = {clients_max}\nadmin_users = {admins}\n",
            folder = folder.path().display()
        );
        fs::write(folder.path().join("users"), users).expect("the users are written");
        fs::write(folder.path().join("ini"), settings).expect("the settings are written");
        let mut command = Command::new("/usr/sbin/pgbouncer");
        command.arg("-q").arg(folder.path().join("ini"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if let Some((uid, gid)) = other_account() {
            // It refuses to run as root.
            for path in [folder.path().to_owned(), folder.path().join("users")] {
                chown(path, Some(uid), Some(gid)).expect("root may give files away");
            }
            command.uid(uid).gid(gid);
        }
        let child = command.spawn().expect("PgBouncer is installed (apt-get install pgbouncer)");
        let mut started = Self { child, folder, port };
        let is_up = wait::until("PgBouncer listens", || {
            if started.child.try_wait().expect("a child").is_some() {
                return Some(false);
            }
            TcpStream::connect(("127.0.0.1", port)).ok().map(|_| true)
        });
        if !is_up && !started.log_text().contains("in use") {
            panic!("PgBouncer has ended: {}", started.log_text());
        }
        is_up.then_some(started)
    }

    /// Its log.
    pub fn log_text(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The user and group `postgres`, when we are root.
fn other_account() -> Option<(u32, u32)> {
    if fs::metadata("/proc/self").expect("proc is there").uid() != 0 {
        return None;
    }
    let passwd = fs::read_to_string("/etc/passwd").expect("there are accounts");
    let line = passwd.lines().find(|line| line.starts_with("postgres:"));
    let mut fields = line.expect("PostgreSQL has made its account").split(':').skip(2);
    let mut number = || fields.next().and_then(|field| field.parse().ok()).expect("a number");
    Some((number(), number()))
}
