//! The pools against a naive model, by random operations and by scripts.

#[path = "model/world.rs"]
mod world;

use std::time::Duration;

use proptest::prelude::*;
use tidegate_pool_core::pools::Pools;
use tidegate_pool_core::pools::operating::PauseError;
use tidegate_pool_core::retry::FailureKind;
use tidegate_pool_core::server::{CloseReason, Port, State};
use tidegate_pool_core::settings::{PoolSettings, PrePing};
use world::{Got, World, settings};

use FailureKind::{Full, Permanent, Transient};
use Port::{Session, Transaction};

const SECOND: Duration = Duration::from_secs(1);

// --- Random operations. ---

#[derive(Debug, Clone, Copy)]
enum Op {
    Advance(u32),
    BreakLeased(usize),
    Checkout(usize, Port, u64),
    Drain,
    Finish(usize, bool, FailureKind),
    Foreign(u32),
    GiveUp(usize),
    GoOn(usize),
    LeaveHost(Option<usize>),
    Pause(Option<usize>),
    Plan(u32),
    Reconnect(Option<usize>),
    Resize(u32, u32),
    Resume,
    Visit(u8),
}

fn op() -> impl Strategy<Value = Op> {
    let port = proptest::sample::select(Port::ALL.to_vec());
    let kind = proptest::sample::select(FailureKind::ALL.to_vec());
    prop_oneof![
        10 => (0..3_usize, port, 0..3_u64).prop_map(|(pool, port, flavour)| Op::Checkout(pool, port, flavour)),
        16 => (any::<usize>(), proptest::bool::weighted(0.85), kind)
            .prop_map(|(pick, well, kind)| Op::Finish(pick, well, kind)),
        4 => (0..12_000_u32).prop_map(Op::Advance),
        1 => (0..60_000_u32).prop_map(Op::Advance),
        2 => any::<usize>().prop_map(Op::GiveUp),
        1 => any::<usize>().prop_map(Op::BreakLeased),
        1 => (0..9_u32).prop_map(Op::Foreign),
        1 => proptest::option::of(0..3_usize).prop_map(Op::Pause),
        1 => Just(Op::Resume),
        1 => any::<usize>().prop_map(Op::GoOn),
        1 => proptest::option::of(any::<usize>()).prop_map(Op::LeaveHost),
        1 => proptest::option::of(0..3_usize).prop_map(Op::Reconnect),
        1 => (1..10_u32).prop_map(Op::Plan),
        1 => (1..5_u32, 0..4_u32).prop_map(|(size, overflow)| Op::Resize(size, overflow)),
        1 => any::<u8>().prop_map(Op::Visit),
    ]
}

fn pool_settings() -> impl Strategy<Value = PoolSettings> {
    let recycle = proptest::option::of((5..40_u64).prop_map(Duration::from_secs));
    let idle = proptest::option::of((5..40_u64).prop_map(Duration::from_secs));
    let ping = prop_oneof![
        Just(PrePing::Off),
        Just(PrePing::Always),
        (1..20_u64).prop_map(|seconds| PrePing::After(Duration::from_secs(seconds))),
    ];
    (1..5_u32, 0..4_u32, recycle, idle, ping).prop_map(|(size, overflow, recycle, idle, ping)| {
        PoolSettings {
            pool_size: size,
            max_overflow: overflow,
            pool_recycle: recycle,
            server_idle_timeout: idle,
            pool_pre_ping: ping,
            ..settings()
        }
    })
}

fn play(world: &mut World, op: Op) {
    match op {
        Op::Advance(millis) => world.advance(Duration::from_millis(millis.into())),
        Op::BreakLeased(pick) => world.break_leased(pick),
        Op::Checkout(pool, port, flavour) => {
            world.checkout_flavoured(pool, port, flavour);
        }
        Op::Drain => world.drain(),
        Op::Finish(pick, well, kind) => world.finish_some(pick, well, kind),
        Op::Foreign(foreign) => world.set_foreign(foreign),
        Op::GiveUp(pick) => world.give_up(pick),
        Op::GoOn(pick) => world.go_on_dialing(pick),
        Op::LeaveHost(except) => {
            let dialing = world.in_state(State::Dialing);
            let except = except.and_then(|pick| dialing.get(pick % dialing.len().max(1)).copied());
            world.leave_host(except);
        }
        Op::Pause(pool) => world.pause(pool),
        Op::Plan(plan) => world.set_plan(plan),
        Op::Reconnect(pool) => {
            world.reconnect(pool);
        }
        Op::Resize(size, overflow) => world.resize(size, overflow),
        Op::Resume => world.resume(),
        Op::Visit(name) => world.visit(name),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// `World` checks all invariants after each step. When the operations are over nothing else
    /// happens but time: every waiter ends by its deadline.
    #[test]
    fn random_operations_break_no_promise(
        settings in pool_settings(),
        budget in 1..10_u32,
        ops in proptest::collection::vec(op(), 1..200),
        drains in any::<bool>(),
    ) {
        let mut world = World::new(3, budget, settings);
        for op in ops {
            play(&mut world, op);
        }
        if drains {
            play(&mut world, Op::Drain);
            prop_assert_eq!(world.checkout(0, Session), Got::Refused);
        }
        world.advance(30 * SECOND);
        for pool in 0..3 {
            prop_assert_eq!(world.waits(pool), 0);
        }
        // And everything can end: nothing is lost on the way.
        world.drain();
        for _ in 0..4 {
            for state in State::ALL {
                world.finish_all(state);
            }
        }
        prop_assert_eq!(world.view().budget.used, 0);
    }
}

// --- One pool. ---

/// A pool with `servers` idle servers.
fn pool_with(servers: usize, settings: PoolSettings) -> World {
    let mut world = World::new(1, 20, settings);
    open(&mut world, 0, servers);
    for port in Port::ALL {
        world.finish_all(State::Leased(port));
    }
    world.log();
    world
}

/// Leases `servers` servers of a pool, all opened for it.
fn open(world: &mut World, pool: usize, servers: usize) {
    for _ in 0..servers {
        world.checkout(pool, Transaction);
    }
    while !world.in_state(State::Dialing).is_empty() {
        world.finish_all(State::Dialing);
    }
}

#[test]
fn a_first_checkout_dials_and_the_second_finds_the_server_idle() {
    let mut world = World::new(1, 5, settings());
    assert_eq!(world.checkout(0, Transaction), Got::Waits(1));
    assert_eq!(world.log(), "dial:0");
    world.finish_all(State::Dialing);
    assert_eq!(world.log(), "hand-off:0:1");
    world.finish_all(State::Leased(Transaction));
    assert!(matches!(world.checkout(0, Session), Got::Server(_)));
    assert_eq!(world.log(), "");
}

#[test]
fn two_at_a_time_are_dialed_and_no_more_than_the_pool_may_have() {
    let mut world = World::new(1, 20, settings());
    for _ in 0..10 {
        world.checkout(0, Transaction);
    }
    assert_eq!(world.log(), "dial:0 dial:0");
    world.finish_all(State::Dialing);
    assert_eq!(world.log(), "hand-off:0:1 dial:0 hand-off:0:2 dial:0");
    world.finish_all(State::Dialing);
    assert_eq!(world.log(), "hand-off:0:3 hand-off:0:4");
    assert_eq!((world.count(0), world.waits(0)), (4, 6), "pool_size 2 and max_overflow 2");
}

#[test]
fn servers_go_to_the_first_waiter_whichever_port_it_came_by() {
    let mut world = World::new(1, 1, settings());
    open(&mut world, 0, 1);
    for port in [Session, Transaction, Transaction, Session] {
        world.checkout(0, port);
    }
    world.log();
    let mut handed = Vec::new();
    for _ in 0..4 {
        for port in Port::ALL {
            world.finish_all(State::Leased(port));
        }
        handed.push(world.log());
    }
    let handed = handed.join(" ");
    assert_eq!(handed.trim_end(), "hand-off:0:2 hand-off:0:3 hand-off:0:4 hand-off:0:5");
}

#[test]
fn a_dirty_server_is_reset_before_it_is_handed_on() {
    let mut world = World::new(1, 1, settings());
    open(&mut world, 0, 1);
    world.checkout(0, Transaction);
    world.log();
    world.finish_some(0, false, Transient);
    assert_eq!(world.in_state(State::Resetting).len(), 1);
    assert_eq!(world.log(), "");
    world.finish_all(State::Resetting);
    assert_eq!(world.log(), "hand-off:0:2");
}

#[test]
fn a_server_of_the_clients_flavour_is_preferred_and_otherwise_the_hottest() {
    let mut world = World::new(1, 5, settings());
    for flavour in 1..=3 {
        world.checkout_flavoured(0, Transaction, flavour);
    }
    for flavour in 1..=3 {
        world.flavour = flavour;
        world.finish(world.in_state(State::Dialing)[0], true, Transient);
    }
    let servers = world.in_state(State::Leased(Transaction));
    world.finish_all(State::Leased(Transaction));
    assert_eq!(world.checkout_flavoured(0, Transaction, 1), Got::Server(servers[0]));
    assert_eq!(world.checkout_flavoured(0, Transaction, 9), Got::Server(servers[2]));
}

#[test]
fn a_wait_ends_by_its_deadline_even_when_nothing_else_happens() {
    let mut world = World::new(1, 1, settings());
    open(&mut world, 0, 1);
    world.checkout(0, Session);
    world.advance(5 * SECOND);
    world.checkout(0, Transaction);
    world.log();
    world.advance(25 * SECOND);
    assert_eq!(world.log(), "timed-out:2");
    world.advance(5 * SECOND);
    assert_eq!(world.log(), "timed-out:3");
}

#[test]
fn a_waiter_is_told_when_the_upstream_could_not_be_reached() {
    let mut world = World::new(1, 1, settings());
    world.checkout(0, Session);
    for _ in 0..20 {
        world.finish_some(0, false, Transient);
        world.finish_all(State::Closing);
        world.advance(2 * SECOND);
    }
    let log = world.log();
    assert!(log.ends_with("unreachable:1") && log.matches("dial").count() > 3, "{log}");
}

#[test]
fn a_login_that_cannot_succeed_refuses_at_once_and_is_remembered_for_two_seconds() {
    let mut world = World::new(1, 5, settings());
    world.checkout(0, Session);
    world.checkout(0, Transaction);
    world.log();
    world.finish_some(0, false, Permanent);
    assert_eq!(world.log(), "refused:1 refused:2");
    assert_eq!(world.checkout(0, Session), Got::Refused);
    world.advance(2 * SECOND);
    assert_eq!(world.checkout(0, Session), Got::Waits(4));
}

#[test]
fn a_full_server_is_tried_again_in_a_moment() {
    let mut world = World::new(1, 5, settings());
    world.checkout(0, Session);
    world.finish_some(0, false, Full);
    world.finish_all(State::Closing);
    world.log();
    world.advance(2 * SECOND);
    assert_eq!(world.log(), "dial:0");
}

#[test]
fn overflow_that_lingers_idle_is_closed() {
    let mut world = pool_with(4, settings());
    world.advance(9 * SECOND);
    assert_eq!(world.log(), "");
    world.advance(SECOND);
    assert_eq!(world.log(), "close:0:Idle close:0:Idle");
    world.finish_all(State::Closing);
    world.advance(1000 * SECOND);
    assert_eq!(world.count(0), 2, "pool_size is kept");
}

#[test]
fn what_is_idle_for_too_long_is_closed_whatever_the_pools_size() {
    let limit = Some(60 * SECOND);
    let mut world = pool_with(2, PoolSettings { server_idle_timeout: limit, ..settings() });
    world.advance(60 * SECOND);
    assert_eq!(world.log(), "close:0:Idle close:0:Idle");
}

#[test]
fn an_aged_server_is_replaced_one_at_a_time_and_made_before_broken() {
    let recycle = Some(100 * SECOND);
    let mut world = pool_with(2, PoolSettings { pool_recycle: recycle, ..settings() });
    let old = world.in_state(State::Idle);
    let mut log = String::new();
    for _ in 0..200 {
        world.advance(SECOND / 2);
        log.push_str(&world.log());
        assert!(world.in_state(State::Dialing).len() <= 1, "one at a time");
    }
    assert_eq!(log, "dial:0", "the old one stays while the new one is made");
    assert_eq!(world.in_state(State::Idle), old);
    world.finish_all(State::Dialing);
    assert_eq!(world.log(), "close:0:Lifetime");
    world.advance(5 * SECOND);
    assert_eq!(world.log(), "", "the second waits for the first to be gone");
    world.finish_all(State::Closing);
    world.advance(SECOND);
    assert_eq!(world.log(), "dial:0");
}

#[test]
fn an_aged_server_is_broken_before_made_when_there_is_no_room() {
    let settings = PoolSettings {
        pool_size: 1,
        max_overflow: 0,
        pool_recycle: Some(100 * SECOND),
        ..settings()
    };
    let mut world = pool_with(1, settings);
    world.advance(100 * SECOND);
    assert_eq!(world.log(), "close:0:Lifetime");
}

#[test]
fn a_leased_server_that_has_aged_is_closed_at_its_return() {
    let recycle = Some(100 * SECOND);
    let mut world = World::new(1, 5, PoolSettings { pool_recycle: recycle, ..settings() });
    open(&mut world, 0, 1);
    world.advance(200 * SECOND);
    world.log();
    world.finish_all(State::Leased(Transaction));
    assert_eq!(world.log(), "close:0:Lifetime");
}

#[test]
fn an_idle_server_is_checked_when_due_and_not_handed_out_meanwhile() {
    let ping = PrePing::After(30 * SECOND);
    let mut world = pool_with(1, PoolSettings { pool_pre_ping: ping, ..settings() });
    world.advance(29 * SECOND);
    assert_eq!(world.log(), "");
    world.advance(SECOND);
    assert_eq!(world.log(), "check");
    assert_eq!(world.checkout(0, Transaction), Got::Waits(2));
    assert_eq!(world.log(), "", "it is on its way to the waiter: nothing is dialed");
    world.finish_all(State::Checking);
    assert_eq!(world.log(), "hand-off:0:2");
}

#[test]
fn a_server_that_ended_while_idle_is_not_handed_out() {
    let mut world = pool_with(1, settings());
    world.finish_some(0, false, Transient);
    assert_eq!(world.in_state(State::Closing).len(), 1);
    assert_eq!(world.checkout(0, Transaction), Got::Waits(2));
    assert_eq!(world.log(), "dial:0");
}

#[test]
fn a_drain_refuses_waiters_closes_what_is_idle_and_what_comes_back() {
    let mut world = World::new(1, 2, settings());
    open(&mut world, 0, 2);
    world.checkout(0, Session);
    world.log();
    world.drain();
    assert_eq!(world.log(), "draining:3");
    assert_eq!(world.checkout(0, Session), Got::Refused);
    world.finish_all(State::Leased(Transaction));
    assert_eq!(world.log(), "close:0:Drain close:0:Drain");
}

// --- An operator. ---

#[test]
fn a_pause_lets_work_end_then_closes_everything_and_a_resume_serves_in_order() {
    let mut world = World::new(1, 5, settings());
    open(&mut world, 0, 3);
    world.finish(world.in_state(State::Leased(Transaction))[0], true, Transient);
    world.log();
    world.pause(None);
    world.checkout(0, Session);
    world.checkout(0, Transaction);
    world.finish(world.in_state(State::Leased(Transaction))[0], true, Transient);
    assert_eq!(world.log(), "", "nothing is handed out, and nothing closed while one holds out");
    let standing = world.pools.standing(&world.scope(None));
    assert_eq!((standing.leased, standing.idle, standing.waiting), ([0, 1], 2, 2));
    assert!(standing.is_paused && !standing.is_at_rest());
    world.finish_all(State::Leased(Transaction));
    assert_eq!(world.log(), "close:0:Pause close:0:Pause close:0:Pause");
    assert!(!world.pools.standing(&world.scope(None)).is_at_rest(), "their backends still end");
    world.finish_all(State::Closing);
    assert!(world.pools.standing(&world.scope(None)).is_at_rest());
    world.advance(10 * SECOND);
    assert_eq!(world.log(), "", "nothing is dialed");
    world.resume();
    world.finish_all(State::Dialing);
    assert_eq!(world.log(), "dial:0 dial:0 hand-off:0:4 hand-off:0:5");
}

#[test]
fn a_pause_that_is_called_off_has_closed_nothing() {
    let mut world = World::new(1, 5, settings());
    open(&mut world, 0, 2);
    world.finish(world.in_state(State::Leased(Transaction))[0], true, Transient);
    world.pause(Some(0));
    world.checkout(0, Transaction);
    world.log();
    world.resume();
    assert_eq!(world.log(), "hand-off:0:3");
}

#[test]
fn who_waits_for_a_paused_pool_is_told_so_when_its_time_is_up() {
    let mut world = World::new(2, 5, settings());
    world.pause(Some(0));
    world.checkout(0, Session);
    world.checkout(1, Session);
    world.finish_all(State::Dialing);
    assert_eq!(world.log(), "dial:1 hand-off:1:2", "the other database is served");
    world.advance(30 * SECOND);
    assert_eq!(world.log(), "paused:1");
}

#[test]
fn a_server_that_logs_in_while_its_pool_is_paused_is_closed() {
    let mut world = World::new(1, 5, settings());
    world.checkout(0, Session);
    world.pause(None);
    world.finish_all(State::Dialing);
    assert_eq!(world.log(), "dial:0 close:0:Pause");
}

/// The last one to come back may be closed for a reason of its own.
#[test]
fn a_pool_comes_to_rest_also_when_the_last_server_is_not_given_back() {
    let mut world = World::new(1, 5, settings());
    open(&mut world, 0, 2);
    world.finish(world.in_state(State::Leased(Transaction))[0], true, Transient);
    world.pause(None);
    world.log();
    world.break_leased(0);
    assert_eq!(world.log(), "close:0:Pause");
}

#[test]
fn one_database_is_not_resumed_while_all_are_paused() {
    let mut world = World::new(2, 5, settings());
    world.pause(None);
    let (scope, now) = (world.scope(Some(0)), world.now);
    assert_eq!(world.pools.resume(&scope, now), Err(PauseError::AllPaused));
    world.checkout(0, Session);
    assert_eq!(world.log(), "");
}

#[test]
fn a_resume_forgets_that_dialing_failed_while_the_database_was_away() {
    let mut world = World::new(1, 5, settings());
    for _ in 0..5 {
        world.checkout(0, Session);
        world.finish_some(0, false, Transient);
        world.finish_all(State::Closing);
        world.advance(10 * SECOND);
    }
    world.pause(None);
    world.finish_all(State::Dialing);
    world.finish_all(State::Closing);
    world.log();
    world.resume();
    assert!(world.log().starts_with("dial:0"));
}

#[test]
fn idle_servers_are_replaced_one_at_a_time_and_made_before_broken() {
    let mut world = pool_with(2, settings());
    let old = world.in_state(State::Idle);
    assert_eq!(world.reconnect(Some(0)), 2);
    for left in [1, 0] {
        assert_eq!(world.log(), "dial:0");
        world.finish_all(State::Dialing);
        assert_eq!(world.log(), "close:0:Reconnect");
        world.finish_all(State::Closing);
        assert_eq!(world.pools.standing(&world.scope(None)).retired, left);
    }
    assert_eq!(world.log(), "");
    assert_eq!(world.count(0), 2);
    assert!(world.in_state(State::Idle).iter().all(|server| !old.contains(server)));
}

#[test]
fn a_retired_server_that_comes_back_is_closed_and_no_more_than_two_are_missing() {
    let wide = PoolSettings { pool_size: 4, max_overflow: 0, ..settings() };
    let mut world = World::new(1, 5, wide);
    open(&mut world, 0, 4);
    let old = world.in_state(State::Leased(Transaction));
    world.log();
    assert_eq!(world.reconnect(None), 4);
    assert_eq!(world.log(), "", "a client keeps its server");
    for _ in 0..4 {
        world.checkout(0, Transaction);
    }
    for server in &old {
        world.finish(*server, true, Transient);
    }
    assert_eq!(world.log(), "close:0:Reconnect close:0:Reconnect hand-off:0:5 hand-off:0:6");
    for _ in 0..4 {
        world.finish_all(State::Closing);
        world.finish_all(State::Dialing);
        world.finish_all(State::Leased(Transaction));
    }
    assert_eq!(world.pools.standing(&world.scope(None)).retired, 0);
}

#[test]
fn a_server_that_works_is_kept_while_others_cannot_be_had() {
    let mut world = World::new(1, 5, settings());
    open(&mut world, 0, 2);
    world.checkout(0, Transaction);
    world.finish(world.in_state(State::Dialing)[0], false, Transient);
    world.finish_all(State::Closing);
    world.log();
    world.reconnect(None);
    world.finish(world.in_state(State::Leased(Transaction))[0], true, Transient);
    assert_eq!(world.log(), "hand-off:0:3");
}

// --- Several hosts. ---

#[test]
fn a_dial_that_goes_on_elsewhere_is_no_failure() {
    let mut world = World::new(1, 5, settings());
    world.checkout(0, Transaction);
    assert_eq!(world.log(), "dial:0");
    world.go_on_dialing(0);
    assert_eq!(world.log(), "dial:0", "at once");
    assert_eq!(world.pools.failures(), 0);
    world.finish_all(State::Closing);
    world.finish_all(State::Dialing);
    assert_eq!(world.log(), "hand-off:0:1");
}

#[test]
fn a_dial_that_goes_on_waits_for_its_slot_where_there_is_only_one() {
    let mut world = World::new(1, 1, settings());
    world.checkout(0, Transaction);
    world.log();
    world.go_on_dialing(0);
    assert_eq!(world.log(), "");
    world.finish_all(State::Closing);
    assert_eq!(world.log(), "dial:0");
}

#[test]
fn servers_of_a_host_that_was_left_are_closed_even_where_none_can_be_had() {
    let wide = PoolSettings { pool_size: 4, max_overflow: 0, ..settings() };
    let mut world = World::new(1, 5, wide);
    open(&mut world, 0, 4);
    let leased = world.in_state(State::Leased(Transaction));
    for server in &leased[..2] {
        world.finish(*server, true, Transient);
    }
    world.log();
    assert_eq!(world.leave_host(None), 4);
    assert_eq!(world.log(), "close:0:Moved close:0:Moved", "idle ones at once");
    assert_eq!(world.leave_host(None), 0, "once");
    world.finish_all(State::Closing);
    world.checkout(0, Transaction);
    world.finish(world.in_state(State::Dialing)[0], false, Transient);
    world.finish_all(State::Closing);
    world.log();
    for server in &leased[2..] {
        world.finish(*server, true, Transient);
    }
    assert_eq!(world.log(), "close:0:Moved close:0:Moved", "others when they come back");
}

#[test]
fn a_server_that_is_where_the_upstream_is_stays() {
    let mut world = pool_with(1, settings());
    let old = world.in_state(State::Idle);
    world.checkout(0, Transaction);
    world.checkout(0, Transaction);
    world.log();
    let new = world.in_state(State::Dialing)[0];
    assert_eq!(world.leave_host(Some(new)), 1);
    world.finish(new, true, Transient);
    assert_eq!(world.log(), "hand-off:0:3");
    world.finish(old[0], true, Transient);
    assert_eq!(world.log(), "close:0:Moved");
    world.finish(new, true, Transient);
    assert_eq!(world.log(), "");
    assert_eq!(world.in_state(State::Idle), [new]);
}

// --- Several pools. ---

#[test]
fn a_waiting_pool_gets_an_idle_server_of_another() {
    let mut world = World::new(2, 4, settings());
    open(&mut world, 0, 4);
    world.finish_all(State::Leased(Transaction));
    world.log();
    world.checkout(1, Session);
    assert_eq!(world.log(), "close:0:Evicted");
    world.finish_all(State::Closing);
    assert_eq!(world.log(), "dial:1");
}

#[test]
fn a_pool_that_hogs_the_budget_gives_up_what_is_anothers_share() {
    let wide = PoolSettings { pool_size: 8, ..settings() };
    let mut world = World::new(2, 4, wide);
    open(&mut world, 0, 4);
    world.log();
    world.checkout(1, Session);
    world.advance(SECOND);
    // The hog's own clients come again and again.
    let mut returns = 0;
    while world.count(1) == 0 {
        world.checkout(0, Transaction);
        world.finish(world.in_state(State::Leased(Transaction))[0], true, Transient);
        world.finish_all(State::Closing);
        returns += 1;
        assert!(returns < 10, "{}", world.log());
    }
    assert_eq!(returns, 1, "{}", world.log());
}

#[test]
fn a_smaller_budget_takes_nothing_back_but_lends_nothing_more() {
    let mut world = World::new(1, 4, settings());
    open(&mut world, 0, 3);
    world.log();
    world.set_foreign(2);
    world.checkout(0, Session);
    assert_eq!(world.log(), "");
    world.set_foreign(0);
    assert_eq!(world.log(), "dial:0");
}

#[test]
fn a_slot_is_taken_until_the_backend_has_gone() {
    let mut world = World::new(1, 1, settings());
    open(&mut world, 0, 1);
    world.log();
    world.break_leased(0);
    world.checkout(0, Session);
    assert_eq!(world.log(), "");
    assert_eq!(world.view().budget.used, 1);
    world.finish_all(State::Closing);
    assert_eq!(world.log(), "dial:0");
}

/// However old the waiters of the hog are: the first server that is closed for it is its own.
#[test]
fn a_freed_slot_goes_to_the_pool_that_has_less_than_its_share() {
    let wide = PoolSettings { pool_size: 8, ..settings() };
    let mut world = World::new(2, 4, wide);
    open(&mut world, 0, 4);
    for _ in 0..20 {
        world.checkout(0, Transaction);
    }
    world.advance(SECOND);
    world.checkout(1, Session);
    world.log();
    while world.count(1) == 0 {
        world.advance(SECOND / 100);
        world.finish(world.in_state(State::Leased(Transaction))[0], true, Transient);
        world.finish_all(State::Closing);
        world.finish_all(State::Dialing);
    }
    assert_eq!(world.log().matches("close:0:Evicted").count(), 1);
}

/// A pool at its share may take an idle server of another once that has been idle for a second.
#[test]
fn an_idle_server_that_may_be_taken_only_later_is_taken_then() {
    let mut world = World::new(2, 4, settings());
    open(&mut world, 0, 2);
    open(&mut world, 1, 2);
    world.finish(world.in_state(State::Leased(Transaction))[3], true, Transient);
    world.advance(SECOND / 10);
    world.log();
    world.checkout(0, Session);
    assert_eq!(world.log(), "");
    for _ in 0..3 {
        world.advance(SECOND);
    }
    assert_eq!(world.log(), "close:1:Evicted");
}

#[test]
fn a_failed_reset_dials_for_the_waiter_that_counted_on_it() {
    let mut world = World::new(1, 4, settings());
    open(&mut world, 0, 1);
    world.finish_some(0, false, Transient);
    world.checkout(0, Session);
    world.log();
    world.finish_some(0, false, Transient);
    assert_eq!(world.log(), "dial:0");
}

#[test]
fn a_permanent_failure_beside_working_servers_is_forgotten_in_time() {
    let mut world = World::new(1, 4, settings());
    open(&mut world, 0, 1);
    world.checkout(0, Session);
    world.finish(world.in_state(State::Dialing)[0], false, Permanent);
    world.finish_all(State::Closing);
    world.log();
    world.advance(3 * SECOND);
    assert_eq!(world.log(), "dial:0");
}

/// Two servers were open when PostgreSQL said that it is full; refused logins, of whatever pool,
/// and those whose end is awaited were not.
#[test]
fn a_full_server_is_not_dialed_again_at_once_however_many_logins_were_refused() {
    let mut world = World::new(2, 10, settings());
    open(&mut world, 0, 2);
    world.checkout(0, Session);
    world.checkout(1, Session);
    world.checkout(1, Session);
    world.log();
    for server in world.in_state(State::Dialing) {
        world.finish(server, false, Full);
    }
    world.finish_all(State::Closing);
    assert_eq!(world.log(), "");
    world.advance(3 * SECOND);
    assert_eq!(world.log(), "dial:0 dial:1 dial:1");
}

// --- States. ---

/// What can be done to a server from outside, whatever state it is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    /// What was under way went well: it logged in, was returned, was reset, answered.
    Well,
    /// It was returned dirty, or what was under way failed.
    Badly,
    /// A client asks for a server.
    Wanted,
    /// A check is due.
    Due,
}

#[test]
fn the_diagram_of_a_servers_states_is_what_happens() {
    use Event::{Badly, Due, Wanted, Well};
    let leased = State::Leased(Transaction);
    let table = [
        (State::Dialing, Well, leased),
        (State::Dialing, Badly, State::Closing),
        (State::Idle, Wanted, leased),
        (State::Idle, Due, State::Checking),
        (State::Idle, Badly, State::Closing),
        (leased, Well, State::Idle),
        (leased, Badly, State::Resetting),
        (leased, Due, leased),
        (leased, Wanted, leased),
        (State::Resetting, Well, State::Idle),
        (State::Resetting, Badly, State::Closing),
        (State::Resetting, Due, State::Resetting),
        (State::Checking, Well, State::Idle),
        (State::Checking, Badly, State::Closing),
        (State::Checking, Wanted, State::Checking),
    ];
    let ping = PoolSettings {
        pool_size: 1,
        max_overflow: 0,
        pool_pre_ping: PrePing::After(5 * SECOND),
        ..settings()
    };
    for (from, event, to) in table {
        let mut world = World::new(1, 1, ping.clone());
        world.checkout(0, Transaction);
        let server = world.in_state(State::Dialing)[0];
        let path: &[Event] = match from {
            State::Dialing => &[],
            State::Leased(_) => &[Well],
            State::Idle => &[Well, Well],
            State::Resetting => &[Well, Badly],
            State::Checking => &[Well, Well, Due],
            State::Closing => &[Well, Well, Badly],
        };
        for event in path.iter().chain([&event]) {
            match event {
                Well => world.finish(server, true, Transient),
                Badly => world.finish(server, false, Transient),
                Wanted => {
                    world.checkout(0, Transaction);
                }
                Due => world.advance(5 * SECOND),
            }
        }
        assert_eq!(world.in_state(to), [server], "{from:?} --{event:?}-->");
    }
    // From Closing there is only the end.
    let mut world = pool_with(1, ping);
    world.finish_some(0, false, Transient);
    world.finish_all(State::Closing);
    assert_eq!(world.count(0), 0);
}

#[test]
fn every_state_can_end_and_its_end_is_counted_once() {
    for state in [State::Idle, State::Leased(Transaction), State::Resetting] {
        let mut world = World::new(1, 1, settings());
        open(&mut world, 0, 1);
        let server = world.in_state(State::Leased(Transaction))[0];
        match state {
            State::Idle => world.finish(server, true, Transient),
            State::Resetting => world.finish(server, false, Transient),
            _ => {}
        }
        match state {
            State::Leased(_) => world.break_leased(0),
            _ => world.finish(server, false, Transient),
        }
        let now = world.now;
        let pools: &mut Pools<_> = &mut world.pools;
        pools.closing(server, CloseReason::Bug, now); // Both ends may hang up.
        let closed: u64 = world.view().pools[0].tally.closed.iter().sum();
        assert_eq!(closed, 1, "{state:?}");
    }
}

#[test]
fn a_lowered_plan_closes_what_is_idle_at_once_and_the_rest_when_it_comes_back() {
    let mut world = World::new(1, 5, settings());
    open(&mut world, 0, 4);
    world.finish(world.in_state(State::Leased(Transaction))[0], true, Transient);
    world.log();
    world.set_plan(2);
    assert_eq!(world.log(), "close:0:Limit");
    for server in world.in_state(State::Leased(Transaction)) {
        world.finish(server, true, Transient);
    }
    assert_eq!(world.log(), "close:0:Limit");
    world.finish_all(State::Closing);
    assert_eq!(world.view().budget.used, 2);
    world.set_foreign(1);
    world.checkout(0, Transaction);
    world.finish_all(State::Leased(Transaction));
    assert_eq!(world.log(), "", "connections of others take nothing back");
}

#[test]
fn other_settings_that_lower_nothing_close_nothing_though_others_fill_the_server() {
    let mut world = World::new(1, 5, settings());
    open(&mut world, 0, 4);
    world.finish(world.in_state(State::Leased(Transaction))[0], true, Transient);
    world.set_foreign(3);
    world.log();
    world.set_plan(5);
    world.set_plan(6);
    assert_eq!(world.log(), "");
    world.set_plan(5);
    assert_eq!(world.log(), "close:0:Limit", "this one lowers a limit");
}

#[test]
fn a_smaller_pool_gives_up_what_is_idle_and_then_what_comes_back() {
    let mut world = World::new(1, 10, settings());
    open(&mut world, 0, 4);
    world.finish(world.in_state(State::Leased(Transaction))[0], true, Transient);
    world.log();
    world.resize(1, 0);
    assert_eq!(world.log(), "close:0:Limit");
    world.finish_all(State::Leased(Transaction));
    assert_eq!(world.log(), "close:0:Limit close:0:Limit");
    world.finish_all(State::Closing);
    world.resize(2, 1);
    for _ in 0..3 {
        world.checkout(0, Session);
    }
    assert_eq!(world.log(), "dial:0 dial:0");
}

#[test]
fn a_shorter_age_holds_for_servers_that_are_open() {
    let mut world = pool_with(1, settings());
    world.advance(60 * SECOND);
    let shorter = PoolSettings { pool_recycle: Some(30 * SECOND), ..settings() };
    let (now, retry) = (world.now, world::retry_settings());
    world.pools.set_settings(|_| shorter.clone(), retry, now);
    world.advance(SECOND);
    assert_eq!(world.log(), "dial:0", "it is replaced");
}

#[test]
fn only_what_is_idle_is_closed_without_its_worker() {
    let mut world = World::new(1, 5, settings());
    open(&mut world, 0, 1);
    let server = world.in_state(State::Leased(Transaction))[0];
    let now = world.now;
    assert!(!world.pools.kill_idle(server, now));
    let seen = world.pools.servers(now);
    assert_eq!((seen.len(), seen[0].id, seen[0].state), (1, server, State::Leased(Transaction)));
    world.finish_all(State::Leased(Transaction));
    world.log();
    assert!(world.pools.kill_idle(server, now));
    world.advance(Duration::ZERO);
    world.checkout(0, Session);
    assert_eq!(world.log(), "close:0:Killed dial:0");
}
