//! Answers between two uses: their memory, that of their fields included, is used again.
#![forbid(unsafe_code)]

use std::cell::RefCell;

use super::response::Parts;

/// Answers a core keeps.
const SPARE_MAX: usize = 64;

/// Fields that an answer may have had room for and its map still be kept.
const FIELDS_KEPT_MAX: usize = 64;

thread_local! {
    #[expect(clippy::vec_box, reason = "an answer moves its box around, not what is in it")]
    static SPARE: RefCell<Vec<Box<Parts>>> = const { RefCell::new(Vec::new()) };
}

/// Memory for an answer, as good as new.
pub(super) fn take() -> Box<Parts> {
    SPARE.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// Keeps an answer's memory for the next one.
pub(super) fn give(mut parts: Box<Parts>) {
    if parts.head.headers.capacity() > FIELDS_KEPT_MAX {
        return;
    }
    parts.reset();
    // A thread that ends keeps none.
    let _ = SPARE.try_with(|spare| {
        let mut spare = spare.borrow_mut();
        if spare.len() < SPARE_MAX {
            spare.push(parts);
        }
    });
}
