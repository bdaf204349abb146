//! Errors of the crates become complaints from the catalogue: what a client is told.

use tidegate_budget::budget::Denied;
use tidegate_observe::front::RejectReason;
use tidegate_pool_core::order::CheckoutError;
use tidegate_session::client::ClientFault;
use tidegate_session::client_login::Refusal;
use tidegate_session::server::ServerError;
use tidegate_wire::catalogue::Complaint;
use tidegate_wire::frame::FrameError;
use tidegate_wire::sqlstate::SqlState;

pub(crate) fn reject_reason(refusal: Refusal) -> RejectReason {
    match refusal {
        Refusal::Auth => RejectReason::Auth,
        Refusal::NotOffered => RejectReason::NotOffered,
        Refusal::Startup => RejectReason::Startup,
        Refusal::TlsRequired => RejectReason::Tls,
    }
}

/// Why a client got no server. `upstream` is its address, without secrets.
pub(crate) fn checkout(error: &CheckoutError, upstream: &str, failures: u32) -> Complaint {
    match error {
        CheckoutError::Paused { waited, database } => Complaint::paused(database, *waited),
        CheckoutError::Refused(failure) if failure.sqlstate == Some(SqlState::CANNOT_CONNECT) => {
            Complaint::upstream_insecure(upstream, &*failure.cause)
        }
        CheckoutError::Refused(failure) => {
            let sqlstate = failure.sqlstate.unwrap_or(SqlState::CANNOT_CONNECT);
            Complaint::upstream_refused(upstream, sqlstate, &*failure.cause)
        }
        CheckoutError::TimedOut {
            waited,
            leased,
            servers_max,
            waiting,
            budget,
            foreign,
            denied,
            failure,
            ..
        } => {
            // A pool with as many servers as it may have was not denied any.
            let wants_more = *leased < *servers_max;
            let denied = denied.as_ref().filter(|_| wants_more);
            let failure = failure.as_ref().filter(|_| wants_more);
            match denied {
                Some(Denied::Upstream { .. }) if *foreign > 0 => {
                    Complaint::budget_full(upstream, *foreign, *budget, budget + foreign, *leased)
                }
                // It is fuller than the last census saw.
                Some(denied @ Denied::Refused { .. }) if *foreign > 0 => because(
                    Complaint::budget_full(upstream, *foreign, *budget, budget + foreign, *leased),
                    denied,
                ),
                denied => {
                    let slots = (*servers_max).min(*budget);
                    let complaint =
                        Complaint::pool_timeout(*waited, *leased, slots, *waiting as usize, &[]);
                    match (denied, failure) {
                        (Some(denied), _) => because(complaint, denied),
                        (None, Some(failure)) => because(complaint, &failure.cause),
                        (None, None) => complaint,
                    }
                }
            }
        }
        CheckoutError::Unreachable(failure) => {
            Complaint::upstream_unreachable(upstream, failures, &*failure.cause)
        }
        _ => Complaint::draining(),
    }
}

/// Adds to DETAIL why no other server can be opened.
fn because(mut complaint: Complaint, cause: &impl ToString) -> Complaint {
    let words = cause.to_string().replace(char::is_control, " ");
    let detail = complaint.detail.get_or_insert_default();
    detail.push_str(&format!(" No other may be opened: {words}."));
    complaint
}

/// What a client did wrong.
pub(crate) fn client_fault(fault: &ClientFault) -> Complaint {
    match fault {
        ClientFault::Frame(FrameError::TooLarge { frame_bytes, frame_bytes_max, .. }) => {
            Complaint::frame_too_large(*frame_bytes, *frame_bytes_max)
        }
        fault => Complaint::client_protocol_violation(fault),
    }
}

/// PostgreSQL's words about a startup parameter, with its code.
pub(crate) fn parameters_refused(error: &ServerError) -> Complaint {
    let complaint = Complaint::startup_parameter("options", &error.message);
    Complaint { sqlstate: error.sqlstate, ..complaint }
}

/// PostgreSQL's words about a setting that the client has made, with its code.
pub(crate) fn settings_refused(error: &ServerError) -> Complaint {
    let complaint = Complaint::settings_refused(&error.message);
    Complaint { sqlstate: error.sqlstate, ..complaint }
}

/// Why a server was lost, as far as it has said so.
pub(crate) fn cause_of_loss(last_words: Option<&ServerError>) -> String {
    match last_words {
        Some(error) => error.message.clone(),
        None => "the connection was closed without a word".into(),
    }
}
