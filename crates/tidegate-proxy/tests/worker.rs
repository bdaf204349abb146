//! Workers in a world in which only that happens what a test says, at the time that it says: for
//! what no network can be made to do at will.

#[path = "worker/stage.rs"]
mod stage;

use std::time::Duration;

use tidegate_wire::backend::{self, Tag, TransactionStatus};
use tidegate_wire::frontend;

use stage::{Client, Stage, target};

fn query(sql: &str) -> Vec<u8> {
    let mut out = Vec::new();
    frontend::push_query(&mut out, sql.as_bytes());
    out
}

/// A row of so many bytes, and the end of the statement.
fn answer(bytes: usize, status: TransactionStatus) -> Vec<u8> {
    let mut out = vec![Tag::DataRow.byte()];
    out.extend(u32::try_from(4 + 2 + 4 + bytes).expect("short").to_be_bytes());
    out.extend(1_u16.to_be_bytes());
    out.extend(u32::try_from(bytes).expect("short").to_be_bytes());
    out.resize(out.len() + bytes, b'x');
    backend::push_command_complete(&mut out, b"SELECT 1");
    backend::push_ready(&mut out, status);
    out
}

const SECOND: Duration = Duration::from_secs(1);

/// Silence is told by when a client could have spoken: not before it could have its answer.
#[test]
fn a_client_is_not_idle_while_its_answer_is_on_its_way_to_it() {
    for (setting, status) in [
        ("timeouts.client_idle", TransactionStatus::Idle),
        ("timeouts.idle_in_transaction", TransactionStatus::InTransaction),
    ] {
        let mut stage = Stage::new(&[(setting, "10s"), ("listen.workers", "1")]);
        let client = stage.client(0);
        client.line.set_room(1000);
        client.line.say(&query("SELECT 1"));
        stage.settle();
        stage.server(0).say(&answer(50_000, status));
        stage.settle();
        assert_eq!(client.line.hear().len(), 1000);
        stage.pass(30 * SECOND);
        client.line.set_room(40_000);
        stage.pass(30 * SECOND);
        assert_eq!(client.line.hear().len(), 40_000, "{setting}");
        client.line.set_room(usize::MAX);
        stage.pass(9 * SECOND);
        assert!(client.line.hear().ends_with(&[b'Z', 0, 0, 0, 5, status.byte()]), "{setting}");
        assert!(!client.line.has_shut());
        stage.pass(2 * SECOND);
        assert_eq!(client.line.hear_tags(), "E", "{setting}");
        assert!(client.line.has_shut());
    }
}

/// Closing a socket with unread words in it makes the kernel destroy what was written last.
#[test]
fn who_is_told_goodbye_at_the_end_of_a_drain_is_read_from_until_it_hangs_up() {
    let mut stage = Stage::new(&[("timeouts.drain", "10s"), ("listen.workers", "1")]);
    let clients = [stage.client(0), stage.client(0)];
    for client in &clients {
        client.line.say(&query("SELECT 1"));
    }
    stage.settle();
    stage.gate.shared.drain();
    stage.pass(9 * SECOND);
    for client in &clients {
        assert_eq!(client.line.hear_tags(), "", "it may end its work");
    }
    stage.pass(SECOND);
    for client in &clients {
        assert_eq!(client.line.hear_tags(), "E");
        assert!(client.line.has_shut() && !client.line.is_closed());
        client.line.say(&query("SELECT 2"));
    }
    stage.pass(SECOND / 10);
    assert!(clients.iter().all(|client| !client.line.is_closed()));
    clients[0].line.end();
    stage.settle();
    assert!(clients[0].line.is_closed());
    assert!(!clients[1].line.is_closed() && !stage.gate.is_over());
    // Whoever does not hang up is not waited for.
    stage.pass(SECOND);
    assert!(clients[1].line.is_closed() && stage.gate.is_over());
}

fn messages(messages: &[frontend::Message<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    messages.iter().for_each(|message| message.encode(&mut out).expect("it is short"));
    out
}

fn parse(name: &str) -> frontend::Message<'_> {
    let (name, text) = (name.as_bytes(), &b"SELECT 1"[..]);
    frontend::Message::Parse { name, text, parameter_types: &[] }
}

#[test]
fn a_batch_that_the_kernel_has_not_taken_goes_to_another_server() {
    let mut stage = Stage::new(&[("listen.workers", "1")]);
    let client = stage.client(0);
    stage.server(0).fail(1);
    client.line.say(&query("SELECT 1"));
    stage.settle();
    assert_eq!(stage.server(0).hear_tags(), "X", "a goodbye, and nothing of the batch");
    assert_eq!(stage.server(1).hear(), query("SELECT 1"));
    stage.server(1).say(&answer(1, TransactionStatus::Idle));
    stage.settle();
    assert_eq!(client.line.hear_tags(), "DCZ");
}

/// It would be answered once more, and what it has prepared could not be prepared again.
#[test]
fn a_batch_of_which_something_was_answered_goes_nowhere() {
    let mut stage = Stage::new(&[("listen.workers", "1")]);
    let client = stage.client(0);
    client.line.say(&messages(&[parse("one"), frontend::Message::Sync]));
    stage.settle();
    assert_eq!(stage.server(0).hear_tags(), "PS");
    let mut prepared = Vec::new();
    backend::push_bare(&mut prepared, Tag::ParseComplete);
    backend::push_ready(&mut prepared, TransactionStatus::Idle);
    stage.server(0).say(&prepared);
    stage.settle();
    assert_eq!(client.line.hear_tags(), "1Z");
    // The server has it: ParseComplete is answered in its stead.
    stage.server(0).fail(1);
    client.line.say(&messages(&[parse("two"), frontend::Message::Flush]));
    stage.settle();
    stage.server(0).end();
    stage.settle();
    assert_eq!(client.line.hear_tags(), "1E", "that, and that its server is lost");
    assert!(client.line.has_shut());
}

/// A server whose client has a transaction.
fn begin(stage: &mut Stage, client: &Client, server: usize) {
    client.line.say(&query("SELECT 1"));
    stage.settle();
    assert_eq!(stage.server(server).hear_tags(), "Q", "server {server}");
    stage.server(server).say(&answer(1, TransactionStatus::InTransaction));
    stage.settle();
    assert_eq!(client.line.hear_tags(), "DCZ");
}

fn commit(stage: &mut Stage, client: &Client, server: usize) {
    client.line.say(&query("COMMIT"));
    stage.settle();
    assert_eq!(stage.server(server).hear_tags(), "Q", "server {server}");
    let mut done = Vec::new();
    backend::push_command_complete(&mut done, b"COMMIT");
    backend::push_ready(&mut done, TransactionStatus::Idle);
    stage.server(server).say(&done);
    stage.settle();
    assert_eq!(client.line.hear_tags(), "CZ");
}

/// The name of the upstream gets another address, as in a fail-over, while the old one still answers.
#[test]
fn new_servers_are_where_the_name_is_now_and_old_ones_go_as_they_come_to_rest() {
    for (wanted, leaves) in [("read-write", true), ("any", false)] {
        let url =
            format!("postgres://app@db:5432/app?sslmode=disable&target_session_attrs={wanted}");
        let mut stage = Stage::new(&[("upstream.url", &url), ("listen.workers", "1")]);
        let clients = [(); 3].map(|()| stage.client(0));
        begin(&mut stage, &clients[0], 0);
        begin(&mut stage, &clients[1], 1);
        commit(&mut stage, &clients[1], 1);
        stage.gate.names_are_at(vec![target(2)]);
        // What stands serves on: nobody knows yet whether anybody answers at the new address.
        begin(&mut stage, &clients[1], 1);
        assert_eq!((stage.target_of(0), stage.target_of(1)), (1, 1));
        begin(&mut stage, &clients[2], 2);
        assert_eq!(stage.target_of(2), 2, "a new one is where the name is now");
        for (place, client) in clients.iter().enumerate() {
            commit(&mut stage, client, place);
        }
        // Where it matters what a server is like, those of the old address are of no use any more.
        for place in 0..2 {
            let goodbye = if leaves { "X" } else { "" };
            assert_eq!(stage.server(place).hear_tags(), goodbye, "{wanted}: server {place}");
        }
        assert_eq!(stage.server(2).hear_tags(), "");
        assert!(clients.iter().all(|client| !client.line.has_shut()), "nobody has noticed");
        // What is needed then is dialed there.
        if leaves {
            for place in 0..2 {
                stage.server(place).end();
            }
            begin(&mut stage, &clients[0], 2);
            begin(&mut stage, &clients[1], 3);
            assert_eq!(stage.target_of(3), 2);
        }
    }
}
