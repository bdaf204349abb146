//! A certificate for both poolers, made by the `openssl` command.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use crate::shell::command;

/// As PEM.
pub(super) struct Certificate {
    pub(super) certificate: String,
    pub(super) key: String,
}

impl Certificate {
    /// Signs itself; clients of the benchmark do not look at it.
    pub(super) fn make() -> Result<Self> {
        let folder = TempDir::new().context("a temporary folder")?;
        let (certificate, key) = (folder.path().join("crt"), folder.path().join("key"));
        let mut openssl = command("openssl", REQUEST.iter().copied());
        let output = openssl.arg("-out").arg(&certificate).arg("-keyout").arg(&key).output();
        let output = output.context("cannot run openssl")?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "openssl failed: {}", stderr.trim());
        let read = |path: &Path| fs::read_to_string(path).context("what openssl has made");
        Ok(Self { certificate: read(&certificate)?, key: read(&key)? })
    }
}

/// P-256 is what most certificates of today have.
const REQUEST: &[&str] = &[
    "req",
    "-x509",
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:P-256",
    "-nodes",
    "-days",
    "2",
    "-subj",
    "/CN=localhost",
    "-addext",
    "subjectAltName=DNS:localhost,IP:127.0.0.1",
];
