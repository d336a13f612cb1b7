//! Why an exchange failed, as its connection sees it.
#![forbid(unsafe_code)]

use std::fmt;
use std::io;

use super::wait::Waited;
use crate::error::Error;
use crate::proto::{Misuse, PeerError};

/// What ended an exchange before its answer was complete. The connection cannot be used again.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The request cannot be written as one; nothing was sent.
    Misuse(Misuse),
    /// The server broke the protocol.
    Protocol(PeerError),
    /// The connection ended (without an error) or failed while the answer was read.
    Read(Option<io::Error>),
    /// A limit passed.
    Timeout(Waited),
    /// The server switched protocols, and nobody had asked for that.
    UnaskedSwitch,
    /// The body of the request failed, or was not as long as it was said to be.
    Upload(Error),
    /// The connection failed while the request was written, and no answer came.
    Write(io::Error),
}

impl Failure {
    /// Whether the connection was gone, as one is that the server has closed.
    pub(crate) fn is_disconnect(&self) -> bool {
        matches!(self, Self::Read(_) | Self::Write(_))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Misuse(misuse) => misuse.fmt(f),
            Self::Protocol(error) => error.fmt(f),
            Self::Read(None) => f.write_str("the server closed the connection"),
            Self::Read(Some(_)) => f.write_str("the connection failed while the answer was read"),
            Self::Timeout(Waited::FirstByte) => f.write_str("no answer came in time"),
            Self::Timeout(Waited::Read) => f.write_str("nothing more of the answer came in time"),
            Self::Timeout(Waited::Total) => f.write_str("the time of the request was over"),
            Self::Timeout(Waited::Write) => f.write_str("the server took nothing of the request in time"),
            Self::UnaskedSwitch => f.write_str("the server switched protocols without being asked"),
            Self::Upload(_) => f.write_str("the body of the request failed"),
            Self::Write(_) => f.write_str("the connection failed while the request was written"),
        }
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read(Some(error)) | Self::Write(error) => Some(error),
            Self::Upload(error) => Some(error),
            _ => None,
        }
    }
}
