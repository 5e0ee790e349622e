//! What a finished handshake agreed on, and whom it proved.

use rustls::{CipherSuite, CommonState, NamedGroup};

use crate::certificate::{Certificate, Name};

/// The outcome of a handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Always `TLSv1.3`.
    pub version: &'static str,
    /// IANA name, such as `TLS_AES_128_GCM_SHA256`.
    pub cipher_suite: String,
    /// Key exchange group in upper case, such as `X25519MLKEM768`.
    pub group: String,
    /// The application protocol, absent if none was agreed.
    pub alpn: Option<Vec<u8>>,
    /// What the peer presented, leaf first, in DER; empty if it presented nothing.
    pub peer_certificates: Vec<Vec<u8>>,
    /// When the peer's leaf ends to be valid, in seconds since 1970.
    pub certificate_not_after: Option<u64>,
    /// Whom the peer's leaf names; present only if a certificate was presented and verified.
    pub identity: Option<Identity>,
}

/// The subject alternative names of a verified certificate, in its order. Printable ASCII only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// DNS names.
    pub dns: Vec<String>,
    /// URIs.
    pub uri: Vec<String>,
    /// IP addresses in their usual text form.
    pub ip: Vec<String>,
}

impl Session {
    /// Reads a connection whose handshake is over; rustls ends none without verifying what the
    /// peer presented.
    pub(crate) fn read(connection: &CommonState) -> Option<Self> {
        let suite = connection.negotiated_cipher_suite()?.suite();
        let group = connection.negotiated_key_exchange_group()?.name();
        let presented = connection.peer_certificates().unwrap_or_default();
        let leaf = presented.first().and_then(|der| Certificate::parse(der));
        Some(Self {
            version: "TLSv1.3",
            cipher_suite: suite_name(suite),
            group: group_name(group),
            alpn: connection.alpn_protocol().map(<[u8]>::to_vec),
            peer_certificates: presented.iter().map(|der| der.to_vec()).collect(),
            certificate_not_after: leaf.as_ref().map(|leaf| leaf.not_after().as_secs()),
            identity: leaf.as_ref().map(Identity::read),
        })
    }
}

impl Identity {
    fn read(leaf: &Certificate) -> Self {
        let mut identity = Self::default();
        for name in leaf.names() {
            match name {
                Name::Dns(text) => identity.dns.push(text),
                Name::Uri(text) => identity.uri.push(text),
                Name::Ip(text) => identity.ip.push(text),
            }
        }
        identity
    }
}

/// The names of what the peer of an established connection has presented.
pub(crate) fn presented_names(connection: &CommonState) -> Vec<Name> {
    let leaf = connection.peer_certificates().and_then(<[_]>::first);
    let parsed = leaf.and_then(|der| Certificate::parse(der));
    parsed.map(|leaf| leaf.names()).unwrap_or_default()
}

/// The IANA name: rustls spells TLS 1.3 suites `TLS13_…`.
pub(crate) fn suite_name(suite: CipherSuite) -> String {
    format!("{suite:?}").replacen("TLS13_", "TLS_", 1)
}

/// The group's name, in upper case whatever its registry entry.
pub(crate) fn group_name(group: NamedGroup) -> String {
    format!("{group:?}").to_ascii_uppercase()
}
