//! The model of PostgreSQL, compared with PostgreSQL: the same conversations, and what each answers.
//!
//! What must be the same: which messages come in which order, what was done (CommandComplete), what was
//! refused (SQLSTATE), in which transaction status, the names of columns, the values of rows, and the
//! parameters that are reported. What is different on purpose stands in [`shown`].

use tidegate_scratch::ClusterOptions;
use tidegate_sim::conversation::{answers_of_model, conversation};
use tidegate_sim::random::Random;
use tidegate_testkit::raw::Raw;
use tidegate_testkit::scene::{APP, cluster};
use tidegate_wire::backend::{self, Message, Tag};

/// Nobody needs a password.
pub(crate) const HBA: &str = "local all all trust\nhost all all 127.0.0.1/32 trust\n";

/// A message as far as both must agree on it; none where it is none of the model's.
pub(crate) fn shown(tag: u8, body: &[u8]) -> Option<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let kind = Tag::from_byte(tag).expect("a tag that PostgreSQL has");
    let what = match Message::decode(kind, body).expect("a well-formed message") {
        // The model does not warn: nothing depends on it.
        Message::NoticeResponse(_) => return None,
        Message::CommandComplete(words) => text(words),
        Message::ReadyForQuery(status) => char::from(status.byte()).to_string(),
        Message::ErrorResponse(fields) => {
            fields.sqlstate().map(|code| code.as_str().to_owned()).unwrap_or_default()
        }
        // A setting of no module is empty once it was reset; the model has none then.
        Message::DataRow(row) => {
            let values = backend::values(row).expect("a row");
            let values = values.iter().map(|value| text(value.unwrap_or_default()));
            values.collect::<Vec<_>>().join(",")
        }
        // The model has no types: all is text.
        Message::RowDescription(columns) => names(columns).join(","),
        Message::ParameterDescription(types) => text(&types[..2]),
        Message::ParameterStatus { name, value } => format!("{}={}", text(name), text(value)),
        _ => String::new(),
    };
    Some(format!("{} {what}", char::from(tag)))
}

/// The names of the columns that a RowDescription describes.
fn names(body: &[u8]) -> Vec<String> {
    let mut rest = &body[2..];
    let mut names = Vec::new();
    while let Some(end) = rest.iter().position(|byte| *byte == 0) {
        names.push(String::from_utf8_lossy(&rest[..end]).into_owned());
        rest = &rest[end + 19..];
    }
    names
}

/// A client of PostgreSQL.
pub(crate) fn log_in(port: u16) -> Raw {
    Raw::log_in(port, APP, "", APP)
}

fn answers_of_postgres(port: u16, conversation: &[u8]) -> Vec<String> {
    let mut raw = log_in(port);
    raw.send(conversation);
    raw.filter_map(|frame| shown(frame.tag, &frame.body)).collect()
}

/// Where they part, if they do: a few lines before it, and what each says then.
fn difference(model: &[String], postgres: &[String]) -> Option<String> {
    let longest = model.len().max(postgres.len());
    let at = (0..longest).find(|at| model.get(*at) != postgres.get(*at))?;
    let before = &postgres[at.saturating_sub(12)..at];
    let (model, postgres) = (model.get(at), postgres.get(at));
    Some(format!("after {before:#?}\nthe model: {model:?}\nPostgreSQL: {postgres:?}"))
}

/// Plays the conversations of these seeds to both.
pub(crate) fn compare(seeds: std::ops::Range<u64>) {
    let cluster = cluster(ClusterOptions::default().hba(HBA));
    log_in(cluster.port()).run("CREATE TABLE ledger (line text)");
    let mut failures = Vec::new();
    for seed in seeds {
        let conversation = conversation(&mut Random::new(seed));
        let said = answers_of_model(seed, &conversation)
            .unwrap_or_else(|words| panic!("seed {seed}: {words}"));
        let login = said.iter().position(|(tag, _)| *tag == b'Z').expect("it is logged in");
        let model: Vec<_> =
            said[login + 1..].iter().filter_map(|(tag, body)| shown(*tag, body)).collect();
        let postgres = answers_of_postgres(cluster.port(), &conversation);
        failures
            .extend(difference(&model, &postgres).map(|words| format!("seed {seed}: {words}\n")));
    }
    let shown = failures.iter().take(5).cloned().collect::<Vec<_>>().join("\n");
    assert!(failures.is_empty(), "{} conversations differ; the first:\n{shown}", failures.len());
}
