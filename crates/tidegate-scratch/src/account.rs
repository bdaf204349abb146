//! As whom PostgreSQL runs: ourselves, or `postgres` when we are root.

use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::error::ScratchError;

/// An operating system user that may run PostgreSQL.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Account {
    uid: u32,
    /// The group to change to; `None` when there is nobody to change from.
    switch_to_gid: Option<u32>,
}

impl Account {
    /// Who will run PostgreSQL.
    pub(crate) fn choose() -> Result<Self, ScratchError> {
        let me = rustix::process::geteuid();
        if !me.is_root() {
            return Ok(Self { uid: me.as_raw(), switch_to_gid: None });
        }
        let path = Path::new("/etc/passwd");
        let passwd = fs::read_to_string(path).map_err(ScratchError::io("read", path))?;
        let (uid, gid) = ids_of("postgres", &passwd).ok_or(ScratchError::NoAccount)?;
        Ok(Self { uid, switch_to_gid: Some(gid) })
    }

    pub(crate) fn uid(self) -> u32 {
        self.uid
    }

    /// A command that will run as this user, knowing nothing of our environment: a `PGOPTIONS`
    /// or a locale of whoever runs the tests must not change what they see.
    pub(crate) fn command(self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command.env_clear().env("LC_ALL", "C").current_dir("/");
        command.env("PATH", "/usr/local/bin:/usr/bin:/bin");
        if let Some(gid) = self.switch_to_gid {
            command.uid(self.uid).gid(gid);
        }
        command
    }

    /// Makes this user the owner of what we made.
    pub(crate) fn own(self, path: &Path) -> Result<(), ScratchError> {
        let Some(gid) = self.switch_to_gid else { return Ok(()) };
        chown(path, Some(self.uid), Some(gid))
            .map_err(ScratchError::io("change the owner of", path))
    }
}

/// The user and group id of `name` in the text of a passwd file.
fn ids_of(name: &str, passwd: &str) -> Option<(u32, u32)> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next() != Some(name) {
            return None;
        }
        let uid = fields.nth(1)?.parse().ok()?;
        Some((uid, fields.next()?.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_from_the_line_of_that_very_user() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\n\
                      postgresql:x:7:8::/:/bin/sh\n\
                      postgres:x:101:104:PostgreSQL,,,:/var/lib/postgresql:/bin/bash\n";
        assert_eq!(ids_of("postgres", passwd), Some((101, 104)));
        assert_eq!(ids_of("nobody", passwd), None);
    }
}
