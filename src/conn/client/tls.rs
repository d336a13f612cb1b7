//! TLS over a client's connection.
#![forbid(unsafe_code)]

use std::future::poll_fn;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use super::{ClientConnection, Phase};
use crate::io::tls::{Handshake, HandshakeError};

impl ClientConnection {
    /// The same connection with TLS over it, behind its handshake with the server of this name, which may send `bytes_max`
    /// until it is over. The caller sets the time.
    ///
    /// # Cancellation
    /// The connection is closed.
    pub(crate) async fn into_tls(
        mut self,
        config: Arc<ClientConfig>,
        server: ServerName<'static>,
        bytes_max: usize,
    ) -> Result<Self, HandshakeError> {
        assert!(self.phase == Phase::Idle && !self.wire.is_filling(), "nothing was asked on it");
        self.wire = self.wire.into_tls(Handshake::client(config, server, bytes_max)?);
        let shaken = poll_fn(|cx| self.wire.poll_handshake(cx)).await;
        if let Err(error) = shaken {
            // What we say about it is to arrive.
            let _ = poll_fn(|cx| self.wire.poll_flush(cx)).await;
            return Err(error);
        }
        Ok(self)
    }
}
