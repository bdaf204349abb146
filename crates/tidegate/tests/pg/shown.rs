//! Answers as people read them.

use std::fmt::Write as _;

use tidegate_testkit::raw::Frame;
use tidegate_wire::backend::{Fields, Message, Tag};

/// A message in a line.
pub(crate) fn shown(frame: &Frame) -> String {
    let text = Tag::from_byte(frame.tag).and_then(|tag| decoded(tag, &frame.body));
    text.unwrap_or_else(|| {
        format!("{} {}", char::from(frame.tag), cut(&frame.body.escape_ascii().to_string()))
    })
}

fn decoded(tag: Tag, body: &[u8]) -> Option<String> {
    let mut text = format!("{tag:?}");
    match Message::decode(tag, body).ok()? {
        Message::ErrorResponse(fields) | Message::NoticeResponse(fields) => {
            push_fields(&mut text, fields)
        }
        Message::DataRow(_) => push_row(&mut text, body)?,
        Message::RowDescription(_) => push_columns(&mut text, body)?,
        Message::ParameterStatus { name, value } => {
            let _ = write!(text, " {} = {}", name.escape_ascii(), value.escape_ascii());
        }
        Message::ReadyForQuery(status) => {
            let _ = write!(text, " {}", char::from(status.byte()));
        }
        Message::CommandComplete(done) => {
            let _ = write!(text, " {}", done.escape_ascii());
        }
        _ => {
            let _ = write!(text, " {}", cut(&body.escape_ascii().to_string()));
        }
    }
    Some(text)
}

fn push_fields(text: &mut String, fields: Fields<'_>) {
    for (code, value) in fields.iter() {
        let _ = write!(text, " {}={}", char::from(code), cut(&String::from_utf8_lossy(value)));
    }
}

fn push_row(text: &mut String, body: &[u8]) -> Option<()> {
    let mut rest = body.get(2..)?;
    while let Some((length, behind)) = rest.split_first_chunk() {
        match usize::try_from(i32::from_be_bytes(*length)) {
            Ok(length) => {
                let (value, behind) = behind.split_at_checked(length)?;
                let _ = write!(text, " \"{}\"", cut(&value.escape_ascii().to_string()));
                rest = behind;
            }
            Err(_) => {
                text.push_str(" null");
                rest = behind;
            }
        }
    }
    Some(())
}

fn push_columns(text: &mut String, body: &[u8]) -> Option<()> {
    let mut rest = body.get(2..)?;
    while let Some(end) = rest.iter().position(|byte| *byte == 0) {
        let (name, behind) = rest.split_at_checked(end)?;
        let numbers = behind.get(1..COLUMN_BYTES + 1)?;
        let number = |at: usize| {
            let bytes = numbers.get(at..)?.first_chunk()?;
            Some(i32::from_be_bytes(*bytes))
        };
        let format = numbers.last()?;
        let _ = write!(
            text,
            " {}(table {} type {} modifier {} format {format})",
            name.escape_ascii(),
            number(0)?,
            number(6)?,
            number(12)?
        );
        rest = behind.get(COLUMN_BYTES + 1..)?;
    }
    Some(())
}

/// Long values are shown as far as people read them.
fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN_MAX) {
        None => text.to_owned(),
        Some((at, _)) => format!("{}… ({} bytes)", &text[..at], text.len()),
    }
}

const SHOWN_MAX: usize = 400;
/// In a RowDescription, behind a column's name and its zero byte.
const COLUMN_BYTES: usize = 18;
