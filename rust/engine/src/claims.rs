//! Who a peer says it is, and whether it may: judged when it has greeted and before it is answered.

use ztransport_proto::Dialect;
use ztransport_proto::error::{Error as ProtocolError, Reason};
use ztransport_proto::fault::FaultCode;
use ztransport_proto::hello::Hello;
use ztransport_proto::table::Role;
use ztransport_tls::ErrorKind;

use crate::error::{Failure, FailureKind};
use crate::link::{Link, Phase};
use crate::node::{Accept, NodeSettings};
use crate::state::Engine;

impl Engine {
    /// Whether the peer on this link, which has greeted, may call itself what it does.
    pub(crate) fn check_claim(&self, slot: usize) -> Result<(), Failure> {
        let link = &self.links[slot];
        let (Some(node), Some(hello)) = (self.nodes.get(link.node as usize), hello_of(link)) else {
            return Ok(());
        };
        let node_id = &hello.node_id;
        if link.filter.is_plain() {
            check_unproven(&node.settings, node_id)?;
        } else {
            let checked = link.filter.check_claim(node_id, &hello.roles);
            checked.map_err(|error| Failure::tls(&error))?;
        }
        match link.role == Role::Acceptor && !link.filter.is_proven() {
            true => self.check_not_held(link, node_id),
            false => Ok(()),
        }
    }

    /// The node id of whoever has dialled in with a certificate is not to be had without one. That
    /// we have dialled a node with TLS does not matter: that same node may still dial in plaintext
    /// while a cluster is switched.
    fn check_not_held(&self, link: &Link, node_id: &str) -> Result<(), Failure> {
        let holds =
            |other: &Link| is_dialled_in(other, link.node, node_id) && other.filter.is_proven();
        if !self.links.iter().any(|(_, other)| holds(other)) {
            return Ok(());
        }
        let cause = format!(
            "the peer shows no certificate and claims to be node {node_id:?}, which is connected with one"
        );
        Err(not_allowed(
            cause,
            "let it dial with TLS and its certificate",
        ))
    }

    /// Tells the peer that its claim is not believed. What was queued for it is not sent.
    pub(crate) fn refuse_claim(&mut self, slot: usize, failure: Failure) {
        if let Some(codec) = &mut self.links[slot].codec {
            let detail = "the node id or a role is not borne out by a certificate";
            codec.refuse(&ProtocolError::new(Reason::IdentityNotAllowed, detail));
        }
        self.refuse_link(slot, failure);
    }

    /// Whoever shows a certificate takes its node id back: others who dialled in under it, without
    /// a certificate, finish what runs and leave.
    pub(crate) fn displace_unproven(&mut self, slot: usize) {
        let link = &self.links[slot];
        let Some(settings) = self
            .nodes
            .get(link.node as usize)
            .map(|node| &node.settings)
        else {
            return;
        };
        let is_meant = link.role == Role::Acceptor && link.filter.is_proven();
        let (true, Accept::Permissive, Some(node_id)) =
            (is_meant, settings.accepts(), claimed(link))
        else {
            return;
        };
        let until = self.now.after_millis(settings.links.handshake_timeout_ms);
        let displaced =
            |other: &Link| !other.filter.is_proven() && is_dialled_in(other, link.node, node_id);
        let found = self.links.iter().filter(|(_, other)| displaced(other));
        let found: Vec<usize> = found.map(|(slot, _)| slot).collect();
        for slot in found {
            self.dismiss(slot, until);
        }
    }

    fn dismiss(&mut self, slot: usize, until: ztransport_proto::time::Time) {
        let link = &mut self.links[slot];
        let text = "another peer has proven by certificate to be this node";
        if let Some(codec) = &mut link.codec {
            codec.goaway(FaultCode::NotAuthorized, text);
            link.leaving |= codec.leaves_alone();
        }
        link.failure = Some(not_allowed(text.to_owned(), "let it dial with TLS"));
        link.phase_deadline = Some(until);
        self.mark_dirty(slot);
        self.schedule_link(slot);
    }
}

/// Without a certificate nobody is on a list of names, and no name bears out a node id.
fn check_unproven(settings: &NodeSettings, node_id: &str) -> Result<(), Failure> {
    match &settings.tls {
        Some(tls) if !tls.admits_unproven(node_id) => Err(not_allowed(
            format!(
                "the peer speaks plaintext, so that nothing proves that it is node {node_id:?}"
            ),
            "let both sides use TLS, or ask for identities when all nodes do",
        )),
        _ => Ok(()),
    }
}

fn hello_of(link: &Link) -> Option<&Hello> {
    link.codec.as_ref().and_then(Dialect::peer)
}

/// The node id a peer has told; Zeebe's protocol has none.
fn claimed(link: &Link) -> Option<&str> {
    hello_of(link).map(|hello| hello.node_id.as_str())
}

fn is_dialled_in(link: &Link, node: u32, node_id: &str) -> bool {
    let is_open = link.greeted && link.phase != Phase::Lingering;
    let claims = !node_id.is_empty() && claimed(link) == Some(node_id);
    is_open && claims && link.node == node && link.role == Role::Acceptor
}

fn not_allowed(cause: String, remedy: &'static str) -> Failure {
    Failure::new(FailureKind::Tls(ErrorKind::IdentityNotAllowed), cause).remedied(remedy)
}
