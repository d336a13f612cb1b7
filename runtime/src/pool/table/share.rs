//! What a pool takes of a limit over several cores, and gives up for the others.
#![forbid(unsafe_code)]

use std::hash::Hash;

use super::Table;
use crate::pool::grant::Aftermath;
use crate::pool::shared::Share;

impl<K: Clone + Eq + Hash, T> Table<K, T> {
    /// Drops an idle item for another pool that lacks one, or else the next that comes back.
    pub(in crate::pool) fn give_to_others(&mut self, after: &mut Aftermath<T>) {
        if !self.evict(after)
            && let Some(share) = &mut self.share
        {
            share.owe();
        }
    }

    /// Takes one of what all cores share, if need be by giving up an idle item.
    pub(super) fn take_share(&mut self, after: &mut Aftermath<T>) -> bool {
        loop {
            let Some(share) = &self.share else { return true };
            if share.take() {
                return true;
            }
            if !self.evict(after) {
                break;
            }
        }
        // Told to the others first, then tried again: whoever gives one back between the two is not missed.
        self.note_wanted(true);
        self.share.as_ref().is_some_and(Share::take)
    }

    pub(super) fn note_wanted(&mut self, wanted: bool) {
        if let Some(share) = &mut self.share {
            share.want(wanted);
        }
    }

    pub(in crate::pool) fn share(&mut self) -> Option<&mut Share> {
        self.share.as_mut()
    }
}
