//! Subjects and the numbers that stand for them inside this process: on the wire they are text.

use std::collections::HashMap;
use std::sync::Arc;

/// Names in the order of their first use; the first has number 1.
#[derive(Debug, Default)]
pub(super) struct Names {
    numbers: HashMap<Arc<str>, u16>,
    names: Vec<Arc<str>>,
    /// The number found last: the next message is often for the same subject.
    last: u16,
}

impl Names {
    /// The name with this number, empty when there is none.
    #[inline]
    pub(super) fn name(&self, number: u16) -> &str {
        let index = usize::from(number).wrapping_sub(1);
        self.names.get(index).map_or("", |name| name)
    }

    /// Whether there is a name with this number.
    #[inline]
    pub(super) fn contains(&self, number: u16) -> bool {
        usize::from(number).wrapping_sub(1) < self.names.len()
    }

    /// The number of a name that was used before.
    #[inline]
    pub(super) fn find(&mut self, name: &str) -> Option<u16> {
        if self.last != 0 && self.name(self.last) == name {
            return Some(self.last);
        }
        self.last = *self.numbers.get(name)?;
        Some(self.last)
    }

    /// Gives a new name the next number, unless there are `max` already.
    pub(super) fn insert(&mut self, name: &str, max: u32) -> Option<u16> {
        if self.names.len() >= max as usize {
            return None;
        }
        let number = u16::try_from(self.names.len() + 1).ok()?;
        let name: Arc<str> = name.into();
        self.names.push(Arc::clone(&name));
        self.numbers.insert(name, number);
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_number_and_there_are_so_many() {
        let mut names = Names::default();
        assert_eq!(
            (names.insert("a", 2), names.insert("b", 2)),
            (Some(1), Some(2))
        );
        assert_eq!(
            (names.find("a"), names.find("a"), names.find("b")),
            (Some(1), Some(1), Some(2))
        );
        assert_eq!((names.insert("c", 2), names.find("c")), (None, None));
        assert_eq!((names.name(2), names.name(0), names.name(3)), ("b", "", ""));
        assert!(names.contains(2) && !names.contains(0) && !names.contains(3));
    }
}
