//! The upstream's URL: what libpq, SQLAlchemy, and the managed services call a connection string.
//!
//! Both of libpq's forms are read: `postgres://…` (also with a driver, `postgresql+asyncpg://…`)
//! and `host=… user=…` (PostgreSQL docs, "Connection Strings").
//!
//! Promises: an error never quotes the URL, because any part of a mistyped one may be part of the
//! password.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::config::{Address, ChannelBinding, Host, Negotiation, Roots, SslMode, TargetSession};
use crate::secret::Secret;

const PORT_DEFAULT: u16 = 5432;

/// What a connection string says.
#[derive(Debug, PartialEq)]
pub(crate) struct Url {
    pub(crate) hosts: Vec<Host>,
    pub(crate) user: String,
    pub(crate) password: Option<Secret>,
    pub(crate) database: String,
    pub(crate) tls: TlsParameters,
    /// `target_session_attrs`.
    pub(crate) target: TargetSession,
    /// Startup parameters, by name.
    pub(crate) parameters: Vec<(String, String)>,
    /// Names of parameters that nothing here uses.
    pub(crate) unused: Vec<String>,
}

/// What a connection string says of TLS; whether it goes together is not asked here.
#[derive(Debug, PartialEq)]
pub(crate) struct TlsParameters {
    pub(crate) mode: SslMode,
    /// `sslrootcert`, where it is given.
    pub(crate) roots: Option<Roots>,
    /// `sslcert`.
    pub(crate) certificate: Option<PathBuf>,
    /// `sslkey`.
    pub(crate) key: Option<PathBuf>,
    pub(crate) negotiation: Negotiation,
    pub(crate) channel_binding: ChannelBinding,
    pub(crate) sni: bool,
}

/// Why a text is not a connection string; completes the sentence "upstream.url …".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UrlError {
    #[error("is not a connection string")]
    NotOne,
    #[error("has a character in its user name, password, or database that must be written as %XX")]
    Unescaped,
    #[error("has a % that is not followed by two hexadecimal digits, or bytes that are not text")]
    BadEscape,
    #[error("has a parameter without a value")]
    BadParameter,
    #[error("has a quote that does not end")]
    OpenQuote,
    #[error("names no user")]
    NoUser,
    #[error("names no host")]
    NoHost,
    #[error("has a port that is not a number between 1 and 65535")]
    BadPort,
    #[error("names more ports than one and not one for each host")]
    UnevenPorts,
    #[error("names hosts and addresses (hostaddr) that differ in number")]
    UnevenAddresses,
    #[error("has an sslmode that does not exist")]
    BadSslMode,
    #[error("has an sslnegotiation that does not exist")]
    BadNegotiation,
    #[error("has a channel_binding that does not exist")]
    BadChannelBinding,
    #[error("has an sslsni that is neither 0 nor 1")]
    BadSni,
    #[error("has a target_session_attrs that does not exist, or that Tidegate does not have")]
    BadTarget,
}

impl UrlError {
    /// What to write instead.
    pub(crate) fn remedy(self) -> &'static str {
        match self {
            Self::Unescaped => "write @ as %40, / as %2F, : as %3A, ? as %3F, # as %23, % as %25",
            Self::BadEscape => "write a % of the password as %25",
            Self::BadPort => "write HOST:5432; a : of the password is written as %3A",
            Self::UnevenAddresses => "give one hostaddr for each host",
            Self::BadSslMode => "write disable, allow, prefer, require, verify-ca, or verify-full",
            Self::BadNegotiation => "write postgres, or direct",
            Self::BadChannelBinding => "write disable, prefer, or require",
            Self::BadSni => "write 1, or 0 to keep the name from the server",
            Self::BadTarget => {
                "write any, read-write, read-only, primary, or standby; there is no prefer-standby"
            }
            Self::OpenQuote => "end it with ', and write a ' of the value as \\'",
            Self::NotOne | Self::BadParameter | Self::NoUser | Self::NoHost | Self::UnevenPorts => {
                "write postgres://USER:PASSWORD@HOST:5432/DATABASE"
            }
        }
    }
}

/// Reads a connection string of either form.
pub(crate) fn parse(text: &str) -> Result<Url, UrlError> {
    let text = text.trim();
    match text.split_once("://") {
        Some((scheme, rest)) if is_scheme(scheme) => from_url(rest)?.finish(),
        _ if text.contains('=') => from_keywords(text)?.finish(),
        _ => Err(UrlError::NotOne),
    }
}

fn is_scheme(scheme: &str) -> bool {
    // What follows a + is the driver of SQLAlchemy's engine.
    matches!(scheme.split('+').next(), Some("postgres" | "postgresql"))
}

/// Parameters by libpq's names; hosts and ports as lists with commas.
#[derive(Default)]
struct Fields(BTreeMap<String, String>);

fn from_url(rest: &str) -> Result<Fields, UrlError> {
    let (before_query, query) = rest.split_once('?').map_or((rest, ""), |(a, b)| (a, b));
    let (authority, path) = before_query.split_once('/').unwrap_or((before_query, ""));
    let at = authority.rsplit_once('@');
    // A / or ? in the password ends the authority too early, and leaves its @ further on.
    if path.contains('@') || query.contains('@') || rest.contains('#') {
        return Err(UrlError::Unescaped);
    }

    let mut fields = Fields::default();
    let (login, hosts) = at.unwrap_or(("", authority));
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    fields.put("user", decoded(user)?);
    fields.put("password", decoded(password)?);
    fields.put("dbname", decoded(path)?);

    let mut names = Vec::new();
    let mut ports = Vec::new();
    for host in hosts.split(',') {
        let (name, port) = match host.strip_prefix('[') {
            Some(v6) => {
                let (name, after) = v6.split_once(']').ok_or(UrlError::NoHost)?;
                let port = after.strip_prefix(':').or(after.is_empty().then_some(""));
                (name.to_owned(), port.ok_or(UrlError::BadPort)?)
            }
            None => {
                let (name, port) = host.split_once(':').unwrap_or((host, ""));
                (decoded(name)?, port)
            }
        };
        names.push(name);
        ports.push(port);
    }
    fields.put("host", names.join(","));
    if ports.iter().any(|port| !port.is_empty()) {
        fields.put("port", ports.join(","));
    }

    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or(UrlError::BadParameter)?;
        fields.put(&decoded(name)?, decoded(value)?);
    }
    Ok(fields)
}

/// As in libpq (`conninfo_parse`): values in single quotes or up to white space, backslash
/// escapes in both.
fn from_keywords(text: &str) -> Result<Fields, UrlError> {
    let mut fields = Fields::default();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=').ok_or(UrlError::BadParameter)?;
        let name = name.trim_end();
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(UrlError::BadParameter);
        }
        let after = after.trim_start();
        let quoted = after.starts_with('\'');
        let mut chars = after.char_indices().skip(usize::from(quoted));
        let mut value = String::new();
        let end = loop {
            match chars.next() {
                Some((_, '\\')) => value.extend(chars.next().map(|(_, c)| c)),
                Some((at, '\'')) if quoted => break at + 1,
                Some((at, c)) if !quoted && c.is_whitespace() => break at,
                Some((_, c)) => value.push(c),
                None if quoted => return Err(UrlError::OpenQuote),
                None => break after.len(),
            }
        };
        fields.put(name, value);
        rest = after.get(end..).unwrap_or_default().trim_start();
    }
    Ok(fields)
}

impl Fields {
    /// The last mention counts, as in libpq; an empty value is none.
    fn put(&mut self, name: &str, value: String) {
        if !value.is_empty() {
            self.0.insert(name.to_owned(), value);
        }
    }

    fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    fn finish(mut self) -> Result<Url, UrlError> {
        let user = self.take("user").ok_or(UrlError::NoUser)?;
        let names = self.take("host").unwrap_or_default();
        let addresses = self.take("hostaddr").unwrap_or_default();
        let machines = paired(&names, &addresses)?;
        let ports = self.take("port").unwrap_or_default();
        let ports: Vec<&str> = ports.split(',').collect();
        if ports.len() != 1 && ports.len() != machines.len() {
            return Err(UrlError::UnevenPorts);
        }
        let mut hosts = Vec::new();
        for ((name, address), port) in machines.into_iter().zip(ports.into_iter().cycle()) {
            let port = match port {
                "" => PORT_DEFAULT,
                digits => digits.parse().ok().filter(|p| *p != 0).ok_or(UrlError::BadPort)?,
            };
            hosts.push(host(name, address, port)?);
        }

        let tls = self.tls()?;
        let target = match self.take("target_session_attrs") {
            None => TargetSession::Any, // As in libpq, also with several hosts.
            Some(given) => word(TargetSession::WORDS, &given).ok_or(UrlError::BadTarget)?,
        };
        let password = self.take("password").map(Secret::new);
        let database = self.take("dbname").unwrap_or_else(|| user.clone());
        let mut parameters = Vec::new();
        for name in ["application_name", "client_encoding", "options"] {
            parameters.extend(self.take(name).map(|value| (name.to_owned(), value)));
        }
        let unused = self.0.into_keys().collect();
        Ok(Url { hosts, user, password, database, tls, target, parameters, unused })
    }

    fn tls(&mut self) -> Result<TlsParameters, UrlError> {
        let roots = self.take("sslrootcert").map(|roots| match roots.as_str() {
            "system" => Roots::System,
            path => Roots::File(PathBuf::from(path)),
        });
        // `ssl` is what JDBC and asyncpg call it; of the two, the stricter counts.
        let mut mode = None;
        for given in [self.take("sslmode"), self.take("ssl")].into_iter().flatten() {
            let given = match given.as_str() {
                "false" | "0" => SslMode::Disable,
                "true" | "1" => SslMode::Require,
                given => word(SslMode::WORDS, given).ok_or(UrlError::BadSslMode)?,
            };
            mode = mode.max(Some(given));
        }
        // Anybody can have a certificate for some name from an authority that every system trusts.
        let default =
            if roots == Some(Roots::System) { SslMode::VerifyFull } else { SslMode::Prefer };
        let negotiation = match self.take("sslnegotiation") {
            None => Negotiation::Postgres,
            Some(given) => word(Negotiation::WORDS, &given).ok_or(UrlError::BadNegotiation)?,
        };
        let channel_binding = match self.take("channel_binding") {
            None => ChannelBinding::Prefer,
            Some(given) => {
                word(ChannelBinding::WORDS, &given).ok_or(UrlError::BadChannelBinding)?
            }
        };
        let sni = match self.take("sslsni").as_deref() {
            None | Some("1") => true,
            Some("0") => false,
            Some(_) => return Err(UrlError::BadSni),
        };
        Ok(TlsParameters {
            mode: mode.unwrap_or(default),
            roots,
            certificate: self.take("sslcert").map(PathBuf::from),
            key: self.take("sslkey").map(PathBuf::from),
            negotiation,
            channel_binding,
            sni,
        })
    }
}

fn word<T: Copy>(words: &[(&str, T)], text: &str) -> Option<T> {
    words.iter().find(|(known, _)| *known == text).map(|(_, value)| *value)
}

/// Names and addresses of the machines, either of which may be empty.
fn paired<'a>(names: &'a str, addresses: &'a str) -> Result<Vec<(&'a str, &'a str)>, UrlError> {
    if addresses.is_empty() {
        return Ok(names.split(',').map(|name| (name, "")).collect());
    }
    if names.is_empty() {
        return Ok(addresses.split(',').map(|address| ("", address)).collect());
    }
    if names.split(',').count() != addresses.split(',').count() {
        return Err(UrlError::UnevenAddresses);
    }
    Ok(names.split(',').zip(addresses.split(',')).collect())
}

/// As in libpq, the address is where to go and the name what to expect there.
fn host(name: &str, address: &str, port: u16) -> Result<Host, UrlError> {
    let (place, called) = match (name, address) {
        ("", "") => return Err(UrlError::NoHost),
        (name, "") => (name, None),
        (name, address) => (address, Some(name)),
    };
    let called = called.filter(|name| !name.is_empty() && !name.starts_with('/'));
    let address = if place.starts_with('/') {
        Address::Unix { path: Path::new(place).join(format!(".s.PGSQL.{port}")) }
    } else {
        Address::Tcp { host: place.to_owned(), port }
    };
    Ok(Host { address, name: called.map(str::to_owned) })
}

/// Resolves `%XX`. A NUL cannot be sent to PostgreSQL and is refused, as in libpq.
fn decoded(text: &str) -> Result<String, UrlError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err(UrlError::BadEscape);
        };
        match u8::try_from(high * 16 + low) {
            Ok(byte) if byte != 0 => bytes.push(byte),
            _ => return Err(UrlError::BadEscape),
        }
    }
    String::from_utf8(bytes).map_err(|_| UrlError::BadEscape)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(text: &str) -> String {
        match parse(text) {
            Ok(url) => {
                let host = |host: &Host| match &host.name {
                    Some(name) => format!("{name}={}", host.address),
                    None => host.address.to_string(),
                };
                let hosts: Vec<_> = url.hosts.iter().map(host).collect();
                let mut line = format!(
                    "{} {} @ {} / {} {}",
                    url.user,
                    url.password.map_or("-".to_owned(), |p| p.expose().to_owned()),
                    hosts.join(" "),
                    url.database,
                    url.tls.mode
                );
                if url.target != TargetSession::Any {
                    line.push_str(&format!(" for {}", url.target));
                }
                for (name, value) in url.parameters {
                    line.push_str(&format!(" {name}={value}"));
                }
                for name in url.unused {
                    line.push_str(&format!(" ({name})"));
                }
                line
            }
            Err(error) => format!("{error:?}"),
        }
    }

    #[test]
    fn connection_strings_are_read() {
        for (text, expected) in [
            ("postgres://app@db", "app - @ db:5432 / app prefer"),
            ("postgresql://app:s@db:5433/shop", "app s @ db:5433 / shop prefer"),
            ("postgresql+asyncpg://app:s@db/shop?ssl=false", "app s @ db:5432 / shop disable"),
            ("postgres://app:p%40s%2Fs%25@db/a%20b", "app p@s/s% @ db:5432 / a b prefer"),
            ("postgres://app:p@ss@db/shop", "app p@ss @ db:5432 / shop prefer"),
            ("postgres://app:a:b@db/shop", "app a:b @ db:5432 / shop prefer"),
            ("postgres://postgres.ref:s@db/x", "postgres.ref s @ db:5432 / x prefer"),
            ("postgres://app@h1:5432,h2:5433/shop", "app - @ h1:5432 h2:5433 / shop prefer"),
            ("postgres://app@h1,h2:5433/shop", "app - @ h1:5432 h2:5433 / shop prefer"),
            ("postgres://app@[::1],[::2]:9/shop", "app - @ [::1]:5432 [::2]:9 / shop prefer"),
            (
                "postgres://app@/shop?host=/var/run/postgresql&port=5433",
                "app - @ unix:/var/run/postgresql/.s.PGSQL.5433 / shop prefer",
            ),
            ("postgres://app@%2Ftmp/shop", "app - @ unix:/tmp/.s.PGSQL.5432 / shop prefer"),
            ("postgres:///shop?host=db&user=app&password=s", "app s @ db:5432 / shop prefer"),
            (
                "postgres://app@db/shop?application_name=web&options=-c%20a%3Db&pgbouncer=true",
                "app - @ db:5432 / shop prefer application_name=web options=-c a=b (pgbouncer)",
            ),
            (
                "postgres://app@h1,h2/x?target_session_attrs=read-write",
                "app - @ h1:5432 h2:5432 / x prefer for read-write",
            ),
            (
                "host=h1,h2 user=app target_session_attrs=primary",
                "app - @ h1:5432 h2:5432 / app prefer for primary",
            ),
            (
                "postgres://app@h1,h2/x?target_session_attrs=any",
                "app - @ h1:5432 h2:5432 / x prefer",
            ),
            ("postgres://app@h1,h2/x?target_session_attrs=prefer-standby", "BadTarget"),
            ("host=db user=app", "app - @ db:5432 / app prefer"),
            (
                " host = h1,h2 port=9 user=app password='a \\'b\\\\' dbname=my\\ shop sslmode=allow ",
                "app a 'b\\ @ h1:9 h2:9 / my shop allow",
            ),
            (
                "host=db hostaddr=10.0.0.1 user=app password=''",
                "app - @ db=10.0.0.1:5432 / app prefer",
            ),
            ("hostaddr=10.0.0.1,::1 user=app", "app - @ 10.0.0.1:5432 [::1]:5432 / app prefer"),
            (
                "host=h1,h2,/tmp hostaddr=10.0.0.1,,10.0.0.3 user=app",
                "app - @ h1=10.0.0.1:5432 h2:5432 10.0.0.3:5432 / app prefer",
            ),
            ("", "NotOne"),
            ("mysql://app@db/shop", "NotOne"),
            ("postgresqlx://app@db/shop", "NotOne"),
            ("db.example.com", "NotOne"),
            ("postgres://db/shop", "NoUser"),
            ("postgres://app@/shop", "NoHost"),
            ("postgres://app@h1,/shop", "NoHost"),
            ("postgres://app:pa/ss@db/shop", "Unescaped"),
            ("postgres://app:pa?ss@db/shop", "Unescaped"),
            ("postgres://app:pa#ss@db/shop", "Unescaped"),
            ("postgres://app:p@x/y@db/shop", "Unescaped"),
            ("postgres://app:100%@db/shop", "BadEscape"),
            ("postgres://app:%zz@db/shop", "BadEscape"),
            ("postgres://app:%00@db/shop", "BadEscape"),
            ("postgres://app:%ff@db/shop", "BadEscape"),
            ("postgres://app@db:0/shop", "BadPort"),
            ("postgres://app@db:a/shop", "BadPort"),
            ("postgres://app@[::1]5/shop", "BadPort"),
            ("postgres://app@db/shop?sslmode", "BadParameter"),
            ("postgres://app@db/shop?sslmode=maybe", "BadSslMode"),
            ("postgres://app@db/shop?ssl=maybe&sslmode=require", "BadSslMode"),
            ("postgres://app@db/shop?sslnegotiation=tls", "BadNegotiation"),
            ("postgres://app@db/shop?channel_binding=allow", "BadChannelBinding"),
            ("postgres://app@db/shop?sslsni=true", "BadSni"),
            ("host=a,b,c port=1,2 user=app", "UnevenPorts"),
            ("host=a,b hostaddr=10.0.0.1 user=app", "UnevenAddresses"),
            ("host=db user='app", "OpenQuote"),
            ("host=db app", "BadParameter"),
            ("=db", "BadParameter"),
        ] {
            assert_eq!(summary(text), expected, "{text}");
        }
    }

    #[test]
    fn the_stricter_of_sslmode_and_ssl_counts() {
        for (query, mode) in [
            ("", "prefer"),
            ("sslmode=allow", "allow"),
            ("sslmode=require", "require"),
            ("sslmode=verify-ca", "verify-ca"),
            ("sslmode=verify-full", "verify-full"),
            ("ssl=true", "require"),
            ("ssl=1", "require"),
            ("ssl=verify-full", "verify-full"),
            ("ssl=false", "disable"),
            ("ssl=true&sslmode=prefer", "require"),
            ("ssl=true&sslmode=verify-full", "verify-full"),
            ("ssl=false&sslmode=verify-full", "verify-full"),
            ("sslrootcert=system", "verify-full"),
            ("sslrootcert=system&sslmode=require", "require"),
            ("sslrootcert=root.pem", "prefer"),
        ] {
            let url = parse(&format!("postgres://app@db/shop?{query}")).expect(query);
            assert_eq!(url.tls.mode.as_str(), mode, "{query}");
        }
    }

    #[test]
    fn parameters_of_tls_are_read() {
        let parsed = |query: &str| {
            parse(&format!("postgres://app@db/shop?{query}")).map(|url| (url.tls, url.unused))
        };
        let nothing = TlsParameters {
            mode: SslMode::Prefer,
            roots: None,
            certificate: None,
            key: None,
            negotiation: Negotiation::Postgres,
            channel_binding: ChannelBinding::Prefer,
            sni: true,
        };
        assert_eq!(parsed("sslrootcert=&sslcert=&sslsni=1"), Ok((nothing, vec![])));
        let everything = TlsParameters {
            mode: SslMode::VerifyCa,
            roots: Some(Roots::File(PathBuf::from("/etc/my roots.pem"))),
            certificate: Some(PathBuf::from("client.pem")),
            key: Some(PathBuf::from("client.key")),
            negotiation: Negotiation::Direct,
            channel_binding: ChannelBinding::Require,
            sni: false,
        };
        let query = "sslmode=verify-ca&sslrootcert=/etc/my%20roots.pem&sslcert=client.pem&\
                     sslkey=client.key&sslnegotiation=direct&channel_binding=require&sslsni=0&\
                     sslcrl=x";
        assert_eq!(parsed(query), Ok((everything, vec!["sslcrl".to_owned()])));
    }

    #[test]
    fn no_connection_string_panics() {
        let whole = "postgresql+x://a:%41@[::1]:1,h2:2/d%62?host=/tmp&user='x\\y'#é=";
        for from in 0..whole.len() {
            for to in from..=whole.len() {
                if let Some(part) = whole.get(from..to) {
                    for text in [part.to_owned(), format!("postgres://{part}")] {
                        let hosts = parse(&text).map(|url| url.hosts.len());
                        assert_ne!(hosts, Ok(0), "{text}");
                    }
                }
            }
        }
    }
}
