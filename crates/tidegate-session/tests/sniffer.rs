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

/// More text than the prefilter keeps of a chunk.
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

// --- Known to be wrong: each of these should have no misses. ---

/// Wrong: a word that is looked for wherever it stands is missed when the end of what is scanned
/// of a chunk (48 bytes before its end) falls between its first letter and the telling one.
#[test]
fn words_in_mid_statement_are_missed_at_some_cuts() {
    for text in [
        "select pg_advisory_lock(1)",
        "select pg_try_advisory_lock(1)",
        "select set_config('a','b',false)",
        "create temp table a",
        "select 1 into temp a",
    ] {
        assert_ne!(misses(&format!("{text}{}", tail())), [], "{text}");
    }
}

/// Wrong: of a comment that is longer than what is kept, the beginning is forgotten, so its words
/// are taken for the statement's first.
#[test]
fn a_statement_behind_a_long_comment_is_missed_when_the_comment_is_cut() {
    assert_ne!(misses(&format!("/*{}*/ set a = b", tail())), []);
    assert_ne!(misses(&format!("--{}\nset a = b", tail())), []);
    assert_ne!(misses(&format!("select 1; /*{}*/ set a = b", tail())), []);
}

/// Wrong: `WITH HOLD` and `LOCAL` are looked for only in what has come of the statement.
#[test]
fn words_far_behind_the_first_are_not_waited_for() {
    let name = "c".repeat(60);
    assert_ne!(misses(&format!("declare \"{name}\" cursor with hold for select 1")), []);
    assert_ne!(misses(&format!("set {} local a = b", " ".repeat(100))), []);
}

/// Wrong: the table stays, but the statement does not begin with CREATE.
#[test]
fn a_temporary_table_made_by_explain_analyze_is_not_seen() {
    assert_eq!(sniffed(&["explain analyze create temp table x as select 1"]), None);
}
