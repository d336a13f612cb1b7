//! x
pub mod error;
pub mod location;
