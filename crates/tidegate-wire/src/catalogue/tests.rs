use super::pages::Place;
use super::reference::documents;
use super::*;
use crate::backend::{Message, Tag};

fn one_of_each() -> Vec<Complaint> {
    let holders = [("api", 12_500), ("", 7_000), ("worker", 5_000), ("fourth", 1_000)].map(
        |(application, held_ms)| Holder {
            application: application.to_owned(),
            address: "10.0.0.7".to_owned(),
            held: Duration::from_millis(held_ms),
            state: "idle in transaction",
        },
    );
    let s = Duration::from_secs;
    vec![
        Complaint::pool_timeout(s(30), 15, 15, 4, &holders),
        Complaint::upstream_unreachable("main", 3, "connection refused"),
        Complaint::upstream_refused(
            "main",
            SqlState::INVALID_CATALOG_NAME,
            "database \"orders\" does not exist",
        ),
        Complaint::budget_full("main", 12, 3, 15, 3),
        Complaint::client_limit(10_000),
        Complaint::login_failed(b"app"),
        Complaint::startup_packet("invalid length of startup packet"),
        Complaint::protocol_version(
            "unsupported frontend protocol 2.0: server supports 3.0 to 3.2",
        ),
        Complaint::login_timeout(s(15)),
        Complaint::replication_refused(),
        Complaint::client_protocol_violation("a Query inside a login"),
        Complaint::frame_too_large(2_000_000_000, 1_073_741_824),
        Complaint::upstream_lost("main", Fate::Unknown, "the server closed the connection."),
        Complaint::server_protocol("main", "ReadyForQuery while no answer is owed"),
        Complaint::draining(),
        Complaint::idle_in_transaction(s(60)),
        Complaint::query_cancelled(),
        Complaint::startup_parameter(
            "DateStyle",
            "invalid value for parameter \"DateStyle\": \"x\"",
        ),
        Complaint::tls_required(),
        Complaint::channel_binding("the client saw another certificate"),
        Complaint::lookup_failed("no answer within 10s"),
        Complaint::upstream_insecure("db:5432", "it does not offer TLS"),
        Complaint::pin_budget("temp_table", "drop it, or create it with ON COMMIT DROP", 7),
        Complaint::settings_refused("role \"x\" does not exist"),
        Complaint::ahead_failed("canceling statement due to statement timeout"),
        Complaint::notifications_lost(),
        Complaint::paused("app", s(30)),
        Complaint::query_timeout(s(30)),
        Complaint::query_not_cancelled(s(30), s(5)),
        Complaint::transaction_timeout(s(600)),
        Complaint::client_idle(s(900)),
        Complaint::commit_in_doubt("main", "the connection was closed without a word"),
        Complaint::taken_over(),
        Complaint::memory_short("127.5 MB", "128.0 MB"),
        Complaint::client_killed(),
        Complaint::server_killed(),
        Complaint::console_not_allowed("app", "pgbouncer"),
        Complaint::console_command("SELECT now()"),
        Complaint::console_unsupported(
            "SET",
            "settings are those of the file",
            "change it, and RELOAD",
        ),
        Complaint::console_admin("exporter"),
        Complaint::console_failed("no such database: shop"),
    ]
}

#[test]
fn the_table_is_as_it_was_reviewed() {
    let mut table = String::new();
    for entry in CATALOGUE {
        let Entry { code, sqlstate, policy, message, detail, hint } = entry;
        table += &format!("{code} {sqlstate} {} {code:?}\n  {message}\n", policy.as_str());
        for line in [detail, hint].into_iter().filter(|line| !line.is_empty()) {
            table += &format!("  {line}\n");
        }
    }
    insta::assert_snapshot!("table", table);
}

#[test]
fn one_of_each_reads_as_it_was_reviewed() {
    let mut sent = String::new();
    for complaint in one_of_each() {
        let severity = complaint.severity(Stage::Session).as_str();
        sent += &format!("{severity} {} {complaint}\n", complaint.sqlstate);
        for (label, line) in [("DETAIL", &complaint.detail), ("HINT", &complaint.hint)] {
            if let Some(line) = line {
                sent += &format!("  {label}: {line}\n");
            }
        }
    }
    insta::assert_snapshot!("one_of_each", sent);
}

#[test]
fn every_code_has_a_constructor_that_fills_every_placeholder() {
    let made = one_of_each();
    let codes: Vec<_> = made.iter().map(|complaint| complaint.code).collect();
    assert_eq!(codes, CATALOGUE.iter().map(|entry| entry.code).collect::<Vec<_>>());
    for complaint in &made {
        let detail = complaint.detail.as_deref().unwrap_or_default();
        let hint = complaint.hint.as_deref().unwrap_or_default();
        for text in [&complaint.message, detail, hint] {
            assert!(!text.contains(['{', '}', '?']), "{}: {text}", complaint.code);
        }
    }
}

#[test]
fn texts_keep_to_the_style() {
    // A number that was given up leaves a gap.
    assert!(CATALOGUE.is_sorted_by(|a, b| a.code.as_str() < b.code.as_str()));
    for entry in CATALOGUE {
        let code = entry.code.as_str();
        assert!(code.len() == 5 && code.starts_with("TG0"), "{code}");
        let starts_upper = |text: &str| text.starts_with(|c: char| c.is_ascii_uppercase());
        let message = entry.message.trim_start_matches("Tidegate "); // A name.
        assert!(!starts_upper(message) && !message.ends_with('.'), "{entry:?}");
        assert!(entry.hint.ends_with('.') && starts_upper(entry.hint), "{entry:?}");
    }
    for complaint in one_of_each() {
        let hint = complaint.hint.unwrap();
        assert!(hint.ends_with(&format!(". ({})", complaint.code)), "{hint}");
        let detail = complaint.detail.unwrap_or_default();
        assert!(detail.is_empty() || detail.ends_with('.'), "{detail}");
    }
}

#[test]
fn a_complaint_goes_out_as_a_message_that_decodes_again() {
    for complaint in one_of_each() {
        let mut out = Vec::new();
        let severity = complaint.severity(Stage::Login);
        let tag = if severity == Severity::Warning {
            complaint.encode_notice(severity, &mut out);
            Tag::NoticeResponse
        } else {
            assert_eq!(severity, Severity::Fatal);
            complaint.encode(severity, &mut out);
            Tag::ErrorResponse
        };
        assert_eq!(out[0], tag.byte());
        let (Message::ErrorResponse(fields) | Message::NoticeResponse(fields)) =
            Message::decode(tag, &out[5..]).expect("it is well-formed")
        else {
            panic!("{complaint:?}");
        };
        assert_eq!(fields.severity(), Some(severity));
        assert_eq!(fields.sqlstate(), Some(complaint.sqlstate));
        assert_eq!(fields.message(), Some(complaint.message.as_bytes()));
        assert_eq!(fields.detail(), complaint.detail.as_deref().map(str::as_bytes));
        assert_eq!(fields.hint(), complaint.hint.as_deref().map(str::as_bytes));
    }
}

#[test]
fn values_from_outside_cannot_forge_lines_placeholders_or_length() {
    let forged = Complaint::login_failed(b"x\"\nFATAL: {user}\0\x1b[31m\xff");
    assert_eq!(
        forged.message,
        "password authentication failed for user \"x\" FATAL: {user}  [31m\u{fffd}\""
    );
    let long = Complaint::login_failed(&[b'u'; 10_000]);
    assert!(long.message.len() < 600);
}

#[test]
fn seconds_read_as_people_write_them() {
    let check = |ms, text: &str| assert_eq!(seconds(Duration::from_millis(ms)), text);
    check(0, "0 s");
    check(250, "0.25 s");
    check(1, "0.001 s");
    check(10_000, "10 s");
    check(100_050, "100.05 s");
    assert_eq!(seconds(Duration::from_nanos(1)), "0 s");
}

#[test]
fn every_error_has_a_detail_a_hint_and_a_page_in_whole_sentences() {
    let is_sentence = |text: &str| {
        text.ends_with(['.', ':', '?']) && text.starts_with(|c: char| c.is_uppercase() || c == '`')
    };
    for entry in CATALOGUE {
        let (code, page) = (entry.code, entry.code.page());
        assert!(!entry.detail.is_empty() && !entry.hint.is_empty(), "{code}");
        assert!(is_sentence(page.cause) && page.cause.len() > 100, "{code}");
        assert!(!page.met_by.ends_with('.') && !page.evidence.is_empty(), "{code}");
        assert!(!page.now.is_empty() && !page.lasting.is_empty(), "{code}");
        for text in page.now.iter().chain(page.lasting) {
            assert!(is_sentence(text), "{code}: {text}");
        }
        for sign in page.evidence {
            assert!(!sign.shows.ends_with('.') && !sign.shows.is_empty(), "{code}: {sign:?}");
            let is_whole = |braces: i32, c| braces + i32::from(c == '{') - i32::from(c == '}');
            let words = sign.place.words();
            assert_eq!(words.chars().fold(0, is_whole), 0, "{code}: {words}");
            if let Place::Metric(name) = sign.place {
                assert!(name.starts_with("tidegate_"), "{code}: {name}");
            }
        }
    }
}

#[test]
fn a_page_has_what_the_wire_says_and_what_its_code_has() {
    let documents = documents();
    assert_eq!(documents.len(), CATALOGUE.len() + 1);
    let (index, pages) = documents.split_first().expect("there are some");
    for (entry, document) in CATALOGUE.iter().zip(pages) {
        let code = entry.code.as_str();
        assert_eq!(document.name, format!("{code}.md"));
        let line = format!("| [{code}]({code}.md) | {} |", entry.sqlstate);
        assert!(index.text.contains(&line), "{line}");
        for words in [entry.message, entry.detail, entry.hint] {
            assert!(document.text.contains(words), "{code}: {words}");
        }
        for heading in ["## Cause", "## Evidence", "## Remedy"] {
            assert!(document.text.contains(heading), "{code}: {heading}");
        }
    }
}

#[test]
fn a_page_reads_as_it_was_reviewed() {
    let documents = documents();
    let page = documents.iter().find(|document| document.name == "TG013.md").expect("it is there");
    insta::assert_snapshot!("page_of_a_code", page.text);
}
