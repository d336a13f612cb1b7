//! A table whose entries stand in the order of their last use.
#![forbid(unsafe_code)]

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

/// A map with an order of use and a sum of weights. Every operation is constant in time; places are used again.
pub(super) struct Lru<K, T> {
    index: HashMap<K, usize>,
    places: Vec<Option<Place<K, T>>>,
    free: Vec<usize>,
    most_recent: usize,
    least_recent: usize,
    weight: usize,
}

struct Place<K, T> {
    key: K,
    value: T,
    weight: usize,
    /// Its neighbours in the order of use.
    newer: usize,
    older: usize,
}

/// No place.
const NONE: usize = usize::MAX;

impl<K, T> Default for Lru<K, T> {
    fn default() -> Self {
        Self {
            index: HashMap::new(),
            places: Vec::new(),
            free: Vec::new(),
            most_recent: NONE,
            least_recent: NONE,
            weight: 0,
        }
    }
}

impl<K: Clone + Eq + Hash, T> Lru<K, T> {
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    pub(super) fn weight(&self) -> usize {
        self.weight
    }

    /// The value of a key, which is the most recently used from now on.
    pub(super) fn get<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<&T>
    where
        K: Borrow<Q>,
    {
        let at = *self.index.get(key)?;
        self.unlink(at);
        self.link_most_recent(at);
        self.places[at].as_ref().map(|place| &place.value)
    }

    /// Adds the value of a key that is not here.
    pub(super) fn insert(&mut self, key: K, value: T, weight: usize) {
        debug_assert!(!self.index.contains_key(&key), "removed before");
        let place = Some(Place { key: key.clone(), value, weight, newer: NONE, older: NONE });
        let at = match self.free.pop() {
            Some(at) => {
                self.places[at] = place;
                at
            }
            None => {
                self.places.push(place);
                self.places.len() - 1
            }
        };
        self.index.insert(key, at);
        self.weight += weight;
        self.link_most_recent(at);
    }

    pub(super) fn remove<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<T>
    where
        K: Borrow<Q>,
    {
        let at = self.index.remove(key)?;
        self.take(at).map(|place| place.value)
    }

    /// Takes the entry out that was used longest ago.
    pub(super) fn pop_least_recent(&mut self) -> Option<(K, T)> {
        let place = self.take(self.least_recent)?;
        self.index.remove(&place.key);
        Some((place.key, place.value))
    }

    fn take(&mut self, at: usize) -> Option<Place<K, T>> {
        if at == NONE {
            return None;
        }
        self.unlink(at);
        let place = self.places[at].take()?;
        self.weight -= place.weight;
        self.free.push(at);
        Some(place)
    }

    fn place(&mut self, at: usize) -> Option<&mut Place<K, T>> {
        self.places.get_mut(at)?.as_mut()
    }

    fn unlink(&mut self, at: usize) {
        let Some(place) = self.place(at) else { return };
        let (newer, older) = (place.newer, place.older);
        match self.place(newer) {
            Some(newer) => newer.older = older,
            None => self.most_recent = older,
        }
        match self.place(older) {
            Some(older) => older.newer = newer,
            None => self.least_recent = newer,
        }
    }

    fn link_most_recent(&mut self, at: usize) {
        let second = std::mem::replace(&mut self.most_recent, at);
        match self.place(second) {
            Some(second) => second.newer = at,
            None => self.least_recent = at,
        }
        if let Some(place) = self.place(at) {
            (place.newer, place.older) = (NONE, second);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::testing::random;

    /// Whatever is done in whatever order: as a plain list that is searched from its front.
    #[test]
    fn it_does_what_a_plain_list_does() {
        let mut lru = Lru::default();
        let mut plain: Vec<(usize, u32, usize)> = Vec::new();
        let mut state = 0x1357_9bdf_2468_ace1;
        for step in 0..50_000_u32 {
            let key = random(&mut state, 40);
            let at = plain.iter().position(|(other, ..)| *other == key);
            match random(&mut state, 4) {
                0 if at.is_none() => {
                    lru.insert(key, step, key);
                    plain.insert(0, (key, step, key));
                }
                1 => {
                    let expected = at.map(|at| plain.remove(at).1);
                    assert_eq!(lru.remove(&key), expected);
                }
                2 if plain.len() > 20 => {
                    let expected = plain.pop().map(|(key, value, _)| (key, value));
                    assert_eq!(lru.pop_least_recent(), expected);
                }
                _ => {
                    let found = at.map(|at| plain.remove(at));
                    assert_eq!(lru.get(&key).copied(), found.map(|(_, value, _)| value));
                    plain.splice(0..0, found);
                }
            }
            assert_eq!(lru.len(), plain.len());
            assert_eq!(lru.weight(), plain.iter().map(|(.., weight)| weight).sum::<usize>());
        }
        assert!(lru.places.len() <= 40, "places are used again");
    }
}
