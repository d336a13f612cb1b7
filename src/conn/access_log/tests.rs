//! Formats: what is understood, what is refused, and what lines look like.
#![forbid(unsafe_code)]
