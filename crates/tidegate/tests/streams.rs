//! Large messages pass in constant memory, and a client that does not read hurts nobody.

use std::io::Write as _;
use std::time::Duration;

use tidegate_scratch::{Cluster, ClusterOptions, Installation};
use tidegate_testkit::gate::Gate;
use tidegate_testkit::raw::Raw;
use tidegate_testkit::wait;
use tidegate_wire::frontend;

const MIB: usize = 1024 * 1024;
const HBA: &str = "local all all trust\nhost all all 127.0.0.1/32 trust\n";
/// What the gate may grow by while a gibibyte passes.
const GROWTH_MAX: u64 = 4 * MIB as u64;

fn start() -> (Cluster, Gate) {
    let postgres = Installation::find().expect("PostgreSQL is installed");
    let options = ClusterOptions::default().hba(HBA);
    let cluster = Cluster::start(&postgres, options).expect("a cluster starts");
    let url = format!("postgres://postgres@127.0.0.1:{}/postgres", cluster.port());
    let gate = Gate::start(env!("CARGO_BIN_EXE_tidegate"), &url, "plan = \"free\"", &[]);
    (cluster, gate)
}

/// A client that has been served before, so that everything that is made once is there.
fn warm(port: u16) -> Raw {
    let mut raw = Raw::log_in(port, "postgres", "", "postgres");
    raw.query("SELECT repeat('x', 300000)");
    assert_eq!(raw.tags(), "TDCZI");
    raw
}

fn bystander_is_served(raw: &mut Raw) {
    let (took, value) = wait::timed(|| raw.value("SELECT 42"));
    assert_eq!(value, "42");
    assert!(took < Duration::from_secs(2), "a bystander waited for {took:?}");
}

#[test]
fn a_gibibyte_goes_to_a_slow_reader_in_constant_memory() {
    let (_cluster, gate) = start();
    for port in [gate.session, gate.transaction] {
        let mut reader = warm(port);
        let mut bystander = warm(port);
        let before = gate.resident_bytes();
        reader.query("SELECT repeat('x', 1048576) FROM generate_series(1, 1024)");
        // Nothing is read until everything between here and PostgreSQL is full.
        wait::until_still("the gate stops reading from the server", || {
            let now = gate.metric("tidegate_network_bytes_total", &["server", "rx"]) as u64;
            Some(now).filter(|now| *now > MIB as u64 / 4)
        });
        let mut most = gate.resident_bytes();
        bystander_is_served(&mut bystander);
        let mut rows = 0;
        loop {
            let frame = reader.next().expect("the answer goes on");
            match frame.tag {
                b'D' => {
                    assert_eq!(frame.body.len(), MIB + 6);
                    rows += 1;
                }
                b'Z' => break,
                _ => {}
            }
            if rows % 64 == 0 {
                most = most.max(gate.resident_bytes());
                bystander_is_served(&mut bystander);
            }
        }
        assert_eq!(rows, 1024);
        let growth = most.saturating_sub(before);
        println!("grew by {growth} bytes");
        assert!(growth < GROWTH_MAX, "the gate grew by {growth} bytes");
    }
}

#[test]
fn a_gibibyte_is_copied_in_in_constant_memory() {
    let (cluster, gate) = start();
    cluster.sql("CREATE TABLE sink (line text)").expect("a table");
    for port in [gate.session, gate.transaction] {
        let mut raw = warm(port);
        let mut bystander = warm(port);
        let before = gate.resident_bytes();
        let mut most = before;
        raw.query("COPY sink FROM STDIN WHERE false");
        assert_eq!(raw.next().map(|frame| frame.tag), Some(b'G'));
        let mut line = vec![b'x'; MIB - 1];
        line.push(b'\n');
        let mut message = Vec::new();
        frontend::Message::CopyData(&line).encode(&mut message).expect("it is short");
        for nth in 0..1024 {
            raw.stream().write_all(&message).expect("the copy is taken");
            if nth % 64 == 0 {
                most = most.max(gate.resident_bytes());
                bystander_is_served(&mut bystander);
            }
        }
        let mut done = Vec::new();
        frontend::push_copy_done(&mut done);
        raw.send(&done);
        assert_eq!(raw.tags(), "CZI");
        let growth = most.saturating_sub(before);
        println!("grew by {growth} bytes");
        assert!(growth < GROWTH_MAX, "the gate grew by {growth} bytes");
    }
}

#[test]
fn a_parameter_of_almost_a_gibibyte_is_bound_in_constant_memory() {
    let (_cluster, gate) = start();
    // PostgreSQL takes no message of a gibibyte; this is the largest round number below.
    const VALUE_BYTES: usize = 1000 * MIB;
    let mut raw = warm(gate.transaction);
    let before = gate.resident_bytes();
    let mut most = before;
    let mut batch = Vec::new();
    let parse = frontend::Message::Parse {
        name: b"",
        text: b"SELECT length($1)",
        parameter_types: &17_u32.to_be_bytes(),
    };
    parse.encode(&mut batch).expect("it is short");
    // A Bind by hand, since no machine here should hold its value: portal, statement, one format
    // (binary), one value.
    let front: &[&[u8]] = &[
        &[0, 0],
        &1_u16.to_be_bytes(),
        &1_u16.to_be_bytes(),
        &1_u16.to_be_bytes(),
        &(VALUE_BYTES as u32).to_be_bytes(),
    ];
    let front = front.concat();
    let back = 0_u16.to_be_bytes();
    let length = 4 + front.len() + VALUE_BYTES + back.len();
    batch.push(b'B');
    batch.extend_from_slice(&(length as u32).to_be_bytes());
    batch.extend_from_slice(&front);
    raw.send(&batch);
    let chunk = vec![7; MIB];
    for nth in 0..VALUE_BYTES / MIB {
        raw.stream().write_all(&chunk).expect("the value is taken");
        if nth % 64 == 0 {
            most = most.max(gate.resident_bytes());
        }
    }
    let mut rest = back.to_vec();
    let execute = frontend::Message::Execute { portal: b"", rows_max: 0 };
    execute.encode(&mut rest).expect("it is short");
    frontend::push_sync(&mut rest);
    raw.send(&rest);
    let frames = raw.until_ready();
    let row = frames.iter().find(|frame| frame.tag == b'D').expect("a row");
    assert_eq!(String::from_utf8_lossy(&row.body[6..]), VALUE_BYTES.to_string());
    let growth = most.saturating_sub(before);
    println!("grew by {growth} bytes");
    assert!(growth < GROWTH_MAX, "the gate grew by {growth} bytes");
}
