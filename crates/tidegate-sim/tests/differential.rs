//! The model of PostgreSQL answers as PostgreSQL does. `full_differential` plays more of the same.

#[path = "differential/compare.rs"]
mod compare;

use tidegate_scratch::ClusterOptions;
use tidegate_sim::conversation::{answers_of_model, conversation};
use tidegate_sim::random::Random;
use tidegate_testkit::scene::cluster;

use compare::{HBA, compare, log_in, shown};

#[test]
fn the_model_answers_as_postgresql_does() {
    compare(1..1500);
}

#[test]
fn the_model_reports_what_postgresql_reports() {
    let cluster = cluster(ClusterOptions::default().hba(HBA));
    let raw = log_in(cluster.port());
    let mut reported: Vec<_> =
        raw.parameters.iter().filter_map(|frame| shown(frame.tag, &frame.body)).collect();
    let model = answers_of_model(1, &conversation(&mut Random::new(1))).expect("it is known");
    let login = model.iter().take_while(|(tag, _)| *tag != b'Z');
    let statuses = login.filter(|(tag, _)| *tag == b'S');
    let mut modelled: Vec<_> = statuses.filter_map(|(tag, body)| shown(*tag, body)).collect();
    // The build and the machine say these.
    for all in [&mut reported, &mut modelled] {
        all.retain(|words| !words.starts_with("S server_version=") && !words.contains("TimeZone"));
        all.sort_unstable();
    }
    assert_eq!(modelled, reported);
}
