//! The compressors and decompressors of one core: a few that all sockets share in turn, and a budget for those that sockets
//! have for themselves.
#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::config::CompressionConfig;
use super::stats::WebSocketStats;
use crate::proto::websocket::{
    DeflateParams, Deflater, INFLATER_BYTES, Inflaters, Role, Takeover, deflater_bytes,
};

thread_local! {
    static CODECS: Codecs = Codecs::default();
}

#[derive(Default)]
struct Codecs {
    inflaters: RefCell<Inflaters>,
    #[expect(
        clippy::vec_box,
        reason = "sockets and blocking threads move the box around, not what is in it"
    )]
    deflaters: RefCell<Vec<Box<Deflater>>>,
    /// What sockets with context takeover hold.
    takeover_bytes: Cell<usize>,
}

/// Compressors that wait for the next message: one is in use at a time, beside those on the blocking pool.
const SPARE_DEFLATERS_MAX: usize = 4;

/// Runs `read` with the core's decompressors.
pub(super) fn with_inflaters<T>(read: impl FnOnce(&mut Inflaters) -> T) -> T {
    CODECS.with(|codecs| read(&mut codecs.inflaters.borrow_mut()))
}

/// Whether a socket with context takeover is within the core's budget, whichever windows it gets.
pub(super) fn has_memory_for_takeover(config: &CompressionConfig) -> bool {
    let needed = deflater_bytes(config.window_bits) + INFLATER_BYTES;
    CODECS.with(|codecs| codecs.takeover_bytes.get() + needed <= config.takeover_bytes_max)
}

/// The compressing side of one socket.
pub(crate) struct Packer {
    takeover: Takeover,
    window_bits: u8,
    /// Its own compressor, if it takes its window over: made with the first message that is compressed.
    own: Option<Box<Deflater>>,
    _charge: Charge,
}

impl Packer {
    /// For what `role` sends.
    pub(super) fn new(agreed: &DeflateParams, role: Role, stats: &Rc<WebSocketStats>) -> Self {
        let (takeover, window_bits) = agreed.of(role);
        let (peer_takeover, _) = agreed.of(role.other());
        let own_bytes = if takeover == Takeover::Kept { deflater_bytes(window_bits) } else { 0 };
        let peer_bytes = if peer_takeover == Takeover::Kept { INFLATER_BYTES } else { 0 };
        Self { takeover, window_bits, own: None, _charge: Charge::new(own_bytes + peer_bytes, stats) }
    }

    /// The payload of a compressed message.
    pub(super) fn pack(&mut self, message: &[u8], level: u8) -> Vec<u8> {
        let mut deflater = self.take();
        let packed = pack_with(&mut deflater, message, level);
        self.give(deflater);
        packed
    }

    /// A compressor, to be used elsewhere and [given](Self::give) back before the next message is compressed.
    pub(super) fn take(&mut self) -> Box<Deflater> {
        match self.own.take() {
            Some(deflater) => deflater,
            None if self.takeover == Takeover::Kept => Box::new(Deflater::new(1, self.window_bits)),
            None => take_deflater(self.window_bits),
        }
    }

    pub(super) fn give(&mut self, deflater: Box<Deflater>) {
        match self.takeover {
            Takeover::Kept => self.own = Some(deflater),
            Takeover::Reset => give_deflater(deflater),
        }
    }

    /// Messages that were compressed by themselves, with a window of this size, may be sent in between. The peer's window has
    /// moved on behind them, ours has not: it begins anew.
    pub(super) fn passes_foreign(&mut self, window_bits: u8) -> bool {
        if self.window_bits < window_bits {
            return false;
        }
        if let Some(own) = &mut self.own {
            own.reset();
        }
        true
    }
}

pub(super) fn pack_with(deflater: &mut Deflater, message: &[u8], level: u8) -> Vec<u8> {
    let mut packed = Vec::new();
    deflater.compress(message, level, &mut packed);
    packed
}

/// A compressor of the core with an empty window.
pub(super) fn take_deflater(window_bits: u8) -> Box<Deflater> {
    let spare = CODECS.with(|codecs| {
        let mut spare = codecs.deflaters.borrow_mut();
        let at = spare.iter().position(|deflater| deflater.window_bits() == window_bits)?;
        Some(spare.swap_remove(at))
    });
    spare.unwrap_or_else(|| Box::new(Deflater::new(1, window_bits)))
}

pub(super) fn give_deflater(mut deflater: Box<Deflater>) {
    // A thread that ends has no spare ones any more.
    let _ = CODECS.try_with(|codecs| {
        let mut spare = codecs.deflaters.borrow_mut();
        if spare.len() < SPARE_DEFLATERS_MAX {
            deflater.reset();
            spare.push(deflater);
        }
    });
}

/// Memory that a socket's own codecs take of the core's budget, as long as it lives.
struct Charge {
    bytes: usize,
    stats: Rc<WebSocketStats>,
}

impl Charge {
    fn new(bytes: usize, stats: &Rc<WebSocketStats>) -> Self {
        CODECS.with(|codecs| codecs.takeover_bytes.set(codecs.takeover_bytes.get() + bytes));
        stats.takeover_bytes.set(stats.takeover_bytes.get() + bytes as u64);
        Self { bytes, stats: Rc::clone(stats) }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        let bytes = self.bytes;
        let _ = CODECS.try_with(|codecs| codecs.takeover_bytes.set(codecs.takeover_bytes.get() - bytes));
        self.stats.takeover_bytes.set(self.stats.takeover_bytes.get() - bytes as u64);
    }
}
