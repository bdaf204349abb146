//! Forwarding allocates nothing: what a message costs is a few comparisons and two system calls.

use tidegate_session::client::answers::Answers;
use tidegate_session::client::{ClientMachine, Gathered, Naming, Rules};
use tidegate_session::parameters::{Reported, SessionSettings};
use tidegate_session::pieces::Pieces;
use tidegate_session::pin::PinReasons;
use tidegate_session::prepared::Environment;
use tidegate_session::prepared::interner::Interner;
use tidegate_session::server::{Review, ServerMachine};
use tidegate_wire::backend::{self, TransactionStatus};
use tidegate_wire::frontend::{Message, Target};

/// A client and a server between which transactions pass, with all that is used again each time.
struct Pair {
    client: ClientMachine,
    server: ServerMachine,
    to_server: Pieces,
    to_client: Pieces,
    environment: Environment,
    interner: Interner,
    keeps_unnamed: bool,
}

impl Pair {
    fn new() -> Self {
        Self {
            client: ClientMachine::default(),
            server: ServerMachine::new(Reported::default(), 200),
            to_server: Pieces::default(),
            to_client: Pieces::default(),
            environment: Environment::default(),
            interner: Interner::default(),
            keeps_unnamed: false,
        }
    }

    /// One transaction: gathered, relayed, answered, and the lease ended.
    fn transaction(&mut self, batch: &[u8], answer: &[u8]) {
        self.to_client.clear();
        let mut answers = Answers::none(&self.environment);
        let gathered = self.client.gather(batch, &mut answers, &mut self.to_client);
        assert_eq!(gathered, Ok(Gathered::Batch { from: 0 }));
        self.server.begin_lease();
        self.to_server.clear();
        let naming = Naming {
            keeps: true,
            keeps_unnamed: self.keeps_unnamed,
            environment: &self.environment,
            library: &mut self.interner,
        };
        let mut rules = Rules { is_free: true, ahead: None, naming: Some(naming) };
        let (to_server, to_client) = (&mut self.to_server, &mut self.to_client);
        let relayed = self.client.relay(batch, &mut rules, &mut self.server, to_server, to_client);
        assert!(relayed.is_ok(), "a client speaks rightly");
        assert!(!self.to_server.is_empty());
        self.to_client.clear();
        self.to_server.clear();
        let names = Some(self.client.statements());
        let heard = self.server.receive(answer, names, &mut self.to_client, &mut self.to_server);
        assert_eq!(heard.expect("PostgreSQL speaks rightly").transactions, 1);
        assert!(self.server.exchange().is_at_rest());
        let settings = SessionSettings::default();
        let review = self.server.review(PinReasons::NONE, &settings, &mut self.to_server);
        assert_eq!(review, Review::Clean);
        self.client.end_lease();
    }
}

fn frontend(messages: &[Message<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    for message in messages {
        message.encode(&mut out).expect("a valid message");
    }
    out
}

fn backend(messages: &[backend::Message<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    for message in messages {
        message.encode(&mut out).expect("a valid message");
    }
    out
}

#[test]
fn forwarding_a_transaction_allocates_nothing() {
    use backend::Message as Backend;
    let parse = |name, text| Message::Parse { name, text, parameter_types: &[] };
    let bind = |statement| Message::Bind { portal: b"", statement, rest: &[0; 6] };
    let describe = Message::Describe { target: Target::Portal, name: b"" };
    let execute = Message::Execute { portal: b"", rows_max: 0 };
    let text: &[u8] = b"SELECT abalance FROM pgbench_accounts WHERE aid = $1";
    let row = [
        Backend::DataRow(b"\0\x01\0\0\0\x017"),
        Backend::CommandComplete(b"SELECT 1"),
        Backend::ReadyForQuery(TransactionStatus::Idle),
    ];
    let answer = |front: &[Backend<'_>]| [backend(front), backend(&row)].concat();
    let simple = (frontend(&[Message::Query(text)]), answer(&[]));
    let extended = (
        frontend(&[parse(b"", text), bind(b""), describe, execute, Message::Sync]),
        answer(&[Backend::ParseComplete, Backend::BindComplete, Backend::NoData]),
    );
    let prepared = (
        frontend(&[bind(b"P_1"), describe, execute, Message::Sync]),
        answer(&[Backend::BindComplete, Backend::NoData]),
    );

    let mut pair = Pair::new();
    let preparing = frontend(&[parse(b"P_1", text), Message::Sync]);
    let ready = Backend::ReadyForQuery(TransactionStatus::Idle);
    pair.transaction(&preparing, &backend(&[Backend::ParseComplete, ready]));
    // The same text without a name, once it is kept.
    let kept = (extended.0.clone(), prepared.1.clone());
    let parsed = extended.1.clone();
    let all = [("simple", simple), ("extended", extended), ("prepared", prepared), ("kept", kept)];
    for (name, (batch, answer)) in all {
        if name == "kept" {
            pair.keeps_unnamed = true;
            pair.transaction(&batch, &parsed); // It is seen, and known by the other's name.
        }
        pair.transaction(&batch, &answer); // Buffers that are used again have their size now.
        let counted = allocation_counter::measure(|| {
            for _ in 0..100 {
                pair.transaction(&batch, &answer);
            }
        });
        assert_eq!(counted.count_total, 0, "{name}: {counted:?}");
    }
}
