//! What is left when the process that holds a cluster is killed and no destructor runs.
//!
//! The test runs its own binary once more, as the process to be killed.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use tidegate_scratch::{Cluster, ClusterOptions, Installation};

const NAME: &str = "killed_process_leaves_no_postgres_and_no_folder";
const VICTIM: &str = "SCRATCH_TEST_VICTIM";

#[test]
fn killed_process_leaves_no_postgres_and_no_folder() {
    if std::env::var_os(VICTIM).is_some() {
        be_the_victim();
    }
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", NAME, "--nocapture"])
        .env(VICTIM, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines().map_while(Result::ok);
    let line = lines.find_map(|line| line.split_once("cluster: ").map(|(_, rest)| rest.to_owned()));
    let line = line.expect("the victim starts a cluster");
    let (folder, postmaster) = line.split_once(' ').expect("a folder and a pid");
    let process = format!("/proc/{postmaster}");
    assert!(Path::new(folder).exists() && Path::new(&process).exists());

    victim.kill().unwrap();
    victim.wait().unwrap();
    wait_until(|| !Path::new(&process).exists());
    wait_until(|| !Path::new(folder).exists());
}

/// Says where its cluster is, and waits to be killed.
fn be_the_victim() -> ! {
    let installation = Installation::find().unwrap();
    let cluster = Cluster::start(&installation, ClusterOptions::default()).unwrap();
    let folder = cluster.socket_dir();
    println!("cluster: {} {}", folder.display(), cluster.postmaster_pid().unwrap());
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    panic!("the test ended without killing its victim");
}

#[expect(clippy::disallowed_types, reason = "a deadline for another process")]
fn wait_until(condition: impl Fn() -> bool) {
    let start = std::time::Instant::now();
    while !condition() {
        assert!(start.elapsed().as_secs() < 30, "still there after 30 s");
        std::thread::yield_now();
    }
}
