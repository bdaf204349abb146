//! Feeds mutated bytes to a target until it panics, hangs, or the time is over.
//!
//! Stable Rust has no instrumentation for coverage-guided fuzzing, and Tidegate builds on stable
//! only. So this knows the protocol instead: it starts from real messages and breaks them where
//! decoders go wrong (lengths, counts, cuts). Nothing is learned from one input for the next;
//! that makes input N of a seed a plain function of the two, so every run can be repeated.
//!
//! A crash or a hang leaves its input in `fuzz/artifacts/` and prints how to replay it. Put an
//! input that has found something into `fuzz/seeds/TARGET/`: each run tries these unchanged
//! first. What ends the process at once (a stack overflow) leaves no file; its seed remains.

mod arguments;
mod inputs;
mod messages;
mod random;

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use crate::arguments::{Arguments, Target};
use crate::inputs::Inputs;

fn main() -> ExitCode {
    let arguments = match Arguments::parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(problem) => {
            eprintln!("fuzz: {problem}");
            return ExitCode::from(2);
        }
    };
    let result = match &arguments.replay {
        Some(file) => replay(arguments.target, file),
        None => run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(finding) => {
            eprintln!("fuzz: {finding}");
            ExitCode::FAILURE
        }
    }
}

fn replay(target: Target, file: &Path) -> Result<(), String> {
    let input = fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    target.run(&input);
    println!("{}: {} bytes, nothing found", file.display(), input.len());
    Ok(())
}

fn run(arguments: &Arguments) -> Result<(), String> {
    let target = arguments.target;
    let seed = arguments.seed.unwrap_or_else(random::draw_seed);
    let inputs = Arc::new(Inputs::new(seed, &home().join("seeds").join(target.name()))?);
    println!("{}: seed {seed}, {} s", target.name(), arguments.seconds);

    let progress = Arc::new(AtomicU64::new(0));
    let over = Arc::new(AtomicBool::new(false));
    let (tell, told) = channel();
    let worker = {
        let (inputs, progress, over) = (inputs.clone(), progress.clone(), over.clone());
        move || {
            while !over.load(Ordering::Relaxed) {
                let index = progress.load(Ordering::Relaxed);
                let input = inputs.nth(index);
                if catch_unwind(|| target.run(&input)).is_err() {
                    let _ = tell.send(index);
                    return;
                }
                progress.store(index + 1, Ordering::Relaxed);
            }
        }
    };
    let worker = std::thread::spawn(worker);

    let mut before = None;
    for _ in 0..arguments.seconds.max(1) {
        match told.recv_timeout(Duration::from_secs(1)) {
            Ok(index) => return Err(found("a panic", &inputs, index, target)),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {}
        }
        // No input takes a thousandth of this second.
        let now = progress.load(Ordering::Relaxed);
        if before == Some(now) {
            return Err(found("a hang", &inputs, now, target));
        }
        before = Some(now);
    }
    over.store(true, Ordering::Relaxed);
    match told.recv_timeout(Duration::from_secs(10)) {
        Ok(index) => return Err(found("a panic", &inputs, index, target)),
        Err(RecvTimeoutError::Timeout) => {
            let index = progress.load(Ordering::Relaxed);
            return Err(found("a hang", &inputs, index, target));
        }
        Err(RecvTimeoutError::Disconnected) => {}
    }
    worker.join().map_err(|_| "our own bug: the generator panicked")?;
    println!("{}: {} inputs, nothing found", target.name(), progress.load(Ordering::Relaxed));
    Ok(())
}

/// Writes the input down; answers what to tell.
fn found(what: &str, inputs: &Inputs, index: u64, target: Target) -> String {
    let (seed, name) = (inputs.seed(), target.name());
    let folder = home().join("artifacts");
    let file = folder.join(format!("{name}-{seed}-{index}"));
    let input = inputs.nth(index);
    let written = fs::create_dir_all(&folder).and_then(|()| fs::write(&file, &input));
    let file = file.display();
    match written {
        Ok(()) => format!(
            "{what} at input {index} of seed {seed} ({} bytes); again with\n\n    \
             cargo xtask fuzz {name} --replay {file}\n",
            input.len()
        ),
        Err(error) => {
            format!("{what} at input {index} of seed {seed}; cannot write {file}: {error}")
        }
    }
}

/// The folder of this program's source.
fn home() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
