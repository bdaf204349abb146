//! `.wire` scripts: frontend messages one by one, in the words of PostgreSQL's documentation.

use tidegate_testkit::batch::Batch;
use tidegate_wire::frontend::{Message, Target};

use crate::script::{Fault, SESSION};
use crate::step::{Act, Step, Until};
use crate::tokens::{Token, tokens};

/// The steps that the lines behind the head come down to.
pub(crate) fn steps<'a>(lines: impl Iterator<Item = (usize, &'a str)>) -> Result<Vec<Step>, Fault> {
    let mut reader = Reader { steps: Vec::new(), session: SESSION.to_owned(), unsent: None };
    for (line, text) in lines {
        if !text.is_empty() && !text.starts_with('#') {
            reader.line(line, text).map_err(|what| Fault { line, what })?;
        }
    }
    match reader.unsent {
        Some((line, _)) => Err(Fault { line, what: "nothing reads the answer".to_owned() }),
        None => Ok(reader.steps),
    }
}

struct Reader {
    steps: Vec<Step>,
    session: String,
    /// Messages that wait for the next `read` or `send`, and the line of the first.
    unsent: Option<(usize, Vec<u8>)>,
}

impl Reader {
    fn line(&mut self, line: usize, text: &str) -> Result<(), String> {
        let tokens = tokens(text)?;
        let Some((Token::Word(word), rest)) = tokens.split_first() else {
            return Err("a line begins with a word".to_owned());
        };
        match (word.as_str(), rest) {
            ("session", [Token::Word(name)]) => {
                if self.unsent.is_some() {
                    return Err("`read` or `send` comes before another session".to_owned());
                }
                self.session.clone_from(name);
            }
            ("send", []) => self.send(line),
            ("blocks", []) => {
                self.send(line);
                self.step(line, Act::UntilBlocked);
            }
            ("read", [Token::Word(until), Token::Word(tag)]) if until == "until" => {
                let until = match tag.as_bytes() {
                    b"end" => Until::End,
                    [tag] => Until::Tag(*tag),
                    _ => return Err(format!("`{tag}` is no tag")),
                };
                self.send(line);
                self.step(line, Act::Read(until));
            }
            ("read", [Token::Number(count)]) => {
                let count = usize::try_from(*count).map_err(|_| "a negative number".to_owned())?;
                self.send(line);
                self.step(line, Act::Read(Until::Count(count)));
            }
            (word, rest) => {
                let bytes = message(word, rest)?;
                self.unsent.get_or_insert((line, Vec::new())).1.extend(bytes);
            }
        }
        Ok(())
    }

    fn send(&mut self, line: usize) {
        if let Some((first, bytes)) = self.unsent.take() {
            self.step(first.min(line), Act::Send(bytes));
        }
    }

    fn step(&mut self, line: usize, act: Act) {
        self.steps.push(Step { line, session: self.session.clone(), act });
    }
}

/// The bytes of the message that a line says.
fn message(word: &str, rest: &[Token]) -> Result<Vec<u8>, String> {
    use Token::{Bytes, List, Number};
    let batch = Batch::new();
    let batch = match (word, rest) {
        ("Query", [Bytes(text)]) => batch.message(&Message::Query(text)),
        ("Parse", [Bytes(name), Bytes(text), types @ ..]) => {
            let types = match types {
                [] => Vec::new(),
                [List(types)] => numbers(types)?,
                _ => return Err("a list of types is what may follow".to_owned()),
            };
            let types: Vec<u8> = types.iter().flat_map(|oid: &u32| oid.to_be_bytes()).collect();
            batch.message(&Message::Parse { name, text, parameter_types: &types })
        }
        ("Bind", [Bytes(portal), Bytes(statement), lists @ ..]) => {
            let rest = bind(lists)?;
            batch.message(&Message::Bind { portal, statement, rest: &rest })
        }
        ("Describe", [target, Bytes(name)]) => {
            batch.message(&Message::Describe { target: kind(target)?, name })
        }
        ("Close", [target, Bytes(name)]) => {
            batch.message(&Message::Close { target: kind(target)?, name })
        }
        ("Execute", [Bytes(portal), Number(rows_max)]) => {
            let rows_max = i32::try_from(*rows_max).map_err(|_| "too many rows".to_owned())?;
            batch.message(&Message::Execute { portal, rows_max })
        }
        ("FunctionCall", [Number(function), lists @ ..]) => {
            let function = u32::try_from(*function).map_err(|_| "no such OID".to_owned())?;
            batch.message(&Message::FunctionCall(&call(function, lists)?))
        }
        ("CopyData", [Bytes(data)]) => batch.copy_data(data),
        ("CopyDone", []) => batch.copy_done(),
        ("CopyFail", [Bytes(reason)]) => batch.message(&Message::CopyFail(reason)),
        ("Flush", []) => batch.flush(),
        ("Sync", []) => batch.sync(),
        ("Terminate", []) => batch.terminate(),
        _ => return Err(format!("no line looks like this: `{word}` and {} more", rest.len())),
    };
    Ok(batch.bytes().to_vec())
}

fn kind(token: &Token) -> Result<Target, String> {
    match token {
        Token::Word(word) if word == "S" => Ok(Target::Statement),
        Token::Word(word) if word == "P" => Ok(Target::Portal),
        _ => Err("`S` or `P` is wanted".to_owned()),
    }
}

/// What follows the names in a Bind: formats, values, formats of the results.
fn bind(lists: &[Token]) -> Result<Vec<u8>, String> {
    let [formats, values, results] = three(lists)?;
    let mut out = Vec::new();
    push_formats(&mut out, formats)?;
    push_values(&mut out, values)?;
    push_formats(&mut out, results)?;
    Ok(out)
}

/// The body of a FunctionCall: the function, formats, values, the format of the result.
fn call(function: u32, lists: &[Token]) -> Result<Vec<u8>, String> {
    let [formats, values, result] = three(lists)?;
    let mut out = function.to_be_bytes().to_vec();
    push_formats(&mut out, formats)?;
    push_values(&mut out, values)?;
    match numbers::<u16>(result)?.as_slice() {
        [format] => out.extend_from_slice(&format.to_be_bytes()),
        _ => return Err("a function has one result".to_owned()),
    }
    Ok(out)
}

/// Up to three lists; those that are left out are empty.
fn three(lists: &[Token]) -> Result<[&[Token]; 3], String> {
    let mut three: [&[Token]; 3] = [&[]; 3];
    if lists.len() > three.len() {
        return Err("there are at most three lists".to_owned());
    }
    for (place, list) in three.iter_mut().zip(lists) {
        let Token::List(tokens) = list else { return Err("a list is wanted".to_owned()) };
        *place = tokens;
    }
    Ok(three)
}

fn push_formats(out: &mut Vec<u8>, formats: &[Token]) -> Result<(), String> {
    let formats: Vec<u16> = numbers(formats)?;
    push_count(out, formats.len())?;
    formats.iter().for_each(|format| out.extend_from_slice(&format.to_be_bytes()));
    Ok(())
}

fn push_values(out: &mut Vec<u8>, values: &[Token]) -> Result<(), String> {
    push_count(out, values.len())?;
    for value in values {
        match value {
            Token::Bytes(bytes) => {
                let length = i32::try_from(bytes.len()).map_err(|_| "too long".to_owned())?;
                out.extend_from_slice(&length.to_be_bytes());
                out.extend_from_slice(bytes);
            }
            Token::Word(word) if word == "null" => out.extend_from_slice(&(-1_i32).to_be_bytes()),
            _ => return Err("a value is a string or `null`".to_owned()),
        }
    }
    Ok(())
}

fn push_count(out: &mut Vec<u8>, count: usize) -> Result<(), String> {
    let count = u16::try_from(count).map_err(|_| "too many".to_owned())?;
    out.extend_from_slice(&count.to_be_bytes());
    Ok(())
}

fn numbers<N: TryFrom<i64>>(tokens: &[Token]) -> Result<Vec<N>, String> {
    let number = |token: &Token| match token {
        Token::Number(number) => N::try_from(*number).map_err(|_| "out of range".to_owned()),
        _ => Err("a number is wanted".to_owned()),
    };
    tokens.iter().map(number).collect()
}
