//! A listener's first step: the ClientHello.
//!
//! ALPN is judged here and before any cryptography, because rustls lets a dialer pass that offers
//! none, and then another protocol's client could be made to speak to us (RFC 9325 section 3.8).

use std::sync::Arc;

use rustls::server::{Accepted, AcceptedAlert, Acceptor, ClientHello};
use rustls::{CipherSuite, Connection, ServerConfig};

use crate::config::ALPN_PROTOCOL;
use crate::error::{Error, ErrorKind};
use crate::material::Material;

/// Sent in the clear, as there is no key before ServerHello (RFC 8446 section 6).
const ALERT_UNEXPECTED_MESSAGE: u8 = 10;
const ALERT_DECODE_ERROR: u8 = 50;
const ALERT_INTERNAL_ERROR: u8 = 80;
const ALERT_USER_CANCELED: u8 = 90;
const ALERT_NO_APPLICATION_PROTOCOL: u8 = 120;

/// Why a dialer is turned away, and the alert record that tells it.
pub(crate) struct Refusal {
    pub(crate) error: Error,
    pub(crate) alert: Vec<u8>,
}

impl Refusal {
    fn new(error: impl Into<Error>, alert: u8) -> Self {
        Self {
            error: error.into(),
            alert: vec![21, 3, 3, 0, 2, 2, alert],
        }
    }

    /// The dialer does not speak TLS.
    pub(crate) fn plaintext() -> Self {
        Self::new(ErrorKind::PlaintextPeer, ALERT_UNEXPECTED_MESSAGE)
    }

    /// The dialer takes too long. No alert says that; this one says that the handshake ends for a
    /// reason that is no failure of the protocol (RFC 8446 section 6.1).
    pub(crate) fn timeout() -> Self {
        Self::new(ErrorKind::HandshakeTimeout, ALERT_USER_CANCELED)
    }

    fn from_rustls(error: rustls::Error, mut alert: AcceptedAlert) -> Self {
        let mut refusal = Self::new(error, ALERT_DECODE_ERROR);
        let mut chosen = Vec::new();
        // rustls has no alert for some of its errors. Writing to memory cannot fail.
        if alert.write_all(&mut chosen).is_ok() && !chosen.is_empty() {
            refusal.alert = chosen;
        }
        refusal
    }
}

/// Answers the ClientHello once all of it has arrived; `None` until then.
pub(crate) fn answer(
    acceptor: &mut Acceptor,
    material: &Material,
    may_be_absent: bool,
) -> Result<Option<Connection>, Refusal> {
    let accepted = match acceptor.accept() {
        Ok(None) => return Ok(None),
        Ok(Some(accepted)) => accepted,
        Err((error, alert)) => return Err(Refusal::from_rustls(error, alert)),
    };
    let config = server_config(material)?;
    check_alpn(&accepted, may_be_absent)?;
    match accepted.into_connection(config) {
        Ok(connection) => Ok(Some(connection.into())),
        Err((error, alert)) => Err(Refusal::from_rustls(error, alert)),
    }
}

fn server_config(material: &Material) -> Result<Arc<ServerConfig>, Refusal> {
    let reason = "is needed to accept TLS connections";
    let missing = || Error::configuration("certificate_chain", reason);
    let config = material.server.clone();
    config.ok_or_else(|| Refusal::new(missing(), ALERT_INTERNAL_ERROR))
}

fn check_alpn(accepted: &Accepted, may_be_absent: bool) -> Result<(), Refusal> {
    let hello = accepted.client_hello();
    let is_acceptable = match hello.alpn() {
        // Its version is refused next, which tells more than its ALPN.
        _ if !offers_tls13(&hello) => true,
        Some(mut offers) => offers.any(|offer| offer == ALPN_PROTOCOL),
        None => may_be_absent,
    };
    match is_acceptable {
        true => Ok(()),
        false => Err(Refusal::new(
            ErrorKind::ALPNRefused,
            ALERT_NO_APPLICATION_PROTOCOL,
        )),
    }
}

/// Whether any cipher suite is one of TLS 1.3, 0x13xx (RFC 8446 appendix B.4).
fn offers_tls13(hello: &ClientHello<'_>) -> bool {
    let is_tls13 = |suite: &CipherSuite| u16::from(*suite) >> 8 == 0x13;
    hello.cipher_suites().iter().any(is_tls13)
}
