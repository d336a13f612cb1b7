//! Compressing.
#![forbid(unsafe_code)]

use std::fmt;
#[cfg(feature = "brotli")]
use std::io::Write as _;

use flate2::{Compress, Compression, FlushCompress, Status};
#[cfg(feature = "zstd")]
use zstd::stream::raw::{self as zstd_raw, CParameter, InBuffer, Operation as _, OutBuffer};

use super::ContentCoding;

/// How much time compressing may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Level {
    /// The least time for a body that is smaller.
    Fast,
    /// What web servers take for answers that are made for one client: gzip and deflate 4, br 4, zstd 3.
    #[default]
    Balanced,
    /// For bodies that are compressed once and sent often: gzip and deflate 9, br 9, zstd 12 with a window of 1 MiB.
    Small,
}

/// Compresses one body, then the next after a [`reset`](Self::reset).
///
/// It holds some 270 KiB for gzip and deflate, and up to some MiB for br and zstd (of zstd 1.3 to 3.5 MiB): a server keeps a few
/// of them per core.
pub struct Encoder {
    coding: ContentCoding,
    level: Level,
    codec: Codec,
}

enum Codec {
    Zlib(Compress),
    #[cfg(feature = "brotli")]
    Brotli(Box<brotli::CompressorWriter<Vec<u8>>>),
    #[cfg(feature = "zstd")]
    Zstd(zstd_raw::Encoder<'static>),
}

impl Encoder {
    /// An encoder for a new body.
    #[must_use]
    pub fn new(coding: ContentCoding, level: Level) -> Self {
        Self { coding, level, codec: Codec::new(coding, level) }
    }

    /// Its coding.
    #[must_use]
    pub fn coding(&self) -> ContentCoding {
        self.coding
    }

    /// How hard it tries.
    #[must_use]
    pub fn level(&self) -> Level {
        self.level
    }

    /// Compresses a piece, and appends what is ready to `out`: nothing, mostly, until some 100 KiB have come. `out` grows by hardly
    /// more than what was put in since it last grew.
    pub fn write(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        match &mut self.codec {
            Codec::Zlib(codec) => zlib(codec, piece, FlushCompress::None, out),
            #[cfg(feature = "brotli")]
            Codec::Brotli(codec) => {
                codec.write_all(piece).expect("memory takes all");
                out.append(codec.get_mut());
            }
            #[cfg(feature = "zstd")]
            Codec::Zstd(codec) => zstd_write(codec, piece, out),
        }
    }

    /// Appends all that was put in and is not out yet, so that the other side can read it now. It costs some bytes, and
    /// compresses less well the more often it is done.
    pub fn flush(&mut self, out: &mut Vec<u8>) {
        match &mut self.codec {
            Codec::Zlib(codec) => zlib(codec, &[], FlushCompress::Sync, out),
            #[cfg(feature = "brotli")]
            Codec::Brotli(codec) => {
                codec.flush().expect("memory takes all");
                out.append(codec.get_mut());
            }
            #[cfg(feature = "zstd")]
            Codec::Zstd(codec) => zstd_drain(out, |room| codec.flush(room)),
        }
    }

    /// Ends the body. Nothing but [`reset`](Self::reset) may follow.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        match &mut self.codec {
            Codec::Zlib(codec) => zlib(codec, &[], FlushCompress::Finish, out),
            #[cfg(feature = "brotli")]
            Codec::Brotli(codec) => {
                let ended = std::mem::replace(codec, brotli_codec(self.level));
                out.append(&mut ended.into_inner());
            }
            #[cfg(feature = "zstd")]
            Codec::Zstd(codec) => zstd_drain(out, |room| codec.finish(room, true)),
        }
    }

    /// Makes it as good as new; its memory stays.
    pub fn reset(&mut self) {
        match &mut self.codec {
            Codec::Zlib(codec) => codec.reset(),
            #[cfg(feature = "brotli")]
            Codec::Brotli(codec) => *codec = brotli_codec(self.level),
            #[cfg(feature = "zstd")]
            Codec::Zstd(codec) => codec.reinit().expect("a context can always be reset"),
        }
    }
}

impl Codec {
    fn new(coding: ContentCoding, level: Level) -> Self {
        match coding {
            ContentCoding::Gzip => Self::Zlib(Compress::new_gzip(zlib_level(level), WINDOW_BITS)),
            ContentCoding::Deflate => Self::Zlib(Compress::new(zlib_level(level), true)),
            #[cfg(feature = "brotli")]
            ContentCoding::Brotli => Self::Brotli(brotli_codec(level)),
            #[cfg(feature = "zstd")]
            ContentCoding::Zstd => Self::Zstd(zstd_codec(level)),
        }
    }
}

fn zlib_level(level: Level) -> Compression {
    Compression::new(match level {
        Level::Fast => 1,
        Level::Balanced => 4,
        Level::Small => 9,
    })
}

fn zlib(codec: &mut Compress, mut input: &[u8], flush: FlushCompress, out: &mut Vec<u8>) {
    loop {
        if out.capacity() == out.len() {
            out.reserve(OUTPUT_STEP_BYTES);
        }
        let before = codec.total_in();
        let status = codec.compress_vec(input, out, flush).expect("the calls are in order");
        let taken = usize::try_from(codec.total_in() - before).expect("no more than there was");
        input = &input[taken..];
        // With room left, all that can come has come.
        let is_done = if flush == FlushCompress::Finish {
            status == Status::StreamEnd
        } else {
            input.is_empty() && out.len() < out.capacity()
        };
        if is_done {
            return;
        }
    }
}

#[cfg(feature = "brotli")]
fn brotli_codec(level: Level) -> Box<brotli::CompressorWriter<Vec<u8>>> {
    let quality = match level {
        Level::Fast => 1,
        Level::Balanced => 4,
        Level::Small => 9,
    };
    // A window of 256 KiB: more costs memory for each body, and helps only those that are longer.
    Box::new(brotli::CompressorWriter::new(Vec::new(), OUTPUT_STEP_BYTES, quality, 18))
}

#[cfg(feature = "zstd")]
fn zstd_codec(level: Level) -> zstd_raw::Encoder<'static> {
    let of_level = zstd_raw::Encoder::new(match level {
        Level::Fast => 1,
        Level::Balanced => 3,
        Level::Small => 12,
    });
    let mut codec = of_level.expect("the level is one of zstd's");
    if level == Level::Small {
        // By itself it would hold some 50 MiB. With these it is 3.3 MiB, less than at level 3, and what 2.6 MB of program text become
        // is 4 % longer.
        for parameter in [CParameter::WindowLog(20), CParameter::HashLog(18), CParameter::ChainLog(18)] {
            codec.set_parameter(parameter).expect("zstd takes it");
        }
    }
    codec
}

#[cfg(feature = "zstd")]
fn zstd_write(codec: &mut zstd_raw::Encoder<'static>, piece: &[u8], out: &mut Vec<u8>) {
    let mut input = InBuffer::around(piece);
    while input.pos() < piece.len() {
        zstd_step(out, |room| codec.run(&mut input, room));
    }
}

#[cfg(feature = "zstd")]
fn zstd_drain(
    out: &mut Vec<u8>,
    mut step: impl FnMut(&mut OutBuffer<'_, Vec<u8>>) -> std::io::Result<usize>,
) {
    while zstd_step(out, &mut step) > 0 {}
}

#[cfg(feature = "zstd")]
fn zstd_step(
    out: &mut Vec<u8>,
    mut step: impl FnMut(&mut OutBuffer<'_, Vec<u8>>) -> std::io::Result<usize>,
) -> usize {
    out.reserve(OUTPUT_STEP_BYTES);
    let at = out.len();
    step(&mut OutBuffer::around_pos(out, at)).expect("the calls are in order")
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoder").field("coding", &self.coding).finish_non_exhaustive()
    }
}

/// The largest window of deflate: 32 KiB.
const WINDOW_BITS: u8 = 15;

/// By how much the output grows at least.
const OUTPUT_STEP_BYTES: usize = 4 * 1024;
