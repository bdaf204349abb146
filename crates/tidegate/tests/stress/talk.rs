//! One connection: what is sent, what must be answered, and what was said last, for whoever has to
//! find out what went wrong.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};

use tidegate_testkit::batch::Batch;
use tidegate_testkit::raw::{Frame, Raw};
use tidegate_testkit::scene::APP;
use tidegate_wire::backend;

/// Up to one ReadyForQuery, and what must be answered.
pub(crate) struct Step {
    pub(crate) batch: Batch,
    pub(crate) words: String,
    pub(crate) want: Want,
    /// The status of ReadyForQuery; none where it depends on whether the statement has failed.
    pub(crate) status: Option<u8>,
}

/// An answer. Columns of a row are joined by `|`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Want {
    /// These rows.
    Rows(Vec<String>),
    /// An error with this code, whose words name the client if they name any.
    Error(&'static str),
    /// These settings, in the order of [`SETTINGS`]; of those that are reported, what the client
    /// was told last.
    Settings(Vec<String>),
    /// These rows, or that the statement was cancelled.
    RowsOrCancelled(Vec<String>),
    /// These rows, or that too many clients keep their servers.
    RowsOrRefused(Vec<String>),
}

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    AsWanted,
    Cancelled,
    Refused,
}

/// Why the connection can't be used any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lost {
    /// Its server was.
    Server,
    /// What it had left in its session was removed.
    State,
}

/// The settings that a check looks at: those of the model, then what else is reported.
pub(crate) const SETTINGS: [&str; 10] = [
    "app.who",
    "app.note",
    "work_mem",
    "search_path",
    "application_name",
    "TimeZone",
    "DateStyle",
    "IntervalStyle",
    "client_encoding",
    "standard_conforming_strings",
];

/// A setting whose default changes while clients are at work. PostgreSQL reads its file again
/// between any two messages and tells what is new with ReadyForQuery: what a row shows in a batch
/// meanwhile may never be told to anybody.
pub(crate) const RELOADED: &str = "IntervalStyle";

/// Counts beginnings and ends of reloads: odd while one is under way.
static RELOADS: AtomicUsize = AtomicUsize::new(0);

/// A reload begins, or has come to all.
pub(crate) fn reload_goes_on() {
    RELOADS.fetch_add(1, Ordering::SeqCst);
}

pub(crate) fn is_reloading() -> bool {
    reload().is_none()
}

/// How many there have been; none while one is under way.
fn reload() -> Option<usize> {
    Some(RELOADS.load(Ordering::SeqCst)).filter(|reloads| reloads.is_multiple_of(2))
}

/// The last things that a client has said and heard, over all its connections.
#[derive(Default)]
pub(crate) struct History(VecDeque<String>);

/// Enough to see where it went wrong.
const REMEMBERED: usize = 60;

impl History {
    pub(crate) fn add(&mut self, line: String) {
        if self.0.len() == REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back(line);
    }

    pub(crate) fn lines(&self) -> String {
        self.0.iter().map(|line| format!("    {line}\n")).collect()
    }
}

pub(crate) struct Talk {
    pub(crate) raw: Raw,
    who: String,
    told: BTreeMap<String, String>,
    /// The reloads before what was sent last.
    reload: Option<usize>,
    /// Notifications that have come.
    pub(crate) notified: usize,
    /// It was told that some may have been lost.
    pub(crate) has_missed: bool,
}

impl Talk {
    pub(crate) fn log_in(port: u16, who: String, parameters: &[(&str, &str)]) -> Self {
        let mut raw = Raw::connect(port);
        raw.start(&[&[("user", APP), ("database", APP)], parameters].concat());
        let frames = raw.until_ready();
        let mut talk =
            Self { raw, who, told: BTreeMap::new(), reload: None, notified: 0, has_missed: false };
        for frame in &frames {
            match frame.tag {
                b'S' => talk.hear_parameter(frame),
                b'K' => {
                    talk.raw.pid = u32::from_be_bytes(frame.body[..4].try_into().expect("a pid"));
                    talk.raw.secret = frame.body[4..].to_vec();
                }
                b'E' => panic!("refused: {} {}", frame.sqlstate(), frame.field(b'M')),
                _ => {}
            }
        }
        assert_eq!(frames.last().map(|frame| frame.tag), Some(b'Z'), "logged in");
        talk
    }

    fn hear_parameter(&mut self, frame: &Frame) {
        let mut parts = frame.body.split(|byte| *byte == 0).map(String::from_utf8_lossy);
        if let (Some(name), Some(value)) = (parts.next(), parts.next()) {
            self.told.insert(name.into_owned(), value.into_owned());
        }
    }

    /// Sends steps in one piece.
    pub(crate) fn send(&mut self, steps: &[Step], history: &mut History) {
        let bytes: Vec<u8> = steps.iter().flat_map(|step| step.batch.bytes()).copied().collect();
        for (place, step) in steps.iter().enumerate() {
            let mark = if place == 0 { ">" } else { "+" };
            history.add(format!("{mark} {}", step.words));
        }
        self.reload = reload();
        self.raw.send(&bytes);
    }

    /// Hears the answer to a step, which must be as it was wanted.
    pub(crate) fn hear(&mut self, step: &Step, history: &mut History) -> Result<Outcome, Lost> {
        let mut rows = Vec::new();
        let mut error: Option<Frame> = None;
        // A backend that is late on a busy machine hears of a reload behind the row, and says so.
        let reloaded_from = self.told.get(RELOADED).cloned();
        let status = loop {
            let Some(frame) = self.raw.next() else {
                let code = error.map(|error| error.sqlstate());
                history.add(format!("< the end, {code:?}"));
                // Without a word where it has got half a message.
                // 57014: what is sent into a connection that is half-open is ended by its time.
                // 08007: a COMMIT that was under way.
                let codes = [None, Some("57P01"), Some("08006"), Some("08007"), Some("57014")];
                assert!(codes.contains(&code.as_deref()), "lost with {code:?} at {}", step.words);
                return Err(Lost::Server);
            };
            match frame.tag {
                b'S' => self.hear_parameter(&frame),
                b'D' => rows.push(row(&frame.body)),
                b'd' => {
                    rows.push(String::from_utf8_lossy(frame.body.trim_ascii_end()).into_owned())
                }
                b'E' => error = Some(frame),
                b'A' => {
                    let text = String::from_utf8_lossy(&frame.body[4..]).into_owned();
                    assert!(text.contains(&self.who), "a notification for another: {text:?}");
                    self.notified += 1;
                }
                b'N' => self.has_missed |= frame.field(b'H').ends_with("(TG026)"),
                b'Z' => break frame.body[0],
                _ => {}
            }
        };
        history.add(match &error {
            Some(error) => format!("< {} {}", error.sqlstate(), error.field(b'M')),
            None => format!("< {} rows, {:?}", rows.len(), rows.first()),
        });
        let words = &step.words;
        let is_refused = error.as_ref().is_some_and(|error| error.field(b'H').ends_with("(TG023)"));
        if is_refused {
            let is_expected = matches!(step.want, Want::RowsOrRefused(_));
            return if is_expected { Ok(Outcome::Refused) } else { Err(Lost::State) };
        }
        if let Some(wanted) = step.status {
            let (status, wanted) = (char::from(status), char::from(wanted));
            assert_eq!(status, wanted, "the status after {words} ({error:?})");
        }
        let heard = error.as_ref().map(Frame::sqlstate);
        match (&step.want, &error) {
            (Want::Error(code), Some(error)) => {
                let text = error.field(b'M');
                assert_eq!(error.sqlstate(), *code, "{words}: {text}");
                let is_own = !text.contains("\"c0") || text.contains(&self.who);
                assert!(is_own, "{words}: an error of another: {text}");
            }
            (Want::Rows(wanted) | Want::RowsOrRefused(wanted), None) => {
                assert_eq!(&rows, wanted, "{words}");
            }
            (Want::RowsOrCancelled(wanted), None) => assert_eq!(&rows, wanted, "{words}"),
            (Want::RowsOrCancelled(_), Some(error)) => {
                assert_eq!(error.sqlstate(), "57014", "{words}: {}", error.field(b'M'));
                return Ok(Outcome::Cancelled);
            }
            (Want::Settings(wanted), None) => {
                let row = rows.first().expect("settings are a row");
                let found: Vec<&str> = row.split('|').collect();
                for (place, name) in SETTINGS.into_iter().enumerate() {
                    if let Some(wanted) = wanted.get(place) {
                        assert_eq!(found[place], wanted, "the value of {name}");
                    }
                    let is_late = reloaded_from.as_deref() == Some(found[place]);
                    let is_reloaded =
                        name == RELOADED && (is_reloading() || self.reload != reload() || is_late);
                    if let Some(told) = self.told.get(name)
                        && !is_reloaded
                    {
                        assert_eq!(told, found[place], "what the client was told of {name}");
                    }
                }
            }
            (want, error) => {
                let text = error.as_ref().map(|error| error.field(b'M'));
                panic!("{words}: {heard:?} {text:?}, rows {rows:?}, instead of {want:?}")
            }
        }
        Ok(Outcome::AsWanted)
    }
}

/// The columns of a row.
fn row(body: &[u8]) -> String {
    let values = backend::values(body).expect("a row is well-formed");
    let text = |value: Option<&[u8]>| {
        value.map_or("NULL".into(), |value| String::from_utf8_lossy(value).into_owned())
    };
    values.into_iter().map(text).collect::<Vec<_>>().join("|")
}
