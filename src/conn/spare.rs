//! Header maps between two messages: their memory is used again, so that a request and its answer allocate none.
#![forbid(unsafe_code)]

use std::cell::RefCell;

use http::HeaderMap;

/// Maps one core keeps.
const SPARE_MAX: usize = 128;

/// Fields a map may have room for and still be kept.
const CAPACITY_MAX: usize = 64;

thread_local! {
    static SPARE: RefCell<Vec<HeaderMap>> = const { RefCell::new(Vec::new()) };
}

/// An empty map, with memory if there is one.
pub(crate) fn take_headers() -> HeaderMap {
    SPARE.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// Keeps a map's memory for the next message.
pub(crate) fn give_headers(mut headers: HeaderMap) {
    if headers.capacity() == 0 || headers.capacity() > CAPACITY_MAX {
        return;
    }
    headers.clear();
    SPARE.with_borrow_mut(|spare| {
        if spare.len() < SPARE_MAX {
            spare.push(headers);
        }
    });
}
