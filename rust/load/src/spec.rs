//! What one window is: read from a JSON line and checked.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;
use ztransport_tls as tls;

use crate::schedule::Arrivals;

/// Bytes of a message at most: what a node takes unless told otherwise.
const PAYLOAD_BYTES_MAX: usize = 4 << 20;
/// Connections of a window at most.
const CONNECTIONS_MAX: usize = 10_000;
/// Operations in flight of a window at most, in both loops.
const IN_FLIGHT_MAX: usize = 1 << 20;
/// Length of a window at most, in seconds.
const SECONDS_MAX: f64 = 3_600.0;
/// A published message carries its times in so many bytes.
pub(crate) const STAMP_BYTES: usize = 16;

/// How the connections are secured.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Secured {
    Plain,
    Tls,
    Mtls,
}

/// What one operation is.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// A call and its reply.
    Request,
    /// A message from a publisher to every subscriber.
    Publish,
    /// A new connection, one call on it, and its end.
    Connect,
}

/// When operations begin.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(tag = "mode", rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum Load {
    /// When an earlier one has ended.
    Closed {},
    /// At times of their own.
    Open {
        /// Operations per second.
        rate: f64,
        arrivals: Arrivals,
        #[serde(default)]
        seed: u64,
    },
}

/// One window as the harness asks for it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    pub(crate) address: String,
    secured: Secured,
    #[serde(default = "yes")]
    require_alpn: bool,
    #[serde(default)]
    chain: Option<PathBuf>,
    #[serde(default)]
    key: Option<PathBuf>,
    #[serde(default)]
    trust: Option<PathBuf>,
    /// The name the listener's certificate must carry, if not the host of `address`.
    #[serde(default)]
    server_name: Option<String>,
    #[serde(default = "cipher_suites")]
    cipher_suites: Vec<String>,
    #[serde(default = "groups")]
    groups: Vec<String>,
    pub(crate) cluster: String,
    pub(crate) pattern: Kind,
    pub(crate) subject: String,
    pub(crate) payload_bytes: usize,
    #[serde(default = "one")]
    pub(crate) connections: usize,
    #[serde(default = "one")]
    pub(crate) window: usize,
    #[serde(default)]
    pub(crate) subscribers: usize,
    #[serde(default = "one")]
    pub(crate) publishers: usize,
    pub(crate) load: Load,
    #[serde(default = "in_flight")]
    pub(crate) in_flight_max: usize,
    #[serde(default)]
    pub(crate) warm_up_s: f64,
    pub(crate) seconds: f64,
}

fn yes() -> bool {
    true
}

fn one() -> usize {
    1
}

fn in_flight() -> usize {
    1 << 16
}

/// One suite for all variants of a comparison.
fn cipher_suites() -> Vec<String> {
    vec!["TLS_AES_128_GCM_SHA256".to_owned()]
}

/// One group for all variants of a comparison.
fn groups() -> Vec<String> {
    vec!["X25519".to_owned()]
}

impl Spec {
    /// Reads one line.
    pub(crate) fn parse(line: &str) -> Result<Spec, String> {
        let spec: Spec = serde_json::from_str(line).map_err(|error| error.to_string())?;
        spec.check()?;
        Ok(spec)
    }

    fn check(&self) -> Result<(), String> {
        let payload_min = if self.pattern == Kind::Publish {
            STAMP_BYTES
        } else {
            0
        };
        within(
            "payload_bytes",
            self.payload_bytes,
            payload_min,
            PAYLOAD_BYTES_MAX,
        )?;
        within("connections", self.connections, 1, CONNECTIONS_MAX)?;
        within("publishers", self.publishers, 1, CONNECTIONS_MAX)?;
        within("subscribers", self.subscribers, 0, CONNECTIONS_MAX)?;
        let senders = self.connections.max(self.publishers);
        within("window", self.window, 1, IN_FLIGHT_MAX / senders)?;
        within("in_flight_max", self.in_flight_max, 1, IN_FLIGHT_MAX)?;
        lasts("seconds", self.seconds, 1e-6)?;
        lasts("warm_up_s", self.warm_up_s, 0.0)?;
        if self.pattern == Kind::Publish && self.subscribers == 0 {
            return Err(
                "a publish window needs a subscriber: its deliveries are counted".to_owned(),
            );
        }
        Ok(())
    }

    /// The TLS material; none for plaintext.
    pub(crate) fn tls(&self) -> Result<Option<Arc<tls::Material>>, String> {
        if self.secured == Secured::Plain {
            return Ok(None);
        }
        let mutual = self.secured == Secured::Mtls;
        let own = |path: &Option<PathBuf>| path.clone().filter(|_| mutual).map(tls::Source::Path);
        let trust = self
            .trust
            .clone()
            .ok_or("with TLS, trust names a file of certificates")?;
        let options = tls::Options {
            certificate_chain: own(&self.chain),
            private_key: own(&self.key),
            trust: vec![tls::TrustSource::Source(tls::Source::Path(trust))],
            require_alpn: self.require_alpn,
            cipher_suites: self.cipher_suites.clone(),
            groups: self.groups.clone(),
            ..tls::Options::default()
        };
        if mutual && (self.chain.is_none() || self.key.is_none()) {
            return Err("for mtls, chain and key name the files of a certificate".to_owned());
        }
        let loaded = tls::Material::load(&options);
        loaded.map(Some).map_err(|error| error.to_string())
    }

    /// What to dial, and where that name leads: the two differ with a `server_name`.
    pub(crate) fn target(&self) -> Result<Target, String> {
        let unknown = |why: &dyn std::fmt::Display| format!("address {:?}: {why}", self.address);
        let Some(name) = &self.server_name else {
            let dialled = self.address.clone();
            let leads = self.address.to_socket_addrs().map(Iterator::collect);
            return Ok(Target {
                dialled,
                leads: leads.unwrap_or_default(),
            });
        };
        let leads: Vec<SocketAddr> = self
            .address
            .to_socket_addrs()
            .map_err(|error| unknown(&error))?
            .collect();
        let port = leads
            .first()
            .ok_or_else(|| unknown(&"no such host"))?
            .port();
        if name
            .parse::<IpAddr>()
            .is_ok_and(|ip| leads.iter().all(|to| to.ip() != ip))
        {
            return Err(unknown(&format!("server_name {name} is another address")));
        }
        Ok(Target {
            dialled: format!("{name}:{port}"),
            leads,
        })
    }
}

/// Whom to dial.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) dialled: String,
    /// The answer when the engine asks for the name's addresses.
    pub(crate) leads: Vec<SocketAddr>,
}

fn within(name: &str, value: usize, min: usize, max: usize) -> Result<(), String> {
    if (min..=max).contains(&value) {
        Ok(())
    } else {
        Err(format!("{name} is {value}: choose {min} to {max}"))
    }
}

fn lasts(name: &str, seconds: f64, min: f64) -> Result<(), String> {
    if (min..=SECONDS_MAX).contains(&seconds) {
        Ok(())
    } else {
        Err(format!("{name} is {seconds}: choose at most {SECONDS_MAX}"))
    }
}
