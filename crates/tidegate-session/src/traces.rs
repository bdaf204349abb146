//! What a text of SQL may leave behind in the session, statement by statement.
//!
//! It says *may*: whether the statement was carried out, and was not rolled back, PostgreSQL is
//! asked when the transaction has ended (see [`crate::examination`]). So it must not miss what a
//! statement does by itself, and may name too much.
//!
//! Not visible here is what a function does that a statement calls by its name: a `SET` in it, a
//! lock, a temporary table. Parameters that PostgreSQL reports give a `SET` away
//! ([`crate::parameters::Reported`]); the rest is what `reset = "always"` is for. Of `DO` and
//! `CALL`, which are made for such things, all is asked.
//!
//! Cost: for a text whose bytes show that nothing can be found in it, which is nearly all, a few
//! searches for bytes that are rare ([`is_plainly_harmless`]). Otherwise its tokens are listed
//! once.

use std::collections::BTreeSet;

use crate::pin::{PinReason, PinReasons, UNASKABLE};
use crate::sniff::{Scope, Sniffer, is_plainly_harmless, locks_for_the_session, scope_of};
use crate::sql::{Token, Tokens};

/// What a text does to the session.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Traces {
    /// What it may leave there that keeps the client at its server.
    pub leaves: PinReasons,
    /// The settings that it may change for the session.
    pub settings: Touched,
    /// What it changes of how the statements of the rest of the transaction are parsed.
    pub scope: Option<Scope>,
    /// Whether it may take prepared statements away.
    pub forgets: bool,
    /// Whether it may remove what keeps the client at its server.
    pub releases: bool,
    /// Whether it may reset a setting without that `RESET` confirms it: `SET … TO DEFAULT`.
    pub resets: bool,
    /// Whether it asks for a value that the session has got from a sequence.
    pub reads_sequences: bool,
    /// To what it ends listening.
    pub unlistens: Unlistened,
}

/// Names of channels, as PostgreSQL has them.
pub type Channels = BTreeSet<Box<[u8]>>;

/// Channels to which a client listens no more.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unlistened {
    /// To none any more.
    pub all: bool,
    /// Or not to these.
    pub channels: Channels,
}

impl Unlistened {
    /// Whether it listens to all that it listened to.
    pub fn is_empty(&self) -> bool {
        !self.all && self.channels.is_empty()
    }

    /// Adds what it does not listen to any more either.
    pub fn add(&mut self, other: &Self) {
        self.all |= other.all;
        self.channels.extend(other.channels.iter().cloned());
    }
}

/// Settings that may have changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Touched {
    /// All were reset, before any of the others changed.
    pub are_reset: bool,
    /// Any may have changed.
    pub any: bool,
    /// These may have changed; in lower case.
    pub names: BTreeSet<Box<str>>,
    /// These had changed before all were reset: they have again when that is rolled back.
    pub before: BTreeSet<Box<str>>,
}

/// A client that has more settings of its own than this keeps its server. Applications set a
/// handful; each is asked for in one line of SQL.
const NAMES_MAX: usize = 100;

impl Touched {
    /// Whether none has.
    pub fn is_empty(&self) -> bool {
        !self.are_reset && !self.any && self.names.is_empty()
    }

    /// What has changed when `later` changes after it.
    pub fn then(&mut self, later: &Self) {
        if later.are_reset {
            self.are_reset = true;
            self.any = false;
            self.before.append(&mut self.names);
        }
        self.any |= later.any;
        self.names.extend(later.names.iter().cloned());
        self.before.extend(later.before.iter().cloned());
    }
}

impl Traces {
    /// Those of a whole text. `backslash_escapes`: under `standard_conforming_strings = off`.
    pub fn of(text: &[u8], backslash_escapes: bool) -> Self {
        let mut traces = Self::default();
        if is_plainly_harmless(text) {
            return traces;
        }
        let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
        let tokens: Vec<_> = Tokens::new(text).with_backslash_escapes(backslash_escapes).collect();
        for statement in tokens.split(|token| *token == Token::Symbol(b';')) {
            traces.add_statement(statement);
        }
        if traces.settings.names.len() > NAMES_MAX {
            traces.leaves.add(PinReason::Set);
        }
        traces
    }

    /// Those of a text that is too long to be looked at as a whole: nothing, or it is not known
    /// what.
    pub fn glimpsed(sniffer: &Sniffer) -> Self {
        let forgets = sniffer.forgets();
        let mut traces =
            Self { scope: sniffer.scope(), forgets, releases: forgets, ..Self::default() };
        if let Some(found) = sniffer.found() {
            // It stops at the first that it finds; PostgreSQL will say what else there is.
            traces.leaves = PinReason::ALL.into_iter().collect::<PinReasons>();
            traces.leaves = traces.leaves.without(UNASKABLE).with(found);
            traces.settings.any = true;
            traces.releases = true;
            traces.forgets = true;
        }
        traces
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.leaves.is_empty()
            && self.settings.is_empty()
            && self.scope.is_none()
            && !self.forgets
            && !self.releases
            && !self.resets
            && !self.reads_sequences
            && self.unlistens.is_empty()
    }

    fn add_statement(&mut self, tokens: &[Token<'_>]) {
        let Some((Token::Word(first), rest)) = tokens.split_first() else {
            return self.add_words(tokens);
        };
        let is = |word: &[u8]| first.eq_ignore_ascii_case(word);
        if is(b"set") {
            // `LOCAL` is what follows TIME ZONE.
            let is_default = |token: &Token<'_>| token.is(b"default") || token.is(b"local");
            self.resets |= rest.len() > 1 && rest.last().is_some_and(is_default);
            return self.add_set(rest);
        }
        if is(b"reset") {
            return self.add_reset(rest);
        }
        if is(b"discard") {
            self.forgets = true;
            self.releases = true;
            if rest.first().is_some_and(|word| word.is(b"all")) {
                self.reset_all();
                self.unlistens.all = true;
            }
            return;
        }
        if is(b"deallocate") {
            self.forgets = true;
            self.releases = true;
        } else if is(b"unlisten") {
            self.releases = true;
            self.add_unlisten(rest);
        } else if is(b"close") || is(b"drop") {
            self.releases = true;
        } else if is(b"listen") {
            self.leaves.add(PinReason::Listen);
        } else if is(b"load") {
            self.leaves.add(PinReason::Load);
        } else if is(b"declare") {
            if rest.iter().any(|token| token.is(b"hold")) {
                self.leaves.add(PinReason::Cursor);
            }
        } else if is(b"prepare") {
            let is_two_phase = match rest {
                [transaction, Token::Text { .. }] => transaction.is(b"transaction"),
                _ => false,
            };
            if !is_two_phase {
                self.leaves.add(PinReason::Prepared);
            }
        } else if is(b"create") {
            // With pg_temp in front of the search path it is temporary without saying so.
            self.leaves.add(PinReason::TempTable);
        } else if is(b"call") || is(b"do") || is(b"execute") {
            self.settings.any = true;
        }
        if is(b"do") {
            for token in rest {
                if let Token::Text { body, .. } = token {
                    let body: Vec<_> = Tokens::new(body).collect();
                    self.add_hidden(&body);
                }
            }
        }
        self.add_words(tokens);
    }

    fn add_unlisten(&mut self, tokens: &[Token<'_>]) {
        match tokens {
            [Token::Symbol(b'*')] => self.unlistens.all = true,
            [Token::Word(name)] => {
                self.unlistens.channels.insert(name.to_ascii_lowercase().into());
            }
            [Token::Name(name)] => {
                self.unlistens.channels.insert((*name).into());
            }
            _ => {}
        }
    }

    /// What is behind SET.
    fn add_set(&mut self, tokens: &[Token<'_>]) {
        let Some((first, rest)) = tokens.split_first() else { return };
        // `SET local.x = 1` sets what has this name.
        let is_a_name = match rest.first() {
            Some(Token::Symbol(b'.' | b'=')) => true,
            Some(token) => token.is(b"to"),
            None => false,
        };
        if !is_a_name {
            if first.is(b"local") {
                return self.add_set_local(rest);
            }
            if first.is(b"session") {
                return match rest.first() {
                    Some(token) if token.is(b"authorization") => self.add_role(),
                    Some(token) if token.is(b"characteristics") => {
                        for name in CHARACTERISTICS {
                            self.settings.names.insert((*name).into());
                        }
                    }
                    _ => self.add_set(rest),
                };
            }
            if first.is(b"transaction") || first.is(b"constraints") {
                return;
            }
            for (word, name) in SYNONYMS {
                if first.is(word.as_bytes()) {
                    self.settings.names.insert((*name).into());
                    return;
                }
            }
            if first.is(b"role") {
                return self.add_role();
            }
        }
        self.add_name(tokens);
    }

    fn add_set_local(&mut self, tokens: &[Token<'_>]) {
        let Some(word) = tokens.first().and_then(|token| token.name()) else { return };
        // A dotted name is an extension's or an application's own.
        if tokens.get(1) != Some(&Token::Symbol(b'.')) {
            self.scope = self.scope.max(scope_of(&word.to_ascii_lowercase()));
        }
    }

    fn add_role(&mut self) {
        self.leaves.add(PinReason::Role);
        self.releases = true;
        self.scope = self.scope.max(Some(Scope::Names));
    }

    fn add_reset(&mut self, tokens: &[Token<'_>]) {
        self.releases = true;
        let Some(first) = tokens.first() else { return };
        if tokens.len() == 1 && first.is(b"all") {
            self.reset_all();
        } else if first.is(b"time") && tokens.len() == 2 {
            self.settings.names.insert("timezone".into());
        } else if !first.is(b"session") && !first.is(b"transaction") {
            self.add_name(tokens);
        }
    }

    fn reset_all(&mut self) {
        self.releases = true;
        self.settings.then(&Touched { are_reset: true, ..Touched::default() });
    }

    /// The name of a setting, which may have dots.
    fn add_name(&mut self, tokens: &[Token<'_>]) {
        let mut name = Vec::new();
        let mut parts = tokens.iter();
        while let Some(part) = parts.next().and_then(|token| token.name()) {
            name.extend(part.to_ascii_lowercase());
            if parts.next() != Some(&Token::Symbol(b'.')) {
                return self.add_setting(&name);
            }
            name.push(b'.');
        }
        self.leaves.add(PinReason::Set); // It has no such form; PostgreSQL will say so.
    }

    fn add_setting(&mut self, name: &[u8]) {
        match name {
            b"tidegate.pin" => {
                self.leaves.add(PinReason::Requested);
                self.releases = true;
            }
            b"role" | b"session_authorization" => self.add_role(),
            b"transaction_isolation" | b"transaction_read_only" | b"transaction_deferrable" => {}
            b"seed" => self.leaves.add(PinReason::Set), // What it has set can't be read.
            name => match std::str::from_utf8(name) {
                Ok(name) => {
                    self.settings.names.insert(name.into());
                }
                Err(_) => self.leaves.add(PinReason::Set),
            },
        }
    }

    /// Words that matter anywhere in a statement.
    fn add_words(&mut self, tokens: &[Token<'_>]) {
        let creates = tokens.first().is_some_and(|token| token.is(b"create"));
        let updates = tokens.iter().any(|token| token.is(b"update"));
        let mut after_into = false;
        for (place, token) in tokens.iter().enumerate() {
            let next = tokens.get(place + 1).copied();
            let Some(word) = token.name() else { continue };
            let is_called = next == Some(Token::Symbol(b'('));
            if is_called {
                let word = word.to_ascii_lowercase();
                if word == b"set_config" {
                    self.add_set_config(tokens.get(place + 2..).unwrap_or_default());
                } else if locks_for_the_session(&word) {
                    self.leaves.add(PinReason::AdvisoryLock);
                } else if word.starts_with(b"pg_advisory_unlock") {
                    self.releases = true;
                } else if word == b"currval" || word == b"lastval" {
                    self.reads_sequences = true;
                }
            }
            // An UPDATE of this view sets.
            self.settings.any |= updates && token.is(b"pg_settings");
            if creates || after_into {
                let is_temp = token.is(b"temp") || token.is(b"temporary");
                let is_schema = next == Some(Token::Symbol(b'.'))
                    && word.get(..7).is_some_and(|front| front.eq_ignore_ascii_case(b"pg_temp"));
                if is_temp || is_schema {
                    self.leaves.add(PinReason::TempTable);
                }
            }
            after_into = token.is(b"into");
        }
    }

    /// The arguments of a `set_config`, and what follows.
    fn add_set_config(&mut self, tokens: &[Token<'_>]) {
        let mut depth = 0_u32;
        let mut end = tokens.len();
        let mut commas = Vec::new();
        for (place, token) in tokens.iter().enumerate() {
            match token {
                Token::Symbol(b'(' | b'[') => depth += 1,
                Token::Symbol(b')') if depth == 0 => {
                    end = place;
                    break;
                }
                Token::Symbol(b')' | b']') => depth = depth.saturating_sub(1),
                Token::Symbol(b',') if depth == 0 => commas.push(place),
                _ => {}
            }
        }
        let [first, second] = commas[..] else {
            return self.leaves.add(PinReason::Set); // Named arguments, or an array of them.
        };
        let is_local = tokens.get(second + 1..end).unwrap_or_default();
        let is_local = matches!(is_local, [word @ Token::Word(_)] if word.is(b"true"));
        match tokens.get(..first).unwrap_or_default() {
            [Token::Text { body, is_plain: true }] => {
                let name = body.to_ascii_lowercase();
                if is_local {
                    let scope = if name.contains(&b'.') { None } else { scope_of(&name) };
                    self.scope = self.scope.max(scope);
                } else {
                    self.add_setting(&name);
                }
            }
            _ if is_local => self.scope = Some(Scope::Constants),
            _ => self.leaves.add(PinReason::Set),
        }
    }

    /// The body of a block: it may stand anywhere what would begin a statement.
    fn add_hidden(&mut self, tokens: &[Token<'_>]) {
        self.releases = true;
        for (place, token) in tokens.iter().enumerate() {
            let rest = tokens.get(place + 1..).unwrap_or_default();
            if token.is(b"set") {
                // As in an UPDATE; of what is no setting, nothing will be found.
                let mut hidden = Self::default();
                hidden.add_set(rest);
                self.settings.then(&hidden.settings);
                self.leaves = self.leaves.and(hidden.leaves);
                self.scope = self.scope.max(hidden.scope);
            } else if token.is(b"create") {
                let end = rest.iter().position(|token| *token == Token::Symbol(b';'));
                let end = end.map_or(tokens.len(), |end| place + 1 + end);
                self.add_words(tokens.get(place..end).unwrap_or_default());
            } else if token.is(b"listen") {
                self.leaves.add(PinReason::Listen);
            } else if token.is(b"execute") {
                // What that says is known only to the block.
                self.leaves.add(PinReason::TempTable);
                self.leaves.add(PinReason::AdvisoryLock);
            }
        }
        self.add_words(tokens);
    }
}

/// What `SET SESSION CHARACTERISTICS AS TRANSACTION` sets.
const CHARACTERISTICS: &[&str] = &[
    "default_transaction_deferrable",
    "default_transaction_isolation",
    "default_transaction_read_only",
];

/// Forms of SET that have a syntax of their own, and what they set.
const SYNONYMS: &[(&str, &str)] = &[
    ("names", "client_encoding"),
    ("schema", "search_path"),
    ("time", "timezone"),
    ("xml", "xmloption"),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found, in a line: reasons, `~` what releases, settings, `*` any, `!` a reset.
    fn found(text: &str) -> String {
        let traces = Traces::of(text.as_bytes(), false);
        let mut words: Vec<String> =
            traces.leaves.iter().map(|reason| format!("+{reason}")).collect();
        words.extend(traces.settings.are_reset.then(|| "!".into()));
        words.extend(traces.settings.any.then(|| "*".into()));
        words.extend(traces.settings.names.iter().map(ToString::to_string));
        words.extend(traces.releases.then(|| "~".into()));
        words.extend(traces.scope.map(|scope| format!("{scope:?}")));
        words.extend(traces.resets.then(|| "default".into()));
        words.extend(traces.reads_sequences.then(|| "sequences".into()));
        words.join(" ")
    }

    #[test]
    fn settings_are_named() {
        for (text, expected) in [
            ("SET TimeZone = 'UTC'", "timezone"),
            ("set session search_path to a, b", "search_path"),
            ("SET app.Tenant TO '1'", "app.tenant"),
            ("set \"App\".\"x\" = 1", "app.x"),
            ("SET TIME ZONE 'CET'", "timezone"),
            ("SET NAMES 'latin1'", "client_encoding"),
            ("SET SCHEMA 'x'", "search_path"),
            (
                "set session characteristics as transaction read only",
                "default_transaction_deferrable default_transaction_isolation \
              default_transaction_read_only",
            ),
            ("set transaction isolation level serializable", ""),
            ("set constraints all deferred", ""),
            ("SET LOCAL statement_timeout = 5", ""),
            ("SET LOCAL timezone = 'UTC'", "Constants"),
            ("SET LOCAL search_path = x", "Names"),
            ("SET LOCAL app.x = 1", ""),
            ("set local.a = 1", "local.a"),
            ("set session.a to 1", "session.a"),
            ("/* c */ set -- x\n a to b", "a"),
            ("select 1; set a = b; set c = d", "a c"),
            ("select ';set a = b'", ""),
            ("update t set a = 1", ""),
            ("set a to default", "a default"),
            ("SET TIME ZONE LOCAL", "timezone default"),
            ("set a = 'default'", "a"),
            ("RESET ALL", "! ~"),
            ("set a = 1; reset all; set b = 1", "! b ~"),
            ("reset a.b", "a.b ~"),
            ("reset time zone", "timezone ~"),
            ("discard all", "! ~"),
            ("select set_config('app.x', $1, false)", "app.x"),
            ("select pg_catalog.set_config('app.x', f(1, 2), false), 1", "app.x"),
            ("select set_config('app.x', $1, true)", ""),
            ("select set_config('timezone', $1, true)", "Constants"),
            ("select set_config($1, $2, true)", "Constants"),
            ("select set_config($1, $2, false)", "+set"),
            ("select current_setting('jit'), set_config('jit', 'off', false)", "jit"),
            ("do $$ begin set app.x = 1; update t set y.z = 1; end $$", "* app.x y.z ~"),
            ("call p()", "*"),
        ] {
            assert_eq!(found(text), expected, "{text}");
        }
    }

    #[test]
    fn what_stays_in_the_session_is_named() {
        for (text, expected) in [
            ("SELECT pg_advisory_lock(1)", "+advisory_lock"),
            ("select pg_try_advisory_lock_shared (1)", "+advisory_lock"),
            ("select pg_advisory_xact_lock(1)", ""),
            ("select pg_advisory_unlock(1)", "~"),
            ("select 'pg_advisory_lock(1)'", ""),
            ("set role admin", "+role ~ Names"),
            ("set role to admin", "+role ~ Names"),
            ("SET SESSION AUTHORIZATION x", "+role ~ Names"),
            ("reset role", "+role ~ Names"),
            ("SET tidegate.pin = on", "+requested ~"),
            ("LISTEN x", "+listen"),
            ("unlisten *", "~"),
            ("declare c cursor with hold for select 1", "+cursor"),
            ("declare c cursor for select 1", ""),
            ("close c", "~"),
            ("prepare p as select 1", "+prepared"),
            ("prepare transaction 'x'", ""),
            ("deallocate p", "~"),
            ("load 'x'", "+load"),
            ("create temp table x (a int)", "+temp_table"),
            ("create table pg_temp.x (a int)", "+temp_table"),
            ("select 1 into temporary x", "+temp_table"),
            ("create table x (temperature int)", "+temp_table"),
            ("update pg_settings set setting = '5MB' where name = 'work_mem'", "*"),
            ("select * from pg_settings", ""),
            ("set seed = 0.5", "+set"),
            ("select pg_temp.f()", ""),
            ("drop table x", "~"),
            ("select currval('s')", "sequences"),
            ("insert into t values (lastval())", "sequences"),
            ("select nextval('s')", ""),
            (
                "do $$ begin perform pg_advisory_lock(1); create temp table x(a int); end $$",
                "+advisory_lock +temp_table * ~",
            ),
            (
                "create function f() returns int language sql as 'select pg_advisory_lock(1)'",
                "+temp_table",
            ),
        ] {
            assert_eq!(found(text), expected, "{text}");
        }
    }

    proptest::proptest! {
        /// What a glance passes over has no traces.
        #[test]
        fn a_glance_misses_nothing(
            first in proptest::sample::select(vec!["select ", "WITH ", "\nbegin", "insert "]),
            words in proptest::collection::vec(proptest::sample::select(vec![
                "set", "local", "temp", "TEMPORARY", "create", "into ", "declare", "hold",
                "pg_temp.", "listen", "x", " ", ";", "'", ".", "(", ")", "--", "/*", "*/", "\n",
                "set_config", "pg_try_advisory_lock", "_advisory_", "LASTVAL", "currval(", "m",
            ]), 0..12),
        ) {
            let text = [first, &words.concat()].concat();
            if is_plainly_harmless(text.as_bytes()) {
                // Two statements are never glanced over.
                let traces = Traces::of([&text, ";;x"].concat().as_bytes(), false);
                proptest::prop_assert!(traces.is_empty(), "{}: {:?}", text, traces);
            }
        }
    }
}
