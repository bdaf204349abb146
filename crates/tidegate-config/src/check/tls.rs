//! What is asked of TLS on either side: whether it goes together, and whether its files are there.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::{Checker, beside};
use crate::config::{
    ChannelBinding, ClientCert, ListenTls, Negotiation, Roots, SslMode, TlsMode, UpstreamTls,
    Verification,
};
use crate::gather::Sheet;
use crate::problem::{Place, Problem};
use crate::table;
use crate::url::TlsParameters;

impl Checker<'_> {
    /// What the URL, which stands at `place`, asks for.
    pub(super) fn upstream_tls(&mut self, place: &Place, said: TlsParameters) -> UpstreamTls {
        let mode = said.mode;
        if said.roots == Some(Roots::System) && mode < SslMode::VerifyCa {
            let message = format!(
                "upstream.url has sslrootcert=system, but sslmode={mode} verifies no certificate"
            );
            self.problems
                .push(Problem::new(place, message).with_remedy("write sslmode=verify-full"));
        }
        if said.negotiation == Negotiation::Direct && mode < SslMode::Require {
            let message = format!(
                "upstream.url has sslnegotiation=direct, which leaves no way to do without TLS, \
                 but sslmode={mode}"
            );
            self.problems.push(
                Problem::new(place, message).with_remedy("write sslmode=require, or stronger"),
            );
        }
        if said.channel_binding == ChannelBinding::Require && mode == SslMode::Disable {
            self.problems.push(
                Problem::new(
                    place,
                    "upstream.url has channel_binding=require, which needs TLS, but \
                     sslmode=disable",
                )
                .with_remedy("write sslmode=require, or stronger"),
            );
        }
        let certificate = said.certificate.map(|path| beside(place, path));
        let key = said.key.map(|path| beside(place, path));
        let client_certificate = match (certificate, key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(_), None) => self.half_certificate(place, "sslcert", "sslkey"),
            (None, Some(_)) => self.half_certificate(place, "sslkey", "sslcert"),
        };
        let roots = match said.roots {
            Some(Roots::File(path)) => Roots::File(beside(place, path)),
            Some(Roots::System) | None => Roots::System,
        };
        let tls = UpstreamTls {
            mode,
            roots,
            client_certificate,
            negotiation: said.negotiation,
            channel_binding: said.channel_binding,
            sni: said.sni,
        };
        self.upstream_tls_is_meant(place, &tls);
        if mode > SslMode::Disable {
            if let Roots::File(path) = &tls.roots {
                self.is_readable(place, "upstream.url's sslrootcert", path);
            }
            if let Some((certificate, key)) = &tls.client_certificate {
                self.is_readable(place, "upstream.url's sslcert", certificate);
                self.is_private(place, "upstream.url's sslkey", key);
            }
        }
        tls
    }

    fn half_certificate<T>(&mut self, place: &Place, given: &str, missing: &str) -> Option<T> {
        let message = format!("upstream.url has {given}, but no {missing}");
        self.problems.push(Problem::new(place, message).with_remedy(
            "give both or neither; the file of the authority that signed the server's certificate \
             is sslrootcert",
        ));
        None
    }

    fn upstream_tls_is_meant(&mut self, place: &Place, tls: &UpstreamTls) {
        let mode = tls.mode;
        let verification = tls.verification();
        if matches!(tls.roots, Roots::File(_)) && verification == Verification::None {
            let message =
                format!("upstream.url has sslrootcert, but sslmode={mode} verifies no certificate");
            self.warnings
                .push(Problem::new(place, message).with_remedy("write sslmode=verify-full"));
        }
        if tls.roots == Roots::System && verification == Verification::Chain {
            let message = format!(
                "sslmode={mode} of upstream.url accepts what a public authority has signed for \
                 anybody"
            );
            self.warnings
                .push(Problem::new(place, message).with_remedy(
                    "write sslmode=verify-full, or give the authority as sslrootcert",
                ));
        }
        if tls.client_certificate.is_some() && mode == SslMode::Disable {
            let message = "upstream.url has sslcert, but sslmode=disable shows it to nobody";
            self.warnings.push(Problem::new(place, message));
        }
    }

    /// TLS towards clients.
    pub(super) fn listen_tls(&mut self, sheet: &Sheet) -> ListenTls {
        let before = self.problems.len();
        let tls = ListenTls {
            mode: self.read(sheet, &table::TLS),
            cert: self.path(sheet, &table::TLS_CERT),
            key: self.path(sheet, &table::TLS_KEY),
            client_ca: self.path(sheet, &table::TLS_CLIENT_CA),
            client_cert: self.read(sheet, &table::TLS_CLIENT_CERT),
        };
        if self.problems.len() > before {
            return tls;
        }
        if tls.mode == TlsMode::Off {
            self.listen_tls_is_off(sheet, &tls);
            return tls;
        }

        let missing: Vec<&str> =
            [(table::TLS_CERT.name, &tls.cert), (table::TLS_KEY.name, &tls.key)]
                .into_iter()
                .filter(|(_, path)| path.is_none())
                .map(|(name, _)| name)
                .collect();
        if !missing.is_empty() {
            let message = format!(
                "listen.tls is {}, but {} not set",
                tls.mode,
                match missing[..] {
                    [one] => format!("{one} is"),
                    _ => format!("{} are", missing.join(" and ")),
                }
            );
            let place = sheet.place_of(&[table::TLS.name]);
            self.problems.push(Problem::new(&place, message).with_remedy(
                "give both, tls_cert = FILE and tls_key = FILE, or write tls = \"off\"",
            ));
        }
        let place = sheet.place_of(&[table::TLS_CLIENT_CERT.name]);
        if tls.client_cert == ClientCert::Require && tls.client_ca.is_none() {
            self.problems.push(
                Problem::new(
                    &place,
                    "listen.tls_client_cert is require, but listen.tls_client_ca is not set, so \
                     no certificate could be verified",
                )
                .with_remedy("give tls_client_ca, the file of the authority that signs them"),
            );
        }
        if tls.client_cert == ClientCert::Require && tls.mode == TlsMode::Allow {
            self.warnings.push(
                Problem::new(
                    &place,
                    "listen.tls_client_cert is require, but listen.tls is allow: a client without \
                     TLS needs no certificate",
                )
                .with_remedy("write tls = \"require\""),
            );
        }
        for (setting, path) in
            [(&table::TLS_CERT, &tls.cert), (&table::TLS_CLIENT_CA, &tls.client_ca)]
        {
            if let Some(path) = path {
                self.is_readable(&sheet.place_of(&[setting.name]), setting.name, path);
            }
        }
        if let Some(path) = &tls.key {
            self.is_private(&sheet.place_of(&[table::TLS_KEY.name]), table::TLS_KEY.name, path);
        }
        tls
    }

    fn listen_tls_is_off(&mut self, sheet: &Sheet, tls: &ListenTls) {
        const REMEDY: &str = "write tls = \"require\", or tls = \"allow\"";
        if tls.client_cert == ClientCert::Require {
            let place = sheet.place_of(&[table::TLS_CLIENT_CERT.name]);
            let message = "listen.tls_client_cert is require, but listen.tls is off, so no client \
                           could present one";
            self.problems.push(Problem::new(&place, message).with_remedy(REMEDY));
        }
        let unused: Vec<&str> =
            [table::TLS_CERT.name, table::TLS_KEY.name, table::TLS_CLIENT_CA.name]
                .into_iter()
                .filter(|name| sheet.given.contains_key(name))
                .collect();
        if !unused.is_empty() {
            let are = if unused.len() == 1 { "is" } else { "are" };
            let message = format!("{} {are} given, but listen.tls is off", unused.join(" and "));
            self.warnings.push(Problem::new(&sheet.place_of(&unused), message).with_remedy(REMEDY));
        }
    }

    /// Whether it can be read and is not empty. What is in it is judged by whoever uses it.
    fn is_readable(&mut self, place: &Place, what: &str, path: &Path) -> bool {
        let read = File::open(path).and_then(|mut file| file.read(&mut [0]));
        let why = match read {
            Ok(0) => "is empty".to_owned(),
            Ok(_) => return true,
            Err(error) => format!("cannot be read: {error}"),
        };
        self.problems.push(Problem::new(place, format!("{what} {} {why}", path.display())));
        false
    }

    /// As [`Self::is_readable`], for a key: others should not be able to.
    fn is_private(&mut self, place: &Place, what: &str, path: &Path) {
        if !self.is_readable(place, what, path) {
            return;
        }
        let is_open = |file: std::fs::Metadata| is_open_to_others(file.mode(), file.uid());
        if std::fs::metadata(path).is_ok_and(is_open) {
            let message = format!("{what} {} is open to other users", path.display());
            let remedy = format!("chmod 600 {}", path.display());
            self.warnings.push(Problem::new(place, message).with_remedy(remedy));
        }
    }
}

/// libpq's and the server's rule (PostgreSQL docs, "Secure TCP/IP Connections with SSL"): only the
/// owner, and where that is root also the group's readers, to whom the system gives such files.
fn is_open_to_others(mode: u32, owner: u32) -> bool {
    let others = if owner == 0 { 0o037 } else { 0o077 };
    mode & others != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_for_its_owner_or_for_a_group_of_roots() {
        for (mode, owner, is_open) in [
            (0o100_600, 1000, false),
            (0o100_400, 1000, false),
            (0o100_640, 1000, true),
            (0o100_604, 1000, true),
            (0o100_640, 0, false),
            (0o100_440, 0, false),
            (0o100_660, 0, true),
            (0o100_644, 0, true),
        ] {
            assert_eq!(is_open_to_others(mode, owner), is_open, "{mode:o} {owner}");
        }
    }
}
