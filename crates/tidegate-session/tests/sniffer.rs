//! The prefilter over text that comes in chunks: what is found must not depend on the cuts.

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
    let text = "explain (analyze) create temp table x as select 1";
    assert_eq!(sniffed(&[text]), Some(PinReason::TempTable));
    assert_eq!(misses(text), []);
}

#[test]
fn what_looks_like_a_comment_in_a_string_hides_nothing() {
    for text in ["select '--'; set a = b", "select '/*'; set a = b", "select 1 -- ;\n; set a = b"] {
        assert_eq!(sniffed(&[text]), Some(PinReason::Set), "{text}");
        assert_eq!(misses(text), [], "{text}");
    }
}
