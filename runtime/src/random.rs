//! Bytes that nobody can foresee, from the kernel.
#![forbid(unsafe_code)]

use std::cell::RefCell;

use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

/// Bytes that a thread asks the kernel for at a time: a system call for a thousand small keys.
const SUPPLY_BYTES: usize = 4096;

struct Supply {
    bytes: [u8; SUPPLY_BYTES],
    left: usize,
}

thread_local! {
    static SUPPLY: RefCell<Supply> = const { RefCell::new(Supply { bytes: [0; SUPPLY_BYTES], left: 0 }) };
}

/// `N` random bytes, at most 256: for keys and nonces. Each byte is given out once.
///
/// # Panics
/// If the kernel has none, which it has after its first second.
#[must_use]
pub fn bytes<const N: usize>() -> [u8; N] {
    const { assert!(N <= 256, "a few bytes at a time") };
    SUPPLY.with_borrow_mut(|supply| {
        if supply.left < N {
            supply.refill();
        }
        supply.left -= N;
        let mut taken = [0; N];
        let place = &mut supply.bytes[supply.left..supply.left + N];
        taken.copy_from_slice(place);
        place.fill(0);
        taken
    })
}

impl Supply {
    fn refill(&mut self) {
        let mut filled = 0;
        while filled < SUPPLY_BYTES {
            match getrandom(&mut self.bytes[filled..], GetRandomFlags::empty()) {
                Ok(count) => filled += count,
                Err(Errno::INTR) => {}
                Err(error) => panic!("the kernel gives no random bytes: {error}"),
            }
        }
        self.left = SUPPLY_BYTES;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_are_the_same() {
        let mut seen: Vec<[u8; 16]> = (0..1000).map(|_| bytes()).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 1000);
    }
}
