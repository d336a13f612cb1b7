//! A map of bounded size that forgets what was not asked for of late.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::mem;

use super::Key;

/// Values by key in two generations: what is asked for moves to the young one; when that has half of all, the old one is
/// forgotten. So at least the last half of the keys asked for are known, and never more than all of them.
#[derive(Debug)]
pub(super) struct Recent<V> {
    young: HashMap<Key, V>,
    old: HashMap<Key, V>,
    generation_max: usize,
}

impl<V> Recent<V> {
    pub(super) fn new(keys_max: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), generation_max: (keys_max / 2).max(1) }
    }

    /// The value of a key, made if it is not known.
    pub(super) fn get_or_insert_with(&mut self, key: Key, make: impl FnOnce() -> V) -> &mut V {
        if !self.young.contains_key(&key) {
            let value = self.old.remove(&key).unwrap_or_else(make);
            if self.young.len() >= self.generation_max {
                self.old = mem::take(&mut self.young);
            }
            self.young.insert(key, value);
        }
        self.young.get_mut(&key).expect("inserted if it was not there")
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_stays_and_the_size_is_bounded() {
        let mut recent = Recent::new(100);
        for key in 0..10_000 {
            *recent.get_or_insert_with(Key(key), || 0) = key;
            let kept = *recent.get_or_insert_with(Key(0), || unreachable!("asked for each time"));
            assert_eq!(kept, 0);
            assert!(recent.len() <= 100, "{}", recent.len());
        }
        assert_eq!(*recent.get_or_insert_with(Key(9_999), || unreachable!("just made")), 9_999);
        assert_eq!(*recent.get_or_insert_with(Key(5), || 7), 7, "long forgotten");
    }
}
