//! What always holds in the books of a pool.
#![forbid(unsafe_code)]

use std::hash::Hash;

use super::{PoolConfig, Table};

impl<K: Clone + Eq + Hash, T> Table<K, T> {
    /// Checks what always holds, for tests.
    pub(in super::super) fn check(&self, config: &PoolConfig) {
        let in_use = self.slots.iter().filter(|slot| slot.key.is_some());
        assert_eq!(in_use.clone().map(|slot| slot.count).sum::<usize>(), self.total);
        assert_eq!(in_use.clone().map(|slot| slot.idle.len()).sum::<usize>(), self.idle);
        assert_eq!(in_use.clone().map(|slot| slot.waiting.len()).sum::<usize>(), self.waiting);
        assert_eq!(self.keys.len(), in_use.clone().count());
        assert!(self.total <= config.limit, "{} places", self.total);
        for slot in in_use {
            assert!(config.limit_per_key == 0 || slot.count <= config.limit_per_key);
            assert!(slot.is_needed(), "a slot that nobody needs");
            let is_served = slot.idle.is_empty() || slot.waiting.is_empty();
            assert!(is_served || slot.in_use() >= slot.in_use_max, "somebody waits beside an idle item");
        }
        if !self.heads.is_empty() && self.share.is_none() {
            assert_eq!((self.total, self.idle), (config.limit, 0), "somebody waits beside room");
        }
    }
}
