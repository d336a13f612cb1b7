//! A handshake on bytes: rustls' unbuffered connection, shown one record after the other, until it can be turned into a
//! [`Session`]. Records behind the handshake's last are never shown to it.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::fmt;
use std::io;
use std::sync::Arc;

use bytes::{Buf, BytesMut};
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::{ClientHello, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, UnbufferedStatus};
use rustls::{
    AlertDescription, CipherSuite, ClientConfig, CommonState, ContentType, Error, HandshakeKind,
    ProtocolVersion, ServerConfig,
};

use super::record::Header;
use super::session::{FATAL, Keys, Session};

/// A handshake under way.
pub(crate) struct Handshake {
    role: Role,
    /// Bytes at the front of what has come that rustls has seen, and is not done with.
    shown: usize,
    /// Bytes that the peer may still send before the handshake is over.
    bytes_left: usize,
    server_name: Option<Box<str>>,
}

/// Both sides are rustls' own; only the way to advance is the same.
enum Role {
    Client(UnbufferedClientConnection),
    Server(UnbufferedServerConnection),
}

/// What was agreed on.
#[derive(Debug)]
pub(crate) struct Established {
    pub(crate) version: ProtocolVersion,
    pub(crate) suite: CipherSuite,
    pub(crate) alpn: Option<Vec<u8>>,
    pub(crate) resumed: bool,
    /// The name that the client asked for; known on the server's side.
    pub(crate) server_name: Option<Box<str>>,
    /// The peer's certificates, its own first.
    pub(crate) peer_certificates: Vec<CertificateDer<'static>>,
}

/// Why there will be no connection.
#[derive(Debug)]
#[non_exhaustive]
pub(crate) enum HandshakeError {
    /// The peer ended the connection.
    Ended,
    /// The peer sent more than a handshake may have.
    TooLong,
    /// What the peer sent, or what it is, was not accepted; or it did not accept us.
    Tls(Error),
    /// The carrier failed.
    Carrier(io::Error),
    /// The name that the client asks for is not the one that its rules were found by.
    NameChanged,
}

/// How far a handshake is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// It needs another record, of which so many bytes are missing if that is known.
    Missing(usize),
    Done,
}

/// What a step of rustls' asks for.
enum Next {
    Step,
    Record,
}

thread_local! {
    /// The name in the hello that is being answered on this thread: see [`note_server_name`].
    static SERVER_NAME: Cell<Option<Box<str>>> = const { Cell::new(None) };
}

/// Remembers the name that a client asks for: for the resolver of certificates, who alone is told by rustls, in the
/// middle of a step.
pub(crate) fn note_server_name(hello: &ClientHello<'_>) {
    SERVER_NAME.set(hello.server_name().map(Into::into));
}

impl Handshake {
    /// The server's side. The peer may send `bytes_max` until it is over.
    pub(crate) fn server(config: Arc<ServerConfig>, bytes_max: usize) -> Result<Self, HandshakeError> {
        // Without them the session could not be taken over.
        debug_assert!(config.enable_secret_extraction, "secrets may be extracted");
        Ok(Self::new(Role::Server(UnbufferedServerConnection::new(config)?), bytes_max))
    }

    /// The client's side, with the server of this name.
    pub(crate) fn client(
        config: Arc<ClientConfig>,
        server: ServerName<'static>,
        bytes_max: usize,
    ) -> Result<Self, HandshakeError> {
        debug_assert!(config.enable_secret_extraction, "secrets may be extracted");
        Ok(Self::new(Role::Client(UnbufferedClientConnection::new(config, server)?), bytes_max))
    }

    fn new(role: Role, bytes_max: usize) -> Self {
        Self { role, shown: 0, bytes_left: bytes_max, server_name: None }
    }

    /// Advances as far as what was `received` allows; what is to be sent is appended to `out`, alerts of a failure
    /// included.
    pub(super) fn advance(
        &mut self,
        received: &mut BytesMut,
        out: &mut BytesMut,
    ) -> Result<Progress, HandshakeError> {
        let progress = self.advance_by_records(received, out);
        if let Err(error) = &progress {
            self.drain_alert(out);
            self.alert_in_the_clear(error, out);
        }
        progress
    }

    fn advance_by_records(
        &mut self,
        received: &mut BytesMut,
        out: &mut BytesMut,
    ) -> Result<Progress, HandshakeError> {
        loop {
            while let Next::Step = self.step(received, out)? {}
            if !self.role.state().is_handshaking() {
                return Ok(Progress::Done);
            }
            let unseen = &received[self.shown..];
            let count = match Header::read(unseen) {
                None => return Ok(Progress::Missing(0)),
                // Of what is no record rustls is shown all there is: it knows what to say to that.
                Some(header) if !header.is_plausible() => unseen.len(),
                Some(header) if header.record_bytes() > unseen.len() => {
                    return self
                        .has_room(header.record_bytes())
                        .map(|()| Progress::Missing(header.record_bytes() - unseen.len()));
                }
                Some(header) => header.record_bytes(),
            };
            self.has_room(count)?;
            self.bytes_left -= count;
            self.shown += count;
        }
    }

    fn has_room(&self, bytes: usize) -> Result<(), HandshakeError> {
        if bytes > self.bytes_left { Err(HandshakeError::TooLong) } else { Ok(()) }
    }

    fn step(&mut self, received: &mut BytesMut, out: &mut BytesMut) -> Result<Next, HandshakeError> {
        let shown = &mut received[..self.shown];
        let (discard, next) = match &mut self.role {
            Role::Client(client) => step(client.process_tls_records(shown), out),
            Role::Server(server) => step(server.process_tls_records(shown), out),
        };
        if let Some(name) = SERVER_NAME.take() {
            self.server_name = Some(name);
        }
        received.advance(discard);
        self.shown -= discard;
        next
    }

    /// Takes out what rustls wants to say about a failure. As long as it has something to say, it does not look at what
    /// is shown.
    fn drain_alert(&mut self, out: &mut BytesMut) {
        self.shown = 0;
        while self.role.state().wants_write() && self.step(&mut BytesMut::new(), out).is_ok() {}
    }

    /// Tells the peer what rustls does not, as long as nothing is encrypted.
    fn alert_in_the_clear(&self, error: &HandshakeError, out: &mut BytesMut) {
        let alert = match error {
            HandshakeError::TooLong | HandshakeError::Tls(Error::InvalidMessage(_)) => {
                AlertDescription::DecodeError
            }
            HandshakeError::Tls(Error::PeerMisbehaved(_)) => AlertDescription::UnexpectedMessage,
            _ => return,
        };
        if out.is_empty() && self.role.state().protocol_version().is_none() {
            out.extend_from_slice(&[u8::from(ContentType::Alert), 3, 3, 0, 2, FATAL, alert.into()]);
        }
    }

    /// Takes the finished handshake apart: the session, and what was agreed on.
    pub(super) fn finish(self) -> Result<(Session, Established), HandshakeError> {
        let state = self.role.state();
        let (Some(version), Some(suite)) = (state.protocol_version(), state.negotiated_cipher_suite()) else {
            return Err(Error::HandshakeNotComplete.into());
        };
        let established = Established {
            version,
            suite: suite.suite(),
            alpn: state.alpn_protocol().map(<[u8]>::to_vec),
            resumed: state.handshake_kind() == Some(HandshakeKind::Resumed),
            server_name: self.server_name,
            peer_certificates: state.peer_certificates().map(<[_]>::to_vec).unwrap_or_default(),
        };
        let (secrets, keys) = match self.role {
            Role::Client(client) => {
                let (secrets, keys) = client.dangerous_into_kernel_connection()?;
                (secrets, Keys::Client(Box::new(keys)))
            }
            Role::Server(server) => {
                let (secrets, keys) = server.dangerous_into_kernel_connection()?;
                (secrets, Keys::Server(Box::new(keys)))
            }
        };
        Ok((Session::new(secrets, keys)?, established))
    }
}

impl Role {
    fn state(&self) -> &CommonState {
        match self {
            Self::Client(client) => client,
            Self::Server(server) => server,
        }
    }
}

/// Does what a step asks for. Says how many bytes are done with, and how to go on.
fn step<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    out: &mut BytesMut,
) -> (usize, Result<Next, HandshakeError>) {
    let next = match status.state {
        Ok(ConnectionState::EncodeTlsData(data)) => encode(data, out).map(|()| Next::Step),
        Ok(ConnectionState::TransmitTlsData(data)) => {
            // It is in order behind what was queued before, which is all that rustls wants to know.
            data.done();
            Ok(Next::Step)
        }
        Ok(ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_)) => Ok(Next::Record),
        Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => Err(HandshakeError::Ended),
        // No record behind the handshake is shown, and early data is not offered.
        Ok(_) => Err(Error::General("data inside of a handshake".to_owned()).into()),
        Err(error) => Err(error.into()),
    };
    (status.discard, next)
}

/// Bytes that are made room for at first: more than any message but one with certificates has.
const MESSAGE_BYTES: usize = 512;

fn encode<Data>(mut data: EncodeTlsData<'_, Data>, out: &mut BytesMut) -> Result<(), HandshakeError> {
    let start = out.len();
    out.resize(start + MESSAGE_BYTES, 0);
    loop {
        match data.encode(&mut out[start..]) {
            Ok(count) => {
                out.truncate(start + count);
                return Ok(());
            }
            Err(EncodeError::InsufficientSize(needed)) => out.resize(start + needed.required_size, 0),
            Err(EncodeError::AlreadyEncoded) => {
                return Err(Error::General("a message is encoded once".to_owned()).into());
            }
        }
    }
}

impl From<Error> for HandshakeError {
    fn from(error: Error) -> Self {
        Self::Tls(error)
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended => f.write_str("the peer ended the connection in the middle of the handshake"),
            Self::TooLong => f.write_str("the handshake is too long"),
            Self::Tls(_) => f.write_str("the handshake failed"),
            Self::NameChanged => f.write_str("the client asks for another name than it did at first"),
            Self::Carrier(_) => f.write_str("the connection failed in the middle of the handshake"),
        }
    }
}

impl std::error::Error for HandshakeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Ended | Self::NameChanged | Self::TooLong => None,
            Self::Tls(error) => Some(error),
            Self::Carrier(error) => Some(error),
        }
    }
}
