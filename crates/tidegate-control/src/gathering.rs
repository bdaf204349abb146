//! What all workers are asked: their answers, as far as they come in time.

use std::time::Duration;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::timeout;

/// A worker answers within its turn, or a few; one that needs this long does nothing else either.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// Asks, and gives the answers of `workers` workers; fewer when some are silent.
///
/// # Cancel safety
/// Whatever the workers do, they do; their answers go nowhere.
pub(crate) async fn gather<T>(workers: usize, ask: impl FnOnce(UnboundedSender<T>)) -> Vec<T> {
    let (sender, mut receiver) = unbounded_channel();
    ask(sender);
    let mut answers = Vec::new();
    let all = async {
        while answers.len() < workers {
            let Some(answer) = receiver.recv().await else { break };
            answers.push(answer);
        }
    };
    let _ = timeout(ANSWER_MAX, all).await; // Who is silent is missing, and is counted by the caller.
    answers
}
