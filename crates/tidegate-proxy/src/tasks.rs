//! Threads: started by name, joined on shutdown; a panic in one is a bug that ends the process.

use std::thread::JoinHandle;

/// Starts a thread. Its name is at most 15 bytes, as Linux keeps no more.
///
/// # Panics
/// When the kernel refuses a thread, which happens at start-up or not at all.
pub fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    debug_assert!(name.len() <= 15, "Linux cuts thread names at 15 bytes");
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .expect("a process may have a handful of threads")
}
