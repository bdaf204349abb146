//! Batches that could be run twice and nobody would notice: one statement that only reads, and all
//! of it; a Query, or Parse, Bind, and Execute up to one Sync.

use tidegate_wire::frame::{Front, HEADER_BYTES, front};
use tidegate_wire::frontend::Tag;

use crate::outcome;
use crate::prepared::client::ClientStatements;
use crate::server::naming::{Message, Subject};
use crate::splitter::FRAME_BYTES_MAX;

/// Whether a batch is that.
pub(super) fn is_plain_read(
    batch: &[u8],
    names: &ClientStatements,
    backslash_escapes: bool,
) -> bool {
    reads(batch, names, backslash_escapes).is_some()
}

fn reads(batch: &[u8], names: &ClientStatements, backslash_escapes: bool) -> Option<()> {
    let mut at = 0;
    // What the statements that are defined or bound in it do.
    let (mut is_bound, mut executes, mut has_ended) = (false, 0_u32, false);
    let mut is_defined = false;
    let is_read = |text: &[u8]| outcome::is_read(text, backslash_escapes).then_some(());
    while at < batch.len() {
        let rest = batch.get(at..).filter(|_| !has_ended)?;
        let Ok(Front::Frame { tag, frame_bytes }) = front(rest, FRAME_BYTES_MAX) else {
            return None;
        };
        let end = at.checked_add(usize::try_from(frame_bytes).ok()?)?;
        let body = batch.get(at + HEADER_BYTES..end)?;
        let body_bytes = u64::try_from(body.len()).ok()?;
        let tag = Tag::from_byte(tag)?;
        let message = Message { tag, body_bytes, body, place: None };
        match (tag, message.subject()) {
            (Tag::Query, Subject::Query { text }) if at == 0 => {
                is_read(text)?;
                (executes, has_ended) = (1, true);
            }
            // One with a name PostgreSQL may have confirmed by then: it can't be given twice.
            (Tag::Parse, Subject::Unnamed { definition: Some(text) }) => {
                is_read(text)?;
                is_defined = true;
            }
            (Tag::Bind, subject) => {
                let name = match subject {
                    Subject::Bind { name, .. } => name,
                    Subject::Unnamed { .. } => b"",
                    _ => return None,
                };
                match names.get(name) {
                    _ if name.is_empty() && is_defined => {}
                    Some(named) => is_read(named.statement.definition().0)?,
                    None if name.is_empty() && !names.unnamed().is_empty() => {
                        is_read(names.unnamed())?;
                    }
                    None => return None,
                }
                is_bound = true;
            }
            (Tag::Describe, _) => {}
            // All rows: with a part of them the portal would be used again.
            (Tag::Execute, _) if is_bound && body.ends_with(&[0; 5]) => executes += 1,
            (Tag::Sync, _) => has_ended = true,
            _ => return None,
        }
        at = end;
    }
    (has_ended && executes == 1).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_a_plain_read_only_as_a_whole() {
        let names = ClientStatements::default();
        let query = |text: &str| {
            let mut out = Vec::new();
            tidegate_wire::frontend::push_query(&mut out, text.as_bytes());
            out
        };
        let frame = |tag: u8, body: &[u8]| {
            let length = u32::try_from(body.len() + 4).expect("it is short").to_be_bytes();
            [&[tag][..], &length, body].concat()
        };
        let parse = |text: &str| frame(b'P', &[b"\0", text.as_bytes(), b"\0\0\0"].concat());
        let bind = frame(b'B', b"\0\0\0\0\0\0\0\0");
        let execute = |rows: u8| frame(b'E', &[0, 0, 0, 0, rows]);
        let sync = frame(b'S', b"");
        let whole = [parse("select 1"), bind.clone(), execute(0), sync.clone()].concat();
        assert!(is_plain_read(&query("select 1"), &names, false));
        assert!(is_plain_read(&whole, &names, false));
        for batch in [
            [query("select 1"), query("select 2")].concat(),
            whole[..whole.len() - 1].to_vec(),
            [parse("select 1"), bind.clone(), execute(0)].concat(),
            [parse("select 1"), bind.clone(), execute(1), sync.clone()].concat(),
            [parse("delete from t"), bind.clone(), execute(0), sync.clone()].concat(),
            [bind.clone(), execute(0), sync.clone()].concat(),
            [whole.clone(), whole.clone()].concat(),
            [parse("select 1"), sync].concat(),
            Vec::new(),
        ] {
            assert!(!is_plain_read(&batch, &names, false), "{batch:?}");
        }
    }
}
