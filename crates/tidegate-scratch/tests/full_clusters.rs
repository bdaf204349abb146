//! Slower: every PostgreSQL that is installed, and many clusters at once.

use std::thread;

use tidegate_scratch::{Cluster, ClusterOptions, Installation, StopMode};

#[test]
fn every_installed_version_starts_crashes_and_recovers() {
    let all = Installation::all();
    assert!(!all.is_empty(), "{}", Installation::find().unwrap_err());
    for installation in all {
        let mut cluster = Cluster::start(&installation, ClusterOptions::default()).unwrap();
        cluster.sql("CREATE TABLE kept AS SELECT 7 AS n; CHECKPOINT").unwrap();
        cluster.restart(StopMode::Immediate).unwrap();
        assert_eq!(cluster.sql("SELECT n FROM kept").unwrap(), "7", "{installation:?}");
        let version = cluster.sql("SHOW server_version_num").unwrap().parse::<u32>().unwrap();
        assert_eq!(version / 10_000, installation.version.0);
    }
}

#[test]
fn twenty_clusters_at_once_have_ports_and_data_of_their_own() {
    let installation = Installation::find().unwrap_or_else(|error| panic!("{error}"));
    let start = || Cluster::start(&installation, ClusterOptions::default()).unwrap();
    let clusters: Vec<Cluster> = thread::scope(|scope| {
        let starting: Vec<_> = (0..20).map(|_| scope.spawn(start)).collect();
        starting.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for (index, cluster) in clusters.iter().enumerate() {
        cluster.sql(&format!("CREATE TABLE mine AS SELECT {index} AS n")).unwrap();
    }
    for (index, cluster) in clusters.iter().enumerate() {
        assert_eq!(cluster.sql("SELECT n FROM mine").unwrap(), index.to_string());
    }
    let mut ports: Vec<u16> = clusters.iter().map(Cluster::port).collect();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 20);
}
