//! An allocator that counts what each thread holds: the core's thread is the one that serves.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

/// Counts what this thread holds more than at the beginning.
pub(crate) struct Growth {
    before: isize,
}

impl Growth {
    /// Begins to count. There is one count for a thread: a second beginning ends the first.
    pub(crate) fn begin() -> Self {
        let before = HELD.get();
        MOST.set(before);
        Self { before }
    }

    /// The most bytes that were held since.
    pub(crate) fn most_bytes(&self) -> isize {
        MOST.get() - self.before
    }
}

struct Counting;

fn count(bytes: isize) {
    // A thread that ends has no counter any more, and nothing to count.
    let _ = HELD.try_with(|held| {
        held.set(held.get() + bytes);
        let _ = MOST.try_with(|most| most.set(most.get().max(held.get())));
    });
}

// SAFETY: every call is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: the caller keeps the contract of `dealloc`, and `pointer` came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;
