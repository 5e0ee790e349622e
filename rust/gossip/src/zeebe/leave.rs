//! Leaving. A real member goes in silence, and is missed twelve seconds later; but it believes a
//! member that calls itself dead. So we tell all, and over the connection, which loses nothing.

use super::Node;
use super::request::Pending;
use super::settings::FAREWELLS_MAX;
use crate::kryo::{Record, Standing};

impl Node {
    /// Leaves: says so to all members, and takes nothing any more. It is told when
    /// [`Node::is_departed`] says so.
    pub fn leave(&mut self) {
        if std::mem::replace(&mut self.leaving, true) {
            return;
        }
        self.own.incarnation += 1;
        self.own.standing = Some(Standing::Dead);
        (self.probe_at, self.gossip_at) = (None, None);
        self.sync.stop();
        self.rumours.clear();
        self.requests.clear();
        self.pending
            .retain(|_, pending| matches!(pending, Pending::Relay(_)));
        let own = self.own.clone();
        self.broadcast(&own);
        self.bid_farewell();
    }

    fn bid_farewell(&mut self) {
        let members: Vec<Record> = self.pick(FAREWELLS_MAX, None);
        for member in members {
            if let Some(to) = member.address.clone() {
                self.ask_probe(to, &member, Pending::Farewell);
            }
        }
    }

    /// Whether we have left, and all farewells have ended.
    #[must_use]
    pub fn is_departed(&self) -> bool {
        let farewell = |pending: &Pending| matches!(pending, Pending::Farewell);
        self.leaving && !self.pending.values().any(farewell)
    }
}
