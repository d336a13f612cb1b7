//! What stands in for TLS in builds without it: settings that nobody can have, and an error that says so.
#![forbid(unsafe_code)]

use super::error::{Error, ErrorKind};
use super::location::Location;
use crate::conn::client::ClientConnection;

/// How TLS is spoken.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum ClientTls {}

/// What secures the connections of one client.
#[derive(Default)]
pub(super) struct Securer {}

impl Securer {
    #[expect(clippy::unused_self, reason = "as the one with TLS")]
    pub(super) fn is_built_in(&self) -> Result<(), Error> {
        Err(Error::new(ErrorKind::Tls).with_text("https needs the feature `tls` of ringhttp"))
    }

    #[expect(clippy::unused_async, reason = "the one with TLS waits")]
    pub(super) async fn secure(
        &self,
        _: ClientConnection,
        _: Option<&ClientTls>,
        _: &Location,
    ) -> Result<ClientConnection, Error> {
        Err(Error::new(ErrorKind::Tls))
    }
}
