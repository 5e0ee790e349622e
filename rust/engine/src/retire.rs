//! Connections that have lived long enough: the greatest age, and the end of the peer's certificate.

use ztransport_proto::Dialect;
use ztransport_proto::table::Role;

use crate::limits::CONNECTION_AGE_SPREAD_PERCENT;
use crate::link::Phase;
use crate::state::Engine;

impl Engine {
    /// A link has greeted: from now on its time runs.
    pub(crate) fn limit_life(&mut self, slot: usize) {
        let node = self.links[slot].node as usize;
        let age_ms = self
            .nodes
            .get(node)
            .map_or(0, |node| node.settings.links.connection_age_max_ms);
        let retire_at = (age_ms > 0).then(|| self.spread(age_ms));
        let now = self.now;
        let link = &mut self.links[slot];
        let left = link.filter.expires_in();
        link.expire_at = left.map(|left| now.after_nanos(nanos(left)));
        link.retire_at = retire_at;
    }

    /// A random moment in the last part of the greatest age.
    fn spread(&mut self, age_ms: u64) -> ztransport_proto::time::Time {
        let nanos = age_ms.saturating_mul(1_000_000);
        let spread = nanos / 100 * CONNECTION_AGE_SPREAD_PERCENT;
        let earlier = self.random_below(spread);
        self.now.after_nanos(nanos - earlier)
    }

    pub(crate) fn is_life_over(&self, slot: usize) -> bool {
        let link = &self.links[slot];
        let ends = [link.retire_at, link.expire_at].into_iter().flatten();
        ends.min().is_some_and(|end| end <= self.now)
    }

    /// One of the ends has come; of the other, if it is later, is nothing to be done any more.
    pub(crate) fn end_life(&mut self, slot: usize) {
        let link = &mut self.links[slot];
        let retire_at = link.retire_at.take();
        let expired = link.expire_at.take_if(|end| *end <= self.now).is_some();
        if link.phase != Phase::Open || link.retired.is_some() {
            return;
        }
        match (link.role, link.peer) {
            _ if expired => self.expire(slot),
            (Role::Dialer, Some(peer)) => {
                self.begin_succession(peer);
            }
            _ if retire_at.is_some() => self.retire_accepted(slot),
            _ => {}
        }
    }

    /// Nothing new is begun over an identity that has run out: calls of a pooled peer wait for the
    /// next connection.
    fn expire(&mut self, slot: usize) {
        let peer = self.links[slot].peer;
        let is_replaced = peer.is_some_and(|peer| self.begin_succession(peer));
        let link = &mut self.links[slot];
        link.retired = Some("certificate_expired");
        link.is_closed_to_new = is_replaced;
        self.say_goaway(slot, "the certificate has expired");
    }

    /// The dialer is told, and dials again. Zeebe's protocol cannot tell it without losing a call.
    fn retire_accepted(&mut self, slot: usize) {
        let link = &mut self.links[slot];
        if link.codec.as_ref().is_none_or(Dialect::leaves_alone) {
            return;
        }
        link.retired = Some("connection_age");
        self.say_goaway(slot, "the connection has reached its greatest age");
    }
}

fn nanos(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
