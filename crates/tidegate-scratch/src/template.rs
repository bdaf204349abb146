//! The data folder that each cluster starts as a copy of: `initdb` takes a second, a copy does not.
//!
//! Templates lie in one folder per user below the system's temporary folder, named by version
//! and by what `initdb` was told. They are made under another name and renamed when whole, so
//! processes that want the same one at the same time need no lock: the first rename wins.

use std::fs::{self, DirBuilder, Permissions};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::account::Account;
use crate::error::{ScratchError, run};
use crate::installation::Installation;
use crate::options::SUPERUSER;

/// Copies the template of this version to `data`, which must not exist.
pub(crate) fn copy_to(
    data: &Path,
    installation: &Installation,
    account: Account,
) -> Result<(), ScratchError> {
    let template = find_or_make(installation, account)?;
    run(account.command("cp").args(["-a", "--reflink=auto"]).arg(template).arg(data))?;
    Ok(())
}

fn find_or_make(installation: &Installation, account: Account) -> Result<PathBuf, ScratchError> {
    let shelf = shelf(account)?;
    // The place of the programs counts: two builds of one version may differ.
    let key = BuildHasherDefault::<DefaultHasher>::default().hash_one((&installation.bin, INITDB));
    let (major, minor) = installation.version;
    let template = shelf.join(format!("{major}.{minor}-{key:016x}"));
    if template.is_dir() {
        return Ok(template);
    }

    let making = tempfile::Builder::new()
        .prefix("making-")
        .tempdir_in(&shelf)
        .map_err(ScratchError::io("make a folder in", &shelf))?;
    account.own(making.path())?;
    let password_file = making.path().join("password");
    fs::write(&password_file, SUPERUSER).map_err(ScratchError::io("write", &password_file))?;
    account.own(&password_file)?;
    let data = making.path().join("data");
    let mut initdb = account.command(installation.program("initdb"));
    initdb.args(INITDB).arg("--pwfile").arg(password_file).arg("-D").arg(&data);
    run(&mut initdb)?;

    match fs::rename(&data, &template) {
        Err(_) if template.is_dir() => Ok(template), // Somebody else was faster.
        renamed => renamed.map(|()| template.clone()).map_err(ScratchError::io("make", &template)),
    }
}

/// The folder of all templates. Its name can be guessed by others on the machine, so it is used
/// only if it belongs to us.
fn shelf(account: Account) -> Result<PathBuf, ScratchError> {
    let folder = std::env::temp_dir().join(format!("tidegate-scratch-{}", account.uid()));
    match DirBuilder::new().mode(0o700).create(&folder) {
        Ok(()) => account.own(&folder)?,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let found = fs::symlink_metadata(&folder).map_err(ScratchError::io("see", &folder))?;
            let ours = [account.uid(), rustix::process::geteuid().as_raw()].contains(&found.uid());
            if !ours || !found.is_dir() {
                let (owner, wanted) = (found.uid(), account.uid());
                return Err(ScratchError::ForeignFolder { folder, owner, wanted });
            }
            // Another process may stand between making the folder and giving it away.
            account.own(&folder)?;
        }
        Err(error) => return Err(ScratchError::io("make", &folder)(error)),
    }
    fs::set_permissions(&folder, Permissions::from_mode(0o700))
        .map_err(ScratchError::io("set the mode of", &folder))?;
    Ok(folder)
}

/// Small WAL segments, because each cluster copies one. The C locale sorts alike everywhere.
const INITDB: &[&str] = &[
    "--no-sync",
    "--username=postgres",
    "--encoding=UTF8",
    "--locale=C",
    "--auth=scram-sha-256",
    "--wal-segsize=1",
];
