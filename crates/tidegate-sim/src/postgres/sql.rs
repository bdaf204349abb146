//! What the model understands of SQL: what applications here and the gate say, and nothing else. A
//! statement that it does not know is an error that ends the run: then the model is too small.

/// A statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Statement {
    /// What the gate asks where the server does not report what it is.
    AskRole,
    Begin,
    Commit,
    /// `COPY ledger FROM STDIN`.
    CopyIn,
    /// `SELECT 1/0`.
    Divide,
    Empty,
    /// What the gate asks when a transaction may have left something behind.
    Examine(Vec<Question>),
    Insert(Value),
    Lock(String),
    /// Something that leaves nothing, and its tag.
    Nothing(&'static str),
    Reset(Option<String>),
    /// `RESET` of everything that a session has.
    ResetAll(&'static str),
    /// Sets those that are not set: what the gate sends after a RESET of a client's.
    Restore(Vec<(String, String)>),
    Rollback,
    /// An identity with every number up to one.
    Series(Value, usize),
    Set {
        name: String,
        /// None: its default.
        value: Option<String>,
        is_local: bool,
        /// As a function, which has a row.
        is_call: bool,
    },
    /// An identity, and the value of a setting.
    Show(Value, String),
    /// An identity, after some milliseconds.
    Sleep(Value, u64),
    Unlock(String),
    UnlockAll,
    /// What the model does not know.
    Unknown(String),
}

/// The tag of what closes all portals.
pub(crate) const CLOSE_ALL: &str = "CLOSE CURSOR ALL";

/// A part of what the gate asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Question {
    /// Whether a reason holds: its index, and a word that tells which it is.
    Holds(String, Reason),
    /// A setting's value.
    Setting(String),
    /// All settings of the session.
    Settings,
    /// The channels that are listened to.
    Channels,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    AdvisoryLock,
    Prepared,
    Requested,
    /// Nothing in the model can be the reason.
    Never,
}

/// A text, or a parameter that is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Text(String),
    Parameter,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Text(String),
    Number(String),
    Parameter,
    Sign(char),
}

/// The statements of a query.
pub(crate) fn statements(text: &str) -> Vec<Statement> {
    let tokens = tokens(text);
    let parts = tokens.split(|token| *token == Token::Sign(';'));
    let mut statements: Vec<_> = parts.map(statement).collect();
    statements.retain(|statement| *statement != Statement::Empty);
    if statements.is_empty() { vec![Statement::Empty] } else { statements }
}

fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text.chars().peekable();
    let mut word = String::new();
    while let Some(c) = rest.next() {
        if c.is_ascii_alphabetic() || c == '_' || c == '.' && !word.is_empty() {
            if (c == 'E' || c == 'e') && word.is_empty() && rest.peek() == Some(&'\'') {
                continue; // The model's texts have no escapes.
            }
            word.push(c.to_ascii_lowercase());
            continue;
        }
        if c.is_ascii_digit() && !word.is_empty() {
            word.push(c);
            continue;
        }
        if c == '"' {
            word.extend(rest.by_ref().take_while(|c| *c != '"'));
            continue;
        }
        if !word.is_empty() {
            tokens.push(Token::Word(std::mem::take(&mut word)));
        }
        match c {
            '\'' => {
                let mut text = String::new();
                while let Some(c) = rest.next() {
                    if c != '\'' {
                        text.push(c);
                    } else if rest.peek() == Some(&'\'') {
                        rest.next();
                        text.push('\'');
                    } else {
                        break;
                    }
                }
                tokens.push(Token::Text(text));
            }
            '$' => {
                while rest.next_if(char::is_ascii_digit).is_some() {}
                tokens.push(Token::Parameter);
            }
            '0'..='9' => {
                let mut number = String::from(c);
                while let Some(c) = rest.next_if(|c| c.is_ascii_digit() || *c == '.') {
                    number.push(c);
                }
                tokens.push(Token::Number(number));
            }
            c if c.is_whitespace() => {}
            c => tokens.push(Token::Sign(c)),
        }
    }
    if !word.is_empty() {
        tokens.push(Token::Word(word));
    }
    tokens
}

/// What tells statements apart: texts as `'`, numbers as `#`, parameters as `$`.
fn shape(tokens: &[Token]) -> String {
    let words = tokens.iter().map(|token| match token {
        Token::Word(word) => word.clone(),
        Token::Text(_) => "'".into(),
        Token::Number(_) => "#".into(),
        Token::Parameter => "$".into(),
        Token::Sign(sign) => sign.to_string(),
    });
    words.collect::<Vec<_>>().join(" ")
}

fn statement(tokens: &[Token]) -> Statement {
    let texts: Vec<&String> = tokens
        .iter()
        .filter_map(|token| match token {
            Token::Text(text) | Token::Number(text) => Some(text),
            _ => None,
        })
        .collect();
    let identity = || match tokens.iter().find(|t| matches!(t, Token::Text(_) | Token::Parameter)) {
        Some(Token::Text(text)) => Value::Text(text.clone()),
        _ => Value::Parameter,
    };
    let text = |place: usize| texts.get(place).map(|text| (*text).clone()).unwrap_or_default();
    let last = || texts.last().map(|text| (*text).clone()).unwrap_or_default();
    let shape = shape(tokens);
    match shape.as_str() {
        "" => Statement::Empty,
        "begin" | "start transaction" => Statement::Begin,
        "commit" | "end" => Statement::Commit,
        "rollback" | "abort" => Statement::Rollback,
        "set session authorization default" => Statement::Nothing("SET"),
        "deallocate all" => Statement::ResetAll("DEALLOCATE ALL"),
        "discard all" => Statement::ResetAll("DISCARD ALL"),
        "close all" => Statement::Nothing(CLOSE_ALL),
        "unlisten *" => Statement::Nothing("UNLISTEN"),
        "discard temp" => Statement::Nothing("DISCARD TEMP"),
        "discard sequences" => Statement::Nothing("DISCARD SEQUENCES"),
        "reset all" => Statement::Reset(None),
        "select pg_catalog.pg_advisory_unlock_all ( )" => Statement::UnlockAll,
        "select pg_catalog.set_config ( ' , ' , false )" => {
            let (name, value) = (text(0), Some(text(1)));
            Statement::Set { name, value, is_local: false, is_call: true }
        }
        "select pg_catalog.pg_backend_pid ( ) , pg_catalog.pg_is_in_recovery ( ) , \
         pg_catalog.current_setting ( ' )" => Statement::AskRole,
        "select # / #" => Statement::Divide,
        "copy ledger from stdin" => Statement::CopyIn,
        "insert into ledger values ( ' )" | "insert into ledger values ( $ )" => {
            Statement::Insert(identity())
        }
        "select ' , current_setting ( ' , true )"
        | "select $ : : text , current_setting ( ' , true )" => Statement::Show(identity(), last()),
        "select ' from pg_sleep ( # )" | "select $ : : text from pg_sleep ( # )" => {
            let seconds: f64 = last().parse().unwrap_or_default();
            Statement::Sleep(identity(), (seconds * 1000.0) as u64)
        }
        "select ' , g from generate_series ( # , # ) g" => {
            Statement::Series(identity(), last().parse().unwrap_or_default())
        }
        "select pg_advisory_lock ( # )" => Statement::Lock(text(0)),
        "select pg_advisory_unlock ( # )" => Statement::Unlock(text(0)),
        _ => match tokens {
            [Token::Word(set), rest @ ..] if set == "set" => assignment(rest),
            [Token::Word(reset), Token::Word(name)] if reset == "reset" => {
                Statement::Reset(Some(name.clone()))
            }
            _ if shape.starts_with("select pg_catalog.set_config ( w.n , w.v , false )") => {
                let until = tokens.iter().position(|token| *token == Token::Word("left".into()));
                let texts = tokens[..until.unwrap_or(0)].iter().filter_map(|token| match token {
                    Token::Text(text) => Some(text.clone()),
                    _ => None,
                });
                let texts: Vec<_> = texts.collect();
                let (pairs, _) = texts.as_chunks::<2>();
                Statement::Restore(pairs.iter().cloned().map(|[n, v]| (n, v)).collect())
            }
            [Token::Word(select), Token::Text(kind), ..]
                if select == "select" && matches!(kind.as_str(), "c" | "h" | "s") =>
            {
                examination(tokens)
            }
            _ => Statement::Unknown(shape),
        },
    }
}

fn assignment(tokens: &[Token]) -> Statement {
    let (is_local, rest) = match tokens {
        [Token::Word(local), rest @ ..] if local == "local" => (true, rest),
        _ => (false, tokens),
    };
    match rest {
        [Token::Word(name), Token::Sign('='), Token::Text(value)] => {
            let (name, value) = (name.clone(), Some(value.clone()));
            Statement::Set { name, value, is_local, is_call: false }
        }
        [Token::Word(name), Token::Word(to), Token::Text(value)] if to == "to" => {
            let (name, value) = (name.clone(), Some(value.clone()));
            Statement::Set { name, value, is_local, is_call: false }
        }
        [Token::Word(name), Token::Word(to), Token::Word(default)]
            if to == "to" && default == "default" =>
        {
            Statement::Set { name: name.clone(), value: None, is_local, is_call: false }
        }
        [Token::Word(name), Token::Sign('='), Token::Word(value)] => {
            let (name, value) = (name.clone(), Some(value.clone()));
            Statement::Set { name, value, is_local, is_call: false }
        }
        _ => Statement::Unknown(shape(tokens)),
    }
}

fn examination(tokens: &[Token]) -> Statement {
    let union = [Token::Word("union".into()), Token::Word("all".into())];
    let mut questions = Vec::new();
    let mut rest = tokens;
    loop {
        let end = rest.windows(2).position(|pair| pair == union);
        let (part, after) = rest.split_at(end.unwrap_or(rest.len()));
        questions.push(match part {
            [_, Token::Text(kind), _, Token::Text(name), ..] if kind == "s" => {
                Question::Setting(name.clone())
            }
            [_, Token::Text(kind), ..] if kind == "s" => Question::Settings,
            [_, Token::Text(kind), ..] if kind == "c" => Question::Channels,
            [_, Token::Text(kind), _, Token::Text(index), ..] if kind == "h" => {
                let has = |word: &str| {
                    part.iter().any(|token| match token {
                        Token::Word(text) | Token::Text(text) => text.ends_with(word),
                        _ => false,
                    })
                };
                let reason = if has("pg_locks") {
                    Reason::AdvisoryLock
                } else if has("pg_prepared_statements") {
                    Reason::Prepared
                } else if has("tidegate.pin") {
                    Reason::Requested
                } else {
                    Reason::Never
                };
                Question::Holds(index.clone(), reason)
            }
            _ => return Statement::Unknown(shape(tokens)),
        });
        match after {
            [_, _, next @ ..] => rest = next,
            _ => return Statement::Examine(questions),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_told_apart() {
        let set = |name: &str, value: Option<&str>, is_call| Statement::Set {
            name: name.into(),
            value: value.map(Into::into),
            is_local: false,
            is_call,
        };
        let text = |text: &str| Value::Text(text.into());
        let cases = [
            ("", vec![Statement::Empty]),
            ("BEGIN; COMMIT;", vec![Statement::Begin, Statement::Commit]),
            ("SET app.who = 'it''s'", vec![set("app.who", Some("it's"), false)]),
            ("RESET \"app\".\"who\";", vec![Statement::Reset(Some("app.who".into()))]),
            (
                "SELECT pg_catalog.set_config('app.who',E'x',false);",
                vec![set("app.who", Some("x"), true)],
            ),
            (
                "SELECT 'c1', current_setting('app.who', true)",
                vec![Statement::Show(text("c1"), "app.who".into())],
            ),
            ("SELECT 'c1' FROM pg_sleep(0.25)", vec![Statement::Sleep(text("c1"), 250)]),
            ("INSERT INTO ledger VALUES ($1)", vec![Statement::Insert(Value::Parameter)]),
            ("SELECT 1/0", vec![Statement::Divide]),
            (
                "SELECT 's','a',x UNION ALL SELECT 'h','2',NULL WHERE EXISTS (pg_catalog.pg_locks)",
                vec![Statement::Examine(vec![
                    Question::Setting("a".into()),
                    Question::Holds("2".into(), Reason::AdvisoryLock),
                ])],
            ),
        ];
        for (sql, expected) in cases {
            assert_eq!(statements(sql), expected, "{sql}");
        }
    }

    #[test]
    fn what_a_reset_says_is_understood() {
        let sql = String::from_utf8_lossy(tidegate_session::server::RESET_SQL);
        let unknown = |statement: &Statement| matches!(statement, Statement::Unknown(_));
        assert!(!statements(&sql).iter().any(unknown), "{sql}");
    }
}
