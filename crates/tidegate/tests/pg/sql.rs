//! `.sql` scripts: paragraphs, each a statement (or several, where a script is simple only).

use tidegate_testkit::batch::{Batch, Format};

use crate::script::{Fault, Mode, SESSION};
use crate::step::{Act, Step, Until};

/// What stands between two empty lines.
pub(crate) struct Paragraph {
    line: usize,
    session: String,
    deed: Deed,
}

enum Deed {
    /// Sends the text and reads the answer.
    Run(String),
    /// Sends the text and waits until it waits for a lock.
    Block(String),
    /// Reads the answer of what has waited.
    Receive,
    /// Reads up to a notification.
    AwaitNotification,
}

/// Takes the lines behind the head apart.
pub(crate) fn paragraphs<'a>(
    lines: impl Iterator<Item = (usize, &'a str)>,
) -> Result<Vec<Paragraph>, Fault> {
    let mut paragraphs = Vec::new();
    let mut draft: Option<Draft> = None;
    // Behind the head there was an empty line.
    let mut before_empty = true;
    for (line, text) in lines {
        if text.is_empty() {
            if before_empty {
                return Err(Fault { line, what: "one empty line is enough".to_owned() });
            }
            paragraphs.extend(draft.take().map(Draft::finish).transpose()?);
        } else {
            draft.get_or_insert_with(|| Draft::new(line)).push(line, text)?;
        }
        before_empty = text.is_empty();
    }
    paragraphs.extend(draft.map(Draft::finish).transpose()?);
    Ok(paragraphs)
}

struct Draft {
    line: usize,
    session: String,
    deed: Option<Deed>,
    text: String,
}

impl Draft {
    fn new(line: usize) -> Self {
        Self { line, session: SESSION.to_owned(), deed: None, text: String::new() }
    }

    /// At the head of a paragraph, lines that begin with `-- ` are directives.
    fn push(&mut self, line: usize, text: &str) -> Result<(), Fault> {
        let fault = |what: String| Err(Fault { line, what });
        let directive = text.strip_prefix("-- ").filter(|_| self.text.is_empty());
        match directive {
            None if matches!(self.deed, Some(Deed::Receive | Deed::AwaitNotification)) => {
                return fault("nothing is sent in a paragraph that only reads".to_owned());
            }
            None => {
                if !self.text.is_empty() {
                    self.text.push('\n');
                }
                self.text.push_str(text);
            }
            Some("blocks") => self.deed = Some(Deed::Block(String::new())),
            Some("receive") => self.deed = Some(Deed::Receive),
            Some("await notification") => self.deed = Some(Deed::AwaitNotification),
            Some(other) => match other.strip_prefix("session: ") {
                Some(name) => self.session = name.to_owned(),
                None => return fault(format!("no directive is called `{other}`")),
            },
        }
        Ok(())
    }

    fn finish(self) -> Result<Paragraph, Fault> {
        let Self { line, session, deed, text } = self;
        let deed = match deed {
            Some(deed @ (Deed::Receive | Deed::AwaitNotification)) => deed,
            _ if text.is_empty() => {
                return Err(Fault { line, what: "there is nothing to send".to_owned() });
            }
            Some(Deed::Block(_)) => Deed::Block(text),
            _ => Deed::Run(text),
        };
        Ok(Paragraph { line, session, deed })
    }
}

/// What paragraphs come down to in a mode.
pub(crate) fn steps(paragraphs: &[Paragraph], mode: Mode) -> Vec<Step> {
    let mut steps = Vec::new();
    for Paragraph { line, session, deed } in paragraphs {
        let mut step = |act| steps.push(Step { line: *line, session: session.clone(), act });
        let ready = Act::Read(Until::Tag(b'Z'));
        match deed {
            Deed::Run(text) => {
                for batch in batches(text, *line, mode) {
                    step(Act::Send(batch.bytes().to_vec()));
                    step(ready.clone());
                }
            }
            Deed::Block(text) => {
                step(Act::Send(blocking(text, mode).bytes().to_vec()));
                step(Act::UntilBlocked);
            }
            Deed::Receive => step(ready),
            Deed::AwaitNotification => step(Act::Read(Until::Tag(b'A'))),
        }
    }
    steps
}

/// What is sent for one paragraph, each answered before the next.
fn batches(text: &str, line: usize, mode: Mode) -> Vec<Batch> {
    match mode {
        Mode::Simple | Mode::Wire => vec![Batch::new().query(text)],
        Mode::Extended => vec![Batch::new().extended(text, &[], Format::Text).sync()],
        Mode::Binary => {
            let name = format!("line_{line}");
            let prepare = Batch::new().parse(&name, text).describe_statement(&name).sync();
            let run = Batch::new().bind(&name, &[], Format::Binary).execute(0).sync();
            vec![prepare, run]
        }
    }
}

/// As [`batches`], but all in one, because already a Parse may have to wait.
fn blocking(text: &str, mode: Mode) -> Batch {
    match mode {
        Mode::Simple | Mode::Wire => Batch::new().query(text),
        Mode::Extended => Batch::new().extended(text, &[], Format::Text).sync(),
        Mode::Binary => Batch::new().extended(text, &[], Format::Binary).sync(),
    }
}
