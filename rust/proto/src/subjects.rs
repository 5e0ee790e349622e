//! Subjects and their numbers, which each side gives to the names it uses.

use std::collections::HashMap;
use std::sync::Arc;

use crate::credit::{Receiver, Sender};
use crate::limits::Window;

/// A subject that we use.
#[derive(Debug, Default)]
pub(crate) struct Used {
    /// Our messages on it.
    pub(crate) credit: Sender,
    /// The size of a message that was refused for want of credit.
    pub(crate) wanted: Option<usize>,
}

/// The subjects that we use; the first has number 1.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    numbers: HashMap<Arc<str>, u16>,
    /// The name found last and its number: the next message is often for the same subject.
    last: Option<(Arc<str>, u16)>,
    subjects: Vec<Used>,
}

impl Outgoing {
    /// The number of a name that has been announced.
    #[inline]
    #[must_use]
    pub(crate) fn find(&mut self, name: &str) -> Option<u16> {
        if let Some((last, number)) = &self.last
            && **last == *name
        {
            return Some(*number);
        }
        let (name, number) = self.numbers.get_key_value(name)?;
        self.last = Some((Arc::clone(name), *number));
        Some(*number)
    }

    /// Gives a name the next number, unless there are `max` already.
    pub(crate) fn insert(&mut self, name: &str, max: u32) -> Option<u16> {
        if self.subjects.len() >= max as usize {
            return None;
        }
        let number = u16::try_from(self.subjects.len() + 1).ok()?;
        self.subjects.push(Used::default());
        self.numbers.insert(name.into(), number);
        Some(number)
    }

    /// The subject with this number.
    #[inline]
    pub(crate) fn get_mut(&mut self, number: u16) -> Option<&mut Used> {
        self.subjects.get_mut(usize::from(number).wrapping_sub(1))
    }

    /// Whether this number has been announced.
    #[inline]
    #[must_use]
    pub(crate) fn contains(&self, number: u16) -> bool {
        usize::from(number).wrapping_sub(1) < self.subjects.len()
    }

    /// The subjects on which something was refused and `window` now has room for it.
    pub(crate) fn take_fitting(&mut self, window: Window) -> Vec<u16> {
        let mut fitting = Vec::new();
        for (subject, number) in self.subjects.iter_mut().zip(1..) {
            let fits = |wanted: &mut usize| subject.credit.fits(*wanted, window);
            if subject.wanted.take_if(fits).is_some() {
                fitting.push(number);
            }
        }
        fitting
    }
}

/// A subject that the peer uses.
#[derive(Debug)]
struct Announced {
    name: Box<str>,
    credit: Receiver,
}

/// The subjects that the peer uses.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    subjects: Vec<Announced>,
}

impl Incoming {
    /// Takes an announcement; `false` when the number is not the next one or is above `max`.
    pub(crate) fn insert(&mut self, number: u16, name: &str, max: u32) -> bool {
        let next = self.subjects.len() + 1;
        if usize::from(number) != next || next > max as usize {
            return false;
        }
        self.subjects.push(Announced {
            name: name.into(),
            credit: Receiver::default(),
        });
        true
    }

    /// The name of a subject, empty when it was not announced.
    #[must_use]
    pub(crate) fn name(&self, number: u16) -> &str {
        let subject = self.subjects.get(usize::from(number).wrapping_sub(1));
        subject.map_or("", |subject| &subject.name)
    }

    /// Whether this number has been announced.
    #[inline]
    #[must_use]
    pub(crate) fn contains(&self, number: u16) -> bool {
        usize::from(number).wrapping_sub(1) < self.subjects.len()
    }

    /// The peer's messages on a subject.
    #[inline]
    pub(crate) fn credit_mut(&mut self, number: u16) -> Option<&mut Receiver> {
        let subject = self.subjects.get_mut(usize::from(number).wrapping_sub(1))?;
        Some(&mut subject.credit)
    }

    /// Every subject with its credit.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (u16, &mut Receiver)> {
        self.subjects
            .iter_mut()
            .zip(1..)
            .map(|(subject, number)| (number, &mut subject.credit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w_14_numbers_ascend_and_are_bounded() {
        let (mut ours, mut theirs) = (Outgoing::default(), Incoming::default());
        for (number, name) in [(1, "a"), (2, "b")] {
            assert_eq!(ours.insert(name, 2), Some(number));
            assert!(theirs.insert(number, name, 2));
            assert_eq!((ours.find(name), theirs.name(number)), (Some(number), name));
        }
        assert_eq!(ours.insert("c", 2), None);
        for number in [0, 1, 2, 3, 4] {
            assert!(!theirs.insert(number, "c", 2), "number {number}");
        }
        assert!(!theirs.contains(0) && theirs.contains(2) && !theirs.contains(3));
        assert_eq!(theirs.name(0), "");
    }
}
