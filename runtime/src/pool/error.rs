//! Why a pool gives nothing.
#![forbid(unsafe_code)]

use std::fmt;

/// Why a pool gives no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PoolError {
    /// The pool was closed.
    Closed,
    /// `PoolConfig::waiting_max` wait already.
    Full,
    /// The time to wait was over.
    Timeout,
}

impl fmt::Display for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "the pool is closed",
            Self::Full => "too many wait for the pool",
            Self::Timeout => "the pool had no place in time",
        })
    }
}

impl std::error::Error for PoolError {}

/// Why [`Pool::get`](super::Pool::get) gives nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GetError<E> {
    /// The pool had no place.
    Pool(PoolError),
    /// No item could be made.
    Make(E),
}

impl<E: fmt::Display> fmt::Display for GetError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pool(error) => error.fmt(f),
            Self::Make(error) => error.fmt(f),
        }
    }
}

impl<E: std::error::Error> std::error::Error for GetError<E> {}
