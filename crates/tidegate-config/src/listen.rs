//! Addresses to listen on, as people write them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use crate::config::ListenAddress;

/// `sockaddr_un.sun_path` holds 108 bytes on Linux, the closing zero included (unix(7)).
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// Reads one address; an error says why it is none.
pub(crate) fn parse(text: &str) -> Result<ListenAddress, &'static str> {
    if let Some(path) = text.strip_prefix("unix:") {
        if !path.starts_with('/') {
            return Err("a socket whose path is not absolute");
        }
        if path.len() > SOCKET_PATH_BYTES_MAX {
            return Err("a socket whose path is longer than 107 bytes");
        }
        return Ok(ListenAddress::Unix(PathBuf::from(path)));
    }
    let (host, port) = text.rsplit_once(':').ok_or("an address without a port")?;
    let port: u16 = port.parse().map_err(|_| "an address without a port between 0 and 65535")?;
    let ip = match host {
        // Every kernel with IPv6 takes IPv4 connections here too, unless told otherwise.
        "" | "*" => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
        _ => {
            let v6 = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
            match (v6, host.parse()) {
                (Some(v6), _) => v6.parse().map(IpAddr::V6).ok(),
                (None, Ok(v4)) => Some(IpAddr::V4(v4)),
                (None, Err(_)) => None,
            }
            .ok_or("not an IP address with a port")?
        }
    };
    Ok(ListenAddress::Tcp(SocketAddr::new(ip, port)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        for (text, shown) in [
            ("127.0.0.1:6543", "127.0.0.1:6543"),
            ("[::1]:6543", "[::1]:6543"),
            (":6543", "[::]:6543"),
            ("*:6543", "[::]:6543"),
            ("0.0.0.0:0", "0.0.0.0:0"),
            ("localhost:6543", "127.0.0.1:6543"),
            ("unix:/run/tidegate/.s.PGSQL.6543", "unix:/run/tidegate/.s.PGSQL.6543"),
        ] {
            assert_eq!(parse(text).map(|a| a.to_string()), Ok(shown.to_owned()), "{text}");
        }
        let long = format!("unix:/{}", "a".repeat(107));
        for text in
            ["", "6543", "::1:6543", "db:6543", "1.2.3.4", "1.2.3.4:70000", "unix:run", &long]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn listeners_clash_where_the_kernel_says_so() {
        for (a, b, clash) in [
            ("127.0.0.1:1", "127.0.0.1:1", true),
            ("127.0.0.1:1", "127.0.0.1:2", false),
            ("127.0.0.1:1", "[::1]:1", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
            ("0.0.0.0:1", "127.0.0.1:1", true),
            ("0.0.0.0:1", "[::1]:1", false),
            (":1", "127.0.0.1:1", true),
            (":1", "[::1]:1", true),
            (":1", "0.0.0.0:1", true),
            ("unix:/a", "unix:/a", true),
            ("unix:/a", "unix:/b", false),
        ] {
            let (a, b) = (parse(a).unwrap(), parse(b).unwrap());
            assert_eq!(a.clashes_with(&b), clash, "{a} {b}");
            assert_eq!(b.clashes_with(&a), clash, "{b} {a}");
        }
    }
}
