//! Addresses as users write them: `host:port`, `[v6]:port` or `unix:path`.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use crate::error::{Failure, FailureKind};

/// A place to listen on or to dial.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Address {
    /// An IP address and port.
    Ip(SocketAddr),
    /// A host name that must be resolved, and a port.
    Name(String, u16),
    /// A Unix socket.
    Unix(PathBuf),
}

impl Address {
    pub(crate) fn parse(text: &str) -> Result<Address, Failure> {
        if let Some(path) = text.strip_prefix("unix:") {
            return unix(text, path);
        }
        if let Ok(address) = text.parse() {
            return Ok(Address::Ip(address));
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(|| malformed(text))?;
        let port = port.parse().map_err(|_| malformed(text))?;
        if let Some(v6) = host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            let v6: Ipv6Addr = v6.parse().map_err(|_| malformed(text))?;
            return Ok(Address::Ip(SocketAddr::new(IpAddr::V6(v6), port)));
        }
        if host.is_empty() || host.contains([':', '/', ' ']) {
            return Err(malformed(text));
        }
        Ok(Address::Name(host.to_owned(), port))
    }

    /// The name a certificate of this address must carry.
    pub(crate) fn host(&self) -> String {
        match self {
            Address::Ip(address) => address.ip().to_string(),
            Address::Name(host, _) => host.clone(),
            Address::Unix(_) => "localhost".to_owned(),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Ip(address) => write!(formatter, "{address}"),
            Address::Name(host, port) => write!(formatter, "{host}:{port}"),
            Address::Unix(path) => write!(formatter, "unix:{}", path.display()),
        }
    }
}

fn unix(text: &str, path: &str) -> Result<Address, Failure> {
    if path.is_empty() {
        return Err(malformed(text));
    }
    Ok(Address::Unix(PathBuf::from(path)))
}

fn malformed(text: &str) -> Failure {
    let shown: String = text.chars().take(256).collect();
    Failure::new(
        FailureKind::Configuration,
        format!("{shown:?} is not an address: write host:port, [v6]:port or unix:path"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read_and_written_alike() {
        for text in [
            "127.0.0.1:80",
            "[::1]:26502",
            "broker-0.cluster:1",
            "unix:/tmp/zt.sock",
        ] {
            assert_eq!(Address::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn malformed_addresses_say_what_to_write() {
        for text in [
            "",
            "host",
            "host:",
            "host:65536",
            "::1:80",
            "[::1]",
            "unix:",
            "a b:1",
        ] {
            let failure = Address::parse(text).unwrap_err();
            assert_eq!(*failure.kind(), FailureKind::Configuration, "{text}");
        }
    }
}
