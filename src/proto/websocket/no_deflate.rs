//! In place of the codecs of permessage-deflate in a build without the feature `compression`: there are none.
#![forbid(unsafe_code)]
#![expect(clippy::needless_pass_by_ref_mut, reason = "as the codecs")]

use std::convert::Infallible;

use super::fault::Fault;

/// No compressor exists.
#[derive(Debug)]
pub struct Deflater(Infallible);

impl Deflater {
    /// Never called: nothing is negotiated.
    #[must_use]
    pub fn new(_level: u8, _window_bits: u8) -> Self {
        unreachable!("permessage-deflate is not negotiated without the feature `compression`")
    }

    /// Never called.
    #[must_use]
    pub fn window_bits(&self) -> u8 {
        match self.0 {}
    }

    /// Never called.
    pub fn compress(&mut self, _message: &[u8], _level: u8, _out: &mut Vec<u8>) {
        match self.0 {}
    }

    /// Never called.
    pub fn reset(&mut self) {
        match self.0 {}
    }
}

/// Nothing.
#[must_use]
pub const fn deflater_bytes(_window_bits: u8) -> usize {
    0
}

/// Nothing.
pub const INFLATER_BYTES: usize = 0;

/// No inflater exists.
#[derive(Debug)]
pub struct Inflater(Infallible);

/// How far a step of unpacking came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(dead_code, reason = "nothing is unpacked")]
pub(super) enum Inflated {
    All,
    Full(usize),
}

impl Inflater {
    /// Never called: nothing is negotiated.
    #[must_use]
    pub fn new() -> Self {
        unreachable!("permessage-deflate is not negotiated without the feature `compression`")
    }

    pub(super) fn inflate(&mut self, _: &[u8], _: &mut Vec<u8>, _: usize) -> Result<Inflated, Fault> {
        match self.0 {}
    }

    pub(super) fn end_message(&mut self, _: &mut Vec<u8>, _: usize, _: usize) -> Result<Inflated, Fault> {
        match self.0 {}
    }

    pub(super) fn reset(&mut self) {
        match self.0 {}
    }
}

impl Default for Inflater {
    fn default() -> Self {
        Self::new()
    }
}
