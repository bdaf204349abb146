//! Real clusters of the newest PostgreSQL that is installed.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use tidegate_scratch::{Cluster, ClusterOptions, Installation, ScratchError, StopMode};

fn start(options: ClusterOptions) -> Cluster {
    let installation = Installation::find().unwrap_or_else(|error| panic!("{error}"));
    Cluster::start(&installation, options).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn a_cluster_answers_sql_and_logs_who_came() {
    let cluster = start(ClusterOptions::default().setting("max_connections", "17"));
    assert_eq!(cluster.sql("SHOW max_connections; SHOW fsync").unwrap(), "17\noff");
    let version = cluster.sql("SHOW server_version_num").unwrap().parse::<u32>().unwrap();
    assert_eq!(version / 10_000, cluster.installation().version.0);
    assert!(cluster.log_text().contains("connection authorized: user=postgres"));
}

#[test]
fn each_statement_is_a_transaction_of_its_own_and_an_error_names_itself() {
    let cluster = start(ClusterOptions::default());
    cluster.sql("CREATE ROLE app LOGIN PASSWORD 'x'; CREATE DATABASE shop OWNER app").unwrap();
    assert_eq!(cluster.sql_in("shop", "SELECT current_database()").unwrap(), "shop");
    let error = cluster.sql("SELECT 1; SELECT 1/0; SELECT 2").unwrap_err();
    assert!(matches!(&error, ScratchError::Sql { stderr } if stderr.contains("division by zero")));
}

#[test]
fn more_sql_than_a_pipe_holds_comes_back_whole() {
    let cluster = start(ClusterOptions::default());
    let sql = "SELECT repeat('x', 1000);\n".repeat(1000);
    assert_eq!(cluster.sql(&sql).unwrap().len(), 1000 * 1001 - 1);
}

#[test]
fn tcp_needs_the_password_that_the_unix_socket_does_not() {
    let cluster = start(ClusterOptions::default());
    let tcp = TcpStream::connect(("127.0.0.1", cluster.port())).unwrap();
    // Authentication request 10 is SASL, 0 is "you are in".
    assert_eq!(authentication_asked_by(tcp), 10);
    let path = cluster.socket_dir().join(format!(".s.PGSQL.{}", cluster.port()));
    assert_eq!(authentication_asked_by(UnixStream::connect(path).unwrap()), 0);
    let url = cluster.url(cluster.superuser(), "postgres", "postgres");
    assert_eq!(url, format!("postgres://postgres:postgres@127.0.0.1:{}/postgres", cluster.port()));
}

fn authentication_asked_by(mut stream: impl Read + Write) -> u32 {
    let body = b"\0\x03\0\0user\0postgres\0\0";
    let length = u32::try_from(body.len() + 4).unwrap();
    stream.write_all(&[&length.to_be_bytes()[..], body].concat()).unwrap();
    let mut answer = [0; 9];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer[0], b'R');
    u32::from_be_bytes([answer[5], answer[6], answer[7], answer[8]])
}

#[test]
fn data_and_port_survive_every_kind_of_stop() {
    let mut cluster = start(ClusterOptions::default());
    let port = cluster.port();
    // `synchronous_commit = off` may lose the last transactions of a crash; a checkpoint does not.
    cluster.sql("CREATE TABLE kept (n int); CHECKPOINT").unwrap();
    for mode in [StopMode::Smart, StopMode::Fast, StopMode::Immediate] {
        let before = cluster.postmaster_pid();
        cluster.restart(mode).unwrap();
        assert_ne!(cluster.postmaster_pid(), before);
        assert_eq!(cluster.port(), port);
        assert_eq!(cluster.sql("SELECT count(*) FROM kept").unwrap(), "0");
    }
    let text = cluster.log_text();
    for kind in ["smart", "fast", "immediate"] {
        assert!(text.contains(&format!("received {kind} shutdown request")), "no {kind}: {text}");
    }
}

#[test]
fn a_stopped_cluster_takes_no_connections_and_says_so() {
    let mut cluster = start(ClusterOptions::default());
    assert!(cluster.is_running());
    cluster.stop(StopMode::Fast).unwrap();
    assert!(!cluster.is_running());
    assert_eq!(cluster.postmaster_pid(), None);
    assert!(TcpStream::connect(("127.0.0.1", cluster.port())).is_err());
    assert!(matches!(cluster.stop(StopMode::Fast), Err(ScratchError::WrongState { .. })));
    cluster.start_again().unwrap();
    assert!(matches!(cluster.start_again(), Err(ScratchError::WrongState { .. })));
}

#[test]
fn a_paused_cluster_accepts_and_does_not_answer_until_resumed() {
    let cluster = start(ClusterOptions::default());
    cluster.pause().unwrap();
    let mut stream = TcpStream::connect(("127.0.0.1", cluster.port())).unwrap();
    stream.write_all(b"\0\0\0\x08\x04\xd2\x16\x2f").unwrap(); // SSLRequest
    stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let mut answer = [0; 1];
    assert!(stream.read(&mut answer).is_err(), "a paused cluster answered");
    cluster.resume().unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"N");
}

#[test]
fn a_paused_cluster_can_be_stopped() {
    let mut cluster = start(ClusterOptions::default());
    cluster.pause().unwrap();
    cluster.stop(StopMode::Fast).unwrap();
    assert!(!cluster.is_running());
}

#[test]
fn two_clusters_share_nothing() {
    let (one, two) = (start(ClusterOptions::default()), start(ClusterOptions::default()));
    one.sql("CREATE DATABASE only_here").unwrap();
    let count = "SELECT count(*) FROM pg_database WHERE datname = 'only_here'";
    assert_eq!((one.sql(count).unwrap(), two.sql(count).unwrap()), ("1".into(), "0".into()));
    assert_ne!(one.port(), two.port());
    assert_ne!(one.data_dir(), two.data_dir());
}

#[test]
fn rules_and_files_of_the_caller_are_used() {
    let options = ClusterOptions::default()
        .hba("host all all 127.0.0.1/32 reject")
        .file("pg_ident.conf", "map system_name app\n");
    let cluster = start(options);
    assert_eq!(cluster.sql("SELECT pg_username FROM pg_ident_file_mappings").unwrap(), "app");
    let mut stream = TcpStream::connect(("127.0.0.1", cluster.port())).unwrap();
    stream.write_all(b"\0\0\0\x17\0\x03\0\0user\0postgres\0\0").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.contains("pg_hba.conf rejects connection"), "{answer}");
}

#[test]
fn a_wrong_setting_is_told_with_the_log() {
    let installation = Installation::find().unwrap();
    let options = ClusterOptions::default().setting("no_such_setting", "1");
    let error = Cluster::start(&installation, options).unwrap_err().to_string();
    assert!(error.contains("unrecognized configuration parameter \"no_such_setting\""), "{error}");
}

#[test]
fn a_port_that_is_taken_is_told() {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let installation = Installation::find().unwrap();
    let error = Cluster::start(&installation, ClusterOptions::default().port(port)).unwrap_err();
    assert!(error.to_string().contains("could not bind"), "{error}");
}

#[test]
fn a_dropped_cluster_leaves_nothing() {
    let cluster = start(ClusterOptions::default());
    let folder = cluster.socket_dir();
    let process = format!("/proc/{}", cluster.postmaster_pid().unwrap());
    assert!(folder.exists() && std::path::Path::new(&process).exists());
    drop(cluster);
    assert!(!folder.exists());
    assert!(!std::path::Path::new(&process).exists());
}

#[test]
fn a_client_that_says_nothing_does_not_hold_up_the_end() {
    let mut cluster = start(ClusterOptions::default());
    let silent: Vec<TcpStream> =
        (0..8).map(|_| TcpStream::connect(("127.0.0.1", cluster.port())).unwrap()).collect();
    cluster.stop(StopMode::Immediate).unwrap();
    assert!(!cluster.is_running());
    drop(silent);
}

#[test]
fn a_cluster_lives_where_it_is_told_to_unless_the_socket_would_not_fit() {
    let parent = std::env::temp_dir();
    let cluster = start(ClusterOptions::default().parent(&parent));
    assert_eq!(cluster.data_dir().parent().unwrap().parent(), Some(parent.as_path()));
    let cluster = start(ClusterOptions::default().parent("/tmp/./".to_owned() + &"./".repeat(50)));
    assert_eq!(cluster.socket_dir().parent(), Some(std::path::Path::new("/tmp")));
    assert_eq!(cluster.sql("SELECT 1").unwrap(), "1");
}

#[test]
fn a_kept_cluster_leaves_its_folder() {
    let cluster = start(ClusterOptions::default().keep(true));
    let folder = cluster.socket_dir();
    drop(cluster);
    assert!(folder.join("data/PG_VERSION").exists());
    std::fs::remove_dir_all(folder).unwrap();
}
