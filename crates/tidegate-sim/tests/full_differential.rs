//! The model of PostgreSQL answers as PostgreSQL does, in many more conversations than
//! `differential` has.

#[path = "differential/compare.rs"]
mod compare;

#[test]
fn the_model_answers_as_postgresql_does_in_many_conversations() {
    compare::compare(1_000_000..1_015_000);
}
