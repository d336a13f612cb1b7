//! Messages become frames: compressed if that was agreed on, masked by a client, and put into the wire's queue.
#![forbid(unsafe_code)]

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use ringhttp_runtime::{Blocking, Core};

use super::codec::pack_with;
use super::encoded::{Encoded, SHARED_WINDOW_BITS};
use super::message::{Compression, Message};
use super::outbound::Outgoing;
use super::session::{Inner, Session};
use super::stats::add;
use crate::proto::websocket::{CONTROL_BYTES_MAX, CloseFrame, Deflater, FrameHead, Opcode, Role, mask};

/// A message on the blocking pool.
pub(super) struct Job {
    packing: Blocking<(Box<Deflater>, Vec<u8>)>,
    opcode: Opcode,
    payload: Bytes,
}

impl Job {
    /// Bytes of the message that it holds.
    pub(super) fn len(&self) -> usize {
        self.payload.len()
    }

    /// Waits for the message; `None` if it cannot be compressed there.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<(Box<Deflater>, Vec<u8>)>> {
        Pin::new(&mut self.packing).poll(cx).map(Result::ok)
    }
}

impl Session {
    /// The level that a message is compressed with, if it is.
    fn level(&self, inner: &Inner, message: &Message, compression: Compression) -> Option<u8> {
        let config = self.config.compression.as_ref().filter(|_| inner.packer.is_some())?;
        let by_itself = match message {
            Message::Text(_) => true,
            Message::Binary(_) => config.binary,
            _ => return None,
        };
        match compression {
            Compression::Off => None,
            Compression::Level(level) => Some(level.clamp(1, 9)),
            Compression::Auto => {
                (by_itself && message.len() >= config.threshold_bytes).then_some(config.level)
            }
        }
    }

    /// Whether compressing it would hold the core for too long.
    pub(super) fn is_long_work(&self, inner: &Inner, item: &Outgoing) -> bool {
        let Outgoing::Message(message, compression) = item else { return false };
        let Some(config) = &self.config.compression else { return false };
        message.len() >= config.blocking_bytes_min
            && self.level(inner, message, *compression).is_some()
            && Core::current().is_some()
    }

    /// Compresses a message on the blocking pool. If that has no room, it is sent as it is.
    pub(super) fn begin_job(&self, inner: &mut Inner, item: Outgoing) {
        let Outgoing::Message(message, compression) = item else { return };
        let level = self.level(inner, &message, compression);
        let (Some(core), Some(level), Some(packer)) = (Core::current(), level, &mut inner.packer) else {
            return self.write(inner, Outgoing::Message(message, Compression::Off));
        };
        let opcode = if matches!(message, Message::Text(_)) { Opcode::Text } else { Opcode::Binary };
        let payload = message.into_bytes();
        let (mut deflater, bytes) = (packer.take(), payload.clone());
        let packing = core.spawn_blocking(move || {
            let packed = pack_with(&mut deflater, &bytes, level);
            (deflater, packed)
        });
        inner.outbox.job = Some(Box::new(Job { packing, opcode, payload }));
    }

    pub(super) fn end_job(&self, inner: &mut Inner, packed: Option<(Box<Deflater>, Vec<u8>)>) {
        let Some(job) = inner.outbox.job.take() else { return };
        let (mut head, mut payload) = (FrameHead::whole(job.opcode, job.payload.len()), job.payload);
        if let (Some((deflater, packed)), Some(packer)) = (packed, &mut inner.packer) {
            packer.give(deflater);
            (head.is_compressed, head.length) = (true, packed.len() as u64);
            payload = packed.into();
        }
        self.write_frame(inner, head, payload);
    }

    /// Puts a message into the wire's queue.
    pub(super) fn write(&self, inner: &mut Inner, item: Outgoing) {
        let (message, compression) = match item {
            Outgoing::Message(message, compression) => (message, compression),
            Outgoing::Encoded(encoded) => return self.write_encoded(inner, &encoded),
        };
        let level = self.level(inner, &message, compression);
        let mut head = FrameHead::whole(Opcode::Binary, message.len());
        match &message {
            Message::Text(_) => head.opcode = Opcode::Text,
            Message::Binary(_) => {}
            Message::Ping(_) => head.opcode = Opcode::Ping,
            Message::Pong(_) => head.opcode = Opcode::Pong,
            Message::Piece(piece) => {
                head.is_final = piece.is_last;
                head.opcode = match (piece.is_first, piece.is_text) {
                    (false, _) => Opcode::Continuation,
                    (true, true) => Opcode::Text,
                    (true, false) => Opcode::Binary,
                };
            }
        }
        let mut payload = message.into_bytes();
        if let (Some(level), Some(packer)) = (level, &mut inner.packer) {
            payload = packer.pack(&payload, level).into();
            (head.is_compressed, head.length) = (true, payload.len() as u64);
        }
        self.write_frame(inner, head, payload);
    }

    fn write_encoded(&self, inner: &mut Inner, encoded: &Encoded) {
        if self.role == Role::Client {
            let head = FrameHead::whole(encoded.opcode(), encoded.len());
            return self.write_frame(inner, head, encoded.payload().clone());
        }
        let packer = inner.packer.as_mut().filter(|_| encoded.packed().is_some());
        let may_pack = packer.is_some_and(|packer| packer.passes_foreign(SHARED_WINDOW_BITS));
        let packed = encoded.packed().filter(|_| may_pack);
        let frame = packed.unwrap_or_else(|| encoded.plain()).clone();
        let Some(wire) = &mut inner.wire else { return };
        add(&self.stats.bytes_out, frame.len() as u64);
        wire.output().push_shared(frame);
    }

    pub(super) fn write_close(&self, inner: &mut Inner, frame: &CloseFrame) {
        let mut payload = BytesMut::with_capacity(CONTROL_BYTES_MAX);
        frame.encode(&mut payload);
        self.write_frame(inner, FrameHead::whole(Opcode::Close, payload.len()), payload.freeze());
    }

    fn write_frame(&self, inner: &mut Inner, mut head: FrameHead, payload: Bytes) {
        let Some(wire) = &mut inner.wire else { return };
        let before = wire.output().queued();
        if self.role == Role::Client {
            let key = masking_key();
            head.mask = Some(key);
            head.encode(wire.output().buffer());
            wire.output().push(masked(payload, key));
        } else {
            head.encode(wire.output().buffer());
            wire.output().push(payload);
        }
        add(&self.stats.bytes_out, (wire.output().queued() - before) as u64);
    }
}

/// The payload as a client sends it: masked in place if nobody else has it, in a copy otherwise.
fn masked(payload: Bytes, key: [u8; 4]) -> Bytes {
    let mut payload = payload.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
    mask::apply(key, 0, &mut payload);
    payload.freeze()
}

/// RFC 6455 §5.3: a key that nobody can foresee.
fn masking_key() -> [u8; 4] {
    ringhttp_runtime::random::bytes()
}
