//! Checking: from what was written to what can be used, with all problems in one pass.
//!
//! A value that cannot be read is reported once and then stands in as its default, and rules that
//! compare several settings are asked only when each of these could be read. So one mistake is
//! one problem.

mod tls;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tidegate_pool_core::settings::{PoolSettings, PrePing, RetrySettings};

use crate::config::{
    Auth, ClientTimeouts, Config, Console, Credential, Listen, ListenAddress, Log, PoolFor,
    PoolOverrides, Prepared, TimeoutOverrides, Timeouts, Upstream, User,
};
use crate::duration::format_duration;
use crate::gather::{Gathered, Sheet};
use crate::kind::Kind;
use crate::problem::{Place, Problem};
use crate::secret::Secret;
use crate::table::{self, Setting};

/// The settings, or `None` where there is no upstream to speak of; adds to `problems`.
pub(crate) fn check(
    gathered: &Gathered,
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<Problem>,
) -> Option<Config> {
    let mut checker = Checker { problems, warnings };
    let sheet = &gathered.sheet;
    let plan = checker.read(sheet, &table::PLAN);
    let environment = checker.read(sheet, &table::ENVIRONMENT);
    let sizes = plan.pool_sizes(environment);

    let upstream = checker.upstream(sheet);
    let listen = checker.listen(sheet);
    let users = checker.users(&gathered.users, upstream.as_ref(), sheet);
    let auth = Auth {
        query: checker.given(sheet, &table::AUTH_QUERY),
        query_cache: checker.read(sheet, &table::AUTH_QUERY_CACHE),
        admin_users: checker.given(sheet, &table::ADMIN_USERS).unwrap_or_default(),
        stats_users: checker.given(sheet, &table::STATS_USERS).unwrap_or_default(),
    };
    let console = Console { pgbouncer: checker.read(sheet, &table::CONSOLE_PGBOUNCER) };
    checker.nobody_enters_unasked(&listen, &users, upstream.as_ref(), &auth);

    let pool = checker.pool(sheet, sizes);
    let pool_for: Vec<PoolFor> =
        gathered.pool_for.iter().map(|row| checker.pool_for(row, &pool, sizes)).collect();
    let limit = match upstream.as_ref().and_then(|upstream| upstream.connections) {
        Some(connections) => Some(connections.min(plan.limit().unwrap_or(u32::MAX))),
        None => plan.limit(),
    };
    for sheet in std::iter::once(sheet).chain(&gathered.pool_for) {
        checker.size_fits(sheet, limit);
    }

    let timeouts = Timeouts {
        client_login: checker.read(sheet, &table::CLIENT_LOGIN),
        connect: checker.read(sheet, &table::CONNECT),
        cancel: checker.read(sheet, &table::CANCEL),
        drain: checker.read(sheet, &table::DRAIN),
        clients: ClientTimeouts {
            idle_in_transaction: checker.read(sheet, &table::IDLE_IN_TRANSACTION),
            transaction: checker.read(sheet, &table::TRANSACTION_TIMEOUT),
            query: checker.read(sheet, &table::QUERY_TIMEOUT),
            client_idle: checker.read(sheet, &table::CLIENT_IDLE),
        },
    };
    let retry = checker.retry(sheet);
    let sends_reads_again = checker.read(sheet, &table::READ_ONLY);
    let prepared = Prepared {
        statements_max: checker.read(sheet, &table::STATEMENTS_MAX),
        keep_unnamed: checker.read(sheet, &table::KEEP_UNNAMED),
    };
    let log = Log {
        format: checker.read(sheet, &table::LOG_FORMAT),
        level: checker.read(sheet, &table::LOG_LEVEL),
    };
    let users = users.into_iter().map(|known| known.user).collect();
    let upstream = upstream?;
    Some(Config {
        plan,
        upstream,
        listen: listen.listen,
        pool,
        pool_for,
        timeouts,
        retry,
        sends_reads_again,
        prepared,
        log,
        users,
        auth,
        console,
        environment,
    })
}

struct Checker<'a> {
    problems: &'a mut Vec<Problem>,
    warnings: &'a mut Vec<Problem>,
}

/// A user and where it was written.
struct KnownUser {
    user: User,
    place: Place,
    /// The password could not be read, or is not known because the upstream's is not.
    doubtful: bool,
}

struct CheckedListen {
    listen: Listen,
    /// The first address of a pooler port that other machines can reach, and its setting.
    open: Option<(&'static str, ListenAddress)>,
}

impl Checker<'_> {
    /// The value, or the default.
    fn read<K: Kind>(&mut self, sheet: &Sheet, setting: &'static Setting<K>) -> K::Value {
        self.given(sheet, setting).unwrap_or_else(|| setting.default())
    }

    /// The value, where there is one that can be read.
    fn given<K: Kind>(&mut self, sheet: &Sheet, setting: &'static Setting<K>) -> Option<K::Value> {
        let given = sheet.given.get(setting.name)?;
        let wrong = match setting.kind.read(&given.raw) {
            Ok(value) => return Some(value),
            Err(wrong) => wrong,
        };
        let name = name_in(sheet, setting.name);
        let message = if setting.kind.is_secret() {
            format!("{name} {}", wrong.why)
        } else {
            let (cited, range) = (given.raw.cited(), setting.kind.range());
            format!("{name} is {cited}, {}; allowed: {range}", wrong.why)
        };
        let problem = Problem { remedy: wrong.remedy, ..Problem::new(&given.place, message) };
        self.problems.push(problem);
        None
    }

    fn upstream(&mut self, sheet: &Sheet) -> Option<Upstream> {
        let place = sheet.place_of(&[table::URL.name]);
        if place == Place::Nowhere {
            let problem = Problem::new(&place, "upstream.url is not set").with_remedy(
                "set DATABASE_URL, or write url = \"postgres://USER:PASSWORD@HOST:5432/DATABASE\" \
                 under [upstream]",
            );
            self.problems.push(problem);
        }
        let url = self.given(sheet, &table::URL);
        let password_file = self.path(sheet, &table::PASSWORD_FILE);
        let from_file = password_file
            .as_deref()
            .and_then(|path| self.password(sheet, &table::PASSWORD_FILE, path));
        let kind = self.read(sheet, &table::KIND);
        let connections = self.read(sheet, &table::CONNECTIONS);
        let headroom = self.read(sheet, &table::HEADROOM);
        let census = self.read(sheet, &table::CENSUS);

        let url = url?;
        if url.password.is_some() && password_file.is_some() {
            let file_place = sheet.place_of(&[table::PASSWORD_FILE.name]);
            self.problems.push(
                Problem::new(
                    &file_place,
                    "upstream.password_file is given, and so is a password in upstream.url",
                )
                .with_remedy("leave one of them out"),
            );
        }
        for name in &url.unused {
            let message = format!("the parameter {name} of upstream.url is not used");
            self.warnings.push(Problem::new(&place, message));
        }
        let tls = self.upstream_tls(&place, url.tls);
        Some(Upstream {
            hosts: url.hosts,
            target: url.target,
            user: url.user,
            password: url.password.or(from_file),
            password_file,
            database: url.database,
            tls,
            parameters: url.parameters,
            kind,
            connections,
            headroom,
            census,
        })
    }

    fn listen(&mut self, sheet: &Sheet) -> CheckedListen {
        let tls = self.listen_tls(sheet);
        let admin_token_file = self.path(sheet, &table::ADMIN_TOKEN_FILE);
        let admin_token = admin_token_file
            .as_deref()
            .and_then(|path| self.password(sheet, &table::ADMIN_TOKEN_FILE, path));
        let before = self.problems.len();
        let listen = Listen {
            session: self.read(sheet, &table::SESSION),
            transaction: self.read(sheet, &table::TRANSACTION),
            http: self.read(sheet, &table::HTTP),
            tls,
            workers: self.read(sheet, &table::WORKERS),
            control: self.path(sheet, &table::CONTROL),
            clients_max: self.read(sheet, &table::CLIENTS_MAX),
            memory_max: self.read(sheet, &table::MEMORY_MAX),
            admin_token_file,
            admin_token,
        };
        if self.problems.len() > before {
            return CheckedListen { listen, open: None };
        }

        if listen.session.is_empty() && listen.transaction.is_empty() {
            let place = sheet.place_of(&[table::SESSION.name, table::TRANSACTION.name]);
            self.problems.push(Problem::new(
                &place,
                "listen.session and listen.transaction are both off, so no client could connect",
            ));
        }
        let addresses: Vec<(&'static str, &ListenAddress)> = [
            (table::SESSION.name, &listen.session),
            (table::TRANSACTION.name, &listen.transaction),
            (table::HTTP.name, &listen.http),
        ]
        .into_iter()
        .flat_map(|(name, addresses)| addresses.iter().map(move |address| (name, address)))
        .collect();
        for (index, (name, address)) in addresses.iter().enumerate() {
            let others = addresses.iter().take(index);
            for (other, taken) in others.filter(|(_, taken)| address.clashes_with(taken)) {
                let message = format!("{name} ({address}) takes the address of {other} ({taken})");
                let place = sheet.place_of(&[name, other]);
                self.problems
                    .push(Problem::new(&place, message).with_remedy("give each a port of its own"));
            }
        }
        if let Some(address) = listen.http.iter().find(|address| !address.is_local()) {
            let message = format!(
                "listen.http is open to other machines at {address}; whoever reaches it can read \
                 the page and the API"
            );
            self.warnings.push(Problem::new(&sheet.place_of(&[table::HTTP.name]), message));
        }
        let open = addresses
            .iter()
            .find(|(name, address)| *name != table::HTTP.name && !address.is_local())
            .map(|(name, address)| (*name, (*address).clone()));
        CheckedListen { listen, open }
    }

    fn users(
        &mut self,
        rows: &[Sheet],
        upstream: Option<&Upstream>,
        sheet: &Sheet,
    ) -> Vec<KnownUser> {
        let upstream_place = sheet.place_of(&[table::URL.name]);
        let of_upstream = |upstream: &Upstream| match &upstream.password {
            Some(password) => Credential::Password(password.clone()),
            None => Credential::Nothing,
        };
        // A password file that could not be read is a problem of its own.
        let unread = upstream.is_some_and(|u| u.password.is_none() && u.password_file.is_some());
        if rows.is_empty() {
            let user = upstream.map(|upstream| KnownUser {
                user: User { name: upstream.user.clone(), credential: of_upstream(upstream) },
                place: upstream_place,
                doubtful: unread,
            });
            return user.into_iter().collect();
        }

        let mut users: Vec<KnownUser> = Vec::new();
        for row in rows {
            let header = row.place_of(&[]);
            let place = row.place_of(&[table::USER_NAME.name]);
            let before = self.problems.len();
            let name = self.given(row, &table::USER_NAME);
            if name.is_none() && place == header {
                self.problems.push(Problem::new(&header, "a [[user]] has no name"));
            }
            let given = self.credential(row);
            let Some(name) = name else { continue };
            if let Some(first) = users.iter().find(|known| known.user.name == name) {
                let message = format!("user.name is {name:?} a second time");
                let remedy = match &first.place {
                    Place::File { line, .. } => format!("the first is in line {line}"),
                    _ => "leave one of them out".to_owned(),
                };
                self.problems.push(Problem::new(&place, message).with_remedy(remedy));
            }
            let shared = upstream.filter(|upstream| upstream.user == name);
            let doubtful = self.problems.len() > before
                || (given.is_none() && (upstream.is_none() || (shared.is_some() && unread)));
            let credential =
                given.or_else(|| shared.map(of_upstream)).unwrap_or(Credential::Nothing);
            users.push(KnownUser { user: User { name, credential }, place, doubtful });
        }
        users
    }

    fn credential(&mut self, row: &Sheet) -> Option<Credential> {
        let password = self.given(row, &table::USER_PASSWORD).map(Secret::new);
        let path = self.path(row, &table::USER_PASSWORD_FILE);
        let from_file = path.and_then(|path| self.password(row, &table::USER_PASSWORD_FILE, &path));
        let verifier = self.given(row, &table::USER_VERIFIER);
        let names =
            [table::USER_PASSWORD.name, table::USER_PASSWORD_FILE.name, table::USER_VERIFIER.name];
        let given: Vec<&str> =
            names.into_iter().filter(|name| row.given.contains_key(name)).collect();
        if let [first, second, ..] = given[..] {
            self.problems.push(
                Problem::new(
                    &row.place_of(&[second]),
                    format!("{second} is given, and so is {first}"),
                )
                .with_remedy("leave one of them out"),
            );
        }
        if verifier.as_deref().is_some_and(|verifier| !is_scram_verifier(verifier)) {
            let place = row.place_of(&[table::USER_VERIFIER.name]);
            self.problems.push(
                Problem::new(&place, "user.verifier is not a SCRAM-SHA-256 verifier").with_remedy(
                    "write what pg_authid.rolpassword has for a role whose password was set with \
                     password_encryption = 'scram-sha-256'",
                ),
            );
        }
        let verifier = verifier.map(|verifier| Credential::Verifier(Secret::new(verifier)));
        password.or(from_file).map(Credential::Password).or(verifier)
    }

    /// Without this, a gate that is moved to a network would let in whoever knows a name. That
    /// there is a query for the others changes nothing for those who are named: they are not
    /// looked up.
    fn nobody_enters_unasked(
        &mut self,
        listen: &CheckedListen,
        users: &[KnownUser],
        upstream: Option<&Upstream>,
        auth: &Auth,
    ) {
        let Some((setting, address)) = &listen.open else { return };
        for known in users.iter().filter(|known| !known.doubtful) {
            if known.user.credential == Credential::Nothing {
                // Without its [[user]], that of the URL may be let in as before.
                let is_upstreams = upstream.is_some_and(|u| u.user == known.user.name);
                let remedy = if auth.query.is_some() && !is_upstreams {
                    "give the user a password, leave its [[user]] out so that auth.query is \
                     asked, or listen on 127.0.0.1"
                } else {
                    "give the user a password, or listen on 127.0.0.1"
                };
                let message = format!(
                    "user {:?} has no password, and {setting} is open to other machines at \
                     {address}: it would let anyone in",
                    known.user.name
                );
                self.problems.push(Problem::new(&known.place, message).with_remedy(remedy));
            }
        }
    }

    fn pool(&mut self, sheet: &Sheet, (size, overflow): (u32, u32)) -> PoolSettings {
        let before = self.problems.len();
        let pool = PoolSettings {
            pool_size: self.read(sheet, &table::POOL_SIZE).unwrap_or(size),
            max_overflow: self.read(sheet, &table::MAX_OVERFLOW).unwrap_or(overflow),
            pool_timeout: self.read(sheet, &table::POOL_TIMEOUT),
            pool_recycle: self.read(sheet, &table::POOL_RECYCLE),
            pool_pre_ping: pre_ping(self.read(sheet, &table::POOL_PRE_PING)),
            answer_probes: self.read(sheet, &table::ANSWER_PROBES),
            pins_max: self.read(sheet, &table::PINS_MAX),
            overflow_linger: self.read(sheet, &table::OVERFLOW_LINGER),
            server_idle_timeout: self.read(sheet, &table::SERVER_IDLE_TIMEOUT),
            reset: self.read(sheet, &table::RESET),
        };
        if self.problems.len() == before {
            self.pool_is_not_empty(sheet, &pool);
        }
        pool
    }

    fn pool_for(
        &mut self,
        row: &Sheet,
        pool: &PoolSettings,
        (size, overflow): (u32, u32),
    ) -> PoolFor {
        let before = self.problems.len();
        let pool_for = PoolFor {
            database: self.given(row, &table::POOL_FOR_DATABASE),
            user: self.given(row, &table::POOL_FOR_USER),
            overrides: PoolOverrides {
                pool_size: self.given(row, &table::POOL_SIZE).map(|n| n.unwrap_or(size)),
                max_overflow: self.given(row, &table::MAX_OVERFLOW).map(|n| n.unwrap_or(overflow)),
                pool_timeout: self.given(row, &table::POOL_TIMEOUT),
                pool_recycle: self.given(row, &table::POOL_RECYCLE),
                pool_pre_ping: self.given(row, &table::POOL_PRE_PING).map(pre_ping),
                answer_probes: self.given(row, &table::ANSWER_PROBES),
                pins_max: self.given(row, &table::PINS_MAX),
                overflow_linger: self.given(row, &table::OVERFLOW_LINGER),
                server_idle_timeout: self.given(row, &table::SERVER_IDLE_TIMEOUT),
                reset: self.given(row, &table::RESET),
            },
            timeouts: TimeoutOverrides {
                idle_in_transaction: self.given(row, &table::IDLE_IN_TRANSACTION),
                transaction: self.given(row, &table::TRANSACTION_TIMEOUT),
                query: self.given(row, &table::QUERY_TIMEOUT),
                client_idle: self.given(row, &table::CLIENT_IDLE),
            },
        };
        if self.problems.len() > before {
            return pool_for;
        }
        if pool_for.database.is_none() && pool_for.user.is_none() {
            self.problems.push(
                Problem::new(
                    &row.place_of(&[]),
                    "a [[pool_for]] names neither a database nor a user",
                )
                .with_remedy("give one or both; what is meant for every pool belongs in [pool]"),
            );
        }
        let overrides = &pool_for.overrides;
        if overrides.pool_size.is_some() || overrides.max_overflow.is_some() {
            let mut merged = pool.clone();
            overrides.apply(&mut merged);
            self.pool_is_not_empty(row, &merged);
        }
        pool_for
    }

    fn pool_is_not_empty(&mut self, sheet: &Sheet, pool: &PoolSettings) {
        if pool.pool_size == 0 && pool.max_overflow == 0 {
            let place = sheet.place_of(&[table::POOL_SIZE.name, table::MAX_OVERFLOW.name]);
            let (size, overflow) =
                (name_in(sheet, table::POOL_SIZE.name), name_in(sheet, table::MAX_OVERFLOW.name));
            let message =
                format!("{size} and {overflow} are both 0, so the pool could never have a server");
            self.problems.push(Problem::new(&place, message).with_remedy(
                "0 means zero here; what is unlimited elsewhere is bounded by the budget",
            ));
        }
    }

    fn size_fits(&mut self, sheet: &Sheet, limit: Option<u32>) {
        let Some(given) = sheet.given.get(table::POOL_SIZE.name) else { return };
        let (Ok(Some(size)), Some(limit)) = (table::POOL_SIZE.kind.read(&given.raw), limit) else {
            return;
        };
        if size > limit {
            let name = name_in(sheet, table::POOL_SIZE.name);
            let message = format!(
                "{name} is {size}, but the plan and upstream.connections allow {limit} in all; the \
                 pool will not reach its size"
            );
            self.warnings.push(Problem::new(&given.place, message));
        }
    }

    fn retry(&mut self, sheet: &Sheet) -> RetrySettings {
        let before = self.problems.len();
        let retry = RetrySettings {
            attempts: self.read(sheet, &table::ATTEMPTS),
            multiplier: self.read(sheet, &table::MULTIPLIER),
            min: self.read(sheet, &table::RETRY_MIN),
            max: self.read(sheet, &table::RETRY_MAX),
            jitter: self.read(sheet, &table::JITTER),
            budget: self.read(sheet, &table::BUDGET),
        };
        if self.problems.len() == before && retry.min > retry.max {
            let place = sheet.place_of(&[table::RETRY_MIN.name, table::RETRY_MAX.name]);
            let message = format!(
                "retry.min ({}) is above retry.max ({})",
                format_duration(retry.min),
                format_duration(retry.max)
            );
            self.problems.push(Problem::new(&place, message));
        }
        retry
    }

    /// A path, as it is meant where it stands.
    fn path<K: Kind<Value = PathBuf>>(
        &mut self,
        sheet: &Sheet,
        setting: &'static Setting<K>,
    ) -> Option<PathBuf> {
        let path = self.given(sheet, setting)?;
        Some(beside(&sheet.place_of(&[setting.name]), path))
    }

    fn password<K>(
        &mut self,
        sheet: &Sheet,
        setting: &'static Setting<K>,
        path: &Path,
    ) -> Option<Secret> {
        let why = match fs::read_to_string(path) {
            Ok(text) => match text.trim_end_matches(['\r', '\n']) {
                "" => "is empty".to_owned(),
                password => return Some(Secret::new(password)),
            },
            Err(error) => format!("cannot be read: {error}"),
        };
        let message = format!("{} {} {why}", setting.name, path.display());
        self.problems.push(Problem::new(&sheet.place_of(&[setting.name]), message));
        None
    }
}

/// `path` as it is meant by what stands at `place`: a relative one in the settings file starts at
/// the folder of that file, elsewhere at the working directory.
fn beside(place: &Place, path: PathBuf) -> PathBuf {
    match place {
        Place::File { path: file, .. } => file.parent().unwrap_or(Path::new("")).join(path),
        _ => path,
    }
}

/// The name as it was written: a key of `[pool]` may stand in a `[[pool_for]]`.
fn name_in(sheet: &Sheet, name: &str) -> String {
    match (&sheet.header, name.split_once('.')) {
        (Some((section, _)), Some((_, key))) => format!("{section}.{key}"),
        _ => name.to_owned(),
    }
}

fn pre_ping(value: Option<Option<Duration>>) -> PrePing {
    match value {
        None => PrePing::Off,
        Some(None) => PrePing::Always,
        Some(Some(idle)) => PrePing::After(idle),
    }
}

/// The form of `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>` (PostgreSQL docs,
/// `pg_authid`). Keys are 32 bytes, so 43 characters and one `=` in base64.
fn is_scram_verifier(text: &str) -> bool {
    let is_base64 = |part: &str| {
        let body = part.trim_end_matches('=');
        !body.is_empty()
            && part.len().is_multiple_of(4)
            && part.len() - body.len() <= 2
            && body.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/')
    };
    let is_key = |part: &str| part.len() == 44 && part.ends_with('=') && is_base64(part);
    let parts = text.strip_prefix("SCRAM-SHA-256$").and_then(|rest| rest.split_once('$'));
    let Some((parameters, keys)) = parts else { return false };
    let (Some((iterations, salt)), Some((stored, server))) =
        (parameters.split_once(':'), keys.split_once(':'))
    else {
        return false;
    };
    iterations.parse::<u32>().is_ok_and(|n| n > 0)
        && is_base64(salt)
        && is_key(stored)
        && is_key(server)
}
