//! TLS behind the handshake: records become data, alerts, key updates and tickets (RFC 8446 §4.6, §5, §6; RFC 5246 §6, §7.2).
//!
//! rustls does the handshake and owns all secrets and their succession; its `kernel` interface is made for those who
//! protect records themselves. We do, because rustls' own way copies every record it opens and every one it seals.
#![forbid(unsafe_code)]

use bytes::{Bytes, BytesMut};
use ringhttp_runtime::buffer::WriteBatch;
use rustls::client::ClientConnectionData;
use rustls::crypto::cipher::OutboundChunks;
use rustls::kernel::KernelConnection;
use rustls::server::ServerConnectionData;
use rustls::{
    AlertDescription, ContentType, Error, ExtractedSecrets, HandshakeType, ProtocolVersion,
    SupportedCipherSuite,
};

use super::cipher::{Opener, Sealer};
use super::record::Header;
use super::violation::Violation;

/// The records of both directions of one connection.
pub(super) struct Session {
    opener: Opener,
    sealer: Sealer,
    suite: SupportedCipherSuite,
    keys: Keys,
    /// The peer has said that it sends nothing more.
    ended: bool,
    /// Records since the last that brought data.
    idle_records: u8,
    /// Warnings and requests to renegotiate, which there are in TLS 1.2 only.
    warnings: u8,
    renegotiations: u8,
    /// The peer has asked for our next key, and was not answered.
    update_is_due: bool,
    /// The beginning of a handshake message that spans records; mostly without memory.
    message: Vec<u8>,
}

/// What the secrets come from, by the side that we are.
pub(super) enum Keys {
    Client(Box<KernelConnection<ClientConnectionData>>),
    Server(Box<KernelConnection<ServerConnectionData>>),
}

/// What was found at the front of what has come.
#[derive(Debug)]
pub(super) enum Opened {
    /// The content of a record, where it stood.
    Data(BytesMut),
    /// The peer's `close_notify`: nothing more comes.
    End,
    /// No whole record. So many bytes are missing, if that is known already.
    Partial(usize),
}

/// Records in a row without data: empty ones, key updates, tickets. As BoringSSL allows of each kind.
const IDLE_RECORDS_MAX: u8 = 32;

/// Answers that wait for a peer which does not take them. Half of what peers take in a row, ours as others.
const REPLIES_MAX: usize = 16;

/// Warning alerts of a connection, as BoringSSL allows.
const WARNINGS_MAX: u8 = 4;

/// Requests to renegotiate that are declined politely.
const RENEGOTIATIONS_MAX: u8 = 1;

/// RFC 8446 §4.6.3: the one byte of a key update.
const KEY_UPDATE_BYTES: usize = 1;

/// RFC 8446 §4.6.1: a ticket of 64 KiB, with as much around it.
const TICKET_BYTES_MAX: usize = 1 << 17;

/// A hello that asks to renegotiate: what rustls takes of a first one.
const HELLO_BYTES_MAX: usize = 1 << 16;

/// Slices that are gathered in one record.
const SLICES_MAX: usize = 16;

/// RFC 8446 §4.6.3: the two values of a key update.
const UPDATE_NOT_REQUESTED: u8 = 0;
const UPDATE_REQUESTED: u8 = 1;

/// RFC 8446 §6: the levels of an alert.
const WARNING: u8 = 1;
pub(super) const FATAL: u8 = 2;

impl Session {
    pub(super) fn new(secrets: ExtractedSecrets, keys: Keys) -> Result<Self, Error> {
        let suite = keys.suite();
        Ok(Self {
            opener: Opener::new(suite, secrets.rx)?,
            sealer: Sealer::new(suite, secrets.tx)?,
            suite,
            keys,
            ended: false,
            idle_records: 0,
            warnings: 0,
            renegotiations: 0,
            update_is_due: false,
            message: Vec::new(),
        })
    }

    fn is_tls13(&self) -> bool {
        self.suite.version().version == ProtocolVersion::TLSv1_3
    }

    /// Opens the next record that brings something for the application. What has to be answered is answered into
    /// `replies`.
    pub(super) fn open(
        &mut self,
        received: &mut BytesMut,
        replies: &mut Vec<Bytes>,
    ) -> Result<Opened, Violation> {
        while !self.ended {
            let Some(header) = Header::read(received) else {
                return Ok(Opened::Partial(0));
            };
            self.check_header(&header)?;
            let missing = header.record_bytes().saturating_sub(received.len());
            if missing > 0 {
                return Ok(Opened::Partial(missing));
            }
            // The last record takes the memory behind it along, to be used again when its content is.
            let is_last = header.record_bytes() == received.len();
            let mut record =
                if is_last { std::mem::take(received) } else { received.split_to(header.record_bytes()) };
            let content_type = self.opener.open(&header, &mut record).map_err(Violation::of_record)?;
            if content_type == ContentType::ApplicationData && !record.is_empty() && self.message.is_empty() {
                self.idle_records = 0;
                return Ok(Opened::Data(record));
            }
            self.take_other(content_type, &record, replies)?;
            if is_last {
                record.clear();
                *received = record;
            }
        }
        Ok(Opened::End)
    }

    fn check_header(&self, header: &Header) -> Result<(), Violation> {
        if !header.length_is_allowed(self.is_tls13()) {
            return Err(Violation::new(AlertDescription::RecordOverflow, "a record is too long"));
        }
        // RFC 8446 §5.2: all that is encrypted looks like data from outside, and all is encrypted now.
        if self.is_tls13() && header.content_type != ContentType::ApplicationData {
            return Err(Violation::unexpected("a record that is not encrypted"));
        }
        if header.length < 1 || u16::from(header.version) >> 8 != 3 {
            return Err(Violation::new(AlertDescription::DecodeError, "what came is no record"));
        }
        Ok(())
    }

    /// A record that brings nothing for the application.
    fn take_other(
        &mut self,
        content_type: ContentType,
        content: &[u8],
        replies: &mut Vec<Bytes>,
    ) -> Result<(), Violation> {
        self.idle_records += 1;
        if self.idle_records > IDLE_RECORDS_MAX {
            return Err(Violation::unexpected("too many records without data"));
        }
        if !self.message.is_empty() && content_type != ContentType::Handshake {
            // RFC 8446 §5.1: handshake messages must not be interleaved with other records.
            return Err(Violation::unexpected("a record inside of a handshake message"));
        }
        match content_type {
            ContentType::ApplicationData => Ok(()),
            ContentType::Alert => self.take_alert(content),
            ContentType::Handshake => self.take_handshake(content, replies),
            _ => Err(Violation::unexpected("a record of another type")),
        }
    }

    fn take_alert(&mut self, content: &[u8]) -> Result<(), Violation> {
        if content.is_empty() {
            // RFC 8446 §5.1: nobody may send such a record.
            return Err(Violation::unexpected("an empty alert"));
        }
        let &[level, description] = content else {
            return Err(Violation::new(AlertDescription::DecodeError, "an alert that is none"));
        };
        let description = AlertDescription::from(description);
        if level != WARNING && level != FATAL {
            return Err(Violation::new(AlertDescription::IllegalParameter, "an alert of an unknown level"));
        }
        match description {
            AlertDescription::CloseNotify => self.ended = true,
            // RFC 8446 §6: in TLS 1.3 the level means nothing, and all others are errors.
            AlertDescription::UserCanceled if self.is_tls13() => {}
            _ if !self.is_tls13() && level == WARNING && self.warnings < WARNINGS_MAX => self.warnings += 1,
            _ => return Err(Violation::alerted(description)),
        }
        Ok(())
    }

    fn take_handshake(&mut self, content: &[u8], replies: &mut Vec<Bytes>) -> Result<(), Violation> {
        if content.is_empty() {
            return Err(Violation::unexpected("an empty handshake record"));
        }
        let mut messages = std::mem::take(&mut self.message);
        messages.extend_from_slice(content);
        let mut rest = &messages[..];
        while let &[kind, a, b, c, ref behind @ ..] = rest {
            let kind = HandshakeType::from(kind);
            let length = u32::from_be_bytes([0, a, b, c]) as usize;
            // Nothing is kept of what will not be taken.
            if length > self.message_bytes_max(kind)? {
                return Err(Violation::new(AlertDescription::DecodeError, "a handshake message is too long"));
            }
            let Some((body, others)) = behind.split_at_checked(length) else { break };
            self.take_message(kind, body, others.is_empty(), replies)?;
            rest = others;
        }
        self.message = if rest.is_empty() { Vec::new() } else { rest.to_vec() };
        Ok(())
    }

    /// How long a handshake message of this kind may be, if it may come at all.
    fn message_bytes_max(&self, kind: HandshakeType) -> Result<usize, Violation> {
        match (kind, self.is_tls13(), &self.keys) {
            (HandshakeType::KeyUpdate, true, _) => Ok(KEY_UPDATE_BYTES),
            (HandshakeType::NewSessionTicket, true, Keys::Client(_)) => Ok(TICKET_BYTES_MAX),
            (HandshakeType::HelloRequest, false, Keys::Client(_)) => Ok(0),
            (HandshakeType::ClientHello, false, Keys::Server(_)) => Ok(HELLO_BYTES_MAX),
            _ => Err(Violation::unexpected("a handshake message that may not come now")),
        }
    }

    fn take_message(
        &mut self,
        kind: HandshakeType,
        body: &[u8],
        is_last: bool,
        replies: &mut Vec<Bytes>,
    ) -> Result<(), Violation> {
        match (kind, &mut self.keys) {
            // RFC 8446 §5.1: the keys may not change inside of a record.
            (HandshakeType::KeyUpdate, _) if is_last => self.update_keys(body, replies),
            (HandshakeType::NewSessionTicket, Keys::Client(keys)) => {
                keys.handle_new_session_ticket(body).map_err(|error| Violation::of_ticket(&error))
            }
            (HandshakeType::HelloRequest | HandshakeType::ClientHello, _)
                if self.renegotiations < RENEGOTIATIONS_MAX =>
            {
                // RFC 5746 §4.5: who does not renegotiate says so, and the connection goes on.
                self.renegotiations += 1;
                replies.push(self.alert(WARNING, AlertDescription::NoRenegotiation)?);
                Ok(())
            }
            _ => Err(Violation::unexpected("a handshake message that may not come now")),
        }
    }

    /// RFC 8446 §4.6.3: what the peer sends from now on has its next key, and so has what we send if it asks for that. A
    /// peer that asks and takes no answers gets one for all that it did not take, in front of the next data.
    fn update_keys(&mut self, body: &[u8], replies: &mut Vec<Bytes>) -> Result<(), Violation> {
        let requested = match body {
            [UPDATE_NOT_REQUESTED] => false,
            [UPDATE_REQUESTED] => true,
            [_] => {
                return Err(Violation::new(AlertDescription::IllegalParameter, "a key update of no kind"));
            }
            _ => return Err(Violation::new(AlertDescription::DecodeError, "a key update that is none")),
        };
        let secrets = self.keys.update_receiving().map_err(Violation::internal)?;
        self.opener = Opener::new(self.suite, secrets).map_err(Violation::internal)?;
        if requested && replies.len() < REPLIES_MAX {
            replies.push(self.refresh_sealer()?);
        } else {
            self.update_is_due |= requested;
        }
        Ok(())
    }

    /// Changes to our next key; what is returned says so to the peer.
    fn refresh_sealer(&mut self) -> Result<Bytes, Violation> {
        let update = [u8::from(HandshakeType::KeyUpdate), 0, 0, 1, UPDATE_NOT_REQUESTED];
        let update = self.seal(ContentType::Handshake, OutboundChunks::Single(&update))?;
        let secrets = self.keys.update_sending().map_err(Violation::internal)?;
        self.sealer = Sealer::new(self.suite, secrets).map_err(Violation::internal)?;
        self.update_is_due = false;
        Ok(update)
    }

    /// Seals the next bytes of `batch`, at most `bytes_max`, as one record, and says how many they were.
    pub(super) fn seal_next(
        &mut self,
        batch: &mut WriteBatch,
        bytes_max: usize,
        records: &mut Vec<Bytes>,
    ) -> Result<usize, Violation> {
        if self.update_is_due || self.sealer.is_worn_out() {
            if !self.is_tls13() {
                return Err(Violation::new(AlertDescription::InternalError, "the key is worn out"));
            }
            records.push(self.refresh_sealer()?);
        }
        let mut slices: [&[u8]; SLICES_MAX] = [&[]; SLICES_MAX];
        let (mut count, mut bytes) = (0, 0);
        for (slice, piece) in slices.iter_mut().zip(batch.pieces()) {
            *slice = &piece[..piece.len().min(bytes_max - bytes)];
            bytes += slice.len();
            count += 1;
            if bytes == bytes_max {
                break;
            }
        }
        records.push(self.seal(ContentType::ApplicationData, OutboundChunks::new(&slices[..count]))?);
        batch.advance(bytes);
        Ok(bytes)
    }

    /// RFC 8446 §6.1: says that we send nothing more.
    pub(super) fn close_notify(&mut self) -> Result<Bytes, Violation> {
        self.alert(WARNING, AlertDescription::CloseNotify)
    }

    /// Says what the peer did wrong.
    pub(super) fn fatal_alert(&mut self, description: AlertDescription) -> Result<Bytes, Violation> {
        self.alert(FATAL, description)
    }

    fn alert(&mut self, level: u8, description: AlertDescription) -> Result<Bytes, Violation> {
        self.seal(ContentType::Alert, OutboundChunks::Single(&[level, description.into()]))
    }

    fn seal(&mut self, content_type: ContentType, content: OutboundChunks<'_>) -> Result<Bytes, Violation> {
        self.sealer.seal(content_type, content).map(Bytes::from).map_err(Violation::internal)
    }

    #[cfg(test)]
    pub(super) fn wear_out_key(&mut self) {
        self.sealer.wear_out();
    }

    /// Seals anything, for peers that misbehave.
    #[cfg(test)]
    pub(super) fn seal_any(&mut self, content_type: ContentType, content: &[u8]) -> Bytes {
        self.seal(content_type, OutboundChunks::Single(content)).expect("it can be sealed")
    }

    #[cfg(test)]
    pub(super) fn refresh_key(&mut self) -> Bytes {
        self.refresh_sealer().expect("TLS 1.3")
    }
}

impl Keys {
    fn suite(&self) -> SupportedCipherSuite {
        match self {
            Self::Client(keys) => keys.negotiated_cipher_suite(),
            Self::Server(keys) => keys.negotiated_cipher_suite(),
        }
    }

    fn update_receiving(&mut self) -> Result<(u64, rustls::ConnectionTrafficSecrets), Error> {
        match self {
            Self::Client(keys) => keys.update_rx_secret(),
            Self::Server(keys) => keys.update_rx_secret(),
        }
    }

    fn update_sending(&mut self) -> Result<(u64, rustls::ConnectionTrafficSecrets), Error> {
        match self {
            Self::Client(keys) => keys.update_tx_secret(),
            Self::Server(keys) => keys.update_tx_secret(),
        }
    }
}
