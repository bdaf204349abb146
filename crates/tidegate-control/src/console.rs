//! The admin console: a database of the gate's own, which speaks PgBouncer's words.
//!
//! Workers log visitors in and pass on what they say ([`tidegate_proxy::visitors`]); each has a task here,
//! with a machine that knows the protocol ([`tidegate_session::console`]). [`command`] says what a
//! statement means, [`columns`] and [`rows`] what a table is like, [`stats`] what was counted. What
//! changes something is done by the functions that HTTP uses, and leaves a line in the log.
//!
//! What a user may do is looked at for each command, so a reload that takes a right away does so at once.

mod command;
mod rows;
mod columns;
mod stats;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use tidegate_config::ConsoleVersion;
use tidegate_pool_core::pools::operating::{Scope, ServerView};
use tidegate_proxy::roster::{ClientId, Found, ROWS_MAX, Whom};
use tidegate_proxy::shared::Shared;
use tidegate_proxy::visitors::{Then, Visit, Visitor, VisitorId};
use tidegate_session::console::table::Row;
use tidegate_session::console::{Answer, ConsoleMachine, Done, Step, welcome};
use tidegate_wire::catalogue::Complaint;
use tidegate_wire::tick::Tick;

use crate::gathering::gather;
use crate::kill::{kill_client, kill_server};
use crate::lifecycle::{Lifecycle, begin_drain};
use crate::lists::Asker;
use crate::operations::{Operation, carry_out};
use crate::reload::ReloadError;
use crate::web::snapshot;

use columns::Table;
use command::{Act, Command, Commands, version_text};
use rows::Words;
use stats::{History, PERIOD, totals};

/// What is told so far goes out before the next command when it is more than this, so that it is counted
/// among what clients make the gate keep.
const ANSWER_BYTES: usize = 64 * 1024;

/// How often a PAUSE looks whether all is at rest: transactions end within milliseconds, or not soon.
const REST_PAUSE: Duration = Duration::from_millis(20);

/// How often a KILL looks for clients that came in between, or were not among the first
/// [`ROWS_MAX`]: for 100 000 clients.
const KILL_ROUNDS_MAX: usize = 100;

/// Somebody at the console.
struct Guest {
    visitor: Visitor,
    since: Tick,
    has_left: AtomicBool,
}

/// A guest, and where what it says goes.
type Seat = (Arc<Guest>, UnboundedSender<Vec<u8>>);

/// What all sessions of the console share.
struct Desk {
    shared: Arc<Shared>,
    lifecycle: Lifecycle,
    guests: Mutex<BTreeMap<VisitorId, Seat>>,
    history: Mutex<History>,
    commands: AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Serves visitors for as long as the gate runs.
///
/// # Cancel safety
/// Visitors are heard no more.
pub async fn run(shared: Arc<Shared>, lifecycle: Lifecycle) {
    let bell = Arc::new(Notify::new());
    let rings = bell.clone();
    shared.receive_visitors(move || rings.notify_one());
    let desk = Arc::new(Desk {
        shared,
        lifecycle,
        guests: Mutex::default(),
        history: Mutex::default(),
        commands: AtomicU64::new(0),
    });
    let mut period = tokio::time::interval(PERIOD);
    loop {
        tokio::select! {
            () = bell.notified() => {
                for (id, visit) in desk.shared.visits() {
                    desk.hear(id, visit);
                }
            }
            _ = period.tick() => {
                let now = desk.shared.clock.now();
                lock(&desk.history).look(&snapshot(&desk.shared), now);
            }
        }
    }
}

impl Desk {
    fn hear(self: &Arc<Self>, id: VisitorId, visit: Visit) {
        match visit {
            Visit::Entered(visitor) => {
                let (sender, said) = unbounded_channel();
                let (since, has_left) = (self.shared.clock.now(), AtomicBool::new(false));
                let guest = Arc::new(Guest { visitor: *visitor, since, has_left });
                lock(&self.guests).insert(id, (guest.clone(), sender));
                tokio::spawn(serve(self.clone(), id, guest, said));
            }
            Visit::Said(bytes) => {
                if let Some((_, sender)) = lock(&self.guests).get(&id) {
                    let _ = sender.send(bytes); // Its session has ended with a fault of its own.
                }
            }
            Visit::Left => {
                if let Some((guest, _)) = lock(&self.guests).remove(&id) {
                    guest.has_left.store(true, Ordering::Relaxed);
                }
            }
        }
    }

    /// What a command comes to.
    async fn answer(&self, guest: &Guest, version: ConsoleVersion, command: Command) -> Answer {
        self.commands.fetch_add(1, Ordering::Relaxed);
        let config = self.shared.config();
        let user = &*guest.visitor.user;
        let is_admin = config.auth.admin_users.iter().any(|name| name == user);
        if !is_admin && !config.auth.stats_users.iter().any(|name| name == user) {
            return Complaint::console_not_allowed(user, &guest.visitor.database).into();
        }
        match command {
            Command::Act(act) if is_admin => self.act(guest, &act).await,
            Command::Act(act) => {
                log(guest, &act, "refused: not an administrator");
                Complaint::console_admin(user).into()
            }
            Command::Begin(tag, status) => {
                Done { tag: tag.to_owned(), status: Some(status), ..Done::default() }.into()
            }
            Command::Forget(tag, forgotten) => {
                Done { forgotten: Some(forgotten), ..tagged(tag) }.into()
            }
            Command::Help => {
                let notices = vec![("Console usage".to_owned(), Some(HELP.to_owned()))];
                Answer { notices, ..tagged("SHOW").into() }
            }
            Command::Nothing(tag) => tagged(tag).into(),
            Command::One(tag, _, _, value) => {
                Done { rows: vec![vec![value]], ..tagged(tag) }.into()
            }
            Command::Set => {
                let notices = vec![("SET ignored".to_owned(), None)];
                Answer { notices, ..tagged("SET").into() }
            }
            Command::Show(table) => {
                let (rows, left_out) = self.rows(guest, table, version).await;
                let rows = rows.into_iter().map(|row| table.fit(version, row)).collect();
                let notice =
                    |left_out| (format!("{left_out} clients of both ports are left out"), None);
                let notices = left_out.map(notice).into_iter().collect();
                Answer { notices, ..Done { rows, ..tagged("SHOW") }.into() }
            }
        }
    }

    /// The rows of a table, with all columns that there are; and how many clients are left out, if any.
    async fn rows(
        &self,
        guest: &Guest,
        table: Table,
        version: ConsoleVersion,
    ) -> (Vec<Row>, Option<usize>) {
        let shared = &*self.shared;
        let (port, config) = (guest.visitor.port, shared.config());
        let is_new = version == ConsoleVersion::V1_25;
        let commands = self.commands.load(Ordering::Relaxed);
        let averages = || lock(&self.history).averages(port);
        let plain = Words::Plain { has_idle: is_new };
        let rows = match table {
            Table::Clients => return self.clients(guest, plain).await,
            Table::Servers => self.servers(guest, plain).await,
            Table::Sockets | Table::ActiveSockets => {
                let (mut rows, left_out) = self.clients(guest, Words::Sockets).await;
                rows.extend(self.servers(guest, Words::Sockets).await);
                return (rows::as_sockets(rows), left_out);
            }
            Table::Config => rows::config(&config, shared.clients_max(), port),
            Table::Databases => {
                let local_port = guest.visitor.local_address.map_or(0, |at| at.port().into());
                let own = (self.guests_of(guest).len(), local_port);
                rows::databases(&snapshot(shared), shared, &config, port, own)
            }
            Table::Lists => rows::lists(&snapshot(shared), &config, is_new),
            Table::Mem => rows::mem(&snapshot(shared)),
            Table::Pools => rows::pools(&snapshot(shared), port, self.guests_of(guest).len()),
            Table::State => rows::state(&snapshot(shared)),
            Table::Stats => rows::stats(totals(&snapshot(shared), port), &averages(), commands),
            Table::StatsAverages => {
                rows::stats_averages(totals(&snapshot(shared), port), &averages())
            }
            Table::StatsTotals => rows::stats_totals(totals(&snapshot(shared), port), commands),
            Table::Totals => {
                rows::totals(totals(&snapshot(shared), port), &averages(), commands, is_new)
            }
            Table::Users => rows::users(&snapshot(shared), &config),
            Table::Version => vec![vec![version_text(version.release()).into()]],
            // Names are asked of the system, which keeps its own cache; and there are no peers.
            Table::DnsHosts | Table::DnsZones | Table::PeerPools | Table::Peers => Vec::new(),
            Table::Budget => rows::budget(&snapshot(shared)),
            Table::Holders => {
                let found = self.found(Whom::Holders).await;
                rows::holders(&found, &self.all_servers())
            }
            Table::Pins => rows::pins(&snapshot(shared)),
            Table::Verdict => rows::verdict(&snapshot(shared)),
        };
        (rows, None)
    }

    async fn found(&self, whom: Whom) -> Vec<Found> {
        let shared = &*self.shared;
        gather(shared.workers(), |sender| shared.list(whom, ROWS_MAX, Asker(sender))).await
    }

    fn all_servers(&self) -> Vec<ServerView> {
        let now = self.shared.clock.now();
        self.shared.with_pools_quietly(|pools| pools.servers(now))
    }

    /// Those who came by the same port as this one.
    fn guests_of(&self, guest: &Guest) -> Vec<Arc<Guest>> {
        let guests = lock(&self.guests);
        let all = guests.values().map(|(one, _)| one.clone());
        all.filter(|one| one.visitor.port == guest.visitor.port).collect()
    }

    async fn clients(&self, guest: &Guest, words: Words) -> (Vec<Row>, Option<usize>) {
        let found = self.found(Whom::Clients).await;
        let (mut shown, mut total) = (0, 0);
        for one in &found {
            shown += one.clients.len();
            total += one.total;
        }
        let mut rows = rows::clients(&found, guest.visitor.port, words);
        let guests = self.guests_of(guest);
        let all = guests.iter().map(|guest| (&guest.visitor, guest.since));
        rows.extend(rows::visitors(all, self.shared.clock.now(), words));
        (rows, Some(total - shown).filter(|left_out| *left_out > 0))
    }

    async fn servers(&self, guest: &Guest, words: Words) -> Vec<Row> {
        let found = self.found(Whom::Holders).await;
        let host = rows::upstream_address(&self.shared, &self.shared.config());
        rows::servers(&found, &self.all_servers(), &host, guest.visitor.port, words)
    }

    // --- What changes something. ---

    async fn act(&self, guest: &Guest, act: &Act) -> Answer {
        let done = match act {
            Act::Pools(what, scope) => self.operate(guest, what.operation(), scope).await,
            Act::Kill(database) => self.kill(database).await,
            Act::KillClient(pid, serial) => self.kill_client(*pid, *serial).await,
            Act::Reload => self.reload().await,
            Act::Shutdown(_) => {
                begin_drain(&self.shared, &self.lifecycle);
                Ok(Vec::new())
            }
        };
        match done {
            Ok(notices) => {
                log(guest, act, "done");
                let notices = notices.into_iter().map(|notice| (notice, None)).collect();
                Answer { notices, ..tagged(act.tag()).into() }
            }
            Err(why) => {
                log(guest, act, &why);
                Complaint::console_failed(&why).into()
            }
        }
    }

    /// A PAUSE ends when all is at rest, as PgBouncer's does, or when nobody waits for its end.
    async fn operate(
        &self,
        guest: &Guest,
        operation: Operation,
        scope: &Scope,
    ) -> Result<Vec<String>, String> {
        let mut standing = carry_out(&self.shared, operation, scope).map_err(|no| no.detail)?;
        if !matches!(operation, Operation::Pause) {
            return Ok(Vec::new());
        }
        while !standing.is_at_rest() {
            if guest.has_left.load(Ordering::Relaxed) {
                return Err("paused, and nobody waits until all is at rest".to_owned());
            }
            if !standing.is_paused {
                return Err("it was resumed meanwhile".to_owned());
            }
            tokio::time::sleep(REST_PAUSE).await;
            standing = self.shared.with_pools_quietly(|pools| pools.standing(scope));
        }
        Ok(Vec::new())
    }

    /// Who comes meanwhile waits for a RESUME, as with PgBouncer.
    async fn kill(&self, database: &Arc<str>) -> Result<Vec<String>, String> {
        let scope = Scope::Database(database.clone());
        if !self.shared.with_pools_quietly(|pools| pools.knows(&scope)) {
            return Err(format!("no such database: {database}"));
        }
        carry_out(&self.shared, Operation::Pause, &scope).map_err(|no| no.detail)?;
        for _ in 0..KILL_ROUNDS_MAX {
            let found = self.found(Whom::Clients).await;
            let clients: Vec<ClientId> = found
                .iter()
                .flat_map(|found| &found.clients)
                .filter(|row| row.database == *database)
                .map(|row| row.id)
                .collect();
            let servers = self.all_servers();
            let is_meant = |server: &&ServerView| {
                server.key.database == *database
                    && server.state != tidegate_pool_core::server::State::Closing
            };
            let servers: Vec<u64> =
                servers.iter().filter(is_meant).map(|server| server.id.number()).collect();
            let is_complete = found.iter().all(|found| found.clients.len() == found.total);
            if clients.is_empty() && servers.is_empty() && is_complete {
                break;
            }
            // Whoever has gone meanwhile is gone, which is what was wanted.
            for id in clients {
                let _ = kill_client(&self.shared, id).await;
            }
            for number in servers {
                let what = format!("server {number}");
                let _ = kill_server(&self.shared, &what, |one| one.id.number() == number).await;
            }
        }
        Ok(vec![format!("database {database:?} is paused; RESUME serves it again")])
    }

    async fn kill_client(&self, pid: u32, serial: Option<u32>) -> Result<Vec<String>, String> {
        let id = match serial {
            Some(serial) => ClientId { pid, serial },
            None => {
                let found = self.found(Whom::Clients).await;
                let mut all = found.iter().flat_map(|found| &found.clients);
                let known = all.find(|row| row.id.pid == pid).map(|row| row.id);
                known.ok_or_else(|| format!("no such client: {pid}"))?
            }
        };
        kill_client(&self.shared, id).await.map(|_| Vec::new()).map_err(|no| no.detail)
    }

    async fn reload(&self) -> Result<Vec<String>, String> {
        match self.lifecycle.reloader.clone().reload_aside().await {
            Ok(reloaded) => match reloaded.counts() {
                (_, 0) => Ok(Vec::new()),
                (_, later) => Ok(vec![format!("{later} settings wait for a restart")]),
            },
            Err(ReloadError::Bug) => Err(ReloadError::Bug.to_string()),
            Err(error) => {
                let problems = error.problems();
                let text: Vec<String> = problems.iter().map(ToString::to_string).collect();
                Err(format!("nothing has changed; the settings have errors: {}", text.join("; ")))
            }
        }
    }
}

fn tagged(tag: &str) -> Done {
    Done { tag: tag.to_owned(), ..Done::default() }
}

/// The line in the log that says who has done what.
fn log(guest: &Guest, act: &Act, outcome: &str) {
    let Visitor { user, address, port, application, .. } = &guest.visitor;
    let address = address.map(|address| address.to_string());
    tracing::info!(
        operation = act.tag(),
        subject = act.subject(),
        user = &**user,
        address = address.as_deref().unwrap_or("unix"),
        port = port.as_str(),
        application,
        outcome,
        "an operator has spoken to the console"
    );
}

/// One session.
async fn serve(
    desk: Arc<Desk>,
    id: VisitorId,
    guest: Arc<Guest>,
    mut said: UnboundedReceiver<Vec<u8>>,
) {
    let version = desk.shared.config().console.pgbouncer;
    let release = version.release();
    let mut machine = ConsoleMachine::new(Commands { version, release: release.to_owned() });
    let mut words = Vec::new();
    welcome(release, &mut words);
    desk.shared.tell_visitor(id, words, Then::Listen);
    while let Some(bytes) = said.recv().await {
        machine.receive(&bytes);
        let mut words = Vec::new();
        let mut step = machine.step(&mut words);
        let then = loop {
            let command = match step {
                Step::More => break Then::Listen,
                Step::Goodbye | Step::Broken => break Then::Close,
                Step::Run(command) => command,
            };
            if guest.has_left.load(Ordering::Relaxed) {
                return;
            }
            if words.len() > ANSWER_BYTES {
                desk.shared.tell_visitor(id, std::mem::take(&mut words), Then::Wait);
            }
            let answer = desk.answer(&guest, version, command).await;
            step = match machine.answered(answer, &mut words) {
                Some(step) => step,
                None => machine.step(&mut words),
            };
        };
        desk.shared.tell_visitor(id, words, then);
        if then == Then::Close {
            break;
        }
    }
}

const HELP: &str = "
\tSHOW HELP|CONFIG|DATABASES|POOLS|CLIENTS|SERVERS|USERS|VERSION
\tSHOW PEERS|PEER_POOLS
\tSHOW SOCKETS|ACTIVE_SOCKETS|LISTS|MEM|STATE
\tSHOW DNS_HOSTS|DNS_ZONES
\tSHOW STATS|STATS_TOTALS|STATS_AVERAGES|TOTALS
\tSHOW TIDEGATE BUDGET|HOLDERS|PINS|VERDICT
\tRELOAD
\tPAUSE [<db>]
\tRESUME [<db>]
\tRECONNECT [<db>]
\tKILL <db>
\tKILL_CLIENT <client>
\tSHUTDOWN [WAIT_FOR_SERVERS|WAIT_FOR_CLIENTS]";
