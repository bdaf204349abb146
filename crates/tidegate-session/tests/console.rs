//! The console's protocol: scripts of messages, and what is answered.

use std::borrow::Cow;

use tidegate_session::console::table::{Cell, Column, Columns, Type};
use tidegate_session::console::{
    Answer, ConsoleMachine, Done, Forgotten, KEPT_MAX, Language, Step,
};
use tidegate_session::sql::Token;
use tidegate_testkit::batch::{Batch, Format};
use tidegate_wire::backend::{Fields, TransactionStatus};
use tidegate_wire::catalogue::Complaint;
use tidegate_wire::frame::{Front, front};
use tidegate_wire::frontend::{Message, Target};

/// Understands `rows N`, `begin`, `end`, `fail`, and `forget`.
struct Words;

#[derive(Debug, Clone, PartialEq)]
enum Word {
    Begin,
    End,
    Fail,
    Forget,
    Rows(u64),
}

impl Language for Words {
    type Command = Word;

    fn parse(&self, statement: &[Token<'_>], text: &str) -> Result<Word, Complaint> {
        match statement {
            [word] if word.is(b"begin") => Ok(Word::Begin),
            [word] if word.is(b"end") => Ok(Word::End),
            [word] if word.is(b"fail") => Ok(Word::Fail),
            [word] if word.is(b"forget") => Ok(Word::Forget),
            [word, Token::Symbol(digit)] if word.is(b"rows") => {
                Ok(Word::Rows(u64::from(digit - b'0')))
            }
            _ => Err(Complaint::console_command(text)),
        }
    }

    fn columns(&self, command: &Word) -> Option<Columns> {
        let column = |name, kind| Column { name: Cow::Borrowed(name), kind };
        let columns = [column("name", Type::Text), column("number", Type::Int4)];
        matches!(command, Word::Rows(_)).then(|| columns.into())
    }
}

fn carry_out(word: &Word) -> Answer {
    let done = |tag: &str, status| Done { tag: tag.to_owned(), status, ..Done::default() };
    match word {
        Word::Begin => done("BEGIN", Some(TransactionStatus::InTransaction)).into(),
        Word::End => done("END", Some(TransactionStatus::Idle)).into(),
        Word::Fail => Complaint::console_failed("it fails").into(),
        Word::Forget => Done { forgotten: Some(Forgotten::All), ..done("FORGET", None) }.into(),
        Word::Rows(count) => {
            let row = |number| vec![Cell::from(format!("row {number}")), Cell::from(number)];
            Done { rows: (0..*count).map(row).collect(), ..done("ROWS", None) }.into()
        }
    }
}

/// Plays a machine until it wants nothing more; the bytes that it has sent.
fn play(machine: &mut ConsoleMachine<Words>, input: &[u8]) -> (Vec<u8>, Step<Word>) {
    let mut out = Vec::new();
    machine.receive(input);
    let mut step = machine.step(&mut out);
    while let Step::Run(word) = step {
        assert_eq!(machine.step(&mut out), Step::More, "one command at a time");
        step =
            machine.answered(carry_out(&word), &mut out).unwrap_or_else(|| machine.step(&mut out));
    }
    (out, step)
}

/// What was sent, a word for each message: the tag, with the SQLSTATE of an error, the tag of a command,
/// the status of a ReadyForQuery.
fn told(mut bytes: &[u8]) -> String {
    let mut words = Vec::new();
    while let Ok(Front::Frame { tag, frame_bytes }) = front(bytes, u64::MAX) {
        let (frame, rest) = bytes.split_at(usize::try_from(frame_bytes).expect("it is short"));
        let body = &frame[5..];
        let tag = char::from(tag);
        words.push(match tag {
            'E' => {
                let fields = Fields::decode(body).expect("it is well-formed");
                format!("E{}", fields.sqlstate().expect("it has one"))
            }
            'C' => format!("C:{}", String::from_utf8_lossy(&body[..body.len() - 1])),
            'Z' => format!("Z{}", char::from(body[0])),
            _ => tag.to_string(),
        });
        bytes = rest;
    }
    assert!(bytes.is_empty(), "whole messages");
    words.join(" ")
}

fn check(batch: Batch, expected: &str) {
    let mut machine = ConsoleMachine::new(Words);
    let (out, step) = play(&mut machine, batch.bytes());
    assert_eq!((told(&out).as_str(), step), (expected, Step::More));
    // Cut anywhere, it says the same.
    let mut machine = ConsoleMachine::new(Words);
    let mut bytes = Vec::new();
    for byte in batch.bytes() {
        bytes.extend(play(&mut machine, &[*byte]).0);
    }
    assert_eq!(bytes, out);
}

#[test]
fn a_query_is_answered_statement_by_statement_up_to_the_first_that_fails() {
    check(Batch::new().query("rows 2"), "T D D C:ROWS ZI");
    check(Batch::new().query("rows 1; begin;;"), "T D C:ROWS C:BEGIN ZT");
    check(Batch::new().query("rows 1; fail; rows 1"), "T D C:ROWS E55000 ZI");
    check(Batch::new().query("rows 1; what"), "E42601 ZI");
    check(Batch::new().query(" ; -- nothing"), "I ZI");
    check(Batch::new().query("begin").query("fail").query("end"), "C:BEGIN ZT E55000 ZT C:END ZI");
    let two = Batch::new().query("rows 0").query("rows 1");
    check(two, "T C:ROWS ZI T D C:ROWS ZI");
}

#[test]
fn a_statement_is_prepared_described_and_executed_as_in_postgresql() {
    let prepared = Batch::new().parse("s", "rows 3").describe_statement("s").sync();
    check(prepared, "1 t T ZI");
    let all = Batch::new().extended("rows 2", &[], Format::Text).sync();
    check(all, "1 2 T D D C:ROWS ZI");
    let some = Batch::new().parse("", "rows 3").bind("", &[], Format::Text);
    check(some.execute(2).execute(2).execute(0).sync(), "1 2 D D s D C:ROWS C:ROWS ZI");
    let none = Batch::new().extended("begin", &[], Format::Text).sync();
    check(none, "1 2 n C:BEGIN ZT");
    let empty = Batch::new().extended("", &[], Format::Text).sync();
    check(empty, "1 2 n I ZI");
    let closed =
        Batch::new().parse("s", "rows 1").close_statement("s").bind("s", &[], Format::Text);
    check(closed.sync(), "1 3 E26000 ZI");
    let forgotten =
        Batch::new().parse("s", "rows 1").sync().query("forget").describe_statement("s");
    check(forgotten.sync(), "1 ZI C:FORGET ZI E26000 ZI");
}

#[test]
fn after_an_error_everything_up_to_the_sync_is_passed_over() {
    let wrong = Batch::new().extended("what", &[], Format::Text).sync().query("rows 0");
    check(wrong, "E42601 ZI T C:ROWS ZI");
    let fails = Batch::new().extended("fail", &[], Format::Text).execute(0).flush().sync();
    check(fails, "1 2 n E55000 ZI");
    check(Batch::new().execute(0).sync(), "E34000 ZI");
    let twice = Batch::new().parse("s", "begin").parse("s", "begin").sync();
    check(twice, "1 E42P05 ZI");
    check(Batch::new().parse("", "begin; end").sync(), "E42601 ZI");
    let value = Batch::new().parse("", "begin").bind("", &[Some(b"1")], Format::Text).sync();
    check(value, "1 E08P01 ZI");
    let gone =
        Batch::new().parse("", "rows 1").bind("", &[], Format::Text).sync().execute(0).sync();
    check(gone, "1 2 ZI E34000 ZI");
}

#[test]
fn parameters_whose_types_are_fixed_are_described_and_wanted() {
    let types = 23_u32.to_be_bytes();
    let parse = Message::Parse { name: b"", text: b"rows 1", parameter_types: &types };
    let batch = Batch::new().message(&parse).bind("", &[Some(b"7")], Format::Text);
    check(batch.describe().execute(0).sync(), "1 2 T D C:ROWS ZI");
}

#[test]
fn values_come_in_binary_where_that_is_asked_for() {
    let mut machine = ConsoleMachine::new(Words);
    let batch = Batch::new().extended("rows 1", &[], Format::Binary).sync();
    let (out, _) = play(&mut machine, batch.bytes());
    let row = [&b"\0\x02\0\0\0\x05row 0\0\0\0\x04\0\0\0\0"[..]].concat();
    assert!(out.windows(row.len()).any(|window| window == row), "{out:?}");
}

#[test]
fn what_breaks_the_protocol_ends_the_session() {
    let long = 70_000_u32.to_be_bytes();
    for (bytes, code) in [
        (&b"\0\0\0\0\x04"[..], "E08P01"),
        (b"Q\0\0\0\x03", "E08P01"),
        (b"E\0\0\0\x05x", "E08P01"),
        (b"p\0\0\0\x06x\0", "E08P01"),
        (&[&b"Q"[..], &long[..]].concat(), "E08P01"),
    ] {
        let mut machine = ConsoleMachine::new(Words);
        let (out, step) = play(&mut machine, bytes);
        assert_eq!((told(&out).as_str(), step), (code, Step::Broken), "{bytes:?}");
    }
    let mut machine = ConsoleMachine::new(Words);
    let goodbye = Batch::new().terminate();
    assert_eq!(play(&mut machine, goodbye.bytes()), (Vec::new(), Step::Goodbye));
}

#[test]
fn a_session_keeps_so_many_statements_and_no_more() {
    let mut machine = ConsoleMachine::new(Words);
    for number in 0..KEPT_MAX {
        let batch = Batch::new().parse(&format!("s{number}"), "begin").sync();
        assert_eq!(told(&play(&mut machine, batch.bytes()).0), "1 ZI");
    }
    let batch = Batch::new().parse("another", "begin").sync().close_statement("s7").sync();
    let (out, _) = play(&mut machine, batch.parse("another", "begin").sync().bytes());
    assert_eq!(told(&out), "E54000 ZI 3 ZI 1 ZI");
    let portal = Message::Describe { target: Target::Portal, name: b"p" };
    let (out, _) = play(&mut machine, Batch::new().message(&portal).sync().bytes());
    assert_eq!(told(&out), "E34000 ZI");
}
