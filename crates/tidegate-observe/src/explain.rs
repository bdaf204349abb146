//! What an error means, by whoever it was said: codes, SQLSTATEs, and messages as they were pasted.
//!
//! `tidegate explain` prints what [`explain`] finds. Nothing here does I/O, and nothing of the
//! text goes anywhere but into the answer.
//!
//! What lies deeper comes first, as it is the cause of what is said above it: PostgreSQL before a
//! pooler, the gate, the driver, the application's pool. A code of the gate comes before all, as
//! nothing is surer; an SQLSTATE by itself comes last, as it says least.

pub mod sqlstates;
pub mod known;
pub mod template;

use serde::Serialize;
use tidegate_wire::catalogue::pages::Sign;
use tidegate_wire::catalogue::{CATALOGUE, Code, Entry};

use known::{Known, Layer, Weight};
use template::{Prepared, Values};

/// A message of the gate's that is shorter is recognised by its code alone.
const WORDS_BYTES_MIN: usize = 20;

/// The version of [`Answer`].
pub const SCHEMA: &str = "tidegate.explanation.v1";

/// More of a text is not looked at: tracebacks and pages of logs are shorter.
pub const TEXT_BYTES_MAX: usize = 256 * 1024;

/// What is found in a text.
#[derive(Debug, Clone, Serialize)]
pub struct Answer {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// Best first; empty when nothing is recognised.
    pub matches: Vec<Explanation>,
}

/// One error that was recognised.
#[derive(Debug, Clone, Serialize)]
pub struct Explanation {
    /// A stable name: a code, an SQLSTATE, or that of an error of others.
    pub id: String,
    /// What is wrong, in a few words.
    pub title: String,
    /// Who speaks.
    pub layer: Layer,
    /// Which of them.
    pub said_by: String,
    /// The part of the text by which it was recognised.
    pub recognised: String,
    /// Where that text is from, with the version.
    pub source: String,
    /// The SQLSTATE that it comes with.
    pub sqlstate: Option<String>,
    /// Numbers and names that the text has.
    pub values: Vec<Value>,
    /// What it means.
    pub means: String,
    /// Where it shows.
    pub see: Vec<Look>,
    /// What to do now.
    pub now: Vec<String>,
    /// What to change so that it does not come back.
    pub change: Vec<String>,
    /// Its page, below the project's root.
    pub page: Option<String>,
    #[serde(skip)]
    rank: Rank,
}

/// A number or a name out of the text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Value {
    /// What it is.
    pub name: &'static str,
    /// As it was written.
    pub value: String,
}

/// Something to look at.
#[derive(Debug, Clone, Serialize)]
pub struct Look {
    /// `metric`, `log`, `command`, `sql`, or `text`.
    pub kind: &'static str,
    /// What is to be typed or looked for.
    pub what: String,
    /// What it shows.
    pub shows: String,
}

/// Smaller is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    class: Class,
    layer: Layer,
    /// The longer what was recognised, the surer.
    literal_bytes: std::cmp::Reverse<usize>,
    at: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Code,
    Cause,
    Symptom,
    Sqlstate,
}

/// What is recognised in `text`.
pub fn explain(text: &str) -> Answer {
    let prepared = Prepared::new(clipped(text));
    let mut matches: Vec<Explanation> = Vec::new();
    matches.extend(CATALOGUE.iter().filter_map(|entry| of_the_gate(entry, &prepared)));
    let coded: Vec<&str> = CATALOGUE
        .iter()
        .filter(|entry| prepared.find(entry.code.as_str()).is_some())
        .map(|entry| entry.message)
        .collect();
    matches.extend(known::all().filter_map(|known| of_others(known, &prepared, &coded)));
    let told = matches.iter().filter_map(|found| found.sqlstate.clone()).collect::<Vec<_>>();
    let bare =
        sqlstates::find(&prepared).filter(|state| !told.iter().any(|told| told == state.code));
    matches.extend(bare.map(of_a_state));
    matches.sort_by_key(|found| found.rank);
    Answer { schema: SCHEMA, matches }
}

/// The end of a text that is too long: errors stand there.
fn clipped(text: &str) -> &str {
    let mut start = text.len().saturating_sub(TEXT_BYTES_MAX);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    text.get(start..).unwrap_or_default()
}

/// By its code, or by its words where the driver has lost the HINT.
fn of_the_gate(entry: &Entry, text: &Prepared) -> Option<Explanation> {
    let code = entry.code;
    let by_code = text.find(code.as_str());
    // What is short is said by many.
    let is_its_own = |message: &&str| !message.starts_with('{') && message.len() >= WORDS_BYTES_MIN;
    let message = Some(entry.message).filter(is_its_own);
    let by_words = message.and_then(|message| text.find(message));
    let found = by_code.as_ref().or(by_words.as_ref())?;
    let mut values: Values =
        by_words.as_ref().map(|found| found.values.clone()).unwrap_or_default();
    for template in details(code) {
        values.extend(text.find(template).into_iter().flat_map(|found| found.values));
    }
    let page = code.page();
    let literal_bytes = std::cmp::Reverse(found.literal_bytes);
    let class = if by_code.is_some() { Class::Code } else { Class::Cause };
    Some(Explanation {
        id: code.as_str().to_owned(),
        title: format!("{code}: {}", filled(entry.message, &values)),
        layer: Layer::Gate,
        said_by: "Tidegate".to_owned(),
        recognised: text.text().get(found.start..found.end)?.to_owned(),
        source: format!("Tidegate {}", env!("CARGO_PKG_VERSION")),
        sqlstate: Some(entry.sqlstate.as_str().to_owned()),
        values: shown(&values),
        means: plain(page.cause),
        see: looks(page.evidence),
        now: page.now.iter().map(|step| plain(step)).collect(),
        change: page.lasting.iter().map(|step| plain(step)).collect(),
        page: Some(format!("docs/errors/{code}.md")),
        rank: Rank { class, layer: Layer::Gate, literal_bytes, at: found.start },
    })
}

/// The parts of a DETAIL that have numbers; a test compares them with the catalogue.
fn details(code: Code) -> &'static [&'static str] {
    match code {
        Code::PoolTimeout => &[
            "no server became free within {#waited_seconds} s",
            "{#leased} of {#slots_max} slots are leased, {#waiting} clients are waiting",
        ],
        Code::UpstreamUnreachable => &["After {#attempts} attempts the last cause was"],
        Code::BudgetFull => &[
            "{#foreign} connections that do not pass through Tidegate leave it {#usable} of {#connections_max}",
        ],
        Code::ClientLimit => &["The limit is {#clients_max} clients"],
        _ => &[],
    }
}

fn of_others(known: &Known, text: &Prepared, coded: &[&str]) -> Option<Explanation> {
    let found = known
        .texts
        .iter()
        // The gate has some of PostgreSQL's words; a code says whose they are.
        .filter(|known| !coded.contains(&known.template))
        .filter_map(|known| Some((known, text.find(known.template)?)));
    let (said, found) = found.max_by_key(|(_, found)| found.literal_bytes)?;
    let mut values = found.values;
    if let Some(reckon) = known.reckon {
        reckon(&mut values);
    }
    let fill = |template: &&str| plain(&filled(template, &values));
    let class = match known.weight {
        Weight::Cause => Class::Cause,
        Weight::Symptom => Class::Symptom,
    };
    let literal_bytes = std::cmp::Reverse(found.literal_bytes);
    Some(Explanation {
        id: known.id.to_owned(),
        title: known.title.to_owned(),
        layer: known.layer,
        said_by: known.said_by.to_owned(),
        recognised: text.text().get(found.start..found.end)?.to_owned(),
        source: said.source.to_owned(),
        sqlstate: Some(known.sqlstate).filter(|code| !code.is_empty()).map(str::to_owned),
        values: shown(&values),
        means: fill(&known.means),
        see: looks(known.see),
        now: known.now.iter().map(fill).collect(),
        change: known.change.iter().map(fill).collect(),
        page: None,
        rank: Rank { class, layer: known.layer, literal_bytes, at: found.start },
    })
}

fn of_a_state(state: &sqlstates::State) -> Explanation {
    let own = CATALOGUE.iter().filter(|entry| entry.sqlstate.as_str() == state.code);
    let own: Vec<_> = own.map(|entry| format!("{} ({})", entry.code, entry.message)).collect();
    let mut means = state.means.to_owned();
    if !own.is_empty() {
        means.push_str(&format!(" The gate sends it as {}.", own.join(", ")));
    }
    // Poolers use some codes for whatever they say, so PostgreSQL's advice is all that fits.
    let texts = || {
        known::all().filter(|known| known.sqlstate == state.code && known.layer == Layer::Postgres)
    };
    let fill = |step: &&str| plain(&filled(step, &Vec::new()));
    let now: Vec<_> = texts().flat_map(|known| known.now).map(fill).collect();
    let change = texts().flat_map(|known| known.change).map(fill).collect();
    let see = texts().flat_map(|known| looks(known.see)).collect();
    Explanation {
        id: state.code.to_owned(),
        title: format!("SQLSTATE {}: {}", state.code, state.name),
        layer: Layer::Postgres,
        said_by: "PostgreSQL, or whoever stands in front of it".to_owned(),
        recognised: state.code.to_owned(),
        source: "PostgreSQL 18, appendix \"PostgreSQL Error Codes\"".to_owned(),
        sqlstate: Some(state.code.to_owned()),
        values: Vec::new(),
        means: plain(&means),
        see,
        now: if now.is_empty() { vec![state.remedy.to_owned()] } else { now },
        change,
        page: None,
        rank: Rank {
            class: Class::Sqlstate,
            layer: Layer::Postgres,
            literal_bytes: std::cmp::Reverse(5),
            at: 0,
        },
    }
}

/// `{name}` and `{name|otherwise}` become what the text has of that name.
fn filled(template: &str, values: &Values) -> String {
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (gap, after) = after.split_once('}').unwrap_or((after, ""));
        let (name, otherwise) = gap.split_once('|').unwrap_or((gap, "…"));
        let value = values.iter().find(|(known, _)| *known == name);
        let value = value.map_or(otherwise, |(_, value)| value.as_str());
        text.push_str(if value.is_empty() { before.trim_end() } else { before });
        text.push_str(value);
        rest = after;
    }
    text + rest
}

/// Without the marks that pages have around names.
fn plain(text: &str) -> String {
    text.replace('`', "")
}

fn looks(signs: &[Sign]) -> Vec<Look> {
    let look = |sign: &Sign| Look {
        kind: sign.place.kind(),
        what: plain(&sign.place.shown()),
        shows: plain(sign.shows),
    };
    signs.iter().map(look).collect()
}

fn shown(values: &Values) -> Vec<Value> {
    let mut shown: Vec<Value> = Vec::new();
    for (name, value) in values {
        if *name != "four" && !value.is_empty() && !shown.iter().any(|value| value.name == *name) {
            shown.push(Value { name, value: value.clone() });
        }
    }
    shown
}

#[cfg(test)]
mod tests;
