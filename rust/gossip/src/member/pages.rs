//! A growable array whose copies share what neither has changed.

use std::sync::Arc;

const PAGE: usize = 64;

/// An array in pages. Cloning costs one pointer a page; the first write to a shared page copies
/// that page alone. So thousands of members with the same view can live in one process.
#[derive(Clone, Debug)]
pub(super) struct Pages<T> {
    pages: Vec<Arc<[T]>>,
    len: usize,
}

impl<T: Clone> Pages<T> {
    pub(super) const fn new() -> Self {
        Self {
            pages: Vec::new(),
            len: 0,
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<&T> {
        self.pages.get(index / PAGE)?.get(index % PAGE)
    }

    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        let page = self.pages.get_mut(index / PAGE)?;
        Arc::make_mut(page).get_mut(index % PAGE)
    }

    pub(super) fn push(&mut self, value: T) {
        let open = !self.len.is_multiple_of(PAGE);
        let page = if open { self.pages.pop() } else { None };
        let before = page.iter().flat_map(|page| page.iter().cloned());
        let page = before.chain([value]).collect();
        self.pages.push(page);
        self.len += 1;
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.pages.iter().flat_map(|page| page.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_keeps_what_it_had() {
        let mut pages = Pages::new();
        (0..200).for_each(|value| pages.push(value));
        let copy = pages.clone();
        *pages.get_mut(70).unwrap() = 7;
        pages.push(200);
        assert_eq!((pages.get(70), copy.get(70)), (Some(&7), Some(&70)));
        assert_eq!((pages.len(), copy.len()), (201, 200));
        assert_eq!(
            copy.iter().copied().collect::<Vec<_>>(),
            (0..200).collect::<Vec<_>>()
        );
        assert!(Arc::ptr_eq(&pages.pages[0], &copy.pages[0]));
        assert!(!Arc::ptr_eq(&pages.pages[1], &copy.pages[1]));
    }
}
