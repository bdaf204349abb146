//! Scripts for the pair of a client and a server; `stage` says how they are written and played.

#[path = "relay/stage.rs"]
mod stage;

use proptest::prelude::*;
use stage::{Stage, Step, check, frame, frontend_message, play_cut};
use tidegate_session::client::answers::Answers;
use tidegate_session::client::{ClientMachine, GATHERED_BYTES_MAX, Gathered};
use tidegate_session::pieces::Pieces;
use tidegate_session::prepared::Environment;

// --- Queries and batches. ---

#[test]
fn a_simple_query_leases_for_its_transaction() {
    check(
        "> Query select 1                | lease
         < RowDescription
         < DataRow
         < CommandComplete SELECT 1
         < ReadyForQuery I               | return
         > Query begin                   | lease
         < CommandComplete BEGIN + ReadyForQuery T
         > Query nonsense
         < ErrorResponse 42601 + ReadyForQuery E
         > Query rollback
         < CommandComplete ROLLBACK + ReadyForQuery I | return",
    );
}

#[test]
fn an_empty_query_and_a_function_call_rest_too() {
    check(
        "> Query                         | lease
         < EmptyQueryResponse + ReadyForQuery I | return
         > FunctionCall                  | lease
         < FunctionCallResponse + ReadyForQuery I | return
         > Terminate                     | server: nothing | goodbye",
    );
}

#[test]
fn an_extended_batch_is_held_until_its_sync_and_returns_after_its_answers() {
    check(
        "> Parse : select 1              | server: nothing
         > Bind                          | server: nothing
         > Describe + Execute            | server: nothing
         > Sync                          | server: Parse, Bind, Describe, Execute, Sync | lease
         < ParseComplete + BindComplete
         < RowDescription + DataRow + CommandComplete SELECT 1
         < ReadyForQuery I               | return
         > Close + Sync                  | lease
         < CloseComplete + ReadyForQuery I | return",
    );
}

#[test]
fn a_pipeline_returns_only_after_its_last_answer() {
    check(
        "> Query a + Query b + Parse : c + Bind + Execute + Sync | lease
         < CommandComplete A + ReadyForQuery I
         < CommandComplete B
         < ReadyForQuery I
         > Query d
         < ParseComplete + BindComplete + CommandComplete C + ReadyForQuery I
         < CommandComplete D + ReadyForQuery I | return",
    );
}

#[test]
fn a_flush_gets_a_server_and_the_batch_stays_open_until_its_sync() {
    check(
        "> Parse : select $1 + Describe + Flush | lease
         < ParseComplete + ParameterDescription + NoData
         > Bind + Execute + Flush
         < BindComplete + CommandComplete SELECT 0
         > Sync
         < ReadyForQuery I               | return",
    );
    check("> Flush | server: nothing");
}

#[test]
fn a_sync_that_ends_nothing_is_answered_without_a_server() {
    check(
        "> Sync                          | server: nothing | client: ReadyForQuery I
         > Sync + Sync                   | server: nothing | client: ReadyForQuery I, ReadyForQuery I
         > Flush + Sync                  | server: nothing | client: ReadyForQuery I",
    );
}

#[test]
fn rows_up_to_a_limit_leave_the_portal_to_the_next_execute() {
    check(
        "> Parse : select 1 + Bind + Execute + Flush | lease
         < ParseComplete + BindComplete + DataRow + PortalSuspended
         > Execute + Sync
         < DataRow + CommandComplete SELECT 1 + ReadyForQuery I | return",
    );
}

// --- Errors in batches. ---

#[test]
fn after_an_error_the_rest_of_the_batch_has_no_answers() {
    check(
        "> Parse : nonsense + Bind + Execute + Sync | lease
         < ErrorResponse 42601
         < ReadyForQuery I               | return",
    );
    check(
        "> Parse : nonsense + Bind + Execute + Sync + Parse : ok + Bind + Execute + Sync | lease
         < ErrorResponse 42601 + ReadyForQuery I
         < ParseComplete + BindComplete + CommandComplete OK + ReadyForQuery I | return",
    );
}

#[test]
fn after_an_error_without_sync_everything_is_ignored_up_to_the_sync() {
    check(
        "> Parse : nonsense + Flush      | lease
         < ErrorResponse 42601
         > Query ignored
         > Bind + Execute
         > Sync
         < ReadyForQuery I               | return",
    );
}

#[test]
fn a_commit_that_fails_at_sync_still_rests() {
    check(
        "> Parse : insert + Bind + Execute + Sync | lease
         < ParseComplete + BindComplete + CommandComplete INSERT 0 1
         < ErrorResponse 23505 + ReadyForQuery I | return",
    );
}

// --- COPY. ---

#[test]
fn copy_out_passes_through() {
    check(
        "> Query copy t to stdout        | lease
         < CopyOutResponse + CopyData a + CopyData b
         < CopyDone + CommandComplete COPY 2 + ReadyForQuery I | return",
    );
    check(
        "> Query copy t to stdout        | lease
         < CopyOutResponse + CopyData a
         < ErrorResponse 57014 + ReadyForQuery I | return",
    );
}

#[test]
fn copy_in_keeps_its_server_between_the_pieces() {
    check(
        "> Query copy t from stdin       | lease
         < CopyInResponse
         > CopyData a
         > CopyData b + CopyDone
         < CommandComplete COPY 2 + ReadyForQuery I | return",
    );
    check(
        "> Query copy t from stdin       | lease
         < CopyInResponse
         > CopyData a + CopyFail I have changed my mind
         < ErrorResponse 57014 + ReadyForQuery I | return",
    );
}

#[test]
fn copy_in_of_the_extended_protocol_eats_the_first_sync() {
    check(
        "> Parse : copy t from stdin + Bind + Execute + Sync | lease
         < ParseComplete + BindComplete + CopyInResponse
         > CopyData a + CopyDone + Sync
         < CommandComplete COPY 1 + ReadyForQuery I | return",
    );
    check(
        "> Parse : copy t from stdin + Bind + Execute + Flush | lease
         < ParseComplete + BindComplete + CopyInResponse
         > CopyData a + CopyDone
         < CommandComplete COPY 1
         > Sync
         < ReadyForQuery I | return",
    );
}

#[test]
fn data_left_over_from_a_copy_that_failed_is_ignored() {
    check(
        "> Query copy t from stdin       | lease
         < CopyInResponse
         > CopyData x
         < ErrorResponse 22P02
         > CopyData y
         < ReadyForQuery I               | return
         > CopyData z + CopyDone         | server: nothing
         > CopyFail too late             | server: nothing
         > Query select 1                | lease
         < CommandComplete SELECT 1 + ReadyForQuery I | return",
    );
    check(
        "> Query copy nothing from stdin + CopyData x + CopyDone | lease
         < ErrorResponse 42P01 + ReadyForQuery I | return",
    );
}

#[test]
fn a_failed_copy_of_the_extended_protocol_rests_after_the_second_sync() {
    check(
        "> Parse : copy t from stdin + Bind + Execute + Sync | lease
         < ParseComplete + BindComplete + CopyInResponse
         > CopyData x
         < ErrorResponse 22P02
         > CopyDone + Sync
         < ReadyForQuery I               | return",
    );
}

#[test]
fn a_query_in_the_midst_of_a_copy_makes_the_server_the_clients_for_good() {
    check(
        "> Query copy t from stdin       | lease
         < CopyInResponse
         > Query select 1
         < ErrorResponse 08P01 + ReadyForQuery I
         > Query select 2
         < CommandComplete SELECT 1 + ReadyForQuery I
         ! vanish                        | vanished | close",
    );
}

#[test]
fn replication_is_never_returned() {
    check(
        "> Query start_replication       | lease
         < CopyBothResponse
         > CopyDone
         < CopyDone + CommandComplete X + ReadyForQuery I
         > Terminate                     | server: nothing | goodbye | close",
    );
}

/// PostgreSQL 15 answers `COPY view FROM STDIN` with CopyInResponse and then an error before it has
/// read anything ("cannot copy to view"; a BEFORE STATEMENT trigger that fails does the same). A
/// Sync that the client had sent by then was not eaten: it has a ReadyForQuery of its own.
#[test]
fn a_copy_that_fails_before_it_reads_answers_the_sync_that_it_did_not_eat() {
    check(
        "> Parse : copy v from stdin + Bind + Execute + Sync | lease
         < ParseComplete + BindComplete + CopyInResponse
         < ErrorResponse 42809
         < ReadyForQuery I | return",
    );
    check(
        "> Query copy v from stdin       | lease
         < CopyInResponse
         > Sync
         < ErrorResponse 42809 + ReadyForQuery I | return
         < ReadyForQuery I               | client: nothing",
    );
}

/// When the client ends its copy before the first ReadyForQuery has come, one more may be on its
/// way when the server is returned. A check finds it before anybody else gets the server: an empty
/// query has an answer of its own, and what comes before that is not its.
#[test]
fn a_copy_that_fails_before_it_reads_is_checked_for_one_answer_more() {
    check(
        "> Parse : copy v from stdin + Bind + Execute + Sync | lease
         < ParseComplete + BindComplete + CopyInResponse
         > CopyData x + CopyDone + Sync
         < ErrorResponse 42809 + ReadyForQuery I | return
         ! check                         | server: Query
         < ReadyForQuery I               | client: nothing
         < EmptyQueryResponse + ReadyForQuery I | client: nothing | Check done
         ! next
         > Query select mine()           | lease
         < RowDescription + DataRow + CommandComplete SELECT 1 + ReadyForQuery I | return",
    );
}

/// As above, but its client vanishes: the ReadyForQuery of the Sync that it had sent does not end
/// the recovery, the answer to ROLLBACK does.
#[test]
fn a_recovery_of_a_copy_that_fails_before_it_reads_waits_for_its_rollback() {
    check(
        "> Parse : copy v from stdin + Bind + Execute + Sync | lease
         < ParseComplete + BindComplete + CopyInResponse
         ! vanish                        | server: CopyFail, Sync, Query ROLLBACK | vanished | cancel
         < ErrorResponse 42809 + ReadyForQuery I | client: nothing
         < ReadyForQuery I               | client: nothing
         < CommandComplete ROLLBACK + ReadyForQuery I | client: nothing | Recover done",
    );
}

// --- Pins. ---

/// A query that leaves something behind is asked about when its transaction has ended; what holds
/// keeps the server, which comes back dirty.
#[track_caller]
fn check_pin(sql: &str, reason: &str) {
    check(&format!(
        "> Query {sql}                   | lease
         < CommandComplete X + ReadyForQuery I | server: Question
         < RowDescription + Holds {reason} + CommandComplete SELECT 1 + ReadyForQuery I \
             | client: nothing | pin {reason}
         > Query select 1
         < CommandComplete SELECT 1 + ReadyForQuery I
         > Terminate                     | server: nothing | goodbye | return dirty"
    ));
    // The next batch need not wait for the answer.
    check(&format!(
        "> Parse : {sql} + Bind + Execute + Sync | lease
         < ParseComplete + BindComplete + CommandComplete X + ReadyForQuery I | server: Question
         > Query select 1
         < RowDescription + CommandComplete SELECT 0 + ReadyForQuery I | client: nothing
         < CommandComplete SELECT 1 + ReadyForQuery I | return"
    ));
    // In a transaction bytes are relayed as they come, so this one is cut inside the text.
    check(&format!(
        "> Query begin                   | lease
         < CommandComplete BEGIN + ReadyForQuery T
         > Query {sql}
         < CommandComplete X + ReadyForQuery T
         > Query rollback
         < CommandComplete ROLLBACK + ReadyForQuery I | server: Question
         < RowDescription + CommandComplete SELECT 0 + ReadyForQuery I | client: nothing | return"
    ));
    check(&format!(
        "> Query {sql}                   | lease
         < CommandComplete X + ReadyForQuery I | server: Question
         ! vanish                        | server: Query ROLLBACK | vanished
         < RowDescription + CommandComplete SELECT 0 + ReadyForQuery I | client: nothing
         < CommandComplete ROLLBACK + ReadyForQuery I | client: nothing | Recover done"
    ));
}

#[test]
fn what_stays_in_the_session_pins() {
    check_pin("listen news", "listen");
    check_pin("create temp table x (a int)", "temp_table");
    check_pin("select pg_advisory_lock(1)", "advisory_lock");
    check_pin("declare c cursor with hold for select 1", "cursor");
    check_pin("prepare p as select 1", "prepared");
    check_pin("set role admin", "role");
    check_pin("set tidegate.pin = on", "requested");
}

#[test]
fn what_nobody_can_look_for_pins_at_once() {
    for (sql, reason) in
        [("load 'auto_explain'", "load"), ("select set_config($1, $2, false)", "set")]
    {
        check(&format!(
            "> Query {sql}                   | lease
             < CommandComplete X + ReadyForQuery I | pin {reason}
             > Terminate                     | server: nothing | goodbye | return dirty"
        ));
    }
}

#[test]
fn a_pin_ends_when_its_cause_is_gone() {
    check(
        "> Query select pg_advisory_lock(1) | lease
         < CommandComplete SELECT 1 + ReadyForQuery I | server: Question
         < RowDescription + Holds advisory_lock + CommandComplete SELECT 1 + ReadyForQuery I \
             | client: nothing | pin advisory_lock
         > Query select pg_advisory_unlock(1)
         < CommandComplete SELECT 1 + ReadyForQuery I | server: Question
         < RowDescription + CommandComplete SELECT 0 + ReadyForQuery I \
             | client: nothing | unpin advisory_lock | return",
    );
    // As asyncpg's pool does with each connection that it takes back.
    check(
        "> Query SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL; | lease
         < CommandComplete SELECT 1 + CommandComplete CLOSE CURSOR ALL + CommandComplete UNLISTEN
         < CommandComplete RESET + ReadyForQuery I | set | return",
    );
}

#[test]
fn a_question_that_fails_is_answered_by_caution() {
    check(
        "> Query create temp table x (a int) | lease
         < CommandComplete CREATE TABLE + ReadyForQuery I | server: Question
         < ErrorResponse 57014 + ReadyForQuery I | client: nothing | pin temp_table",
    );
}

#[test]
fn the_values_of_sequences_are_the_clients_own() {
    check(
        "> Query select lastval()         | server: Query DISCARD SEQUENCES, Query select lastval() | lease
         < CommandComplete DISCARD SEQUENCES + ReadyForQuery I | client: nothing
         < ErrorResponse 55000 + ReadyForQuery I | pin sequence
         > Query discard all
         < CommandComplete DISCARD ALL + ReadyForQuery I | set | return",
    );
    check(
        "> Query insert into t values (1); select lastval() \
             | server: Query DISCARD SEQUENCES, Query insert into t values (1); select lastval() | lease
         < CommandComplete DISCARD SEQUENCES + ReadyForQuery I | client: nothing
         < CommandComplete INSERT 0 1 + CommandComplete SELECT 1 + ReadyForQuery I | pin sequence",
    );
    check(
        "> Query begin                   | lease
         < CommandComplete BEGIN + ReadyForQuery T
         > Query select lastval()
         < CommandComplete SELECT 1 + ReadyForQuery T
         > Query commit
         < CommandComplete COMMIT + ReadyForQuery I | return",
    );
}

// --- Settings. ---

#[test]
fn a_setting_is_asked_for_and_the_server_goes_back() {
    check(
        "> Query set app.a = b             | lease
         < CommandComplete SET + ReadyForQuery I | server: Question
         < RowDescription + Value app.a=b + CommandComplete SELECT 1 + ReadyForQuery I \
             | client: nothing | set app.a=b | return
         > Query begin                   | lease
         < CommandComplete BEGIN + ReadyForQuery T
         > Query set app.a = c
         < CommandComplete SET + ReadyForQuery T
         > Query select 1/0
         < ErrorResponse 22012 + ReadyForQuery E
         > Query rollback
         < CommandComplete ROLLBACK + ReadyForQuery I | server: Question
         < RowDescription + Value app.a=b + CommandComplete SELECT 1 + ReadyForQuery I \
             | client: nothing | set app.a=b | return
         > Query reset all               | lease
         < CommandComplete RESET + ReadyForQuery I | set | return",
    );
}

#[test]
fn a_setting_that_is_reported_is_known() {
    check(
        "> Query set timezone = 'CET'    | lease
         < ParameterStatus TimeZone=CET + CommandComplete SET
         < ReadyForQuery I               | set timezone=CET | return",
    );
    // By a function.
    check(
        "> Query select f()              | lease
         < ParameterStatus TimeZone=CET + CommandComplete SELECT 1
         < ReadyForQuery I               | set timezone=CET | return",
    );
    check(
        "> Query begin                   | lease
         < CommandComplete BEGIN + ReadyForQuery T
         > Query set local timezone = 'CET'
         < ParameterStatus TimeZone=CET + CommandComplete SET + ReadyForQuery T
         > Query commit
         < CommandComplete COMMIT + ParameterStatus TimeZone=UTC + ReadyForQuery I | return",
    );
}

#[test]
fn what_a_function_has_set_behind_a_reset_is_asked_for() {
    check(
        "> Query begin                   | lease
         < CommandComplete BEGIN + ReadyForQuery T
         > Query reset all
         < CommandComplete RESET + ReadyForQuery T
         > Query select f()
         < ParameterStatus TimeZone=CET + CommandComplete SELECT 1 + ReadyForQuery T
         > Query commit
         < CommandComplete COMMIT + ReadyForQuery I | server: Question
         < RowDescription + Value timezone=CET + CommandComplete SELECT 1 + ReadyForQuery I \
             | client: nothing | set timezone=CET | return
         > Query begin                   | lease
         < CommandComplete BEGIN + ReadyForQuery T
         > Query reset all
         < CommandComplete RESET + ParameterStatus TimeZone=UTC + ReadyForQuery T
         > Query select f()
         < ParameterStatus TimeZone=CET + CommandComplete SELECT 1 + ReadyForQuery T
         > Query commit
         < CommandComplete COMMIT + ReadyForQuery I | server: Question
         < RowDescription + Value timezone=CET + CommandComplete SELECT 1 + ReadyForQuery I \
             | client: nothing | set timezone=CET | return",
    );
}

#[test]
fn of_a_reset_that_may_have_been_rolled_back_everything_is_asked() {
    check(
        "> Query reset all; select 1/0   | lease
         < CommandComplete RESET + ErrorResponse 22012 + ReadyForQuery I | server: Question
         < RowDescription + Value app.a=b + CommandComplete SELECT 1 + ReadyForQuery I \
             | client: nothing | set app.a=b | return",
    );
}

#[test]
fn settings_go_in_front_of_the_batch_and_what_they_report_is_nobodys() {
    check(
        "! ahead SELECT set_config()
         > Query select 1                | server: Query SELECT set_config(), Query select 1 | lease
         < RowDescription + DataRow + ParameterStatus TimeZone=CET + CommandComplete SELECT 1 | client: nothing
         < ReadyForQuery I               | client: nothing | told CET
         < CommandComplete SELECT 1 + ReadyForQuery I | return",
    );
    // What the batch itself changes is told in its turn, even where it comes in the same read.
    check(
        "! ahead SELECT set_config()
         > Query set                     | server: Query SELECT set_config(), Query set | lease
         < ParameterStatus TimeZone=CET + CommandComplete SELECT 1 + ReadyForQuery I \
           + CommandComplete SET + ParameterStatus TimeZone=UTC + ReadyForQuery I \
             | client: CommandComplete, ParameterStatus, ReadyForQuery I \
             | told CET | set timezone=UTC | return",
    );
    check(
        "! ahead SELECT set_config()
         > Query select 1                | server: Query SELECT set_config(), Query select 1 | lease
         < ErrorResponse 22023 + ReadyForQuery I | client: nothing | ahead failed: 22023 | close",
    );
}

// --- Without a server. ---

#[test]
fn a_transaction_takes_a_server_at_its_first_statement() {
    check(
        "! probes
         > Query BEGIN                   | server: nothing | client: CommandComplete, ReadyForQuery T
         > Query select 1                | server: Query BEGIN, Query select 1 | lease
         < CommandComplete BEGIN + ReadyForQuery T | client: nothing
         < CommandComplete SELECT 1 + ReadyForQuery T
         > Query commit
         < CommandComplete COMMIT + ReadyForQuery I | return",
    );
    check(
        "! probes
         > Query BEGIN                   | server: nothing | client: CommandComplete, ReadyForQuery T
         > Sync                          | server: nothing | client: ReadyForQuery T
         > Query                         | server: nothing | client: EmptyQueryResponse, ReadyForQuery T
         > Query ROLLBACK                | server: nothing | client: CommandComplete, ReadyForQuery I
         > Query ROLLBACK                | lease
         < NoticeResponse + CommandComplete ROLLBACK + ReadyForQuery I | return",
    );
    for second in ["BEGIN", "SAVEPOINT a", "SET TRANSACTION READ ONLY"] {
        check(&format!(
            "! probes
             > Query BEGIN                | server: nothing | client: CommandComplete, ReadyForQuery T
             > Query {second}             | server: Query BEGIN, Query {second} | lease
             < CommandComplete BEGIN + ReadyForQuery T | client: nothing
             < CommandComplete X + ReadyForQuery T"
        ));
    }
}

#[test]
fn a_transaction_that_gets_no_server_has_failed() {
    check(
        "! probes
         ! full
         > Query BEGIN                   | server: nothing | client: CommandComplete, ReadyForQuery T
         > Query select 1                | server: nothing | wait
         ! refuse                        | client: ErrorResponse 57014, ReadyForQuery E
         > Query select 1                | server: nothing | client: ErrorResponse 25P02, ReadyForQuery E
         > Parse : select 1 + Bind + Sync | server: nothing | client: ErrorResponse 25P02, ReadyForQuery E
         > Query commit                  | server: nothing | client: CommandComplete, ReadyForQuery I",
    );
    check(
        "! probes
         ! full
         > Query BEGIN                   | server: nothing | client: CommandComplete, ReadyForQuery T
         > Parse : select 1 + Bind + Execute + Sync | server: nothing | wait
         ! refuse                        | client: ErrorResponse 57014, ReadyForQuery E
         > Parse : rollback + Bind + Describe + Execute + Sync | server: nothing \
             | client: ParseComplete, BindComplete, NoData, CommandComplete, ReadyForQuery I",
    );
}

#[test]
fn a_drivers_ping_needs_no_server() {
    check(
        "! share
         ! probes
         > Query BEGIN;                  | server: nothing | client: CommandComplete, ReadyForQuery T
         > Parse p: ; + DescribeStatement p + Flush | server: nothing \
             | client: ParseComplete, ParameterDescription, NoData
         > Bind p + Execute + Sync       | server: nothing \
             | client: BindComplete, EmptyQueryResponse, ReadyForQuery T
         > Query ROLLBACK;               | server: nothing | client: CommandComplete, ReadyForQuery I",
    );
    check(
        "! share
         ! probes all
         > Query SELECT 1                | server: nothing \
             | client: RowDescription, DataRow, CommandComplete, ReadyForQuery I",
    );
}

#[test]
fn what_ends_with_the_transaction_does_not_pin() {
    for sql in ["set local a = b", "set transaction read only", "select pg_advisory_xact_lock(1)"] {
        check(&format!(
            "> Query {sql}                | lease
             < CommandComplete X + ReadyForQuery I | return"
        ));
    }
}

#[test]
fn a_named_statement_pins_where_none_are_kept_and_the_unnamed_one_does_not() {
    check(
        "> Parse p: select 1 + Sync      | lease
         < ParseComplete + ReadyForQuery I | server: Question
         < RowDescription + Holds prepared + CommandComplete SELECT 1 + ReadyForQuery I \
             | client: nothing | pin prepared
         > Bind p + Execute + Sync
         < BindComplete + CommandComplete SELECT 1 + ReadyForQuery I
         > Terminate                     | server: nothing | goodbye | return dirty",
    );
    check(
        "> Parse : select 1 + Sync       | lease
         < ParseComplete + ReadyForQuery I | return",
    );
}

#[test]
fn on_the_session_port_nothing_is_looked_at_and_the_lease_lasts() {
    check(
        "! session
         > Query set a = b               | lease
         < CommandComplete SET + ReadyForQuery I
         > Query select 1
         < CommandComplete SELECT 1 + ReadyForQuery I
         > Terminate                     | server: nothing | goodbye | return dirty",
    );
}

// --- Large messages. ---

#[test]
fn a_batch_larger_than_what_is_gathered_is_streamed() {
    let sql = format!("> Query select '{}'", "x".repeat(3 * GATHERED_BYTES_MAX));
    let Step::Client(bytes) = Step::parse(&sql) else { panic!("a client's message") };
    for first in [1, 4, 5, 6, 1000, GATHERED_BYTES_MAX - 1, GATHERED_BYTES_MAX, 20_000] {
        let mut stage = Stage::new();
        stage.client_says(&bytes[..first]);
        let leased_at = first >= GATHERED_BYTES_MAX;
        assert_eq!(stage.outcome.events == ["lease"], leased_at, "after {first} bytes");
        for chunk in bytes[first..].chunks(1000) {
            stage.client_says(chunk);
        }
        assert_eq!(stage.outcome.to_server, bytes, "first {first} bytes");
        assert_eq!(stage.outcome.events, ["lease"], "it can't rest in mid-message");
        stage.server_says(&stage::backend_message("CommandComplete SELECT 1 + ReadyForQuery I"));
        assert_eq!(stage.outcome.events, ["lease", "return"]);
    }
}

#[test]
fn many_small_messages_that_add_up_are_streamed_before_their_sync() {
    let mut batch = Vec::new();
    while batch.len() < 2 * GATHERED_BYTES_MAX {
        batch.extend(frontend_message("Bind + Execute"));
    }
    let mut machine = ClientMachine::default();
    let mut held = 0;
    for (place, chunk) in batch.chunks(100).enumerate() {
        let environment = Environment::default();
        let mut answers = Answers::none(&environment);
        match machine.gather(chunk, &mut answers, &mut Pieces::default()) {
            Ok(Gathered::More) => held = (place + 1) * 100,
            Ok(Gathered::Held) => break,
            other => panic!("{other:?}"),
        }
    }
    let taken = machine.take_held().len();
    assert!((GATHERED_BYTES_MAX..GATHERED_BYTES_MAX + 100).contains(&taken), "{held}, {taken}");
}

#[test]
fn an_answer_in_a_row_of_a_megabyte_passes_in_pieces() {
    let row = frame(b'D', &vec![7; 1 << 20]);
    let mut stage = Stage::new();
    stage.client_says(&frontend_message("Query select big"));
    let (front, rest) = row.split_at(70_000);
    stage.server_says(front);
    assert!(stage.server.is_mid_answer());
    rest.chunks(65_536).for_each(|chunk| stage.server_says(chunk));
    assert!(!stage.server.is_mid_answer());
    assert_eq!(stage.outcome.to_client, row);
}

#[test]
fn an_error_larger_than_what_is_collected_passes_when_it_is_cut() {
    let message = format!("SERROR\0VERROR\0C22000\0M{}\0\0", "x".repeat(100_000));
    let mut answer = frame(b'E', message.as_bytes());
    answer.extend(stage::backend_message("ReadyForQuery I"));
    let mut stage = Stage::new();
    stage.client_says(&frontend_message("Query select big_error()"));
    answer.chunks(50_000).for_each(|chunk| stage.server_says(chunk));
    assert_eq!(stage.outcome.to_client, answer);
    assert_eq!(stage.outcome.events, ["lease", "return"]);
}

// --- No server. ---

#[test]
fn a_refused_simple_query_is_answered_and_the_client_goes_on() {
    check(
        "! full
         > Query a                       | server: nothing | wait
         ! refuse                        | client: ErrorResponse 57014, ReadyForQuery I
         ! free
         > Query b                       | lease
         < CommandComplete B + ReadyForQuery I | return",
    );
}

#[test]
fn each_refused_query_of_a_pipeline_is_answered() {
    check(
        "! full
         > Query a + Query b + Sync      | server: nothing | wait
         ! refuse | client: ErrorResponse 57014, ReadyForQuery I, ErrorResponse 57014, ReadyForQuery I, ReadyForQuery I",
    );
}

#[test]
fn a_refused_batch_has_one_error_and_one_ready() {
    check(
        "! full
         > Parse : a + Bind + Execute + Sync | server: nothing | wait
         ! refuse                        | client: ErrorResponse 57014, ReadyForQuery I
         ! free
         > Query b                       | lease",
    );
    check(
        "! full
         > Parse : a + Bind + Execute + Sync + Bind + Execute + Sync | server: nothing | wait
         ! refuse | client: ErrorResponse 57014, ReadyForQuery I, ErrorResponse 57014, ReadyForQuery I",
    );
}

#[test]
fn a_refused_batch_without_sync_is_skipped_up_to_its_sync() {
    check(
        "! full
         > Parse : a + Flush             | server: nothing | wait
         ! refuse                        | client: ErrorResponse 57014
         ! free
         > Bind + Execute                | server: nothing
         > Query ignored                 | server: nothing
         > Sync                          | server: nothing | client: ReadyForQuery I
         > Query b                       | lease",
    );
}

#[test]
fn a_refused_copy_of_a_pipeline_ignores_its_data() {
    check(
        "! full
         > Query copy t from stdin + CopyData x | server: nothing | wait
         ! refuse                        | client: ErrorResponse 57014, ReadyForQuery I
         ! free
         > CopyData y + CopyDone         | server: nothing
         > Query b                       | lease",
    );
}

#[test]
fn a_goodbye_behind_a_refused_query_is_heard() {
    check(
        "! full
         > Query a + Terminate           | server: nothing | wait
         ! refuse                        | client: ErrorResponse 57014, ReadyForQuery I | goodbye",
    );
}

#[test]
fn the_rest_of_a_refused_frame_is_ignored_wherever_it_was_cut() {
    let long = format!("Parse : select '{}'", "x".repeat(GATHERED_BYTES_MAX));
    let parse = frontend_message(&long);
    for kept in [GATHERED_BYTES_MAX, GATHERED_BYTES_MAX + 1, parse.len() - 1, parse.len()] {
        let mut stage = Stage::new();
        Step::parse("! full").play(&mut stage, []);
        stage.client_says(&parse[..kept]);
        assert_eq!(stage.outcome.events, ["wait"], "{kept}");
        Step::parse("! refuse").play(&mut stage, []);
        Step::parse("! free").play(&mut stage, []);
        stage.client_says(&parse[kept..]);
        stage.client_says(&frontend_message("Bind + Execute + Sync + Query b"));
        let names: Vec<_> = stage::frames(&stage.outcome.to_client)
            .map(|(tag, body)| stage::backend_name(tag, body))
            .collect();
        assert_eq!(names, ["ErrorResponse 57014", "ReadyForQuery I"], "{kept}");
        assert_eq!(stage.outcome.to_server, frontend_message("Query b"), "{kept}");
    }
}

#[test]
fn a_header_cut_behind_a_refused_query_is_kept() {
    let stream = frontend_message("Query a + Query b");
    let first = frontend_message("Query a").len();
    for cut in first..first + 5 {
        let mut stage = Stage::new();
        Step::parse("! full").play(&mut stage, []);
        stage.client_says(&stream[..cut]);
        Step::parse("! refuse").play(&mut stage, []);
        Step::parse("! free").play(&mut stage, []);
        stage.client_says(&stream[cut..]);
        assert_eq!(stage.outcome.to_server, frontend_message("Query b"), "cut at {cut}");
    }
}

#[test]
fn a_batch_that_waited_is_relayed_at_the_hand_off() {
    check(
        "! full
         > Query a + Query b             | server: nothing | wait
         ! hand-off                      | server: Query a, Query b | lease
         < CommandComplete A + ReadyForQuery I + CommandComplete B + ReadyForQuery I | return",
    );
}

// --- Errands. ---

#[test]
fn startup_parameters_are_set_before_the_batch_is_sent() {
    check(
        "! adapt SELECT set_config('a','b',false);
         > Query a                       | server: Query SELECT set_config('a','b',false);
         < ParameterStatus a=b + RowDescription + DataRow + CommandComplete SELECT 1 | client: nothing
         < ReadyForQuery I               | server: Query a | client: nothing | Adapt done | lease
         < CommandComplete A + ReadyForQuery I | return",
    );
}

#[test]
fn a_batch_is_answered_when_its_startup_parameters_are_refused() {
    check(
        "! adapt SELECT set_config('a','b',false);
         > Query a                       | server: Query SELECT set_config('a','b',false);
         < ErrorResponse 22023           | client: nothing
         < ReadyForQuery I | client: ErrorResponse 57014, ReadyForQuery I | Adapt failed: 22023 it is so
         > Query b                       | lease
         < CommandComplete B + ReadyForQuery I | return",
    );
}

#[test]
fn a_check_is_over_when_it_was_answered() {
    check(
        "! check                         | server: Query
         < EmptyQueryResponse            | client: nothing
         < ReadyForQuery I               | client: nothing | Check done",
    );
    check(
        "! check                         | server: Query
         < ErrorResponse 08P01           | client: nothing
         < ReadyForQuery I               | client: nothing | Check failed: 08P01 it is so",
    );
    check(
        "! check                         | server: Query
         < Fatal 57P01                   | client: nothing | farewell 57P01",
    );
}

/// An error of more than 64 KiB that is cut is passed over unread, but it is an error.
#[test]
fn a_refusal_too_large_to_be_collected_is_a_refusal() {
    let message = format!("SERROR\0VERROR\0C22023\0M{}\0\0", "x".repeat(100_000));
    let mut stage = Stage::new();
    Step::parse("! adapt SELECT set_config('a','b',false);").play_whole(&mut stage);
    stage.client_says(&frontend_message("Query a"));
    frame(b'E', message.as_bytes()).chunks(50_000).for_each(|chunk| stage.server_says(chunk));
    stage.server_says(&stage::backend_message("ReadyForQuery I"));
    assert_eq!(stage.outcome.events, ["Adapt failed: XX000 an error too long to be kept"]);
}

#[test]
fn a_reset_that_fails_half_way_has_failed() {
    check(
        "! reset                         | server: Query RESET_SQL
         < CommandComplete SET + CommandComplete RESET | client: nothing
         < ErrorResponse 25001 + ReadyForQuery I | client: nothing | Reset failed: 25001 it is so",
    );
    check(
        "! reset                         | server: Query RESET_SQL
         < CommandComplete SET + CommandComplete DISCARD ALL + ReadyForQuery I | client: nothing | Reset done",
    );
}

#[test]
fn a_transaction_is_rolled_back_when_its_client_vanishes() {
    check(
        "> Query begin                   | lease
         < CommandComplete BEGIN + ReadyForQuery T
         ! vanish                        | server: Query ROLLBACK | vanished
         < CommandComplete ROLLBACK + ReadyForQuery I | client: nothing | Recover done
         ! next
         > Query select 1                | lease
         < CommandComplete SELECT 1 + ReadyForQuery I | return",
    );
    check(
        "> Query begin                   | lease
         < CommandComplete BEGIN + ReadyForQuery T
         > Query nonsense
         < ErrorResponse 42601 + ReadyForQuery E
         > Terminate                     | server: Query ROLLBACK | goodbye
         < CommandComplete ROLLBACK + ReadyForQuery I | client: nothing | Recover done",
    );
}

#[test]
fn a_running_statement_is_cancelled_and_its_answers_reach_nobody() {
    check(
        "> Query select slow() + Query select more() | lease
         ! vanish                        | server: Query ROLLBACK | vanished | cancel
         < ErrorResponse 57014 + ReadyForQuery I | client: nothing
         < RowDescription + DataRow + CommandComplete SELECT 1 | client: nothing
         < ReadyForQuery I               | client: nothing
         < NoticeResponse + CommandComplete ROLLBACK | client: nothing
         < ReadyForQuery I               | client: nothing | Recover done
         ! next
         > Query select 1                | lease
         < CommandComplete SELECT 1 + ReadyForQuery I | return",
    );
}

#[test]
fn a_copy_is_failed_when_its_client_vanishes() {
    check(
        "> Query begin                   | lease
         < CommandComplete BEGIN + ReadyForQuery T
         > Query copy t from stdin
         < CopyInResponse
         > CopyData x
         ! vanish                        | server: CopyFail, Query ROLLBACK | vanished | cancel
         < ErrorResponse 57014 + ReadyForQuery E | client: nothing
         < CommandComplete ROLLBACK + ReadyForQuery I | client: nothing | Recover done",
    );
    check(
        "> Parse : copy t from stdin + Bind + Execute + Sync | lease
         < ParseComplete + BindComplete + CopyInResponse
         ! vanish                        | server: CopyFail, Sync, Query ROLLBACK | vanished | cancel
         < ErrorResponse 57014 + ReadyForQuery I | client: nothing
         < NoticeResponse + CommandComplete ROLLBACK + ReadyForQuery I | client: nothing | Recover done",
    );
}

#[test]
fn a_batch_without_sync_gets_one_when_its_client_vanishes() {
    check(
        "> Parse : a + Bind + Execute + Flush | lease
         < ParseComplete + BindComplete
         ! vanish                        | server: Sync, Query ROLLBACK | vanished | cancel
         < CommandComplete A + ReadyForQuery I | client: nothing
         < NoticeResponse + CommandComplete ROLLBACK + ReadyForQuery I | client: nothing | Recover done",
    );
    check(
        "> Parse : a + Bind + Execute + Flush | lease
         < ErrorResponse 42601
         ! vanish                        | server: Sync, Query ROLLBACK | vanished
         < ReadyForQuery I               | client: nothing
         < NoticeResponse + CommandComplete ROLLBACK + ReadyForQuery I | client: nothing | Recover done",
    );
}

#[test]
fn a_half_forwarded_message_closes_the_server() {
    let mut stage = Stage::new();
    stage.client_says(&frontend_message("Query copy t from stdin"));
    stage.server_says(&stage::backend_message("CopyInResponse"));
    stage.client_says(&frontend_message("CopyData half of it")[..8]);
    Step::parse("! vanish").play(&mut stage, []);
    assert_eq!(stage.outcome.events, ["lease", "vanished", "close"]);
}

#[test]
fn an_answer_that_was_under_way_goes_nowhere_once_its_client_has_vanished() {
    let row = stage::backend_message("DataRow");
    for cut in 0..row.len() {
        let mut stage = Stage::new();
        stage.client_says(&frontend_message("Query select 1"));
        stage.server_says(&stage::backend_message("RowDescription"));
        stage.server_says(&row[..cut]);
        let before = stage.outcome.to_client.len();
        Step::parse("! vanish").play(&mut stage, []);
        stage.server_says(&row[cut..]);
        stage.server_says(&stage::backend_message("CommandComplete SELECT 1 + ReadyForQuery I"));
        stage.server_says(&stage::backend_message("CommandComplete ROLLBACK + ReadyForQuery I"));
        assert_eq!(stage.outcome.to_client.len(), before, "cut at {cut}");
        assert_eq!(stage.outcome.events.last().map(String::as_str), Some("Recover done"));
    }
}

// --- What nobody asked for. ---

#[test]
fn asynchronous_messages_reach_the_client_that_has_the_server_and_nobody_else() {
    check(
        "> Query listen news             | lease
         < CommandComplete LISTEN + ReadyForQuery I | server: Question
         < NotificationResponse
         < RowDescription + Holds listen + CommandComplete SELECT 1 + ReadyForQuery I \
             | client: nothing | pin listen
         < NotificationResponse
         < NoticeResponse
         < ParameterStatus TimeZone=UTC
         > Terminate                     | server: nothing | goodbye | return dirty
         < NotificationResponse          | client: nothing
         < NoticeResponse                | client: nothing",
    );
    check(
        "> Query select 1                | lease
         < NoticeResponse + RowDescription + ParameterStatus x=y + DataRow + NotificationResponse
         < CommandComplete SELECT 1 + NoticeResponse + ReadyForQuery I | set x=y | return",
    );
}

/// Up to its marker a client hears of its own server; behind it, of the other.
#[test]
fn notifications_behind_the_marker_are_not_told_twice() {
    check(
        "> Query listen news             | lease
         < CommandComplete LISTEN + ReadyForQuery I | server: Question
         < RowDescription + Holds listen + CommandComplete SELECT 1 + ReadyForQuery I \
             | client: nothing | pin listen
         ! move listening                | server: Query LISTEN tidegate_listeners_move
         < NotificationResponse + CommandComplete LISTEN + ReadyForQuery I \
             | client: NotificationResponse | listens to markers
         ! marker
         < Marker 7                      | client: nothing
         < NotificationResponse
         < Marker 1                      | client: nothing | marker
         < NotificationResponse          | client: nothing
         > Query select 1
         < NotificationResponse + CommandComplete SELECT 1 + ReadyForQuery I \
             | client: CommandComplete, ReadyForQuery I",
    );
}

#[test]
fn a_farewell_is_passed_on_in_a_lease_and_kept_outside_of_it() {
    check(
        "> Query begin                   | lease
         < CommandComplete BEGIN + ReadyForQuery T
         < Fatal 57P01                   | farewell 57P01",
    );
    check("< Fatal 57P01 | client: nothing | farewell 57P01");
    // The lease has ended before it: another server will do for whatever comes next.
    check(
        "> Query select 1                | lease
         < CommandComplete SELECT 1 + ReadyForQuery I + Fatal 57P01 \
             | client: CommandComplete, ReadyForQuery I | return | farewell 57P01",
    );
    check("> Query a | lease\n< Fatal 57P01 | farewell 57P01");
}

// --- Broken peers. ---

#[test]
fn answers_out_of_step_are_faults() {
    check(
        "> Query a                       | lease
         < ParseComplete | client: nothing | server fault: the server sent '1' where the answer to Query was due",
    );
    check(
        "< CommandComplete A | client: nothing | server fault: the server sent 'C' where nothing was due",
    );
    check(
        "< ReadyForQuery I | client: nothing | server fault: the server sent 'Z' where nothing was due",
    );
    check(
        "> Parse : a + Sync              | lease
         < ReadyForQuery I | client: nothing | server fault: the server sent 'Z' where the answer to Parse was due",
    );
}

#[test]
fn tags_and_lengths_that_no_peer_sends_are_faults() {
    check(
        "> raw 7A 00 00 00 04 | server: nothing | client fault: invalid frontend message type 122",
    );
    check(
        "> raw 70 00 00 00 05 00 | server: nothing | client fault: invalid frontend message type 112",
    );
    check(
        "> Query a                       | lease
         > raw 7A 00 00 00 04 | server: Query ROLLBACK | client fault: invalid frontend message type 122 | cancel",
    );
    for length in ["00 00 00 03", "00 00 00 00", "40 00 00 00", "7F FF FF FF", "FF FF FF FF"] {
        for (who, tag) in [(">", 'Q'), ("<", 'D')] {
            let mut stage = Stage::new();
            Step::parse(&format!("{who} raw {:02X} {length}", u32::from(tag)))
                .play_whole(&mut stage);
            let events = &stage.outcome.events;
            assert!(events.iter().any(|event| event.contains("fault")), "{who} {length}");
            assert!(stage.outcome.to_server.is_empty() && stage.outcome.to_client.is_empty());
        }
    }
    check(
        "> Query a                       | lease
         < raw 79 00 00 00 04 | client: nothing | server fault: the server sent a message of unknown type 0x79",
    );
    check(
        "> Query a                       | lease
         < raw 5A 00 00 00 05 78 | client: nothing | server fault: the server sent a malformed 'Z' message",
    );
}

// --- Any stream, cut anywhere. ---

/// One thing that a client may say, with what PostgreSQL answers.
fn exchange() -> impl Strategy<Value = (&'static str, &'static str)> {
    proptest::sample::select(vec![
        ("Query select 1", "RowDescription + DataRow + CommandComplete SELECT 1 + ReadyForQuery I"),
        ("Query begin", "CommandComplete BEGIN + ReadyForQuery T"),
        ("Query commit", "CommandComplete COMMIT + ReadyForQuery I"),
        (
            "Query set timezone = 'CET'",
            "ParameterStatus TimeZone=CET + CommandComplete SET + ReadyForQuery I",
        ),
        ("Query nonsense", "ErrorResponse 42601 + ReadyForQuery I"),
        (
            "Parse : select 1 + Bind + Describe + Execute + Sync",
            "ParseComplete + BindComplete + NoData + CommandComplete SELECT 1 + ReadyForQuery I",
        ),
        ("Parse : select 1 + Sync", "ParseComplete + ReadyForQuery I"),
        ("Parse : nonsense + Bind + Execute + Sync", "ErrorResponse 42601 + ReadyForQuery I"),
        (
            "Query copy t from stdin + CopyData x + CopyDone",
            "CopyInResponse + CommandComplete COPY 1 + ReadyForQuery I",
        ),
        (
            "Query copy t to stdout",
            "CopyOutResponse + CopyData x + CopyDone + CommandComplete COPY 1 + ReadyForQuery I",
        ),
        ("FunctionCall", "FunctionCallResponse + ReadyForQuery I"),
    ])
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_any_machine_panic(data in proptest::collection::vec(any::<u8>(), 0..400)) {
        tidegate_session::fuzzing::everything(&data);
    }

    /// As above, but of bytes that are likely to be frames.
    #[test]
    fn no_frames_make_any_machine_panic(
        cut in any::<u8>(),
        frames in proptest::collection::vec((any::<u8>(), 0..12_usize), 0..40),
    ) {
        let tags = b"BCDEFHPQSXpdcfZTRKNAt12sn3IGHWV";
        let mut data = vec![cut];
        for (byte, length) in frames {
            let tag = tags[usize::from(byte) % tags.len()];
            data.extend(frame(tag, &vec![byte % 3; length]));
        }
        tidegate_session::fuzzing::everything(&data);
    }

    #[test]
    fn a_stream_cut_anywhere_has_the_outcome_of_the_whole(
        exchanges in proptest::collection::vec(exchange(), 1..8),
        sizes in proptest::collection::vec(1..40_usize, 1..20),
    ) {
        let mut steps = Vec::new();
        for (asked, answered) in &exchanges {
            steps.push(Step::parse(&format!("> {asked}")));
            steps.push(Step::parse(&format!("< {answered}")));
        }
        let whole = play_cut(&steps, |_, bytes| vec![bytes]);
        let cut = play_cut(&steps, |_, mut bytes| {
            let mut parts = Vec::new();
            let mut sizes = sizes.iter().cycle();
            while !bytes.is_empty() {
                let (part, rest) = bytes.split_at(sizes.next().map_or(1, |size| (*size).min(bytes.len())));
                parts.push(part);
                bytes = rest;
            }
            parts
        });
        prop_assert_eq!(&cut, &whole);
        // The same as one pipeline, without any answer: all of it is sent, nothing returns.
        let asked: Vec<u8> =
            exchanges.iter().flat_map(|(asked, _)| frontend_message(asked)).collect();
        let mut stage = Stage::new();
        asked.chunks(sizes[0]).for_each(|part| stage.client_says(part));
        prop_assert_eq!(&stage.outcome.to_server, &asked);
        prop_assert!(stage.outcome.to_client.is_empty());
        prop_assert!(!stage.outcome.events.iter().any(|event| event.starts_with("return")));
    }
}
