//! What comes in pieces: the body of a request, and a part of a multipart body. The readers of whole things stand on it.
#![forbid(unsafe_code)]

use std::future::poll_fn;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::StatusCode;

use crate::conn::RequestBody;
use crate::error::{Error, Result};

/// Something that is read piece by piece. Dropping a wait loses nothing.
pub(crate) trait Pieces {
    /// The next piece; `None` at the end, and again whenever it is asked for later.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>>>;

    /// Whoever waited for a piece does so no more.
    fn give_up(&mut self);
}

/// Somebody who waits for a piece of a source, or for what is made of some, until it is dropped.
pub(crate) struct Waiting<'source, S: Pieces + ?Sized>(pub(crate) &'source mut S);

impl<S: Pieces + ?Sized> Drop for Waiting<'_, S> {
    fn drop(&mut self) {
        self.0.give_up();
    }
}

impl Pieces for RequestBody {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>>> {
        self.poll_chunk(cx).map_err(Error::from)
    }

    fn give_up(&mut self) {
        self.stop_waiting();
    }
}

/// The next piece of `source`.
pub(crate) async fn next(source: &mut (dyn Pieces + '_)) -> Result<Option<Bytes>> {
    let waiting = Waiting(source);
    poll_fn(|cx| waiting.0.poll_piece(cx)).await
}

/// All pieces in one: a view if it is only one, else a copy. `expected` is how many bytes there may be, of which memory
/// is given to a few only before they come; more than `bytes_max` are a 413.
pub(crate) async fn gather(source: &mut (dyn Pieces + '_), expected: u64, bytes_max: usize) -> Result<Bytes> {
    let fits = |length: usize| if length <= bytes_max { Ok(()) } else { Err(too_large(bytes_max)) };
    let Some(first) = next(source).await? else {
        return Ok(Bytes::new());
    };
    fits(first.len())?;
    let Some(second) = next(source).await? else {
        return Ok(first);
    };
    let expected = usize::try_from(expected).unwrap_or(usize::MAX).min(RESERVED_BYTES_MAX);
    let mut whole = BytesMut::with_capacity(expected.max(first.len() + second.len()));
    whole.extend_from_slice(&first);
    whole.extend_from_slice(&second);
    // The pieces hold on to the buffers they came in.
    drop((first, second));
    fits(whole.len())?;
    while let Some(piece) = next(source).await? {
        fits(whole.len() + piece.len())?;
        whole.extend_from_slice(&piece);
    }
    Ok(whole.freeze())
}

fn too_large(bytes_max: usize) -> Error {
    Error::new(StatusCode::PAYLOAD_TOO_LARGE).with_text(format!("a part is longer than {bytes_max} bytes"))
}

/// Memory that an announced length gets before its bytes have come: enough for most bodies to be joined without
/// growing, and little enough to be given to anybody who asks.
const RESERVED_BYTES_MAX: usize = 64 * 1024;
