use std::fs;
use std::path::Path;

use tidegate_wire::catalogue::Complaint;
use tidegate_wire::catalogue::pages::Place;

use super::*;

/// The best match, and the values that it has from the text.
fn best(text: &str) -> (String, Vec<(&'static str, String)>) {
    let answer = explain(text);
    let best = answer.matches.first().unwrap_or_else(|| panic!("nothing is known of {text}"));
    let values = best.values.iter().map(|value| (value.name, value.value.clone())).collect();
    (best.id.clone(), values)
}

#[track_caller]
fn check(text: &str, id: &str, values: &[(&'static str, &str)]) {
    let (found, found_values) = best(text);
    let values: Vec<_> = values.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    assert_eq!((found.as_str(), found_values), (id, values), "{text}");
}

const SQLALCHEMY: &str = "Traceback (most recent call last):
  File \"/app/main.py\", line 41, in read
    rows = await session.execute(select(Item))
  File \"/venv/lib/python3.11/site-packages/sqlalchemy/pool/impl.py\", line 165, in _do_get
    raise exc.TimeoutError(
sqlalchemy.exc.TimeoutError: QueuePool limit of size 5 overflow 10 reached, connection timed out, timeout 30.00 (Background on this error at: https://sqlalche.me/e/21/3o7r)";

#[test]
fn texts_of_pools_are_known_with_their_numbers() {
    check(
        SQLALCHEMY,
        "sqlalchemy-queue-pool",
        &[("size", "5"), ("overflow", "10"), ("timeout", "30.00"), ("total", "15")],
    );
    check(
        "psycopg_pool.PoolTimeout: couldn't get a connection after 30.00 sec",
        "psycopg-pool-timeout",
        &[("timeout", "30.00")],
    );
    check(
        "Invalid `prisma.user.findMany()` invocation:\n\n\nTimed out fetching a new connection from the connection pool. More info: http://pris.ly/d/connection-pool (Current connection pool timeout: 10, connection limit: 5)",
        "prisma-pool",
        &[("timeout", "10"), ("limit", "5")],
    );
    check(
        "java.sql.SQLTransientConnectionException: HikariPool-1 - Connection is not available, request timed out after 30001ms (total=10, active=10, idle=0, waiting=7)",
        "hikari-pool",
        &[("timeout", "30001"), ("total", "10"), ("active", "10"), ("idle", "0"), ("waiting", "7")],
    );
    check(
        "{\"message\":\"timeout exceeded when trying to connect\",\"stack\":\"Error\\n at\"}",
        "node-postgres-pool",
        &[],
    );
    check(
        "KnexTimeoutError: Knex: Timeout acquiring a connection. The pool is probably full. Are you missing a .transacting(trx) call?",
        "application-pool",
        &[],
    );
    check(
        "Npgsql.NpgsqlException (0x80004005): The connection pool has been exhausted, either raise 'Max Pool Size' (currently 100) or 'Timeout' (currently 15 seconds) in your connection string.",
        "application-pool",
        &[("size", "100"), ("timeout", "15")],
    );
    check(
        "ActiveRecord::ConnectionTimeoutError: could not obtain a connection from the pool within 5.000 seconds (waited 5.001 seconds); all pooled connections were in use",
        "application-pool",
        &[("timeout", "5.000"), ("waited", "5.001")],
    );
    check(
        "** (DBConnection.ConnectionError) connection not available and request was dropped from queue after 2483ms. This means",
        "application-pool",
        &[("waited", "2483")],
    );
    check("Error: pool timed out while waiting for an open connection", "application-pool", &[]);
}

#[test]
fn numbers_of_a_text_are_used_in_the_answer() {
    let answer = explain(SQLALCHEMY);
    let best = &answer.matches[0];
    assert!(
        best.means.starts_with(
            "All 15 connections that one process may have (pool_size 5 + max_overflow 10)"
        ),
        "{}",
        best.means
    );
    assert!(
        best.change.iter().any(|step| step.contains("up to 60 connections")),
        "{:?}",
        best.change
    );
    assert!(
        !format!("{best:?}")
            .contains(['{', '}'].map(|c| format!("pool_size {c}")).join("").as_str())
    );
    assert_eq!(best.layer, Layer::ApplicationPool);
    // Without numbers there are words.
    let answer = explain("EMAXCONNSESSION");
    assert!(
        answer.matches[0].means.contains("and pool_size clients have them all"),
        "{:?}",
        answer.matches[0]
    );
}

#[test]
fn texts_of_poolers_are_known_with_their_numbers() {
    check(
        "FATAL:  MaxClientsInSessionMode: max clients reached - in Session mode max clients are limited to pool_size",
        "supavisor-session-full",
        &[],
    );
    check(
        "(EMAXCONNSESSION) max clients reached in session mode - max clients are limited to pool_size: 15",
        "supavisor-session-full",
        &[("pool_size", "15")],
    );
    check(
        "FATAL: (EMAXCONN) max client connections reached, limit: 200",
        "supavisor-clients",
        &[("limit", "200")],
    );
    check(
        "FATAL: (ECHECKOUTTIMEOUT) unable to check out connection from the pool after 15000ms in Session mode",
        "supavisor-checkout",
        &[("waited", "15000"), ("mode", "Session")],
    );
    check("FATAL:  Tenant or user not found", "supavisor-tenant", &[]);
    check(
        "psycopg2.OperationalError: FATAL:  no more connections allowed (max_client_conn)",
        "pgbouncer-clients",
        &[],
    );
    check("ERROR: query_wait_timeout", "pgbouncer-wait", &[]);
    check(
        "unsupported startup parameter: extra_float_digits",
        "pgbouncer-startup-parameter",
        &[("parameter", "extra_float_digits")],
    );
    check(
        "server login has been failing, cached error: connect failed (server_login_retry)",
        "pgbouncer-login-failing",
        &[("cause", "connect failed")],
    );
    check("Timed-out waiting to acquire database connection", "pooler-busy", &[]);
    check(
        "too many active clients for user (pool_size for user app.app reached 10)",
        "pooler-busy",
        &[("user", "app.app"), ("pool_size", "10")],
    );
}

#[test]
fn texts_of_postgresql_and_of_drivers_are_known() {
    check("FATAL:  sorry, too many clients already", "postgres-full", &[]);
    check(
        "remaining connection slots are reserved for roles with privileges of the \"rds_reserved\" role",
        "postgres-full",
        &[("role", "rds_reserved")],
    );
    check(
        "FATAL: remaining connection slots are reserved for non-replication superuser connections",
        "postgres-full",
        &[],
    );
    check("too many connections for role \"app\"", "postgres-role-limit", &[("role", "app")]);
    check(
        "asyncpg.exceptions.DuplicatePreparedStatementError: prepared statement \"__asyncpg_stmt_1__\" already exists",
        "postgres-prepared",
        &[("name", "__asyncpg_stmt_1__")],
    );
    check(
        "connection to server at \"127.0.0.1\", port 6544 failed: Connection refused",
        "driver-refused",
        &[("host", "127.0.0.1"), ("port", "6544")],
    );
    check(
        "connection to server at \"db\" (10.0.0.7), port 6544 failed: Connection refused",
        "driver-refused",
        &[("host", "db"), ("port", "6544")],
    );
    check(
        "Error: connect ECONNREFUSED 127.0.0.1:6544",
        "driver-refused",
        &[("address", "127.0.0.1:6544")],
    );
    check("getaddrinfo ENOTFOUND db.example.com", "driver-no-host", &[("host", "db.example.com")]);
    check(
        "server closed the connection unexpectedly\n\tThis probably means the server terminated abnormally",
        "driver-lost",
        &[],
    );
}

#[test]
fn what_lies_deeper_comes_first_and_the_rest_is_named() {
    let text = "java.sql.SQLTransientConnectionException: HikariPool-1 - Connection is not available, request timed out after 30000ms.\nCaused by: org.postgresql.util.PSQLException: FATAL: sorry, too many clients already";
    let ids: Vec<_> = explain(text).matches.into_iter().map(|found| found.id).collect();
    assert_eq!(ids, ["postgres-full", "hikari-pool"]);
    let text = "server login has been failing, cached error: password authentication failed for user \"app\" (server_login_retry)";
    let ids: Vec<_> = explain(text).matches.into_iter().map(|found| found.id).collect();
    assert_eq!(ids, ["postgres-wrong-password", "TG006", "pgbouncer-login-failing"]);
    // What only came of something stands behind its cause, however deep it lies.
    let text = "connection was closed in the middle of operation\nKnex: Timeout acquiring a connection. The pool is probably full";
    assert_eq!(best(text).0, "application-pool");
}

#[test]
fn every_error_of_the_gate_is_known_by_its_code_and_by_its_words() {
    for entry in CATALOGUE {
        let code = entry.code.as_str();
        for text in [code.to_owned(), code.to_lowercase(), format!("HINT: Do so. ({code})")] {
            assert_eq!(best(&text).0, code, "{text}");
        }
    }
    let complaint = Complaint::pool_timeout(std::time::Duration::from_secs(30), 14, 15, 37, &[]);
    let (detail, hint) = (complaint.detail.clone().unwrap(), complaint.hint.clone().unwrap());
    let numbers =
        [("waited_seconds", "30"), ("leased", "14"), ("slots_max", "15"), ("waiting", "37")];
    let whole = format!("ERROR: {complaint}\nDETAIL: {detail}\nHINT: {hint}");
    let of = |text: &str| {
        let answer = explain(text);
        let found = answer.matches.into_iter().find(|found| found.id == "TG001").unwrap();
        found.values.into_iter().map(|value| (value.name, value.value)).collect::<Vec<_>>()
    };
    for (name, value) in numbers {
        assert!(of(&whole).contains(&(name, value.to_owned())), "{name}: {:?}", of(&whole));
    }
    // Some drivers keep only the message.
    assert_eq!(best(&format!("error: {complaint}")).0, "TG001");
    let full = Complaint::budget_full("main", 12, 3, 15, 3);
    let text = format!("{full}\nDETAIL: {}", full.detail.clone().unwrap());
    assert_eq!(best(&text).0, "TG004");
    for (name, value) in [("foreign", "12"), ("usable", "3"), ("connections_max", "15")] {
        let found = explain(&text).matches.remove(0);
        assert!(found.values.contains(&Value { name, value: value.to_owned() }), "{name}");
    }
}

#[test]
fn a_code_says_whose_words_they_are() {
    let words = "terminating connection due to idle-in-transaction timeout";
    let ids =
        |text: &str| explain(text).matches.into_iter().map(|found| found.id).collect::<Vec<_>>();
    assert_eq!(ids(words), ["postgres-idle-in-transaction", "TG016"]);
    assert_eq!(ids(&format!("FATAL: {words}\nHINT: End. (TG016)")), ["TG016"]);
}

#[test]
fn sqlstates_are_known_where_they_are_meant() {
    for text in [
        "53300",
        "SQLSTATE 53300",
        "SQLSTATE: 53300",
        "code: '53300'",
        "ERROR:  53300: x",
        "(SQLSTATE=53300)",
        "pgcode=53300",
    ] {
        assert_eq!(best(text).0, "53300", "{text}");
    }
    assert!(explain("took 53300 ms").matches.is_empty());
    assert!(explain("53300").matches[0].means.contains("TG001"));
    // Words say more.
    assert_eq!(best("SQLSTATE 53300: sorry, too many clients already").0, "postgres-full");
    assert_eq!(explain("SQLSTATE 53300: sorry, too many clients already").matches.len(), 1);
    assert!(sqlstates::STATES.is_sorted_by(|a, b| a.code < b.code));
    // What the gate sends can be asked for.
    for entry in CATALOGUE.iter().filter(|entry| entry.sqlstate.as_str() != "01000") {
        assert_eq!(best(entry.sqlstate.as_str()).0, entry.sqlstate.as_str());
    }
}

#[test]
fn what_is_not_known_is_not_guessed() {
    for text in ["", "hello", "KeyError: 'x'", "TG999", "relation \"t\" does not exist", "{\u{0}}"]
    {
        assert!(explain(text).matches.is_empty(), "{text}");
    }
}

#[test]
fn of_a_long_text_the_end_is_looked_at() {
    let text = format!("{}é TG001", "é ".repeat(TEXT_BYTES_MAX));
    assert_eq!(best(&text).0, "TG001");
}

#[test]
fn the_table_is_whole() {
    let mut ids = std::collections::BTreeSet::new();
    for known in known::all() {
        assert!(ids.insert(known.id), "{}", known.id);
        assert!(!known.texts.is_empty() && !known.see.is_empty(), "{}", known.id);
        assert!(!known.now.is_empty() && !known.change.is_empty(), "{}", known.id);
        for said in known.texts {
            assert!(!said.source.is_empty(), "{}", said.template);
            // Each is found as it stands, with its gaps filled.
            let sample = sample(said.template);
            let answer = explain(&sample);
            assert!(answer.matches.iter().any(|found| found.id == known.id), "{sample}");
            let found = answer.matches.iter().find(|found| found.id == known.id).unwrap();
            let texts = found.now.iter().chain(&found.change).chain([&found.means]);
            assert!(
                texts
                    .into_iter()
                    .all(|text| !text.contains(['…', '|']) || text.contains("ALTER ROLE …")),
                "{found:?}"
            );
        }
    }
}

/// The template with something in its gaps.
fn sample(template: &str) -> String {
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (gap, after) = after.split_once('}').unwrap();
        text.push_str(before);
        text.push_str(if gap.starts_with('#') { "7" } else { "x" });
        rest = after;
    }
    text + rest
}

#[test]
fn numbers_are_looked_for_where_the_catalogue_has_them() {
    for entry in CATALOGUE {
        for template in details(entry.code) {
            let literal = |text: &str| {
                let parts =
                    text.split('{').map(|part| part.split_once('}').map_or(part, |(_, rest)| rest));
                parts.collect::<String>().replace(" s", "")
            };
            let wanted = literal(template);
            let texts = format!("{} {}", literal(entry.message), literal(entry.detail));
            assert!(texts.contains(wanted.trim()), "{template}: {texts}");
        }
    }
}

fn places() -> impl Iterator<Item = Place> {
    let pages = CATALOGUE.iter().flat_map(|entry| entry.code.page().evidence);
    pages.chain(known::all().flat_map(|known| known.see)).map(|sign| sign.place)
}

/// Everything that the sources of a crate say.
fn sources(of: &str, text: &mut String) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(of).join("src");
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the sources are there") {
            let path = entry.expect("it can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                text.push_str(&fs::read_to_string(&path).expect("it is text"));
            }
        }
    }
}

#[test]
fn lines_of_the_log_that_pages_name_are_in_the_sources() {
    let mut text = String::new();
    for name in ["tidegate", "tidegate-control", "tidegate-proxy"] {
        sources(name, &mut text);
    }
    let lines = places().filter_map(|place| match place {
        Place::Log(line) => Some(line),
        _ => None,
    });
    let mut seen = 0;
    for line in lines {
        assert!(text.contains(&format!("\"{line}\"")), "{line}");
        seen += 1;
    }
    assert!(seen > 20);
}

#[test]
fn metrics_that_pages_name_are_on_the_page_for_scrapers() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/openmetrics.rs"))
        .expect("it is there");
    // Words of labels are the enums' own, or stand where the sample is made.
    let mut words = page.clone();
    for name in ["tidegate-observe", "tidegate-pool-core"] {
        sources(name, &mut words);
    }
    let mut seen = 0;
    for place in places() {
        let Place::Metric(metric) = place else { continue };
        let (name, labels) = metric.split_once('{').unwrap_or((metric, "}"));
        let family = name.strip_suffix("_total").unwrap_or(name);
        let declared = page.contains(&format!("\"{family}\", Counter")) == name.ends_with("_total");
        assert!(page.contains(&format!("\"{family}\"")) && declared, "{metric}");
        for label in labels.trim_end_matches('}').split(',').filter(|label| !label.is_empty()) {
            let (key, value) = label.split_once('=').expect("a label has a value");
            assert!(page.contains(&format!("(\"{key}\", ")), "{metric}");
            let value = value.trim_matches('"');
            let is_known = words.contains(&format!("=> \"{value}\""))
                || words.contains(&format!("(\"{value}\", "));
            assert!(is_known, "{metric}");
        }
        seen += 1;
    }
    assert!(seen > 40);
}
