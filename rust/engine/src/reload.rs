//! New keys, trust and revocation lists for a node that runs.

use std::sync::Arc;

use ztransport_proto::error::{Error as ProtocolError, Reason};
use ztransport_tls as tls;

use crate::error::{Failure, FailureKind};
use crate::filter::Filter;
use crate::keys::NodeKey;
use crate::link::Phase;
use crate::node::Accept;
use crate::state::Engine;

impl Engine {
    /// Gives a node other keys and trust: handshakes that begin from now on use them, accepted and
    /// dialled alike. Connections go on, but for those whose peer's certificate is on a revocation
    /// list by now: they end at once. Returns how many those were.
    ///
    /// # Errors
    /// `Configuration` for a node that was opened without TLS, and for a material without a
    /// certificate if the node listens. The old material stays in force then.
    pub fn reload_tls(
        &mut self,
        node: NodeKey,
        material: Arc<tls::Material>,
    ) -> Result<usize, Failure> {
        let slot = self.node_slot(node)?;
        self.check_replacement(slot, &material)?;
        self.nodes[slot].settings.tls = Some(material);
        self.nodes[slot].counters.tls_reloads += 1;
        self.now = self.timer.now();
        let links = self.links_of(slot as u32).into_iter();
        Ok(links.filter(|link| self.refuse_revoked(*link)).count())
    }

    fn check_replacement(&self, node: usize, material: &tls::Material) -> Result<(), Failure> {
        let settings = &self.nodes[node].settings;
        let needs_chain = settings.accepts() != Accept::Plaintext && self.is_listening(node);
        let text = if settings.tls.is_none() {
            "this node was opened without TLS: there is nothing to load again"
        } else if needs_chain && !material.can_listen() {
            "a node that listens needs a certificate chain and its private key"
        } else {
            return Ok(());
        };
        Err(Failure::new(FailureKind::Configuration, text))
    }

    fn is_listening(&self, node: usize) -> bool {
        let mut listeners = self.listeners.iter();
        listeners.any(|(_, listener)| listener.node as usize == node)
    }

    /// Ends a connection whose peer's certificate is revoked by the lists that are in force now,
    /// and tells the peer. Returns whether it was.
    pub(crate) fn refuse_revoked(&mut self, slot: usize) -> bool {
        let Err(error) = self.check_revocation(slot) else {
            return false;
        };
        if let Some(codec) = &mut self.links[slot].codec {
            codec.refuse(&ProtocolError::new(
                Reason::IdentityNotAllowed,
                "the certificate was revoked",
            ));
        }
        self.refuse_link(slot, Failure::tls(&error));
        true
    }

    fn check_revocation(&self, slot: usize) -> Result<(), tls::Error> {
        let link = &self.links[slot];
        if link.phase == Phase::Lingering {
            return Ok(());
        }
        let node = self.nodes.get(link.node as usize);
        match (
            &link.filter,
            node.and_then(|node| node.settings.tls.as_ref()),
        ) {
            (Filter::Tls(filter), Some(material)) if !filter.is_made_with(material) => {
                filter.check_revocation(material)
            }
            _ => Ok(()),
        }
    }
}
