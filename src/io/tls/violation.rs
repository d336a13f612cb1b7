//! What ends a TLS connection that is not a failed transport: what the peer did wrong, and the alert that says so to it.
#![forbid(unsafe_code)]

use std::fmt;
use std::io;

use rustls::{AlertDescription, Error};

/// Why a connection cannot go on behind its handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Violation {
    /// What is said to the peer; nothing if it was the peer who gave up.
    pub(super) alert: Option<AlertDescription>,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Rule(&'static str),
    Alerted(AlertDescription),
}

impl Violation {
    pub(super) fn new(alert: AlertDescription, rule: &'static str) -> Self {
        Self { alert: Some(alert), what: What::Rule(rule) }
    }

    pub(super) fn unexpected(rule: &'static str) -> Self {
        Self::new(AlertDescription::UnexpectedMessage, rule)
    }

    /// The peer gave up.
    pub(super) fn alerted(description: AlertDescription) -> Self {
        Self { alert: None, what: What::Alerted(description) }
    }

    /// A record that could not be opened.
    pub(super) fn of_record(error: Error) -> Self {
        match error {
            Error::DecryptError => Self::new(AlertDescription::BadRecordMac, "a record cannot be decrypted"),
            Error::PeerSentOversizedRecord => {
                Self::new(AlertDescription::RecordOverflow, "the content of a record is too long")
            }
            Error::PeerMisbehaved(_) => Self::unexpected("the content of a record has no type that may come"),
            other => Self::internal(other),
        }
    }

    /// A ticket that could not be read.
    pub(super) fn of_ticket(error: &Error) -> Self {
        match error {
            Error::InvalidMessage(_) => Self::new(AlertDescription::DecodeError, "a ticket that is none"),
            _ => Self::new(AlertDescription::IllegalParameter, "a ticket that cannot be"),
        }
    }

    /// Something that the peer is not to blame for.
    #[expect(clippy::needless_pass_by_value, reason = "it is where errors end")]
    pub(super) fn internal(error: Error) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, "a TLS record cannot be protected");
        Self::new(AlertDescription::InternalError, "records cannot be protected any more")
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.what {
            What::Rule(rule) => f.write_str(rule),
            What::Alerted(description) => write!(f, "the peer gave up: {description:?}"),
        }
    }
}

impl std::error::Error for Violation {}

impl From<Violation> for io::Error {
    fn from(violation: Violation) -> Self {
        Self::new(io::ErrorKind::InvalidData, violation)
    }
}
