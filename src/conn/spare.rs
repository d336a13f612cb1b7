//! Responses between two uses: their memory, that of their fields included, is used again, so that an answer allocates none.
#![forbid(unsafe_code)]

use std::cell::RefCell;

use super::response::Parts;

/// Responses one core keeps.
const SPARE_MAX: usize = 128;

thread_local! {
    #[expect(clippy::vec_box, reason = "a response moves its box around, not what is in it")]
    static SPARE: RefCell<Vec<Box<Parts>>> = const { RefCell::new(Vec::new()) };
}

/// Memory for a response, as good as new.
pub(super) fn take_response() -> Box<Parts> {
    SPARE.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// Keeps a response's memory for the next one.
pub(super) fn give_response(mut parts: Box<Parts>) {
    parts.reset();
    SPARE.with_borrow_mut(|spare| {
        if spare.len() < SPARE_MAX {
            spare.push(parts);
        }
    });
}
