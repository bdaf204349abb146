//! `tidegate init`: looks at the server and writes a settings file with every choice explained.

use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tidegate_config::{Config, Upstream};
use tidegate_control::open::{self, Opened, open};
use tidegate_proxy::resolver::Resolver;
use tidegate_proxy::settings::connector;

use crate::cli::{InitOptions, SettingsOptions};
use crate::{exit, settings};

/// A server that needs longer to answer one question is not one to set up against now.
const LOOK_MAX: Duration = Duration::from_secs(10);

/// What the server says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    version: String,
    max_connections: u32,
    reserved: u32,
    connected: u32,
    is_pooler: bool,
}

pub(crate) fn run(options: &InitOptions) -> ExitCode {
    if options.out.exists() && !options.force {
        let problem = format!(
            "{} is there already; --force replaces it, --out FILE writes elsewhere",
            options.out.display()
        );
        return exit::with(exit::NO, &problem);
    }
    let source = SettingsOptions { url: options.url.clone(), ..SettingsOptions::default() };
    let loaded = match settings::loaded(&source) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    eprintln!("looking at {}", loaded.config.upstream.url_redacted());
    let found = match look(&loaded.config) {
        Ok(found) => found,
        Err(problem) => {
            let problem = format!(
                "can't look at the server: {problem}\n  Check the URL, and that this machine may \
                 connect; nothing was written."
            );
            return exit::with(exit::UNABLE, &problem);
        }
    };
    let secret =
        options.url.is_some().then_some(loaded.config.upstream.password.as_ref()).flatten();
    let password_file = options.out.with_extension("password");
    let text = file(&loaded.config.upstream, &found, secret.map(|_| password_file.as_path()));
    if let Some(secret) = secret
        && let Err(error) = write_secret(&password_file, secret.expose())
    {
        let problem = format!("can't write {}: {error}", password_file.display());
        return exit::with(exit::UNABLE, &problem);
    }
    if let Err(error) = std::fs::write(&options.out, text) {
        let problem = format!("can't write {}: {error}", options.out.display());
        return exit::with(exit::UNABLE, &problem);
    }
    println!("wrote {}", options.out.display());
    if secret.is_some() {
        println!("wrote {} (the password, readable by you alone)", password_file.display());
    }
    println!(
        "next: tidegate config check --config {0} && tidegate run --config {0}",
        options.out.display()
    );
    ExitCode::SUCCESS
}

fn write_secret(path: &PathBuf, secret: &str) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    writeln!(file, "{secret}")
}

fn look(config: &Config) -> Result<Found, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let looking = look_at(config);
        tokio::time::timeout(LOOK_MAX, looking)
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {LOOK_MAX:?}")))
    })
}

async fn look_at(config: &Config) -> Result<Found, String> {
    let upstream = &config.upstream;
    let connector = connector(config).map_err(|error| error.to_string())?.map(Arc::new);
    let target = Resolver::start(&upstream.hosts).target()?;
    let opened = open(upstream, connector, &target, "tidegate init").await;
    let Opened { client, local_port, .. } = opened.map_err(|error| error.to_string())?;
    let row = client
        .query_one(
            "SELECT current_setting('server_version'), current_setting('max_connections')::int, \
             current_setting('superuser_reserved_connections')::int \
             + coalesce(current_setting('reserved_connections', true), '0')::int, \
             (SELECT count(*)::int FROM pg_stat_activity WHERE datid IS NOT NULL \
             AND pid <> pg_backend_pid()), \
             (SELECT client_port FROM pg_stat_activity WHERE pid = pg_backend_pid())",
            &[],
        )
        .await
        .map_err(|error| open::words(&error))?;
    let number = |column| u32::try_from(row.get::<_, i32>(column)).unwrap_or(0);
    let seen_port = row.get::<_, Option<i32>>(4).and_then(|port| u16::try_from(port).ok());
    Ok(Found {
        version: row.get(0),
        max_connections: number(1),
        reserved: number(2),
        connected: number(3),
        // Somebody stands between us and it: what it sees is not our connection.
        is_pooler: local_port.is_some() && seen_port != local_port,
    })
}

/// The plan whose limit is what the server offers, where there is one.
fn plan(found: &Found) -> &'static str {
    match found.max_connections - found.reserved.min(found.max_connections) {
        0..=20 => "free",
        _ => "auto",
    }
}

fn file(upstream: &Upstream, found: &Found, password_file: Option<&Path>) -> String {
    let usable = found.max_connections.saturating_sub(found.reserved);
    let mut text = String::new();
    let mut line = |words: &str| {
        let _ = writeln!(text, "{words}");
    };
    line("# Settings of Tidegate. Every setting, with its default and its reason, is in the");
    line("# reference of settings; `tidegate config show --origins` prints what is in force.");
    line("#");
    line(&format!(
        "# Found: PostgreSQL {}, max_connections {}, {} of them reserved, so {usable}",
        found.version, found.max_connections, found.reserved
    ));
    line(&format!("# for applications; {} connections of others at the time.", found.connected));
    if found.is_pooler {
        line("# Between here and PostgreSQL stands another pooler (or a network that rewrites");
        line("# addresses): only the plan's limit can be relied on.");
    }
    line("");
    line("# The plan that was bought. It only lowers what the server allows: free 15, pro 200,");
    line("# enterprise and custom no limit, auto what the live server says.");
    line(&format!("plan = \"{}\"", plan(found)));
    line("");
    line("[upstream]");
    match password_file {
        Some(path) => {
            let mut bare = upstream.clone();
            bare.password = None;
            line(&format!("url = \"{}\"", bare.url_redacted()));
            line(&format!("password_file = \"{}\"", path.display()));
        }
        None => {
            line("# Taken from the environment, so that no secret stands in this file.");
            line("url = \"${DATABASE_URL}\"");
        }
    }
    line("# Left free below the server's limit for psql, backups, and the census.");
    line("headroom = 2");
    line("");
    line("[listen]");
    line("# A server for as long as a client is connected: for migrations, LISTEN, anything.");
    line("session = \"127.0.0.1:6543\"");
    line("# A server for each transaction: for API endpoints and everything short.");
    line("transaction = \"127.0.0.1:6544\"");
    line("# /metrics, /healthz, /readyz, and what `tidegate status` asks.");
    line("http = \"127.0.0.1:6545\"");
    line("");
    line("[pool]");
    line("# Servers kept, and how many more may be opened under load; auto goes by the plan.");
    line("pool_size = \"auto\"");
    line("max_overflow = \"auto\"");
    line("# The longest that a client waits for a server before it gets SQLSTATE 53300.");
    line("pool_timeout = \"30s\"");
    line("");
    line("[profile]");
    line("environment = \"production\"");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_config::{Sources, load};

    #[test]
    fn what_is_written_loads_without_a_problem() {
        let env = [("DATABASE_URL".to_owned(), "postgres://app:s@localhost/app".to_owned())];
        let sources = Sources { env: &env, ..Sources::default() };
        let upstream = load(&sources).expect("a URL is enough").config.upstream;
        let found = Found {
            version: "15.4".into(),
            max_connections: 18,
            reserved: 3,
            connected: 1,
            is_pooler: false,
        };
        let folder = std::env::temp_dir().join(format!("tidegate-init-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        let (path, secret) = (folder.join("t.toml"), folder.join("t.password"));
        write_secret(&secret, "s").expect("written");
        for password_file in [None, Some(secret.as_path())] {
            std::fs::write(&path, file(&upstream, &found, password_file)).expect("written");
            let sources = Sources { file: Some(path.clone()), env: &env, ..Sources::default() };
            let loaded = load(&sources).unwrap_or_else(|problems| panic!("{problems}"));
            assert_eq!(loaded.config.plan.as_str(), "free");
            let password = loaded.config.upstream.password.expect("it has one");
            assert_eq!(password.expose(), "s");
        }
        std::fs::remove_dir_all(&folder).expect("removed");
    }
}
