//! PostgreSQL behind a network, and the two ways to it.

use std::path::Path;
use std::time::Duration;

use tidegate_scratch::{Cluster, ClusterOptions};
use tidegate_testkit::fault::FaultProxy;
use tidegate_testkit::gate::Gate;
use tidegate_testkit::scene::{self, APP, ONE_SERVER};

use crate::latency::cases::{Case, Port};
use crate::latency::side::Side;
use crate::statistics::median;

pub(super) struct Stage {
    port: u16,
    proxy: FaultProxy,
    // The gate ends before PostgreSQL does.
    gate: Gate,
    _cluster: Cluster,
}

impl Stage {
    pub(super) fn start(tidegate: &Path, round_trip: Duration, case: &Case) -> Self {
        let cluster = scene::cluster(ClusterOptions::default().hba(HBA));
        let proxy = FaultProxy::start(cluster.port());
        proxy.delay(round_trip / 2);
        let url = format!("postgres://{APP}@127.0.0.1:{}/{APP}", proxy.port());
        let binary = tidegate.to_str().expect("the path is text");
        let flags = [&["log.level=info"], case.flags].concat();
        let gate = Gate::start(binary, &url, ONE_SERVER, &flags);
        let port = match case.port {
            Port::Session => gate.session,
            Port::Transaction => gate.transaction,
        };
        Self { port, proxy, gate, _cluster: cluster }
    }

    /// Medians in milliseconds, directly and through the gate.
    pub(super) fn measure(&self, case: &Case, repetitions: u32) -> (f64, f64) {
        let mut direct = Side::new(self.proxy.port(), false);
        let mut gated = Side::new(self.port, true);
        let mut times = [Vec::new(), Vec::new()];
        for nth in 0..repetitions + WARMING_UP {
            for (side, times) in [&mut direct, &mut gated].into_iter().zip(&mut times) {
                let took = (case.time)(side, nth);
                if nth >= WARMING_UP {
                    times.push(took.as_secs_f64() * 1000.0);
                }
            }
        }
        assert!(!self.gate.has_logged("\"level\":\"ERROR\""), "{:?}", self.gate.log());
        let [direct, gated] = times;
        (median(direct), median(gated))
    }
}

/// The first ones open servers, and find caches empty on either side.
const WARMING_UP: u32 = 3;

/// Passwords are no part of what is measured.
const HBA: &str = "local all all trust\nhost all all 127.0.0.1/32 trust\n";
