//! Scripts for prepared statements that clients of shared servers name; see `stage`.

#[path = "relay/stage.rs"]
mod stage;

use stage::{Stage, Step, check};

// --- One client, one server. ---

#[test]
fn a_statement_is_sent_under_a_name_of_tidegates_own() {
    check(
        "! share
         > Parse s1: select 1 + DescribeStatement s1 + Sync \
             | server: Parse tidegate_1, Describe tidegate_1, Sync | lease
         < ParseComplete + ParameterDescription + NoData + ReadyForQuery I | return
         > Bind s1 + Execute + Sync      | server: Bind tidegate_1, Execute, Sync | lease
         < BindComplete + CommandComplete SELECT 1 + ReadyForQuery I | return",
    );
}

#[test]
fn unnamed_statements_and_portals_pass_as_they_are() {
    check(
        "! share
         > Parse : select 1 + Bind + Describe + Execute + Sync | lease
         < ParseComplete + BindComplete + NoData + CommandComplete SELECT 1 + ReadyForQuery I \
             | return",
    );
}

#[test]
fn a_statement_is_parsed_anew_where_a_server_has_not_got_it() {
    check(
        "! share
         > Parse s1: select 1 + Sync     | server: Parse tidegate_1, Sync | lease
         < ParseComplete + ReadyForQuery I | return
         ! move
         > Bind s1 + Execute + Sync \
             | server: Parse tidegate_1, Bind tidegate_1, Execute, Sync | lease
         < ParseComplete + BindComplete + CommandComplete SELECT 1 + ReadyForQuery I \
             | client: BindComplete, CommandComplete, ReadyForQuery I | return
         > DescribeStatement s1 + Sync   | server: Describe tidegate_1, Sync | lease
         < ParameterDescription + NoData + ReadyForQuery I | return",
    );
}

#[test]
fn parsing_anew_that_fails_is_the_clients_error_and_is_tried_again() {
    check(
        "! share
         > Parse s1: select 1 + Sync     | server: Parse tidegate_1, Sync | lease
         < ParseComplete + ReadyForQuery I | return
         ! move
         > Bind s1 + Execute + Sync \
             | server: Parse tidegate_1, Bind tidegate_1, Execute, Sync | lease
         < ErrorResponse 42P01 + ReadyForQuery I | return
         > Bind s1 + Execute + Sync \
             | server: Parse tidegate_2, Bind tidegate_2, Execute, Sync | lease
         < ParseComplete + BindComplete + CommandComplete SELECT 1 + ReadyForQuery I \
             | client: BindComplete, CommandComplete, ReadyForQuery I | return",
    );
}

#[test]
fn a_closed_name_is_free_and_the_server_keeps_the_statement() {
    check(
        "! share
         > Parse s1: select 1 + Sync     | server: Parse tidegate_1, Sync | lease
         < ParseComplete + ReadyForQuery I | return
         > Close s1 + Sync               | server: Sync | lease
         < ReadyForQuery I               | client: CloseComplete, ReadyForQuery I | return
         > Bind s1 + Sync                | lease
         < ErrorResponse 26000 + ReadyForQuery I | return
         > Parse s1: select 1 + Bind s1 + Execute + Sync \
             | server: Bind tidegate_1, Execute, Sync | lease
         < BindComplete + CommandComplete SELECT 1 + ReadyForQuery I \
             | client: ParseComplete, BindComplete, CommandComplete, ReadyForQuery I | return",
    );
}

#[test]
fn an_invented_answer_that_nothing_follows_comes_at_once() {
    check(
        "! share
         > Parse s1: select 1 + Sync     | server: Parse tidegate_1, Sync | lease
         < ParseComplete + ReadyForQuery I | return
         > Parse s2: select 1 + Flush    | server: Flush | client: ParseComplete | lease
         > Close s2 + Flush              | server: Flush | client: CloseComplete
         > Sync
         < ReadyForQuery I               | return",
    );
}

#[test]
fn invented_answers_keep_their_turn_in_a_pipeline() {
    check(
        "! share
         > Parse s1: select 1 + Sync     | server: Parse tidegate_1, Sync | lease
         < ParseComplete + ReadyForQuery I | return
         > Bind s1 + Parse s2: select 1 + Bind s2 + Close s1 + Execute + Sync \
             | server: Bind tidegate_1, Bind tidegate_1, Execute, Sync | lease
         < BindComplete
         < BindComplete                  | client: ParseComplete, BindComplete
         < CommandComplete B             | client: CloseComplete, CommandComplete
         < ReadyForQuery I               | return",
    );
}

#[test]
fn what_a_failed_transaction_would_refuse_is_not_invented() {
    check(
        "! share
         > Parse s1: select 1 + Sync     | server: Parse tidegate_1, Sync | lease
         < ParseComplete + ReadyForQuery I | return
         > Query begin;nonsense          | lease
         < ErrorResponse 42601 + ReadyForQuery E
         > Parse s2: select 1 + Sync     | server: Parse tidegate_2, Sync
         < ErrorResponse 25P02 + ReadyForQuery E
         > Query rollback
         < CommandComplete ROLLBACK + ReadyForQuery I | return
         > Query begin + Parse s2: select 1 + Sync | server: Query begin | lease
         < CommandComplete BEGIN + ReadyForQuery T | server: Sync
         < ReadyForQuery T               | client: ParseComplete, ReadyForQuery T",
    );
}

// --- Errors. ---

#[test]
fn a_name_in_use_and_an_unknown_one_are_refused_by_postgres_in_the_clients_words() {
    check(
        "! share
         > Parse s1: select 1 + Sync     | server: Parse tidegate_1, Sync | lease
         < ParseComplete + ReadyForQuery I | return
         > Parse s1: select 2 + Sync     | server: Parse tidegate_1, Sync | lease
         < ErrorResponse 42P05 prepared statement \"tidegate_1\" already exists \
             | client: ErrorResponse 42P05 prepared statement \"s1\" already exists
         < ReadyForQuery I               | return
         > Bind s1 + Execute + Sync      | server: Bind tidegate_1, Execute, Sync | lease
         < BindComplete + CommandComplete SELECT 1 + ReadyForQuery I | return
         > Bind s2 + Execute + Sync      | lease
         < ErrorResponse 26000 prepared statement \"s2\" does not exist
         < ReadyForQuery I               | return",
    );
}

#[test]
fn a_parse_that_fails_defines_nothing_and_the_name_may_be_used_again() {
    check(
        "! share
         > Parse s1: nonsense + Bind s1 + Execute + Sync \
             | server: Parse tidegate_1, Bind tidegate_1, Execute, Sync | lease
         < ErrorResponse 42601
         < ReadyForQuery I               | return
         > Bind s1 + Sync                | lease
         < ErrorResponse 26000 + ReadyForQuery I | return
         > Parse s1: select 1 + Sync     | server: Parse tidegate_2, Sync | lease
         < ParseComplete + ReadyForQuery I | return",
    );
}

#[test]
fn what_is_skipped_after_an_error_has_not_happened() {
    check(
        "! share
         > Parse s1: select 1 + Sync     | server: Parse tidegate_1, Sync | lease
         < ParseComplete + ReadyForQuery I | return
         > Bind nothing + Parse s2: select 1 + Close s1 + Parse s3: select 3 + Sync \
             | server: Bind nothing, Parse tidegate_2, Sync | lease
         < ErrorResponse 26000 + ReadyForQuery I | return
         > Bind s1 + Sync                | server: Bind tidegate_1, Sync | lease
         < BindComplete + ReadyForQuery I | return
         > Bind s2 + Sync                | lease
         < ErrorResponse 26000 + ReadyForQuery I | return
         > Bind s3 + Sync                | lease
         < ErrorResponse 26000 + ReadyForQuery I | return",
    );
}

#[test]
fn what_is_sent_after_an_error_and_before_its_sync_is_ignored() {
    check(
        "! share
         > Bind nothing + Flush          | lease
         < ErrorResponse 26000
         > Parse s1: select 1 + Close s1
         > Sync
         < ReadyForQuery I               | return
         > Bind s1 + Sync                | lease
         < ErrorResponse 26000 + ReadyForQuery I | return",
    );
}

// --- What waits for answers. ---

#[test]
fn a_name_whose_fate_is_not_known_waits_for_it() {
    check(
        "! share
         > Parse s1: nonsense + Sync + Parse s1: select 1 + Sync \
             | server: Parse tidegate_1, Sync | lease
         < ErrorResponse 42601 + ReadyForQuery I | server: Parse tidegate_2, Sync
         < ParseComplete + ReadyForQuery I | return
         > Bind s1 + Sync                | server: Bind tidegate_2, Sync | lease
         < BindComplete + ReadyForQuery I | return",
    );
    check(
        "! share
         > Parse s1: select 1 + Sync + Parse s1: select 2 + Sync \
             | server: Parse tidegate_1, Sync | lease
         < ParseComplete + ReadyForQuery I | server: Parse tidegate_1, Sync
         < ErrorResponse 42P05 prepared statement \"tidegate_1\" already exists + ReadyForQuery I \
             | client: ErrorResponse 42P05 prepared statement \"s1\" already exists, \
               ReadyForQuery I | return",
    );
    check(
        "! share
         > Parse s1: select 1 + Sync     | server: Parse tidegate_1, Sync | lease
         < ParseComplete + ReadyForQuery I | return
         > Bind nothing + Close s1 + Sync + Bind s1 + Sync \
             | server: Bind nothing, Sync | lease
         < ErrorResponse 26000 + ReadyForQuery I | server: Bind tidegate_1, Sync
         < BindComplete + ReadyForQuery I | return",
    );
}

#[test]
fn the_same_text_twice_in_a_pipeline_fails_twice() {
    check(
        "! share
         > Parse s1: nonsense + Sync + Parse s2: nonsense + Sync \
             | server: Parse tidegate_1, Sync | lease
         < ErrorResponse 42601 + ReadyForQuery I | server: Parse tidegate_2, Sync
         < ErrorResponse 42601 + ReadyForQuery I | return",
    );
}

#[test]
fn what_an_earlier_batch_was_to_bring_is_not_relied_on_before_it_has() {
    check(
        "! share
         > Parse s1: select 1 + Sync     | server: Parse tidegate_1, Sync | lease
         < ParseComplete + ReadyForQuery I | return
         ! move
         > Bind nothing + Bind s1 + Sync + Bind s1 + Bind s1 + Sync \
             | server: Bind nothing, Parse tidegate_1, Bind tidegate_1, Sync | lease
         < ErrorResponse 26000 + ReadyForQuery I \
             | server: Parse tidegate_2, Bind tidegate_2, Bind tidegate_2, Sync
         < ParseComplete + BindComplete + BindComplete + ReadyForQuery I \
             | client: BindComplete, BindComplete, ReadyForQuery I | return",
    );
    // The definition is sent once, however often it is used before it is confirmed.
    check(
        "! share
         > Parse s1: select 1 + Sync     | server: Parse tidegate_1, Sync | lease
         < ParseComplete + ReadyForQuery I | return
         ! move
         > Bind s1 + Sync + Bind s1 + Sync + Bind s1 + Sync \
             | server: Parse tidegate_1, Bind tidegate_1, Sync | lease
         < ParseComplete + BindComplete + ReadyForQuery I \
             | server: Bind tidegate_1, Sync, Bind tidegate_1, Sync \
             | client: BindComplete, ReadyForQuery I
         < BindComplete + ReadyForQuery I + BindComplete + ReadyForQuery I | return",
    );
}

#[test]
fn whoever_waits_in_an_open_batch_has_postgres_asked_for_its_answers() {
    check(
        "! share
         > Parse s1: select 1 + Sync     | server: Parse tidegate_1, Sync | lease
         < ParseComplete + ReadyForQuery I | return
         > Parse : deallocate all + Bind + Execute + Parse s1: select 2 + Bind s1 + Execute + Sync \
             | server: Parse, Bind, Execute, Flush | lease
         < ParseComplete + BindComplete + CommandComplete DEALLOCATE ALL \
             | server: Parse tidegate_2, Bind tidegate_2, Execute, Sync
         < ParseComplete + BindComplete + CommandComplete SELECT 1 + ReadyForQuery I | return",
    );
}

#[test]
fn postgres_is_asked_again_by_the_next_message_that_waits() {
    check(
        "! share
         > Parse : nonsense + Flush      | lease
         > Parse : x + Sync + Parse s1: select 1 + Sync | server: Parse, Sync
         < ErrorResponse 42601 + ReadyForQuery I | server: Parse tidegate_1, Sync
         < ParseComplete + ReadyForQuery I | return",
    );
    // The one that waits is skipped; the next one waits in an open batch, too.
    check(
        "! share
         > Query discard plans + Parse : nonsense + Bind s1 + Sync \
             | server: Query discard plans, Parse, Flush | lease
         < CommandComplete DISCARD PLANS + ReadyForQuery I
         < ErrorResponse 42601           | server: Bind s1, Sync
         < ReadyForQuery I               | return
         > Query discard plans + Parse : select 1 + Bind s1 + Sync \
             | server: Query discard plans, Parse, Flush | lease
         < CommandComplete DISCARD PLANS + ReadyForQuery I
         < ParseComplete                 | server: Bind s1, Sync
         < ErrorResponse 26000 + ReadyForQuery I | return",
    );
}

#[test]
fn nothing_is_decided_while_statements_may_be_taken_away() {
    check(
        "! share
         > Parse s1: select 1 + Sync     | server: Parse tidegate_1, Sync | lease
         < ParseComplete + ReadyForQuery I | return
         > Query deallocate all + Parse s1: select 2 + Bind s1 + Sync \
             | server: Query deallocate all | lease
         < CommandComplete DEALLOCATE ALL + ReadyForQuery I \
             | server: Parse tidegate_2, Bind tidegate_2, Sync
         < ParseComplete + BindComplete + ReadyForQuery I | return
         > Query discard plans + Bind s1 + Sync \
             | server: Query discard plans | lease
         < CommandComplete DISCARD PLANS + ReadyForQuery I | server: Bind tidegate_2, Sync
         < BindComplete + ReadyForQuery I | return",
    );
    check(
        "! share
         > Parse s1: select 1 + Sync     | server: Parse tidegate_1, Sync | lease
         < ParseComplete + ReadyForQuery I | return
         > Query deallocate all          | lease
         ! vanish                        | server: Query ROLLBACK | vanished | cancel
         < CommandComplete DEALLOCATE ALL + ReadyForQuery I | client: nothing
         < CommandComplete ROLLBACK + ReadyForQuery I | client: nothing | Recover done
         ! next
         > Parse a: select 1 + Sync      | server: Parse tidegate_2, Sync | lease
         < ParseComplete + ReadyForQuery I | return",
    );
}

#[test]
fn a_client_that_leaves_while_a_message_waits_leaves_nothing_half_said() {
    check(
        "! share
         > Parse s1: select 1 + Sync + Parse s1: select 2 + Sync \
             | server: Parse tidegate_1, Sync | lease
         ! vanish                        | server: Query ROLLBACK | vanished | cancel
         < ParseComplete + ReadyForQuery I | client: nothing
         < CommandComplete ROLLBACK + ReadyForQuery I | client: nothing | Recover done",
    );
}

// --- Within one batch. ---

#[test]
fn a_name_that_was_given_in_the_same_batch_is_in_use() {
    check(
        "! share
         > Parse s1: select 1 + Parse s1: select 2 + Bind s1 + Execute + Sync \
             | server: Parse tidegate_1, Parse tidegate_1, Bind tidegate_1, Execute, Sync | lease
         < ParseComplete + ErrorResponse 42P05 prepared statement \"tidegate_1\" already exists \
             | client: ParseComplete, \
               ErrorResponse 42P05 prepared statement \"s1\" already exists
         < ReadyForQuery I               | return
         > Bind s1 + Sync                | server: Bind tidegate_1, Sync | lease
         < BindComplete + ReadyForQuery I | return",
    );
}

#[test]
fn a_name_that_was_to_be_closed_and_given_anew_stays_what_it_was() {
    check(
        "! share
         > Parse s1: select 1 + Sync     | server: Parse tidegate_1, Sync | lease
         < ParseComplete + ReadyForQuery I | return
         > Bind nothing + Close s1 + Parse s1: select 2 + Sync \
             | server: Bind nothing, Parse tidegate_2, Sync | lease
         < ErrorResponse 26000 + ReadyForQuery I | return
         > Bind s1 + Sync                | server: Bind tidegate_1, Sync | lease
         < BindComplete + ReadyForQuery I | return",
    );
}

#[test]
fn a_name_that_was_given_and_closed_behind_a_failure_stands_for_nothing() {
    check(
        "! share
         > Parse s1: nonsense + Close s1 + Sync \
             | server: Parse tidegate_1, Sync | lease
         < ErrorResponse 42601 + ReadyForQuery I | return
         > Bind s1 + Sync                | lease
         < ErrorResponse 26000 + ReadyForQuery I | return",
    );
}

#[test]
fn a_message_that_was_cut_by_a_failure_is_skipped_whole() {
    check(
        "! share
         > Bind nothing + Flush          | lease
         > Parse s1: select 1 @ 0..9     | server: nothing
         < ErrorResponse 26000
         > Parse s1: select 1 @ 9..      | server: Parse s1
         > Sync
         < ReadyForQuery I               | return
         > Bind s1 + Sync                | lease
         < ErrorResponse 26000 + ReadyForQuery I | return",
    );
}

#[test]
fn an_invented_answer_never_stands_in_the_midst_of_another() {
    check(
        "! share
         > Parse s1: select 1 + Sync     | server: Parse tidegate_1, Sync | lease
         < ParseComplete + ReadyForQuery I | return
         > DescribeStatement s1 + Close s1 + Flush \
             | server: Describe tidegate_1, Flush | lease
         < ParameterDescription + RowDescription @ 0..9 | client: nothing
         > Flush
         < ParameterDescription + RowDescription @ 9.. \
             | client: ParameterDescription, RowDescription, CloseComplete
         > Sync
         < ReadyForQuery I               | return",
    );
}

#[test]
fn the_end_of_a_copy_that_is_none_is_no_answer_to_wait_for() {
    check(
        "! share
         > Parse s1: select 1 + Sync     | server: Parse tidegate_1, Sync | lease
         < ParseComplete + ReadyForQuery I | return
         > Close s1 + CopyDone + Flush   | server: CopyDone, Flush | client: CloseComplete | lease
         > Sync
         < ReadyForQuery I               | return",
    );
}

// --- Statements that are of no use any more. ---

#[test]
fn a_statement_whose_result_has_changed_is_parsed_anew_by_whoever_asks_for_it_anew() {
    check(
        "! share
         > Parse s1: select 1 + Sync     | server: Parse tidegate_1, Sync | lease
         < ParseComplete + ReadyForQuery I | return
         > Bind s1 + Execute + Sync      | server: Bind tidegate_1, Execute, Sync | lease
         < ErrorResponse 0A000 + ReadyForQuery I | return
         > Close s1 + Parse s2: select 1 + Bind s2 + Execute + Sync \
             | server: Close tidegate_1, Parse tidegate_2, Bind tidegate_2, Execute, Sync | lease
         < CloseComplete + ParseComplete + BindComplete + CommandComplete SELECT 1 \
             + ReadyForQuery I | return
         ! next
         > Parse n: select 1 + Bind n + Sync | server: Bind tidegate_2, Sync | lease
         < BindComplete + ReadyForQuery I \
             | client: ParseComplete, BindComplete, ReadyForQuery I | return",
    );
}

#[test]
fn a_statement_that_somebody_took_away_is_parsed_anew() {
    check(
        "! share
         > Parse s1: select 1 + Sync     | server: Parse tidegate_1, Sync | lease
         < ParseComplete + ReadyForQuery I | return
         > Bind s1 + Sync                | server: Bind tidegate_1, Sync | lease
         < ErrorResponse 26000 prepared statement »tidegate_1« existiert nicht \
             | server: Close tidegate_1, Parse tidegate_2, Bind tidegate_2, Sync \
             | client: nothing | again
         < ReadyForQuery I + CloseComplete + ParseComplete + BindComplete + ReadyForQuery I \
             | client: BindComplete, ReadyForQuery I | return
         > Query begin                   | lease
         < CommandComplete BEGIN + ReadyForQuery T
         > Bind s1 + Sync                | server: Bind tidegate_2, Sync
         < ErrorResponse 26000 prepared statement »tidegate_2« existiert nicht \
             + ReadyForQuery E | client: ErrorResponse 26000, ReadyForQuery E",
    );
}

#[test]
fn after_a_change_of_the_schema_a_text_means_another_statement() {
    check(
        "! share
         > Parse s1: select 1 + Sync     | server: Parse tidegate_1, Sync | lease
         < ParseComplete + ReadyForQuery I | return
         > Query alter table t add a int | lease
         < CommandComplete ALTER TABLE + ReadyForQuery I | return
         ! next
         > Parse s1: select 1 + Sync     | server: Parse tidegate_2, Sync | lease
         < ParseComplete + ReadyForQuery I | return",
    );
}

#[test]
fn what_was_parsed_before_a_reload_of_settings_is_parsed_anew() {
    check(
        "! share 1
         > Parse s1: select 1 + Sync     | server: Parse tidegate_1, Sync | lease
         < ParseComplete + ReadyForQuery I | return
         < ParameterStatus TimeZone=CET  | client: nothing
         > Bind s1 + Sync \
             | server: Close tidegate_1, Parse tidegate_2, Bind tidegate_2, Sync | lease
         < CloseComplete + ParseComplete + BindComplete + ReadyForQuery I \
             | client: BindComplete, ReadyForQuery I | return",
    );
}

#[test]
fn what_is_parsed_anew_under_settings_of_a_transaction_is_closed_after_it() {
    check(
        "! share
         > Parse s1: select 1 + Sync     | server: Parse tidegate_1, Sync | lease
         < ParseComplete + ReadyForQuery I | return
         ! move
         > Query begin;set local search_path = other | lease
         < CommandComplete BEGIN + CommandComplete SET + ReadyForQuery T
         > Bind s1 + Sync                | server: Parse tidegate_1, Bind tidegate_1, Sync
         < ParseComplete + BindComplete + ReadyForQuery T | client: BindComplete, ReadyForQuery T
         > Query commit
         < CommandComplete COMMIT + ReadyForQuery I | return
         ! next
         > Parse s2: select 1 + Sync \
             | server: Close tidegate_1, Parse tidegate_2, Sync | lease
         < CloseComplete + ParseComplete + ReadyForQuery I \
             | client: ParseComplete, ReadyForQuery I | return",
    );
}

// --- The statement without a name. ---

#[test]
fn a_statement_without_a_name_is_never_somebody_elses() {
    check(
        "! share
         > Parse : delete from t + Bind + Execute + Sync | lease
         < ParseComplete + BindComplete + CommandComplete DELETE 1 + ReadyForQuery I | return
         ! next
         > Bind + Execute + Sync         | server: Bind tidegate_unnamed, Execute, Sync | lease
         < ErrorResponse 26000 prepared statement \"tidegate_unnamed\" does not exist \
             | client: ErrorResponse 26000
         < ReadyForQuery I               | return
         > DescribeStatement + Sync      | server: Describe tidegate_unnamed, Sync | lease
         < ErrorResponse 26000 prepared statement \"tidegate_unnamed\" does not exist \
             + ReadyForQuery I | client: ErrorResponse 26000, ReadyForQuery I | return",
    );
}

#[test]
fn a_statement_without_a_name_follows_its_client() {
    check(
        "! share
         > Parse : select 1 + DescribeStatement + Sync | lease
         < ParseComplete + ParameterDescription + NoData + ReadyForQuery I | return
         ! move
         > Bind + Execute + Sync         | server: Parse, Bind, Execute, Sync | lease
         < ParseComplete + BindComplete + CommandComplete SELECT 1 + ReadyForQuery I \
             | client: BindComplete, CommandComplete, ReadyForQuery I | return
         > Query select 2                | lease
         < CommandComplete SELECT 1 + ReadyForQuery I | return
         > Bind + Sync                   | server: Bind tidegate_unnamed, Sync | lease
         < ErrorResponse 26000 prepared statement \"tidegate_unnamed\" does not exist \
             + ReadyForQuery I | client: ErrorResponse 26000, ReadyForQuery I | return",
    );
    check(
        "! share
         > Query begin                   | lease
         < CommandComplete BEGIN + ReadyForQuery T
         > Bind nothing + Parse : select 1 + Sync
         < ErrorResponse 26000 + ReadyForQuery E
         > Bind + Sync                   | server: Bind tidegate_unnamed, Sync
         < ErrorResponse 26000 + ReadyForQuery E",
    );
}

// --- Several clients. ---

/// The client has set another time zone since, and comes to a server that has not parsed it.
#[test]
fn constants_mean_what_they_meant_when_the_statement_was_prepared() {
    check(
        "! share
         ! environment UTC
         > Parse s1: select timestamptz '2024-01-01' + Sync | server: Parse tidegate_1, Sync | lease
         < ParseComplete + ReadyForQuery I | return
         ! environment CET
         > Bind s1 + Execute + Sync      | server: Bind tidegate_1, Execute, Sync | lease
         < BindComplete + CommandComplete SELECT 1 + ReadyForQuery I | return
         ! move
         > Bind s1 + Execute + Sync | server: \
             Query SELECT pg_catalog.set_config('timezone','UTC',false);, Parse tidegate_1, Sync, \
             Query SELECT pg_catalog.set_config('timezone','CET',false);, \
             Bind tidegate_1, Execute, Sync | lease
         < RowDescription + DataRow + ParameterStatus TimeZone=UTC + CommandComplete SELECT 1 \
             | client: nothing
         < ReadyForQuery I + ParseComplete + ReadyForQuery I | client: nothing
         < CommandComplete SELECT 1 + ReadyForQuery I | client: nothing
         < BindComplete + CommandComplete SELECT 1 + ReadyForQuery I | return",
    );
    // Within a transaction a switch would end what was set for that only.
    check(
        "! share
         ! environment UTC
         > Parse s1: select timestamptz '2024-01-01' + Sync | server: Parse tidegate_1, Sync | lease
         < ParseComplete + ReadyForQuery I | return
         ! environment CET
         ! move
         > Query begin                   | lease
         < CommandComplete BEGIN + ReadyForQuery T
         > Bind s1 + Sync                | server: Parse tidegate_1, Bind tidegate_1, Sync
         < ParseComplete + BindComplete + ReadyForQuery T | client: BindComplete, ReadyForQuery T",
    );
    // Where nothing in it is a constant, it means the same.
    check(
        "! share
         ! environment UTC
         > Parse s1: select 1 + Sync     | server: Parse tidegate_1, Sync | lease
         < ParseComplete + ReadyForQuery I | return
         ! environment CET
         ! move
         > Bind s1 + Execute + Sync | server: Parse tidegate_1, Bind tidegate_1, Execute, Sync | lease
         < ParseComplete + BindComplete + CommandComplete SELECT 1 + ReadyForQuery I \
             | client: BindComplete, CommandComplete, ReadyForQuery I | return",
    );
}

#[test]
fn clients_share_a_statement_only_in_the_same_environment() {
    check(
        "! share
         ! environment UTC
         > Parse a: select 1 + Sync      | server: Parse tidegate_1, Sync | lease
         < ParseComplete + ReadyForQuery I | return
         ! next
         > Parse b: select 1 + Sync      | server: Sync | lease
         < ReadyForQuery I               | client: ParseComplete, ReadyForQuery I | return
         ! next
         ! environment CET
         > Parse c: select 1 + Sync      | server: Parse tidegate_2, Sync | lease
         < ParseComplete + ReadyForQuery I | return",
    );
}

#[test]
fn a_name_is_known_only_to_the_client_that_gave_it() {
    check(
        "! share
         > Parse s1: select 1 + Sync     | server: Parse tidegate_1, Sync | lease
         < ParseComplete + ReadyForQuery I | return
         ! next
         > Bind s1 + Sync                | lease
         < ErrorResponse 26000 + ReadyForQuery I | return
         > Bind tidegate_1 + Sync        | server: Bind _tidegate_1, Sync | lease
         < ErrorResponse 26000 + ReadyForQuery I | return
         > Close tidegate_1 + DescribeStatement tidegate_1 + Sync \
             | server: Close _tidegate_1, Describe _tidegate_1, Sync | lease
         < CloseComplete + ErrorResponse 26000 + ReadyForQuery I | return",
    );
}

#[test]
fn what_a_vanished_client_had_sent_is_known_of_the_server() {
    check(
        "! share
         > Parse s1: select 1 + Parse s2: nonsense + Flush \
             | server: Parse tidegate_1, Parse tidegate_2, Flush | lease
         ! vanish                        | server: Sync, Query ROLLBACK | vanished | cancel
         < ParseComplete + ErrorResponse 42601 + ReadyForQuery I | client: nothing
         < CommandComplete ROLLBACK + ReadyForQuery I | client: nothing | Recover done
         ! next
         > Parse a: select 1 + Parse b: nonsense + Sync \
             | server: Parse tidegate_3, Sync | lease
         < ErrorResponse 42601 + ReadyForQuery I \
             | client: ParseComplete, ErrorResponse 42601, ReadyForQuery I | return",
    );
}

// --- The bound of a server. ---

#[test]
fn the_statement_that_was_unused_for_longest_is_closed_in_passing() {
    check(
        "! share 2
         > Parse a: select 1 + Parse b: select 2 + Sync \
             | server: Parse tidegate_1, Parse tidegate_2, Sync | lease
         < ParseComplete + ParseComplete + ReadyForQuery I | return
         > Bind a + Sync                 | server: Bind tidegate_1, Sync | lease
         < BindComplete + ReadyForQuery I | return
         > Parse c: select 3 + Sync \
             | server: Close tidegate_2, Parse tidegate_3, Sync | lease
         < CloseComplete + ParseComplete + ReadyForQuery I \
             | client: ParseComplete, ReadyForQuery I | return
         > Bind b + Sync \
             | server: Close tidegate_1, Parse tidegate_4, Bind tidegate_4, Sync | lease
         < CloseComplete + ParseComplete + BindComplete + ReadyForQuery I \
             | client: BindComplete, ReadyForQuery I | return",
    );
}

#[test]
fn a_close_that_was_skipped_is_sent_again_with_the_next_parse() {
    check(
        "! share 1
         > Parse a: select 1 + Sync      | server: Parse tidegate_1, Sync | lease
         < ParseComplete + ReadyForQuery I | return
         > Bind nothing + Parse b: select 2 + Sync \
             | server: Bind nothing, Close tidegate_1, Parse tidegate_2, Sync | lease
         < ErrorResponse 26000 + ReadyForQuery I | return
         > Parse c: select 3 + Sync \
             | server: Close tidegate_1, Parse tidegate_3, Sync | lease
         < CloseComplete + ParseComplete + ReadyForQuery I \
             | client: ParseComplete, ReadyForQuery I | return",
    );
}

// --- What the session has that a statement is parsed under. ---

#[test]
fn a_statement_parsed_under_settings_of_the_transaction_is_nobody_elses() {
    check(
        "! share
         > Parse s1: select 1 + Sync     | server: Parse tidegate_1, Sync | lease
         < ParseComplete + ReadyForQuery I | return
         > Query begin;set local search_path = other | lease
         < CommandComplete BEGIN + CommandComplete SET + ReadyForQuery T
         > Parse s2: select 1 + Sync     | server: Parse tidegate_2, Sync
         < ParseComplete + ReadyForQuery T
         > Query commit
         < CommandComplete COMMIT + ReadyForQuery I | return
         ! next
         > Parse s3: select 1 + Sync     | server: Sync | lease
         < ReadyForQuery I               | client: ParseComplete, ReadyForQuery I | return",
    );
}

#[test]
fn a_statement_whose_constants_are_computed_under_other_settings_pins() {
    check(
        "! share
         > Query begin;set local timezone = 'CET' | lease
         < CommandComplete BEGIN + CommandComplete SET + ReadyForQuery T
         > Parse s1: select date '2024-01-01' + Sync | server: Parse tidegate_1, Sync
         < ParseComplete + ReadyForQuery T
         > Query commit
         < CommandComplete COMMIT + ReadyForQuery I | pin set",
    );
    check(
        "! share
         > Query begin;select change()   | lease
         < ParameterStatus TimeZone=CET
         < CommandComplete BEGIN + CommandComplete SELECT 1 + ReadyForQuery T
         > Parse s1: select date '2024-01-01' + Sync | server: Parse tidegate_1, Sync
         < ParseComplete + ReadyForQuery T
         > Query commit
         < CommandComplete COMMIT + ReadyForQuery I | set timezone=CET | pin set",
    );
    // Without constants there is nothing to be computed.
    check(
        "! share
         > Query begin;set local timezone = 'CET' | lease
         < CommandComplete BEGIN + CommandComplete SET + ReadyForQuery T
         > Parse s1: select $1 + Sync    | server: Parse tidegate_1, Sync
         < ParseComplete + ReadyForQuery T
         > Query commit
         < CommandComplete COMMIT + ReadyForQuery I | return",
    );
}

#[test]
fn what_is_parsed_before_a_new_setting_is_known_is_not_shared() {
    check(
        "! share
         > Parse s1: select 1 + Sync     | server: Parse tidegate_1, Sync | lease
         < ParseComplete + ReadyForQuery I | return
         > Query set search_path = other | lease
         < CommandComplete SET + ReadyForQuery I | server: Question
         > Parse s2: select 1 + Sync     | server: Parse tidegate_2, Sync
         < RowDescription + Value search_path=other + CommandComplete SELECT 1 + ReadyForQuery I \
             | client: nothing | set search_path=other
         < ParseComplete + ReadyForQuery I | return",
    );
}

#[test]
fn a_statement_that_leaves_something_behind_pins_whenever_it_is_bound() {
    check(
        "! share
         > Parse s1: listen events + Sync | server: Parse tidegate_1, Sync | lease
         < ParseComplete + ReadyForQuery I | return
         > Bind s1 + Execute + Sync      | server: Bind tidegate_1, Execute, Sync | lease
         < BindComplete + CommandComplete LISTEN + ReadyForQuery I | server: Question
         < RowDescription + Holds listen + CommandComplete SELECT 1 + ReadyForQuery I \
             | client: nothing | pin listen",
    );
}

#[test]
fn discarding_all_is_known_of_both_sides() {
    for words in ["DISCARD ALL", "DEALLOCATE ALL"] {
        let unpin = if words == "DISCARD ALL" { "set | return" } else { "return" };
        check(&format!(
            "! share
             > Parse s1: select 1 + Sync     | server: Parse tidegate_1, Sync | lease
             < ParseComplete + ReadyForQuery I | return
             > Query {words}                 | lease
             < CommandComplete {words} + ReadyForQuery I | {unpin}
             > Bind s1 + Sync                | lease
             < ErrorResponse 26000 + ReadyForQuery I | return
             > Parse s1: select 1 + Sync     | server: Parse tidegate_2, Sync | lease
             < ParseComplete + ReadyForQuery I | return"
        ));
    }
}

#[test]
fn a_reset_server_has_no_statements() {
    check(
        "! share
         > Parse s1: select 1 + Sync     | server: Parse tidegate_1, Sync | lease
         < ParseComplete + ReadyForQuery I | return
         ! reset                         | server: Query RESET_SQL
         < CommandComplete X + ReadyForQuery I | client: nothing | Reset done
         > Bind s1 + Sync                | server: Parse tidegate_2, Bind tidegate_2, Sync | lease
         < ParseComplete + BindComplete + ReadyForQuery I \
             | client: BindComplete, ReadyForQuery I | return",
    );
}

// --- What is not kept. ---

#[test]
fn a_client_with_too_much_keeps_its_server() {
    use tidegate_session::prepared::NAME_BYTES_MAX;
    let name = "n".repeat(NAME_BYTES_MAX + 1);
    check(&format!(
        "! share
         > Parse {name}: select 1 + Sync | lease
         < ParseComplete + ReadyForQuery I | server: Question
         > Bind {name} + Sync
         < RowDescription + Holds prepared + CommandComplete SELECT 1 + ReadyForQuery I \
             | client: nothing | pin prepared
         < BindComplete + ReadyForQuery I"
    ));
}

#[test]
fn in_a_copy_nobody_can_know_what_is_answered() {
    check(
        "! share
         > Query copy t from stdin       | lease
         < CopyInResponse
         > Parse s1: select 1            | server: Parse tidegate_1
         > Close s1                      | server: nothing | client: CloseComplete
         ! vanish                        | vanished | close",
    );
}

#[test]
fn a_lease_does_not_end_in_the_midst_of_a_message() {
    let mut stage = Stage::new();
    let mut play = |line: &str| {
        Step::parse(line).play_whole(&mut stage);
        stage.outcome.events.clone()
    };
    play("> Query select 1");
    let notice = "< CommandComplete SELECT 1 + ReadyForQuery I + NoticeResponse";
    assert_eq!(play(&format!("{notice} @ 0..40")), ["lease"]);
    assert_eq!(play(&format!("{notice} @ 40..")), ["lease", "return"]);
}

#[test]
fn a_large_statement_is_passed_on_and_pins_and_its_name_counts() {
    let text = "x".repeat(tidegate_session::prepared::DEFINITION_BYTES_MAX);
    check(&format!(
        "! share
         > Parse tidegate_7: {text} + Sync \
             | server: Parse _tidegate_7, Sync | lease
         < ParseComplete + ReadyForQuery I | server: Question
         < RowDescription + Holds prepared + CommandComplete SELECT 1 + ReadyForQuery I \
             | client: nothing | pin prepared"
    ));
    check(&format!(
        "! share
         > Parse s1: select 1 + Sync     | server: Parse tidegate_1, Sync | lease
         < ParseComplete + ReadyForQuery I | return
         > Parse s1: {text} + Sync       | server: Parse tidegate_1, Sync | lease
         < ErrorResponse 42P05 + ReadyForQuery I | return"
    ));
}

// --- What was parsed for others, or before a change. ---

#[test]
fn a_result_that_the_client_was_told_is_the_one_that_it_gets() {
    // The other server describes it likewise.
    check(
        "! share
         > Parse s1: select $1 + DescribeStatement s1 + Sync \
             | server: Parse tidegate_1, Describe tidegate_1, Sync | lease
         < ParseComplete + ParameterDescription 20 + RowDescription a + ReadyForQuery I | return
         ! move
         > Bind s1 + Execute + Sync \
             | server: Parse tidegate_1 [20], Describe tidegate_1, Flush | lease
         < ParseComplete + ParameterDescription 20       | client: nothing
         < RowDescription a              | server: Bind tidegate_1, Execute, Sync | client: nothing
         < BindComplete + DataRow + CommandComplete SELECT 1 + ReadyForQuery I | return
         > Bind s1 + Execute + Sync      | server: Bind tidegate_1, Execute, Sync | lease
         < BindComplete + DataRow + CommandComplete SELECT 1 + ReadyForQuery I | return",
    );
    // It does not: PostgreSQL fails, as it would have.
    check(
        "! share
         > Parse s1: table t + DescribeStatement s1 + Sync \
             | server: Parse tidegate_1, Describe tidegate_1, Sync | lease
         < ParseComplete + ParameterDescription + RowDescription a + ReadyForQuery I | return
         ! move
         > Query begin                   | lease
         < CommandComplete BEGIN + ReadyForQuery T
         > Bind s1 + Execute + Sync | server: Parse tidegate_1, Describe tidegate_1, Flush
         < ParseComplete + ParameterDescription + RowDescription a b \
             | server: Bind tidegate_changed, Execute, Sync | client: nothing
         < ErrorResponse 26000 prepared statement \"tidegate_changed\" does not exist \
             | client: ErrorResponse 0A000
         < ReadyForQuery E
         > Query rollback
         < CommandComplete ROLLBACK + ReadyForQuery I | return
         > Parse s2: table t + DescribeStatement s2 + Sync | server: \
             Close tidegate_1, Parse tidegate_2, Describe tidegate_2, Sync | lease
         < CloseComplete + ParseComplete + ParameterDescription + RowDescription a b \
             + ReadyForQuery I \
             | client: ParseComplete, ParameterDescription, RowDescription, ReadyForQuery I | return
         > Bind s2 + Execute + Sync      | server: Bind tidegate_2, Execute, Sync | lease
         < BindComplete + CommandComplete SELECT 0 + ReadyForQuery I | return",
    );
}

#[test]
fn a_server_that_has_not_described_it_parses_it_again_for_who_was_told_elsewhere() {
    check(
        "! share
         > Parse a: table t + Sync       | server: Parse tidegate_1, Sync | lease
         < ParseComplete + ReadyForQuery I | return
         ! swap
         > Parse b: table t + DescribeStatement b + Sync \
             | server: Parse tidegate_1, Describe tidegate_1, Sync | lease
         < ParseComplete + ParameterDescription + RowDescription a b + ReadyForQuery I | return
         ! swap
         > Bind b + Execute + Sync | server: \
             Close tidegate_1, Parse tidegate_2, Describe tidegate_2, Flush | lease
         < CloseComplete + ParseComplete + ParameterDescription + RowDescription a b \
             | server: Bind tidegate_2, Execute, Sync | client: nothing
         < BindComplete + CommandComplete SELECT 0 + ReadyForQuery I | return",
    );
}

#[test]
fn whoever_describes_what_it_runs_relies_on_nothing() {
    check(
        "! share
         > Parse s1: table t + Bind s1 + Describe + Execute + Sync \
             | server: Parse tidegate_1, Bind tidegate_1, Describe, Execute, Sync | lease
         < ParseComplete + BindComplete + RowDescription a + CommandComplete SELECT 0 \
             + ReadyForQuery I | return
         > Bind s1 + Describe + Execute + Sync \
             | server: Bind tidegate_1, Describe, Execute, Sync | lease
         < BindComplete + RowDescription a + CommandComplete SELECT 0 + ReadyForQuery I | return
         ! move
         > Bind s1 + Describe + Execute + Sync \
             | server: Parse tidegate_1, Bind tidegate_1, Describe, Execute, Sync | lease
         < ParseComplete + BindComplete + RowDescription a b + CommandComplete SELECT 0 \
             + ReadyForQuery I | client: BindComplete, RowDescription, CommandComplete, \
               ReadyForQuery I | return",
    );
    // A driver that describes the first time only does.
    check(
        "! share
         > Parse s1: table t + Bind s1 + Describe + Execute + Sync \
             | server: Parse tidegate_1, Bind tidegate_1, Describe, Execute, Sync | lease
         < ParseComplete + BindComplete + RowDescription a + CommandComplete SELECT 0 \
             + ReadyForQuery I | return
         ! move
         > Bind s1 + Execute + Sync \
             | server: Parse tidegate_1, Describe tidegate_1, Flush | lease
         < ParseComplete + ParameterDescription + RowDescription b \
             | server: Bind tidegate_changed, Execute, Sync | client: nothing
         < ErrorResponse 26000 no \"tidegate_changed\" + ReadyForQuery I \
             | client: ErrorResponse 0A000, ReadyForQuery I | return",
    );
}

#[test]
fn a_statement_that_can_not_be_described_any_more_fails_once() {
    check(
        "! share
         > Parse s1: table t + DescribeStatement s1 + Sync \
             | server: Parse tidegate_1, Describe tidegate_1, Sync | lease
         < ParseComplete + ParameterDescription + RowDescription a + ReadyForQuery I | return
         ! move
         > Bind s1 + Execute + Sync \
             | server: Parse tidegate_1, Describe tidegate_1, Flush | lease
         < ErrorResponse 42P01           | server: Bind s1, Execute, Sync
         < ReadyForQuery I               | return",
    );
}

#[test]
fn a_batch_that_meets_a_stale_statement_is_sent_again() {
    // Another client has prepared it before the table was changed, this one since.
    check(
        "! share
         > Parse a: table t + Sync       | server: Parse tidegate_1, Sync | lease
         < ParseComplete + ReadyForQuery I | return
         ! next
         > Parse b: table t + Bind b + Describe + Execute + Sync \
             | server: Bind tidegate_1, Describe, Execute, Sync | lease
         < Changed                       | server: Close tidegate_1, Parse tidegate_2, \
             Bind tidegate_2, Describe, Execute, Sync | client: nothing | again
         < ReadyForQuery I               | client: nothing
         < CloseComplete + ParseComplete + BindComplete + RowDescription a \
             | client: ParseComplete, BindComplete, RowDescription
         < CommandComplete SELECT 0 + ReadyForQuery I | return",
    );
    // In an open batch.
    check(
        "! share
         > Parse a: table t + Sync       | server: Parse tidegate_1, Sync | lease
         < ParseComplete + ReadyForQuery I | return
         ! next
         > Parse b: table t + DescribeStatement b + Flush \
             | server: Describe tidegate_1, Flush | lease
         < ParameterDescription 23       | client: nothing
         < Changed                       | server: Sync, Close tidegate_1, Parse tidegate_2, \
             Describe tidegate_2, Flush | client: nothing | again
         < ReadyForQuery I               | client: nothing
         < CloseComplete + ParseComplete + ParameterDescription + RowDescription a \
             | client: ParseComplete, ParameterDescription, RowDescription
         > Bind b + Execute + Sync       | server: Bind tidegate_2, Execute, Sync
         < BindComplete + CommandComplete SELECT 0 + ReadyForQuery I | return",
    );
}

#[test]
fn a_transaction_whose_first_statement_is_stale_is_begun_again() {
    check(
        "! share
         ! probes begin
         > Parse a: table t + Sync       | server: Parse tidegate_1, Sync | lease
         < ParseComplete + ReadyForQuery I | return
         > Query BEGIN | server: nothing | client: CommandComplete, ReadyForQuery T
         > Bind a + Execute + Sync \
             | server: Query BEGIN, Bind tidegate_1, Execute, Sync | lease
         < CommandComplete BEGIN + ReadyForQuery T | client: nothing
         < Changed                       | server: Query ROLLBACK, Query BEGIN, \
             Close tidegate_1, Parse tidegate_2, Bind tidegate_2, Execute, Sync \
             | client: nothing | again
         < ReadyForQuery E + CommandComplete ROLLBACK + ReadyForQuery I | client: nothing
         < CommandComplete BEGIN + ReadyForQuery T | client: nothing
         < CloseComplete + ParseComplete + BindComplete + CommandComplete SELECT 0 \
             + ReadyForQuery T | client: BindComplete, CommandComplete, ReadyForQuery T
         > Query COMMIT
         < CommandComplete COMMIT + ReadyForQuery I | return",
    );
}

#[test]
fn what_may_have_been_carried_out_is_not_sent_again() {
    // Something behind it.
    check(
        "! share
         > Parse a: table t + Sync       | server: Parse tidegate_1, Sync | lease
         < ParseComplete + ReadyForQuery I | return
         > Bind a + Execute + Sync + Query delete from u \
             | server: Bind tidegate_1, Execute, Sync, Query delete from u | lease
         < Changed + ReadyForQuery I + CommandComplete DELETE 1 + ReadyForQuery I | return",
    );
    // Something before it, in the batch and in the transaction.
    check(
        "! share
         > Parse a: table t + Sync       | server: Parse tidegate_1, Sync | lease
         < ParseComplete + ReadyForQuery I | return
         > Parse : delete from u + Bind + Execute + Bind a + Execute + Sync | server: \
             Parse, Bind, Execute, Bind tidegate_1, Execute, Sync | lease
         < ParseComplete + BindComplete + CommandComplete DELETE 1 + Changed + ReadyForQuery I \
             | return",
    );
    check(
        "! share
         > Parse a: table t + Sync       | server: Parse tidegate_1, Sync | lease
         < ParseComplete + ReadyForQuery I | return
         > Query begin                   | lease
         < CommandComplete BEGIN + ReadyForQuery T
         > Bind a + Execute + Sync       | server: Bind tidegate_1, Execute, Sync
         < Changed + ReadyForQuery E",
    );
    // The client knows the result as it was.
    check(
        "! share
         > Parse a: table t + DescribeStatement a + Sync \
             | server: Parse tidegate_1, Describe tidegate_1, Sync | lease
         < ParseComplete + ParameterDescription + RowDescription a + ReadyForQuery I | return
         > Bind a + Execute + Sync       | server: Bind tidegate_1, Execute, Sync | lease
         < Changed + ReadyForQuery I     | return",
    );
}

#[test]
fn types_of_parameters_that_others_were_told_are_not_insisted_on() {
    check(
        "! share
         > Parse a: select $1 + DescribeStatement a + Sync \
             | server: Parse tidegate_1, Describe tidegate_1, Sync | lease
         < ParseComplete + ParameterDescription 16444 + RowDescription a + ReadyForQuery I | return
         ! move
         > Parse b: select $1 + Sync     | server: Parse tidegate_1 [16444], Sync | lease
         < ErrorResponse 42704           | server: Parse tidegate_2, Sync | client: nothing | again
         < ReadyForQuery I               | client: nothing
         < ParseComplete + ReadyForQuery I | return",
    );
}

// --- Texts that come again and again without a name. ---

/// The server has a text that came twice without a name.
const KEPT: &str = "! share
         ! keep
         > Parse : table t + Sync        | lease
         < ParseComplete + ReadyForQuery I | return
         > Parse : table t + Sync        | server: Parse tidegate_1, Sync | lease
         < ParseComplete + ReadyForQuery I | return";

#[test]
fn a_text_that_comes_again_without_a_name_is_kept() {
    check(
        "! share
         ! keep
         > Parse : select 1 + Bind + Describe + Execute + Sync | lease
         < ParseComplete + BindComplete + RowDescription a + CommandComplete SELECT 1 \
             + ReadyForQuery I | return
         > Parse : select 1 + Bind + Describe + Execute + Sync \
             | server: Parse tidegate_1, Bind tidegate_1, Describe, Execute, Sync | lease
         < ParseComplete + BindComplete + RowDescription a + CommandComplete SELECT 1 \
             + ReadyForQuery I | return
         > Parse : select 1 + Bind + Describe + Execute + Sync \
             | server: Bind tidegate_1, Describe, Execute, Sync | lease
         < BindComplete | client: ParseComplete, BindComplete
         < RowDescription a + CommandComplete SELECT 1 + ReadyForQuery I | return
         ! next
         > Parse : select 1 + DescribeStatement + Flush \
             | server: Describe tidegate_1, Flush | lease
         < ParameterDescription + RowDescription a \
             | client: ParseComplete, ParameterDescription, RowDescription
         > Bind + Execute + Sync         | server: Bind tidegate_1, Execute, Sync
         < BindComplete + CommandComplete SELECT 1 + ReadyForQuery I | return
         > Bind + Close + Bind + Sync    | server: Bind tidegate_1, Bind tidegate_unnamed, Sync | lease
         < BindComplete + ErrorResponse 26000 \"tidegate_unnamed\" \
             | client: BindComplete, CloseComplete, ErrorResponse 26000
         < ReadyForQuery I               | return",
    );
}

#[test]
fn only_what_is_planned_and_leaves_nothing_is_kept_without_a_name() {
    let passes = |text: &str, ends: &str| {
        let again = format!("> Parse : {text} + Sync | lease\n< ParseComplete + {ends}\n");
        check(&format!("! share\n! keep\n{}", again.repeat(3)));
    };
    passes("begin", "ReadyForQuery I | return");
    passes("explain select 1", "ReadyForQuery I | return");
    passes(
        "select pg_advisory_lock(1)",
        "ReadyForQuery I | server: Question
         < RowDescription + CommandComplete SELECT 0 + ReadyForQuery I | client: nothing | return",
    );
}

#[test]
fn what_is_wrong_with_what_is_kept_is_found_out_without_it() {
    // The result has changed: whoever gives no name never hears of that.
    check(&format!(
        "{KEPT}
         > Parse : table t + Bind + Describe + Execute + Sync \
             | server: Bind tidegate_1, Describe, Execute, Sync | lease
         < Changed | server: Parse, Bind, Describe, Execute, Sync | client: nothing | again
         < ReadyForQuery I + ParseComplete + BindComplete + RowDescription a \
             | client: ParseComplete, BindComplete, RowDescription
         < CommandComplete SELECT 0 + ReadyForQuery I | return
         > Parse : table t + Bind + Execute + Sync \
             | server: Close tidegate_1, Parse tidegate_2, Bind tidegate_2, Execute, Sync | lease
         < CloseComplete + ParseComplete + BindComplete + CommandComplete SELECT 0 \
             + ReadyForQuery I \
             | client: ParseComplete, BindComplete, CommandComplete, ReadyForQuery I | return"
    ));
    // The table has gone: the error is that of the Parse.
    check(&format!(
        "{KEPT}
         > Parse : table t + Bind + Execute + Sync \
             | server: Bind tidegate_1, Execute, Sync | lease
         < ErrorResponse 42P01 | server: Parse, Bind, Execute, Sync | client: nothing | again
         < ReadyForQuery I + ErrorResponse 42P01 + ReadyForQuery I \
             | client: ErrorResponse 42P01, ReadyForQuery I | return
         > Bind + Sync                   | server: Bind tidegate_unnamed, Sync | lease
         < ErrorResponse 26000 \"tidegate_unnamed\" + ReadyForQuery I \
             | client: ErrorResponse 26000, ReadyForQuery I | return"
    ));
    // What is wrong with the values is the client's to know, in its words.
    check(&format!(
        "{KEPT}
         > Parse : table t + Bind + Execute + Sync \
             | server: Bind tidegate_1, Execute, Sync | lease
         < ErrorResponse 08P01 but prepared statement \"tidegate_1\" requires 1 \
             | client: ParseComplete, ErrorResponse 08P01 but prepared statement \"\" requires 1
         < ReadyForQuery I               | return"
    ));
}

#[test]
fn where_it_could_not_be_sent_again_a_statement_without_a_name_passes() {
    // Behind another statement of its batch, and of its transaction.
    check(&format!(
        "{KEPT}
         > Parse : delete from u + Bind + Execute + Parse : table t + Bind + Execute + Sync | lease
         < ParseComplete + BindComplete + CommandComplete DELETE 1 + ParseComplete + BindComplete \
             + CommandComplete SELECT 1 + ReadyForQuery I | return"
    ));
    check(&format!(
        "{KEPT}
         > Query begin                   | lease
         < CommandComplete BEGIN + ReadyForQuery T
         > Parse : table t + Bind + Execute + Sync
         < ParseComplete + BindComplete + CommandComplete SELECT 1 + ReadyForQuery T"
    ));
    // In a pipeline only the first.
    check(&format!(
        "{KEPT}
         > Parse : table t + Bind + Execute + Sync + Parse : table t + Bind + Execute + Sync \
             | server: Bind tidegate_1, Execute, Sync, Parse, Bind, Execute, Sync | lease
         < BindComplete + CommandComplete SELECT 1 + ReadyForQuery I \
             | client: ParseComplete, BindComplete, CommandComplete, ReadyForQuery I
         < ParseComplete + BindComplete + CommandComplete SELECT 1 + ReadyForQuery I | return"
    ));
}

#[test]
fn what_postgresql_remarks_upon_it_says_each_time() {
    check(
        "! share
         ! keep
         > Parse : table t + Sync        | lease
         < ParseComplete + ReadyForQuery I | return
         > Parse : table t + Sync        | server: Parse tidegate_1, Sync | lease
         < NoticeResponse + ParseComplete + ReadyForQuery I | return
         > Parse : table t + Sync        | lease
         < NoticeResponse + ParseComplete + ReadyForQuery I | return
         > Parse s1: table t + Sync      | server: Parse tidegate_2, Sync | lease
         < NoticeResponse + ParseComplete + ReadyForQuery I | return",
    );
}

// --- Sent again: once, whole, or not at all. ---

#[test]
fn what_was_not_sent_whole_is_not_sent_again() {
    // The front of the next message has come.
    check(
        "! share
         > Parse a: table t + Sync       | server: Parse tidegate_1, Sync | lease
         < ParseComplete + ReadyForQuery I | return
         > Bind a + Execute + Sync + Query select 1 @ 0..32 \
             | server: Bind tidegate_1, Execute, Sync | lease
         < Changed + ReadyForQuery I     | return
         > Bind a + Execute + Sync + Query select 1 @ 32.. | server: Query select 1 | lease
         < CommandComplete SELECT 1 + ReadyForQuery I | return",
    );
    // What was sent first had waited.
    check(
        "! share
         > Parse a: table t + Sync       | server: Parse tidegate_1, Sync | lease
         < ParseComplete + ReadyForQuery I | return
         ! next
         > Query select 1 + Parse b: table t + Bind b + Execute + Sync \
             | server: Query select 1 | lease
         < CommandComplete SELECT 1 + ReadyForQuery I | server: Bind tidegate_1, Execute, Sync
         < Changed + ReadyForQuery I \
             | client: ParseComplete, ErrorResponse 0A000, ReadyForQuery I | return",
    );
}

#[test]
fn nothing_is_sent_again_twice() {
    check(&format!(
        "{KEPT}
         > Bind + Execute + Bind + Execute + Sync | server: \
             Bind tidegate_1, Execute, Bind tidegate_1, Execute, Sync | lease
         < ErrorResponse 42501 + ReadyForQuery I | server: Close tidegate_1, Parse tidegate_2, \
             Bind tidegate_2, Execute, Bind tidegate_2, Execute, Sync | client: nothing | again
         < CloseComplete + ParseComplete + ErrorResponse 42501 + ReadyForQuery I \
             | client: ErrorResponse 42501, ReadyForQuery I | return"
    ));
    // Also when it is known in the same read that the batch has ended.
    check(&format!(
        "{KEPT}
         > Parse : table t + Bind + Execute + Sync \
             | server: Bind tidegate_1, Execute, Sync | lease
         < Changed + ReadyForQuery I | server: Parse, Bind, Execute, Sync | client: nothing | again
         < ParseComplete + BindComplete + CommandComplete SELECT 0 + ReadyForQuery I | return"
    ));
}

#[test]
fn what_is_sent_again_relies_on_what_was_told() {
    check(
        "! share
         ! keep
         ! probes begin
         > Parse : table t + Sync        | lease
         < ParseComplete + ReadyForQuery I | return
         > Parse : table t + DescribeStatement + Sync \
             | server: Parse tidegate_1, Describe tidegate_1, Sync | lease
         < ParseComplete + ParameterDescription + RowDescription a + ReadyForQuery I | return
         > Query BEGIN | server: nothing | client: CommandComplete, ReadyForQuery T
         > Bind + Execute + Sync \
             | server: Query BEGIN, Bind tidegate_1, Execute, Sync | lease
         < CommandComplete BEGIN + ReadyForQuery T | client: nothing
         < Changed + ReadyForQuery E | server: Query ROLLBACK, Query BEGIN, Close tidegate_1, \
             Parse tidegate_2, Describe tidegate_2, Flush | client: nothing | again
         < CommandComplete ROLLBACK + ReadyForQuery I | client: nothing
         < CommandComplete BEGIN + ReadyForQuery T | client: nothing
         < CloseComplete + ParseComplete + ParameterDescription + RowDescription a b \
             | server: Bind tidegate_changed, Execute, Sync | client: nothing
         < ErrorResponse 26000 no \"tidegate_changed\" + ReadyForQuery E \
             | client: ErrorResponse 0A000, ReadyForQuery E",
    );
}

#[test]
fn where_constants_would_mean_something_else_a_statement_is_only_described() {
    let prelude = "! share
         > Parse s1: select date 'today' + DescribeStatement s1 + Sync \
             | server: Parse tidegate_1, Describe tidegate_1, Sync | lease
         < ParseComplete + ParameterDescription + RowDescription a + ReadyForQuery I | return
         ! swap";
    let scope = "> Query begin;set local timezone = 'CET' | lease
         < CommandComplete BEGIN + CommandComplete SET + ReadyForQuery T";
    check(&format!(
        "{prelude}
         > Parse s2: select date 'today' + Sync | server: Parse tidegate_1, Sync | lease
         < ParseComplete + ReadyForQuery I | return
         {scope}
         > Bind s1 + Execute + Sync      | server: Describe tidegate_1, Flush
         < ParameterDescription + RowDescription a \
             | server: Bind tidegate_1, Execute, Sync | client: nothing
         < BindComplete + CommandComplete SELECT 1 + ReadyForQuery T"
    ));
    check(&format!(
        "{prelude}
         > Parse s2: select date 'today' + DescribeStatement s2 + Sync \
             | server: Parse tidegate_1, Describe tidegate_1, Sync | lease
         < ParseComplete + ParameterDescription + RowDescription b + ReadyForQuery I | return
         {scope}
         > Bind s1 + Execute + Sync      | server: Bind tidegate_changed, Execute, Sync
         < ErrorResponse 26000 no \"tidegate_changed\" + ReadyForQuery E \
             | client: ErrorResponse 0A000, ReadyForQuery E"
    ));
}

#[test]
fn what_was_skipped_after_a_failure_is_not_waited_for() {
    check(
        "! share
         > Parse s1: select currval('s') + Bind s1 + Execute + Sync | server: \
             Parse tidegate_1, Query DISCARD SEQUENCES, Bind tidegate_1, Execute, Sync | lease
         < ErrorResponse 42P01 + ReadyForQuery I | pin sequence
         > Query set app.who = 'me'
         < CommandComplete SET + ReadyForQuery I | server: Question
         < RowDescription + Value app.who=me + CommandComplete SELECT 1 + ReadyForQuery I \
             | client: nothing | set app.who=me",
    );
}

#[test]
fn what_a_cursor_gives_is_not_the_same_everywhere() {
    check(
        "! share
         > Parse s1: fetch c + DescribeStatement s1 + Sync \
             | server: Parse tidegate_1, Describe tidegate_1, Sync | lease
         < ParseComplete + ParameterDescription + RowDescription a + ReadyForQuery I | return
         ! move
         > Bind s1 + Execute + Sync \
             | server: Parse tidegate_1, Bind tidegate_1, Execute, Sync | lease
         < ParseComplete + BindComplete + CommandComplete FETCH 1 + ReadyForQuery I \
             | client: BindComplete, CommandComplete, ReadyForQuery I | return",
    );
}
