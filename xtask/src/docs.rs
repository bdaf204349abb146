//! `cargo xtask docs`: pages that are written from the table of settings, never by hand.

use std::fs;

use anyhow::{Context as _, Result, bail};

use crate::shell::root;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Changes nothing; fails if something would change
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if arguments.check { check() } else { write() }
}

/// Each page that is not as the table has it is named.
pub(crate) fn check() -> Result<()> {
    let differs = |path: &str, text: &str| {
        !fs::read_to_string(root().join(path)).is_ok_and(|found| found == text)
    };
    let pages = pages();
    let old: Vec<&str> =
        pages.iter().filter(|(path, text)| differs(path, text)).map(|(path, _)| *path).collect();
    if !old.is_empty() {
        bail!("{} not up to date; `cargo xtask docs` writes anew", old.join(", "));
    }
    Ok(())
}

fn write() -> Result<()> {
    for (path, text) in pages() {
        let file = root().join(path);
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
        fs::write(&file, text).with_context(|| path.to_owned())?;
    }
    Ok(())
}

fn pages() -> [(&'static str, String); 2] {
    [
        ("docs/reference/settings.md", tidegate_config::reference_markdown()),
        ("tidegate.example.toml", tidegate_config::example_toml()),
    ]
}
