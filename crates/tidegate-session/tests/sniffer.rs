//! The prefilter over text that comes in chunks: what is found must not depend on the cuts.

use proptest::prelude::*;
use tidegate_session::pin::PinReason;
use tidegate_session::sniff::Sniffer;

fn sniffed(chunks: &[&str]) -> Option<PinReason> {
    let mut sniffer = Sniffer::default();
    for (place, chunk) in chunks.iter().enumerate() {
        sniffer.feed(chunk.as_bytes(), place + 1 == chunks.len());
    }
    sniffer.found()
}

/// Where the text can be cut in two so that something else is found than in the whole.
fn misses(text: &str) -> Vec<usize> {
    let whole = sniffed(&[text]);
    (1..text.len()).filter(|cut| sniffed(&[&text[..*cut], &text[*cut..]]) != whole).collect()
}

/// Text that goes on for long.
fn tail() -> String {
    format!(" {}y", "x, ".repeat(40))
}

#[test]
fn a_statement_that_begins_with_its_word_is_found_wherever_it_is_cut() {
    let texts =
        ["set a = b", "listen news", "load 'x'", "prepare p as select 1", "create temp table a"];
    for text in texts {
        assert!(sniffed(&[text]).is_some(), "{text}");
        let blank = " ".repeat(100);
        for text in [
            text.to_owned(),
            format!("select 1;{text}"),
            format!("{blank}{text}"),
            format!("select 1;{blank}{text}"),
            format!("/* short */ {text}"),
        ] {
            assert_eq!(misses(&text), [], "{text}");
        }
    }
    assert_eq!(misses(&format!("set a = b{}", tail())), []);
    assert_eq!(misses(&format!("select 1; set a = b{}", tail())), []);
    assert_eq!(misses(&format!("select pg_advisory_xact_lock(1){}", tail())), []);
}

#[test]
fn words_in_mid_statement_are_found_at_every_cut() {
    for text in [
        "select pg_advisory_lock(1)",
        "select pg_try_advisory_lock_shared(1)",
        "select set_config('a','b',false)",
        "create temp table a",
        "create or replace temporary view a as select 1",
        "select 1 into temp a",
    ] {
        assert!(sniffed(&[text]).is_some(), "{text}");
        assert_eq!(misses(text), [], "{text}");
        assert_eq!(misses(&format!("{text}{}", tail())), [], "{text}");
    }
}

#[test]
fn a_statement_behind_a_long_comment_is_found_wherever_the_comment_is_cut() {
    for text in [
        format!("/*{}*/ set a = b", tail()),
        format!("/* a /*{}*/ ; b */ set a = b", tail()),
        format!("--{}\nset a = b", tail()),
        format!("select 1; /*{}*/ set a = b", tail()),
    ] {
        assert_eq!(sniffed(&[&text]), Some(PinReason::Set), "{text}");
        assert_eq!(misses(&text), [], "{text}");
    }
}

#[test]
fn words_far_behind_the_first_are_waited_for() {
    let name = "c".repeat(60);
    let text = format!("declare \"{name}\" cursor with hold for select 1");
    assert_eq!(sniffed(&[&text]), Some(PinReason::Cursor));
    assert_eq!(misses(&text), []);
    let text = format!("set {} local a = b", " ".repeat(100));
    assert_eq!(sniffed(&[&text]), None);
    assert_eq!(misses(&text), []);
}

#[test]
fn a_temporary_table_made_by_explain_analyze_is_seen() {
    for text in [
        "explain analyze create temp table x as select 1",
        "explain (analyze) create temp table x as select 1",
    ] {
        assert_eq!(sniffed(&[text]), Some(PinReason::TempTable), "{text}");
        assert_eq!(misses(text), [], "{text}");
    }
}

#[test]
fn a_table_in_the_temporary_schema_is_temporary() {
    for (text, expected) in [
        ("create table pg_temp.x (a int)", Some(PinReason::TempTable)),
        ("create table \"pg_temp\".x (a int)", Some(PinReason::TempTable)),
        ("create table pg_temp_3.x (a int)", Some(PinReason::TempTable)),
        ("select 1 into pg_temp.x", Some(PinReason::TempTable)),
        ("select * from pg_temp.x", None),
        ("create function f() returns int set search_path = s, pg_temp as 'select 1'", None),
    ] {
        assert_eq!(sniffed(&[text]), expected, "{text}");
        assert_eq!(misses(text), [], "{text}");
    }
}

#[test]
fn what_looks_like_a_comment_in_a_string_hides_nothing() {
    for text in [
        "select '--'; set a = b",
        "select '/*'; set a = b",
        "select '; --'; set a = b",
        "select ';/*'; set a = b",
        "select \";--\"; set a = b",
        "select $$;--$$; set a = b",
        "select /* ; -- */ 1; set a = b",
        "select 1 -- ; /*\n; set a = b",
        "select 1 -- ;\n; set a = b",
    ] {
        assert_eq!(sniffed(&[text]), Some(PinReason::Set), "{text}");
        assert_eq!(misses(text), [], "{text}");
    }
}

#[test]
fn comments_between_and_behind_statements_do_not_pin() {
    for text in [
        "select 1; -- don't",
        "-- don't; set a = b\nselect 1",
        "/* don't; set a = b */ select 1",
        "select 1; /* a; set b */ select 2",
        "select 1; -- a; set b",
        "update t -- of a\nset a = 1",
        "update t /* of a */ set a = 1",
    ] {
        assert_eq!(sniffed(&[text]), None, "{text}");
        assert_eq!(misses(text), [], "{text}");
    }
}

#[test]
fn a_comment_ends_with_either_kind_of_line_end() {
    for text in ["-- c\nset a = b", "-- c\rset a = b", "-- c\r\nset a = b"] {
        assert_eq!(sniffed(&[text]), Some(PinReason::Set), "{text:?}");
        assert_eq!(misses(text), [], "{text:?}");
    }
}

/// LOCAL, TRANSACTION, and CONSTRAINTS are no reserved words, and comments may stand anywhere.
#[test]
fn only_the_words_behind_set_and_prepare_make_them_end_with_the_transaction() {
    for (text, expected) in [
        ("set local a.b = c", None),
        ("set /* local */ a = b", Some(PinReason::Set)),
        ("set -- transaction\n a = b", Some(PinReason::Set)),
        ("set local.a = b", Some(PinReason::Set)),
        ("set local . a = b", Some(PinReason::Set)),
        ("set local /* of */ . a = b", Some(PinReason::Set)),
        ("set transaction.a = b", Some(PinReason::Set)),
        ("set constraints.a = b", Some(PinReason::Set)),
        ("prepare transaction 'x'", None),
        ("prepare transaction as select 1", Some(PinReason::Prepared)),
        ("prepare transaction(int) as select $1", Some(PinReason::Prepared)),
        ("prepare /* transaction */ p as select 1", Some(PinReason::Prepared)),
    ] {
        assert_eq!(sniffed(&[text]), expected, "{text}");
        assert_eq!(misses(text), [], "{text}");
    }
}

/// What may stand between words: strings, names, and comments, with all that could mislead.
fn quoted() -> impl Strategy<Value = String> {
    let within = |without: &'static str| {
        let all = " ;-/*\n\"'$a";
        let kept: Vec<char> = all.chars().filter(|char| !without.contains(*char)).collect();
        proptest::collection::vec(proptest::sample::select(kept), 0..12).prop_map(String::from_iter)
    };
    prop_oneof![
        within("'").prop_map(|text| format!("'{text}'")),
        within("\"").prop_map(|text| format!("\"{text}\"")),
        within("$").prop_map(|text| format!("$${text}$$")),
        within("/").prop_map(|text| format!("/*{text}*/")),
        within("/").prop_map(|text| format!("/* /*{text}*/ */")),
        within("\n").prop_map(|text| format!("--{text}\n")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_quotes_or_comments_before_it_hide_a_statement(
        before in proptest::collection::vec(quoted(), 0..6),
        size in 1..40_usize,
    ) {
        let text = format!("select {} 1; set a = b", before.join(" "));
        let chunks: Vec<&str> = text
            .as_bytes()
            .chunks(size)
            .map(|chunk| std::str::from_utf8(chunk).expect("it is ASCII"))
            .collect();
        prop_assert_eq!(sniffed(&[&text]), Some(PinReason::Set), "{}", text);
        prop_assert_eq!(sniffed(&chunks), Some(PinReason::Set), "{}", text);
    }
}
