//! Why a run could not start or did not end well. Owns [`RunError`].
#![forbid(unsafe_code)]

use std::{error, fmt, io};

/// An error of [`run`](crate::run) itself, as opposed to one that the body returned.
#[derive(Debug)]
#[non_exhaustive]
pub enum RunError {
    /// A field of [`RuntimeConfig`](crate::RuntimeConfig), or the environment variable beside it, has an unusable value.
    Config {
        /// The field or variable.
        field: &'static str,
        /// What is wrong with its value.
        reason: String,
    },
    /// The body of a core, or a future it polled itself, panicked.
    CorePanicked {
        /// The core's number.
        core: usize,
        /// The panic's message.
        message: String,
    },
    /// A core could not be started.
    CoreStart {
        /// The core's number.
        core: usize,
        /// What the kernel said.
        source: io::Error,
    },
    /// The driver that was asked for by name is not to be had here.
    DriverUnavailable {
        /// The driver's name.
        driver: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// Something the whole run needs (a socket pair, a thread, a signal handler) was refused.
    Setup {
        /// What was asked for.
        what: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

impl RunError {
    pub(crate) fn config(field: &'static str, reason: impl Into<String>) -> Self {
        Self::Config { field, reason: reason.into() }
    }

    pub(crate) fn setup(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Setup { what, source }
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config { field, reason } => write!(f, "{field}: {reason}"),
            Self::CorePanicked { core, message } => write!(f, "core {core} panicked: {message}"),
            Self::CoreStart { core, .. } => write!(f, "core {core} could not start"),
            Self::DriverUnavailable { driver, .. } => write!(f, "the {driver} driver is not available"),
            Self::Setup { what, .. } => write!(f, "could not make {what}"),
        }
    }
}

impl error::Error for RunError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Config { .. } | Self::CorePanicked { .. } => None,
            Self::CoreStart { source, .. }
            | Self::DriverUnavailable { source, .. }
            | Self::Setup { source, .. } => Some(source),
        }
    }
}

impl From<RunError> for io::Error {
    fn from(error: RunError) -> Self {
        let kind = match &error {
            RunError::Config { .. } => io::ErrorKind::InvalidInput,
            RunError::CorePanicked { .. } => io::ErrorKind::Other,
            RunError::CoreStart { source, .. }
            | RunError::DriverUnavailable { source, .. }
            | RunError::Setup { source, .. } => source.kind(),
        };
        Self::new(kind, error)
    }
}
