//! What `tidegate status` prints: is it well, who waits, how full is the budget.
//!
//! The first line is a verdict in one word with its cause, and [`verdict`] is where it is made.
//! Below it the numbers, at most 100 columns wide. Names come from clients, so what could steer
//! a terminal is shown and not sent.

use std::collections::BTreeMap;
use std::fmt;

use crate::ledger::{Origin, Others};
use crate::snapshot::{Memory, Pool, PoolPort, Snapshot};

/// How the gate is, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// The upstream can't be reached, or does not let us in.
    Down,
    /// The gate shuts down.
    Draining,
    /// Nobody has asked the server for its limits yet, so no server may be opened.
    Starting,
    /// An operator has paused all pools or some.
    Paused,
    /// There is no memory left for more clients.
    Short,
    /// Clients wait for a server.
    Waiting,
    /// Nobody waits.
    Well,
}

impl Verdict {
    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Draining => "draining",
            Self::Starting => "starting",
            Self::Paused => "paused",
            Self::Short => "short",
            Self::Waiting => "waiting",
            Self::Well => "well",
        }
    }

    /// Whether nobody needs to do anything.
    pub const fn is_well(self) -> bool {
        matches!(self, Self::Well)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How the gate is, and the cause in a sentence.
pub fn verdict(snapshot: &Snapshot) -> (Verdict, String) {
    let Snapshot { budget, upstream, .. } = snapshot;
    let waiting: u32 = ports(snapshot).map(|(_, port)| port.waiting).sum();
    let oldest = ports(snapshot).map(|(_, port)| port.oldest_wait_seconds).fold(0.0, f64::max);
    let queue = || {
        let verb = if waiting == 1 { "waits" } else { "wait" };
        format!("{} {verb} for a server, the first for {}", clients(waiting), seconds(oldest))
    };
    if snapshot.draining {
        return (Verdict::Draining, format!("{} left", clients(snapshot.clients)));
    }
    if let Some(failure) = &upstream.last_failure {
        let mut cause = format!("the upstream: {}", printable(&failure.cause));
        if waiting > 0 {
            cause.push_str(&format!("; {}", queue()));
        }
        return (Verdict::Down, cause);
    }
    if budget.binding == "unasked" {
        let cause = "the server has not been asked for its limits yet".to_owned();
        return (Verdict::Starting, cause);
    }
    if let Some(paused) = paused(snapshot) {
        let mut cause = format!("{paused}, by an operator");
        if waiting > 0 {
            cause.push_str(&format!("; {}", queue()));
        }
        return (Verdict::Paused, cause);
    }
    if snapshot.memory.short {
        let cause = format!("new clients are refused: {}", memory(snapshot));
        return (Verdict::Short, cause);
    }
    let use_ = format!("{} of {} connections are in use", budget.used, budget.usable);
    match waiting {
        0 => (Verdict::Well, format!("nobody waits; {use_}")),
        _ => (Verdict::Waiting, format!("{}; {use_}", queue())),
    }
}

/// The whole report. `colour` is for terminals.
pub fn status(snapshot: &Snapshot, colour: bool) -> String {
    let mut lines = Vec::new();
    let (verdict, cause) = verdict(snapshot);
    lines.push(format!("{}  {cause}", painted(verdict, colour)));
    lines.push(String::new());
    lines.push(format!("budget    {}", budget(snapshot)));
    lines.push(format!("upstream  {}", upstream(snapshot)));
    if let Some(others) = others(snapshot) {
        lines.push(format!("others    {others}"));
    }
    if let Some(failure) = failure(snapshot) {
        lines.push(format!("failure   {failure}"));
    }
    lines.push(format!(
        "clients   {} of at most {}; up for {}, version {}",
        snapshot.clients,
        snapshot.clients_max,
        long(snapshot.uptime_seconds),
        printable(&snapshot.version)
    ));
    if let Some(paused) = paused(snapshot) {
        lines.push(format!("paused    {paused}"));
    }
    let Memory { buffers_bytes, statements_bytes, bytes_max, .. } = snapshot.memory;
    if buffers_bytes + statements_bytes > bytes_max / 2 {
        lines.push(format!("memory    {}", memory(snapshot)));
    }
    if let Some(rejected) = rejected(snapshot) {
        lines.push(format!("rejected  {rejected}"));
    }
    if let Some(failed) = failed(snapshot) {
        lines.push(format!("failed    {failed}"));
    }
    if let Some(pinned) = pinned(snapshot) {
        lines.push(format!("pinned    {pinned}"));
    }
    lines.push(String::new());
    lines.extend(pools(snapshot));
    lines.join("\n") + "\n"
}

fn painted(verdict: Verdict, colour: bool) -> String {
    let word = verdict.as_str().to_uppercase();
    if !colour {
        return word;
    }
    let paint = match verdict {
        Verdict::Well => 32,
        Verdict::Draining
        | Verdict::Starting
        | Verdict::Paused
        | Verdict::Short
        | Verdict::Waiting => 33,
        Verdict::Down => 31,
    };
    format!("\x1b[1;{paint}m{word}\x1b[0m")
}

fn budget(snapshot: &Snapshot) -> String {
    let budget = &snapshot.budget;
    let plan = printable(&snapshot.plan.name);
    let binds = match budget.binding.as_str() {
        "plan" => format!("bound by the plan {plan}{}", of(snapshot.plan.connections_max)),
        "connections" => format!("bound by upstream.connections{}", of(budget.connections)),
        "server" => {
            let limit = snapshot.upstream.limits.map(|limits| limits.max_connections);
            format!("bound by the server's max_connections{}", of(limit))
        }
        "unasked" => "the server has not been asked yet".to_owned(),
        _ => "no limit is known, so a small one holds".to_owned(),
    };
    let foreign = match budget.foreign {
        Some(foreign) => format!("{foreign} held by others"),
        None => "others' are not counted".to_owned(),
    };
    format!("{} of {} in use; {binds}; {foreign}", budget.used, budget.usable)
}

fn of(limit: Option<u32>) -> String {
    limit.map_or_else(String::new, |limit| format!(" ({limit})"))
}

fn upstream(snapshot: &Snapshot) -> String {
    let upstream = &snapshot.upstream;
    let mut text = printable(&upstream.name);
    match upstream.kind.as_str() {
        "pooler" => text.push_str(", a pooler"),
        "direct" => text.push_str(", PostgreSQL itself"),
        _ => {}
    }
    text
}

/// The attempts to connect that failed and that no success has made good.
/// Whose the connections are that do not pass through the gate, those with most first.
fn others(snapshot: &Snapshot) -> Option<String> {
    /// What a line has room for behind the word in front.
    const CHARS_MAX: usize = 90;
    let all = snapshot.backends.as_ref().filter(|all| !all.others.is_empty())?;
    let outside = all.counts.iter().filter(|count| count.origin != Origin::Own);
    let total: u32 = outside.map(|count| count.count).sum();
    let unseen = if all.privileged { "" } else { " (states can't be seen)" };
    let mut line = format!("{total} past the gate{unseen}: ");
    for (place, others) in all.others.iter().enumerate() {
        let Others { user, application, count, .. } = others;
        let user = if user.is_empty() { "?".to_owned() } else { printable(user) };
        let name = match application.as_str() {
            "" => user,
            application => format!("{user}/{}", printable(application)),
        };
        let comma = if place == 0 { "" } else { ", " };
        let next = format!("{comma}{count} {name}");
        if line.chars().count() + next.chars().count() > CHARS_MAX - 3 {
            line.push_str(&format!("{comma}…"));
            break;
        }
        line.push_str(&next);
    }
    Some(line)
}

fn failure(snapshot: &Snapshot) -> Option<String> {
    let upstream = &snapshot.upstream;
    let failure = upstream.last_failure.as_ref()?;
    let attempts = match upstream.failures {
        1 => "1 attempt failed".to_owned(),
        failures => format!("{failures} attempts failed in a row"),
    };
    let sqlstate = failure.sqlstate.as_deref();
    let sqlstate = sqlstate.map_or_else(String::new, |state| format!(", SQLSTATE {state}"));
    let how = printable(&format!("{}{sqlstate}", failure.kind));
    Some(format!("{attempts}, last: {} ({how})", printable(&failure.cause)))
}

/// What hands out nothing because an operator wants it so.
fn paused(snapshot: &Snapshot) -> Option<String> {
    let paused = &snapshot.paused;
    if paused.all {
        return Some("everything".to_owned());
    }
    let names: Vec<_> = paused.databases.iter().map(|name| printable(name)).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

fn memory(snapshot: &Snapshot) -> String {
    let Memory { buffers_bytes, statements_bytes, bytes_max, .. } = snapshot.memory;
    let used = megabytes(buffers_bytes + statements_bytes);
    let (statements, max) = (megabytes(statements_bytes), megabytes(bytes_max));
    format!("{used} of {max} are used for clients, {statements} of it for statements")
}

/// A number of bytes, for people: the MB of PostgreSQL's settings.
pub fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / f64::from(1 << 20))
}

fn rejected(snapshot: &Snapshot) -> Option<String> {
    let mut reasons = Vec::new();
    for port in &snapshot.listeners {
        for (reason, count) in port.rejected.iter().filter(|(_, count)| **count > 0) {
            let (reason, port) = (printable(reason), printable(&port.listener));
            reasons.push(format!("{count} {reason} ({port} port)"));
        }
    }
    (!reasons.is_empty()).then(|| reasons.join(", "))
}

/// A login that PostgreSQL refuses for good stops one pool and not the gate, so it is told here.
fn failed(snapshot: &Snapshot) -> Option<String> {
    let mut kinds = Vec::new();
    for pool in &snapshot.pools {
        for (kind, count) in pool.connect_errors.iter().filter(|(_, count)| **count > 0) {
            kinds.push(format!("{count} {} ({})", printable(kind), name(pool)));
        }
    }
    (!kinds.is_empty()).then(|| format!("attempts to open a server: {}", kinds.join(", ")))
}

/// Who keeps a server past its transactions, and for what clients have since the gate started.
fn pinned(snapshot: &Snapshot) -> Option<String> {
    let mut pools = Vec::new();
    for pool in &snapshot.pools {
        if pool.pinned > 0 || pool.pins_refused > 0 {
            let mut words = format!("{} of {} ({})", pool.pinned, pool.pins_max, name(pool));
            if pool.pins_refused > 0 {
                words.push_str(&format!(", {} refused", pool.pins_refused));
            }
            pools.push(words);
        }
    }
    if pools.is_empty() {
        return None;
    }
    let mut reasons = BTreeMap::<&str, u64>::new();
    for (reason, count) in ports(snapshot).flat_map(|(_, port)| &port.pins) {
        *reasons.entry(reason).or_default() += *count;
    }
    let reasons = reasons.into_iter().filter(|(_, count)| *count > 0);
    let reasons: Vec<_> = reasons.map(|(reason, count)| format!("{count} {reason}")).collect();
    Some(format!("{}; since the start: {}", pools.join(", "), printable(&reasons.join(", "))))
}

/// One line for each pool and port that has clients or work; the port's own servers are its
/// active ones, the rest are both ports'.
fn pools(snapshot: &Snapshot) -> Vec<String> {
    if snapshot.pools.is_empty() {
        return vec!["no pools: no client has logged in yet".to_owned()];
    }
    let mut rows = vec![
        ["pool", "port", "clients", "active", "waiting", "oldest wait", "servers"]
            .map(str::to_owned),
    ];
    for pool in &snapshot.pools {
        let mut name_once = name(pool);
        let mut servers = servers(pool);
        for port in &pool.ports {
            let wait =
                if port.waiting > 0 { seconds(port.oldest_wait_seconds) } else { "-".into() };
            rows.push([
                std::mem::take(&mut name_once),
                printable(&port.listener),
                port.clients.to_string(),
                port.active.to_string(),
                port.waiting.to_string(),
                wait,
                std::mem::take(&mut servers),
            ]);
        }
    }
    aligned(&rows)
}

/// `3 of 2+1: 1 idle, 2 active`: what there is, of pool_size + max_overflow.
fn servers(pool: &Pool) -> String {
    let states = &pool.servers;
    let active: u32 = pool.ports.iter().map(|port| port.active).sum();
    let named = [
        ("active", active),
        ("idle", states.idle),
        ("dialing", states.dialing),
        ("resetting", states.resetting),
        ("checking", states.checking),
        ("closing", states.closing),
    ];
    let named: Vec<String> = named
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(state, count)| format!("{count} {state}"))
        .collect();
    let total = format!("{} of {}+{}", pool.servers_total(), pool.pool_size, pool.max_overflow);
    if named.is_empty() { total } else { format!("{total}: {}", named.join(", ")) }
}

/// Text to the left, numbers to the right.
fn aligned<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..N).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            let is_text = column < 2 || column == N - 1;
            if is_text { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

fn ports(snapshot: &Snapshot) -> impl Iterator<Item = (&Pool, &PoolPort)> {
    snapshot.pools.iter().flat_map(|pool| pool.ports.iter().map(move |port| (pool, port)))
}

fn clients(count: u32) -> String {
    if count == 1 { "1 client".to_owned() } else { format!("{count} clients") }
}

/// A wait: `12 ms`, `2.5 s`, `1 m 05 s`.
pub fn seconds(seconds: f64) -> String {
    if seconds < 1.0 {
        format!("{:.0} ms", seconds * 1000.0)
    } else if seconds < 60.0 {
        format!("{seconds:.1} s")
    } else {
        long(seconds)
    }
}

/// A long time in its two largest units.
fn long(seconds: f64) -> String {
    let whole = seconds as u64; // Saturates; a fraction is of no interest here.
    let (days, hours, minutes) = (whole / 86_400, whole / 3600 % 24, whole / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{whole} s"),
        (0, 0, minutes) => format!("{minutes} m {:02} s", whole % 60),
        (0, hours, minutes) => format!("{hours} h {minutes:02} m"),
        (days, hours, _) => format!("{days} d {hours:02} h"),
    }
}

/// The longest name that is shown whole: with it a line of usual numbers has 100 columns.
const NAME_CHARS_MAX: usize = 28;

fn name(pool: &Pool) -> String {
    let name = printable(&format!("{}/{}", pool.database, pool.user));
    if name.chars().count() <= NAME_CHARS_MAX {
        return name;
    }
    name.chars().take(NAME_CHARS_MAX - 1).chain(['…']).collect()
}

/// The text with what steers a terminal or changes the direction of writing shown as `\u{…}`.
pub fn printable(text: &str) -> String {
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::front::Front;
    use crate::snapshot::tests as given;
    use tidegate_pool_core::retry::FailureKind;
    use tidegate_pool_core::server::Port;

    fn columns_max(report: &str) -> usize {
        report.lines().map(|line| line.chars().count()).max().unwrap_or(0)
    }

    #[test]
    fn a_gate_with_waiting_clients_says_who_waits_and_what_is_full() {
        let report = status(&given::busy(), false);
        assert!(columns_max(&report) <= 100);
        insta::assert_snapshot!(report);
    }

    #[test]
    fn who_keeps_a_server_is_counted_with_the_reasons() {
        let mut snapshot = given::busy();
        assert_eq!(pinned(&snapshot), None);
        snapshot.pools[0].pinned = 2;
        snapshot.pools[0].pins_max = 2;
        snapshot.pools[0].pins_refused = 7;
        let line = pinned(&snapshot).expect("two are pinned");
        assert_eq!(line, "2 of 2 (shop/app), 7 refused; since the start: 2 listen");
        assert!(status(&snapshot, false).contains(&format!("pinned    {line}\n")));
    }

    #[test]
    fn a_gate_at_rest_is_well() {
        let mut pools = given::asked(4);
        let app = given::key("app", "app");
        pools.join(&app, Port::Session, || given::settings(5));
        let front = Front::default();
        let snapshot = given::snapshot_with(&mut pools, &front, &[], given::at(7_265_000));
        assert_eq!(verdict(&snapshot).0, Verdict::Well);
        insta::assert_snapshot!(status(&snapshot, false));
    }

    #[test]
    fn an_upstream_that_cannot_be_reached_is_named_with_its_cause() {
        let mut pools = given::asked(0);
        let app = given::key("app", "app");
        given::checkout(&mut pools, &app, Port::Transaction, 1, given::at(1000));
        for second in [1, 5, 9] {
            let now = given::at(second * 1000);
            pools.tick(now);
            given::fail_dials(&mut pools, FailureKind::Transient, "connection refused", now);
        }
        let front = Front::default();
        let snapshot = given::snapshot_with(&mut pools, &front, &[], given::at(12_000));
        assert_eq!(verdict(&snapshot).0, Verdict::Down);
        let report = status(&snapshot, false);
        assert!(columns_max(&report) <= 100);
        insta::assert_snapshot!(report);
    }

    #[test]
    fn before_the_first_census_the_gate_is_starting_and_in_the_end_draining() {
        let front = Front::default();
        let mut pools = given::unasked();
        let snapshot = given::snapshot_with(&mut pools, &front, &[], given::at(1));
        insta::assert_snapshot!(status(&snapshot, false));
        pools.drain(given::at(2));
        let snapshot = given::snapshot_with(&mut pools, &front, &[], given::at(3));
        let (verdict, cause) = verdict(&snapshot);
        assert_eq!((verdict, cause.as_str()), (Verdict::Draining, "6 clients left"));
    }

    #[test]
    fn a_gate_with_something_paused_is_not_well() {
        let mut snapshot = given::busy();
        snapshot.paused.databases = vec!["shop".to_owned()];
        let report = status(&snapshot, false);
        assert!(report.starts_with("PAUSED  shop, by an operator; "), "{report}");
        snapshot.paused.all = true;
        let report = status(&snapshot, false);
        assert!(report.starts_with("PAUSED  everything, by an operator; "), "{report}");
        assert!(report.contains(" for a server, the first for "), "{report}");
    }

    #[test]
    fn a_gate_without_memory_for_more_clients_says_what_takes_it() {
        let mut pools = given::asked(4);
        let front = Front::default();
        let mut snapshot = given::snapshot_with(&mut pools, &front, &[], given::at(0));
        let mib = 1 << 20;
        let (buffers_bytes, statements_bytes, bytes_max) = (37 * mib, 2 * mib, 64 * mib);
        snapshot.memory = Memory { buffers_bytes, statements_bytes, bytes_max, short: false };
        let line =
            "memory    39.0 MB of 64.0 MB are used for clients, 2.0 MB of it for statements\n";
        assert!(status(&snapshot, false).contains(line));
        assert_eq!(verdict(&snapshot).0, Verdict::Well);
        snapshot.memory.buffers_bytes = 60 * mib;
        snapshot.memory.short = true;
        let (verdict, cause) = verdict(&snapshot);
        assert_eq!(verdict, Verdict::Short);
        assert!(cause.starts_with("new clients are refused: 62.0 MB of 64.0 MB"), "{cause}");
    }

    #[test]
    fn colour_changes_nothing_but_the_verdict() {
        let plain = status(&given::busy(), false);
        let painted = status(&given::busy(), true);
        assert!(!plain.contains('\x1b'));
        assert_eq!(painted.replace("\x1b[1;33m", "").replace("\x1b[0m", ""), plain);
        assert_ne!(painted, plain);
    }

    #[test]
    fn names_cannot_steer_the_terminal_or_break_the_table() {
        let mut snapshot = given::busy();
        snapshot.pools[0].database = "\x1b[2J\u{202e}\n".to_owned() + &"x".repeat(300);
        let report = status(&snapshot, false);
        assert!(!report.contains(['\x1b', '\u{202e}']));
        assert!(columns_max(&report) <= 100, "{report}");
    }

    #[test]
    fn times_are_said_in_units_that_fit() {
        for (given, said) in [
            (0.0, "0 ms"),
            (0.0124, "12 ms"),
            (2.54, "2.5 s"),
            (65.0, "1 m 05 s"),
            (7265.0, "2 h 01 m"),
            (90_000.0, "1 d 01 h"),
        ] {
            assert_eq!(seconds(given), said);
        }
    }
}
