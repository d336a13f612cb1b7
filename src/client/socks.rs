//! A connection through a SOCKS proxy (RFC 1928): what is said before anything of HTTP.
#![forbid(unsafe_code)]

use super::error::{Error, ErrorKind};
use super::proxy::Via;
use crate::conn::client::ClientConnection;
use crate::proto::socks5::{self, Socks5Error, Target};

/// Why there is no connection.
pub(super) enum Fault {
    /// The proxy is not to be spoken to, whatever it is asked for.
    Proxy(Error),
    /// The proxy could not reach the target.
    Target(Error),
}

impl Fault {
    pub(super) fn into_error(self) -> Error {
        match self {
            Self::Proxy(error) | Self::Target(error) => error,
        }
    }
}

impl From<Socks5Error> for Fault {
    fn from(fault: Socks5Error) -> Self {
        let error = Error::new(ErrorKind::Proxy).with_source(fault);
        if matches!(fault, Socks5Error::Refused(_)) { Self::Target(error) } else { Self::Proxy(error) }
    }
}

/// Asks the proxy at the other end of a connection for one to the target, and gives that. The caller sets the time.
///
/// # Cancellation
/// The connection is closed.
pub(super) async fn open(
    mut connection: ClientConnection,
    via: &Via,
    target: Target<'_>,
) -> Result<ClientConnection, Fault> {
    let credentials = via.proxy.credentials();
    let has_credentials = credentials.is_some();
    let read_method = |input: &[u8]| socks5::read_method(input, has_credentials);
    let has_to_sign_in = ask(&mut connection, &socks5::greeting(has_credentials), read_method).await?;
    if let Some(credentials) = credentials.filter(|_| has_to_sign_in) {
        ask(&mut connection, &socks5::sign_in(credentials)?, socks5::read_signed_in).await?;
    }
    ask(&mut connection, &socks5::connect(target)?, socks5::read_connected).await?;
    let silent = connection.into_silent();
    silent.ok_or_else(|| Fault::Proxy(Error::new(ErrorKind::Proxy).with_text("the tunnel is not silent")))
}

/// One question and its reply.
async fn ask<T>(
    connection: &mut ClientConnection,
    question: &[u8],
    read: impl Fn(&[u8]) -> Result<Option<(usize, T)>, Socks5Error>,
) -> Result<T, Fault> {
    let lost = |error| Fault::Proxy(Error::new(ErrorKind::Proxy).with_source(error));
    connection.converse(question, read).await.map_err(lost)?.map_err(Fault::from)
}
