//! Tokens.
#![forbid(unsafe_code)]
