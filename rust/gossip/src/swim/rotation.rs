//! Replacing the cluster key as one operation.

#[cfg(test)]
mod model;

use crate::error::Misuse;
use crate::limits::KEY_BYTES;
use crate::time::Time;

use super::{Happened, Node};

/// When the old key is forgotten.
#[derive(Clone, Debug, Default)]
pub(super) struct Turnover {
    retire_at: Option<Time>,
}

impl Turnover {
    pub(super) const fn deadline(&self) -> Option<Time> {
        self.retire_at
    }
}

/// How far a rotation is, as this member sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// The epoch of the new key, or of the only one.
    pub epoch: u8,
    /// Whether the old key is still installed here.
    pub runs: bool,
    /// Members present, ourselves among them.
    pub present: u32,
    /// Those that have installed the key.
    pub installed: u32,
    /// Those that have seen all others install it.
    pub ready: u32,
    /// Names of present members that have not installed it, at most 32.
    pub laggards: Vec<Box<str>>,
}

const LAGGARDS_MAX: usize = 32;

impl Node {
    /// Installs the next cluster key and begins to rotate. Give it to every member, over a channel
    /// that the old key does not protect, in any order and at any time.
    ///
    /// Every member announces that it holds the key, seals to whoever holds it too with it, and
    /// announces when it has seen all members hold it. The old key is forgotten once all have
    /// announced that, and a dissemination later.
    ///
    /// # Errors
    /// [`Misuse`] when nothing is sealed, while a rotation runs, or for an epoch that is not one
    /// above the newest (modulo 256).
    pub fn install_key(
        &mut self,
        now: Time,
        epoch: u8,
        key: &[u8; KEY_BYTES],
    ) -> Result<(), Misuse> {
        if self.leaving || self.departed {
            return Err(Misuse::Departed);
        }
        self.keyring.install(epoch, key)?;
        // Whoever has this key alone was no member to us.
        self.sync.hurry();
        self.redescribe(now, |profile| profile.installed = epoch);
        self.tend_rotation(now);
        Ok(())
    }

    /// How far the rotation is.
    #[must_use]
    pub fn rotation(&self) -> Rotation {
        let epoch = self.keyring.newest();
        let mut rotation = Rotation {
            epoch,
            runs: self.keyring.oldest() != epoch,
            present: 0,
            installed: 0,
            ready: 0,
            laggards: Vec::new(),
        };
        for (_, record) in self
            .table
            .iter()
            .filter(|(_, record)| record.state.is_present())
        {
            let installed = record.profile.installed == epoch;
            rotation.present += 1;
            rotation.installed += u32::from(installed);
            rotation.ready += u32::from(record.profile.ready == epoch);
            if !installed && rotation.laggards.len() < LAGGARDS_MAX {
                rotation.laggards.push(record.profile.name.clone());
            }
        }
        rotation
    }

    /// Whether we surely have a key in common with who says this of itself. A member has the newest
    /// key it has installed, and the one before until it is ready: then it may forget that at any
    /// time. So have we.
    #[inline]
    pub(super) fn has_key_of(&self, installed: u8, ready: u8) -> bool {
        let own = self.profile();
        let has = |epoch| epoch == own.installed || epoch == own.ready;
        has(installed) || has(ready)
    }

    /// Whether what is sealed with the key of `epoch`, which we have, counts from members alone: we
    /// are ready to forget it.
    #[inline]
    pub(super) fn retires(&self, epoch: u8) -> bool {
        let newest = self.keyring.newest();
        epoch != newest && self.profile().ready == newest
    }

    /// The members we greet retire the only key we have. As long as we know nobody, nothing comes of
    /// greeting them again.
    pub(super) fn refused_for_key(&mut self, epoch: u8) {
        if self.is_alone() && epoch == self.keyring.newest() {
            self.end(Happened::KeyRetired);
        }
    }

    /// Looks, once a probe interval, whether the next step of a rotation may be done.
    pub(super) fn tend_rotation(&mut self, now: Time) {
        if self.keyring.oldest() == self.keyring.newest() || self.leaving {
            return;
        }
        let rotation = self.rotation();
        let epoch = rotation.epoch;
        if rotation.installed == rotation.present && self.profile().ready != epoch {
            self.redescribe(now, |profile| profile.ready = epoch);
        }
        let all_ready =
            rotation.ready == rotation.present && rotation.installed == rotation.present;
        if !all_ready {
            self.turnover.retire_at = None;
        } else if self.turnover.retire_at.is_none() {
            let settling = self.settings.dissemination_nanos(rotation.present);
            self.turnover.retire_at = Some(now.after_nanos(settling));
        }
    }

    /// Forgets the old key. What was recorded under it is worthless from now on.
    pub(super) fn tend_turnover(&mut self, now: Time) {
        if self.turnover.retire_at.is_some_and(|at| at <= now) {
            self.turnover.retire_at = None;
            self.keyring.retire();
            self.retired.clear();
        }
    }
}
