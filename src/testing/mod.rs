//! Helpers for tests: of this library and of what is built with it.
#![forbid(unsafe_code)]

pub mod properties;
pub mod transcript;
