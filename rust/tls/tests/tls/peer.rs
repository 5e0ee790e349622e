//! Bare rustls connections: peers that do what a filter never would.

use std::sync::Arc;

use rustls::client::WantsClientCert;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    ClientConfig, ClientConnection, ConfigBuilder, Connection, RootCertStore, ServerConfig,
    ServerConnection,
};
use ztransport_tls::Filter;

use crate::authority::{Authority, Node};
use crate::pair::drain;

/// A dialer's configuration that trusts `authority` and offers `protocols`.
pub(crate) fn client_config(authority: &Authority, protocols: &[&[u8]]) -> ClientConfig {
    let mut config = trusting(authority).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    config
}

/// A dialer that speaks zt/1, shows `shown`'s chain and has `held`'s key.
pub(crate) fn client_config_showing(
    authority: &Authority,
    shown: &Node,
    held: &Node,
) -> ClientConfig {
    let own = SingleCertAndKey::from(certified(shown, held));
    let mut config = trusting(authority).with_client_cert_resolver(Arc::new(own));
    config.alpn_protocols = vec![b"zt/1".to_vec()];
    config
}

fn trusting(authority: &Authority) -> ConfigBuilder<ClientConfig, WantsClientCert> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate(&authority.pem())).unwrap();
    ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
}

/// The chain that `shown` shows behind its leaf, with `held`'s key.
fn certified(shown: &Node, held: &Node) -> CertifiedKey {
    let key = PrivateKeyDer::from_pem_slice(held.key.as_bytes()).unwrap();
    let key = provider().key_provider.load_private_key(key).unwrap();
    let behind = shown.chain.strip_prefix(&shown.leaf).unwrap_or_default();
    let rest = CertificateDer::pem_slice_iter(behind.as_bytes()).map(Result::unwrap);
    let chain = std::iter::once(certificate(&shown.leaf)).chain(rest);
    CertifiedKey::new(chain.collect(), key)
}

pub(crate) fn dial(config: ClientConfig) -> ClientConnection {
    ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap()
}

/// A listener that shows `shown`'s certificate, has `held`'s key, and speaks `protocols`.
pub(crate) fn listen(shown: &Node, held: &Node, protocols: &[&[u8]]) -> ServerConnection {
    listen_with(&server_config(shown, held, protocols))
}

pub(crate) fn listen_with(config: &Arc<ServerConfig>) -> ServerConnection {
    ServerConnection::new(config.clone()).unwrap()
}

pub(crate) fn server_config(shown: &Node, held: &Node, protocols: &[&[u8]]) -> Arc<ServerConfig> {
    let own = certified(shown, held);
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(own)));
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    Arc::new(config)
}

/// Carries bytes until neither side has any. Returns the first error of each.
pub(crate) fn exchange(
    filter: &mut Filter,
    plain: &mut Vec<u8>,
    peer: &mut Connection,
) -> (Option<ztransport_tls::Error>, Option<rustls::Error>) {
    let (mut ours, mut theirs) = (None, None);
    loop {
        let from_filter = drain(filter);
        theirs = theirs.or(give(peer, &from_filter));
        let from_peer = written(peer);
        if ours.is_none() {
            ours = filter.handle_input(&from_peer, plain).err();
        }
        if from_filter.is_empty() && from_peer.is_empty() {
            return (ours, theirs);
        }
    }
}

pub(crate) fn give(peer: &mut Connection, mut bytes: &[u8]) -> Option<rustls::Error> {
    while !bytes.is_empty() {
        peer.read_tls(&mut bytes).unwrap();
        if let Err(error) = peer.process_new_packets() {
            return Some(error);
        }
        if peer.process_new_packets().unwrap().peer_has_closed() {
            return None;
        }
    }
    None
}

pub(crate) fn written(peer: &mut Connection) -> Vec<u8> {
    let mut bytes = Vec::new();
    while peer.wants_write() {
        peer.write_tls(&mut bytes).unwrap();
    }
    bytes
}

fn certificate(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

/// One cipher suite, so that a test can seal records with its key.
fn provider() -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites = vec![aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256];
    Arc::new(provider)
}
