//! Scripts for servers that die: which commits are in doubt, and how a batch goes to another server.

#[allow(dead_code, reason = "the stage of relay.rs")]
#[path = "relay/stage.rs"]
mod stage;

use stage::check;

// --- Commits in doubt. ---

#[test]
fn a_commit_that_was_sent_and_not_answered_is_in_doubt_on_either_port() {
    for script in [
        "> Query begin                   | lease
         < CommandComplete BEGIN + ReadyForQuery T
         ! lost                          | lost
         > Query insert into t values (1)
         ! lost                          | lost
         < CommandComplete INSERT 0 1
         < ReadyForQuery T
         > Query commit
         ! lost                          | lost, a commit is in doubt
         < CommandComplete COMMIT
         ! lost                          | lost",
        // The last of several statements; each is answered by itself.
        "> Query begin; insert into t values (1); /* now */ COMMIT; select 1 | lease
         ! lost                          | lost, a commit is in doubt
         < CommandComplete BEGIN + CommandComplete INSERT 0 1
         ! lost                          | lost, a commit is in doubt
         < CommandComplete COMMIT
         ! lost                          | lost",
        // What has failed is not in doubt, once that is known.
        "> Query begin; commit; commit prepared 'x' | lease
         < CommandComplete BEGIN + CommandComplete COMMIT
         ! lost                          | lost, a commit is in doubt
         < ErrorResponse 42704 + ReadyForQuery I",
        // The extended protocol, without a name and with one.
        "> Parse : commit + Bind + Execute + Sync | lease
         < ParseComplete + BindComplete
         ! lost                          | lost, a commit is in doubt
         < CommandComplete COMMIT
         ! lost                          | lost",
        "> Query begin                   | lease
         < CommandComplete BEGIN + ReadyForQuery T
         > Parse c: prepare transaction 'x' + Sync{parse}
         < ParseComplete + ReadyForQuery T
         ! lost                          | lost
         > Bind c + Execute + Sync{bind}
         < BindComplete
         ! lost                          | lost, a commit is in doubt
         < CommandComplete PREPARE TRANSACTION
         ! lost                          | lost",
        // In a pipeline: what is sent behind it does not hide it.
        "> Query begin + Query commit + Query select 1 | lease
         < CommandComplete BEGIN + ReadyForQuery T
         ! lost                          | lost, a commit is in doubt
         < CommandComplete COMMIT + ReadyForQuery I
         ! lost                          | lost",
        "> Query select 'commit'         | lease
         ! lost                          | lost",
    ] {
        // The transaction port has names of its own, and ends the lease with the transaction.
        let shared = script
            .replace("{parse}", " | server: Parse tidegate_1, Sync")
            .replace("{bind}", " | server: Bind tidegate_1, Execute, Sync")
            .replace("42704 + ReadyForQuery I", "42704 + ReadyForQuery I | return");
        check(&format!("! share\n{shared}"));
        let script = script.replace("{parse}", "").replace("{bind}", "");
        check(&format!("! session\n{script}"));
    }
}

#[test]
fn a_commit_that_was_confirmed_is_not_in_doubt_and_the_next_one_is() {
    for port in ["share", "session"] {
        // Confirmed, and lost in the same read: before it is ready, and behind that.
        for (commit, front) in [
            ("Query commit", ""),
            ("Parse : commit + Bind + Execute + Sync", "ParseComplete + BindComplete + "),
        ] {
            check(&format!(
                "! {port}
                 > Query begin               | lease
                 < CommandComplete BEGIN + ReadyForQuery T
                 > {commit}
                 < {front}CommandComplete COMMIT + Fatal 57P01 | farewell 57P01
                 ! lost                      | lost"
            ));
        }
        // What is confirmed by the extended protocol is that, and not what was sent behind it.
        check(&format!(
            "! {port}
             > Query begin               | lease
             < CommandComplete BEGIN + ReadyForQuery T
             > Parse : commit + Bind + Execute + Query begin; insert into t values (1); commit
             < ParseComplete + BindComplete + CommandComplete COMMIT
             ! lost                      | lost, a commit is in doubt
             < CommandComplete BEGIN + CommandComplete INSERT 0 1
             ! lost                      | lost, a commit is in doubt
             < CommandComplete COMMIT
             ! lost                      | lost"
        ));
    }
}

#[test]
fn a_commit_by_a_name_that_was_given_on_another_server_is_seen() {
    check(
        "! share
         > Parse c: commit + Sync        | server: Parse tidegate_1, Sync | lease
         < ParseComplete + ReadyForQuery I | return
         ! move
         > Bind c + Execute + Sync       | server: Parse tidegate_1, Bind tidegate_1, Execute, Sync | lease
         ! lost                          | lost, a commit is in doubt",
    );
}

#[test]
fn postgresqls_last_words_are_withheld_where_a_commit_should_have_been_answered() {
    for port in ["share", "session"] {
        check(&format!(
            "! {port}
             > Query begin               | lease
             < CommandComplete BEGIN + ReadyForQuery T
             > Query select 1
             < CommandComplete SELECT 1 + ReadyForQuery T
             > Query commit
             < Fatal 57P01               | client: nothing | withheld farewell 57P01, a commit is in doubt",
        ));
        check(&format!(
            "! {port}
             > Query begin               | lease
             < CommandComplete BEGIN + ReadyForQuery T
             > Parse : commit + Bind + Execute + Sync
             < ParseComplete + BindComplete + Fatal 57P01 | client: ParseComplete, BindComplete | withheld farewell 57P01, a commit is in doubt",
        ));
        // Elsewhere they are passed on.
        check(&format!(
            "! {port}
             > Query begin               | lease
             < CommandComplete BEGIN + ReadyForQuery T
             > Query select 1
             < Fatal 57P01               | farewell 57P01",
        ));
    }
}

// --- To another server. ---

#[test]
fn a_batch_that_was_not_sent_goes_to_another_server_as_a_whole() {
    check(
        "! share
         > Query select 1                | lease
         ! elsewhere                     | server: Query select 1 | lease
         < CommandComplete SELECT 1 + ReadyForQuery I | return",
    );
    check(
        "! session
         > Parse : select 1 + Bind + Execute + Sync | lease
         ! elsewhere                     | server: Parse, Bind, Execute, Sync | lease
         < ParseComplete + BindComplete + CommandComplete SELECT 1 + ReadyForQuery I",
    );
}

#[test]
fn a_begin_that_went_in_front_goes_with_it() {
    check(
        "! share
         ! probes begin
         > Query begin                   | server: nothing | client: CommandComplete, ReadyForQuery T
         > Query insert into t values (1) | server: Query begin, Query insert into t values (1) | lease
         ! elsewhere                     | server: Query begin, Query insert into t values (1) | lease
         < CommandComplete BEGIN + ReadyForQuery T | client: nothing
         < CommandComplete INSERT 0 1 + ReadyForQuery T",
    );
}

#[test]
fn what_a_batch_was_to_prepare_it_prepares_elsewhere() {
    check(
        "! share
         > Parse s: select 1 + Bind s + Execute + Sync | server: Parse tidegate_1, Bind tidegate_1, Execute, Sync | lease
         ! elsewhere                     | server: Parse tidegate_1, Bind tidegate_1, Execute, Sync | lease
         < ParseComplete + BindComplete + CommandComplete SELECT 1 + ReadyForQuery I | return
         > Bind s + Execute + Sync       | server: Bind tidegate_1, Execute, Sync | lease
         ! elsewhere                     | server: Parse tidegate_1, Bind tidegate_1, Execute, Sync | lease
         < ParseComplete + BindComplete + CommandComplete SELECT 1 + ReadyForQuery I | client: BindComplete, CommandComplete, ReadyForQuery I | return",
    );
}

#[test]
fn what_was_closed_by_the_batch_is_closed_elsewhere() {
    check(
        "! share
         > Parse s: select 1 + Sync      | server: Parse tidegate_1, Sync | lease
         < ParseComplete + ReadyForQuery I | return
         > Close s + Parse s: select 2 + Bind s + Execute + Sync | server: Parse tidegate_2, Bind tidegate_2, Execute, Sync | lease
         ! elsewhere                     | server: Parse tidegate_1, Bind tidegate_1, Execute, Sync | lease
         < ParseComplete + BindComplete + CommandComplete SELECT 1 + ReadyForQuery I | client: CloseComplete, ParseComplete, BindComplete, CommandComplete, ReadyForQuery I | return",
    );
}

#[test]
fn a_read_that_may_run_again_is_not_told_that_its_server_has_gone() {
    check(
        "! share
         > Query select 1                | lease
         ! withhold
         < Fatal 57P01                   | client: nothing | withheld farewell 57P01
         ! elsewhere                     | server: Query select 1 | lease
         < Fatal 57P01                   | farewell 57P01",
    );
}

// --- Hosts. ---

#[test]
fn a_host_that_is_set_read_only_is_not_taken_for_its_clients_wish() {
    check(
        "! share
         > Query insert into t values (1) | lease
         < ErrorResponse 25006 + ParameterStatus default_transaction_read_only=on + ReadyForQuery I | return",
    );
    check(
        "! share
         > Query set default_transaction_read_only = on | lease
         < CommandComplete SET + ParameterStatus default_transaction_read_only=on + ReadyForQuery I | set default_transaction_read_only=on | return",
    );
}
