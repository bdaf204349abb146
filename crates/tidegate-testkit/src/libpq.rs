//! libpq, as people have it: psql of the distribution (15), and psycopg with a newer one inside.

use std::process::Command;

use tidegate_scratch::Installation;

use crate::python::{self, Script};

/// What became of an attempt to connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connected {
    /// The version of TLS, such as `TLSv1.3`; none in clear.
    pub tls: Option<String>,
    /// The protocol that was agreed on inside (ALPN); none where libpq does not speak of it.
    pub alpn: Option<String>,
    /// The first column of the first row.
    pub value: String,
}

/// Connects with psql and runs a statement.
///
/// # Errors
/// What it says on its standard error output.
///
/// # Panics
/// When it is not installed.
pub fn psql(conninfo: &str, sql: &str) -> Result<Connected, String> {
    let program = Installation::find().expect("PostgreSQL is installed").program("psql");
    let mut command = Command::new(program);
    command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]);
    command.args(["-c", "\\conninfo", "-c", sql, conninfo]);
    // Nothing of the machine's: neither PGSSLMODE nor ~/.postgresql.
    command.env_clear().env("HOME", "/nonexistent").env("PGCONNECT_TIMEOUT", "20");
    let output = command.output().expect("psql starts");
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text.split_once("SSL connection (protocol: ").map(|(_, rest)| rest);
    let tls = version.and_then(|rest| rest.split_once(',')).map(|(version, _)| version.to_owned());
    let value = text.lines().last().unwrap_or_default().to_owned();
    Ok(Connected { tls, alpn: None, value })
}

/// Connects with psycopg's libpq, once for each `conninfo`, and runs the statement each time. Also
/// gives libpq's version, such as 170006.
///
/// # Panics
/// When the script fails.
pub fn newer(conninfos: &[String], sql: &str) -> (u32, Vec<Result<Connected, String>>) {
    let asked = serde_json::to_string(conninfos).expect("text becomes JSON");
    let answer = python::run(NEWER, &[&asked, sql]);
    let answer: serde_json::Value = serde_json::from_str(&answer).expect("the script prints JSON");
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    let outcomes =
        answer["outcomes"].as_array().expect("a list").iter().map(|outcome| {
            match text(&outcome["error"]) {
                Some(error) => Err(error),
                None => Ok(Connected {
                    tls: text(&outcome["tls"]).filter(|tls| !tls.is_empty()),
                    alpn: text(&outcome["alpn"]).filter(|alpn| !alpn.is_empty()),
                    value: text(&outcome["value"]).unwrap_or_default(),
                }),
            }
        });
    let version = answer["version"].as_u64().and_then(|version| version.try_into().ok());
    (version.expect("a version"), outcomes.collect())
}

/// psycopg does not pass on what `PQsslAttribute` says, so the library that it has loaded is asked.
const NEWER: &str = r#"
import ctypes, glob, json, os, sys
from concurrent.futures import ThreadPoolExecutor
import psycopg
from psycopg import pq

os.environ["HOME"] = "/nonexistent"
folder = os.path.join(os.path.dirname(psycopg.__file__), "..", "psycopg_binary.libs")
libpq = ctypes.CDLL(glob.glob(os.path.join(folder, "libpq-*"))[0])
libpq.PQsslAttribute.restype = ctypes.c_char_p
libpq.PQsslAttribute.argtypes = [ctypes.c_void_p, ctypes.c_char_p]

def attribute(connection, name):
    value = libpq.PQsslAttribute(connection.pgconn_ptr, name)
    return value.decode() if value else ""

def attempt(conninfo):
    connection = pq.PGconn.connect(conninfo.encode())
    if connection.status != pq.ConnStatus.OK:
        return {"error": connection.error_message.decode()}
    try:
        result = connection.exec_(sys.argv[2].encode())
        if result.status != pq.ExecStatus.TUPLES_OK:
            return {"error": result.error_message.decode()}
        tls, alpn = (attribute(connection, name) for name in (b"protocol", b"alpn"))
        return {"tls": tls, "alpn": alpn, "value": result.get_value(0, 0).decode()}
    finally:
        connection.finish()

with ThreadPoolExecutor(4) as pool:
    outcomes = list(pool.map(attempt, json.loads(sys.argv[1])))
print(json.dumps({"version": pq.version(), "outcomes": outcomes}))
"#;

/// A connection of psycopg's that stays, in a process of its own. Each statement is a transaction.
pub struct Connection(Script);

impl Connection {
    /// Connects.
    ///
    /// # Panics
    /// When it is refused.
    pub fn open(conninfo: &str) -> Self {
        let script = Script::start(CONNECTION, &[conninfo]);
        assert_eq!(script.hear(), "connected", "{conninfo}");
        Self(script)
    }

    /// Runs a statement without waiting for it.
    ///
    /// # Panics
    /// When the process has ended.
    pub fn say(&mut self, sql: &str) {
        self.0.say(sql);
    }

    /// The first column of the first row, or `error` and the SQLSTATE.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn hear(&mut self) -> String {
        self.0.hear()
    }

    /// Runs a statement; answers as [`Connection::hear`].
    ///
    /// # Panics
    /// When there is no answer.
    pub fn ask(&mut self, sql: &str) -> String {
        self.0.ask(sql)
    }

    /// Asks to cancel the statement that runs, over TLS where the connection has it.
    ///
    /// # Panics
    /// When the process has ended.
    pub fn cancel(&mut self) {
        self.0.say("cancel");
    }

    /// Asks to cancel as libpq before 17 does it: always in clear.
    ///
    /// # Panics
    /// When the process has ended.
    pub fn cancel_in_clear(&mut self) {
        self.0.say("cancel in clear");
    }
}

const CONNECTION: &str = r#"
import sys, threading
import psycopg

connection = psycopg.connect(sys.argv[1], autocommit=True, prepare_threshold=None)

def run(sql):
    try:
        print(connection.execute(sql).fetchone()[0])
    except psycopg.Error as error:
        print("error", error.sqlstate or error)

print("connected")
for line in sys.stdin:
    if line == "cancel\n":
        connection.cancel_safe()
    elif line == "cancel in clear\n":
        connection.cancel()
    else:
        threading.Thread(target=run, args=(line,)).start()
"#;
