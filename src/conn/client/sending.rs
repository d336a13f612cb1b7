//! The way of a request's body to the server.
#![forbid(unsafe_code)]

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use ringhttp_runtime::Core;

use super::{ClientConnection, Failure, Phase, Upload};
use crate::conn::body::Kind;
use crate::proto::http1::Framing;

impl ClientConnection {
    /// Sends what there is to send, as far as the server takes it now. A connection that takes no more may still give the
    /// answer, so that is no failure yet.
    pub(super) fn poll_send(&mut self, cx: &mut Context<'_>) -> Result<(), Failure> {
        if self.write_failure.is_some() {
            return Ok(());
        }
        if self.phase != Phase::Body
            && let Some(held) = &mut self.held
            && held.poll_late(cx).is_ready()
        {
            // The server says nothing: it may not know what it was asked.
            self.release_body();
        }
        if self.upload.is_some() {
            return self.poll_upload(cx);
        }
        if let Poll::Ready(Err(error)) = self.wire.poll_flush(cx) {
            self.write_failure = Some(error);
        }
        Ok(())
    }

    pub(super) fn queue_body(&mut self, kind: Kind, framing: Framing) {
        match kind {
            Kind::Empty => {}
            Kind::Bytes(bytes) => self.wire.output().push(bytes),
            kind => {
                let upload = Upload::new(kind, framing, self.limits.queued_max, self.wait.timers());
                self.upload = upload.map(Box::new);
            }
        }
    }

    /// Lets the body that was held back leave.
    pub(super) fn release_body(&mut self) {
        if let Some((kind, framing)) = self.held.take().and_then(|mut held| held.take()) {
            self.queue_body(kind, framing);
        }
    }

    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Result<(), Failure> {
        if let Some(pause) = &mut self.pause {
            if Pin::new(pause).poll(cx).is_pending() {
                return Ok(());
            }
            self.pause = None;
        }
        let turn_began_at = self.wire.written();
        while let Some(upload) = &mut self.upload {
            let queued = upload.poll_queue(cx, &mut self.wire, self.limits.queued_max);
            let has_more = match queued {
                Poll::Ready(Ok(true)) => {
                    self.upload = None;
                    false
                }
                Poll::Ready(Ok(false)) => true,
                Poll::Ready(Err(error)) => return Err(Failure::Upload(error)),
                Poll::Pending => false,
            };
            let is_flushed = match self.wire.poll_flush(cx) {
                Poll::Ready(Ok(())) => true,
                // The batch is with the kernel, and the queue is free for the next one.
                Poll::Pending => false,
                Poll::Ready(Err(error)) => {
                    self.upload = None;
                    self.write_failure = Some(error);
                    return Ok(());
                }
            };
            let Some(upload) = &mut self.upload else { return Ok(()) };
            let may_go_on = if is_flushed { upload.note_flushed(cx) || has_more } else { has_more };
            if !may_go_on || !self.wire.output().is_empty() {
                return Ok(());
            }
            // A server that takes all at once would have the core to itself, and so would a body that is compressed to nothing.
            let gives_way = upload.gives_way();
            if (gives_way || self.wire.written() - turn_began_at >= TURN_BYTES_MAX)
                && let Some(core) = Core::current()
            {
                let mut pause = core.yield_now();
                if Pin::new(&mut pause).poll(cx).is_pending() {
                    self.pause = Some(pause);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Whether all of the request is with the kernel.
    pub(super) fn is_flushed(&mut self) -> bool {
        !self.wire.is_flushing()
            || matches!(self.wire.poll_flush(&mut Context::from_waker(Waker::noop())), Poll::Ready(Ok(())))
    }
}

/// Bytes of a request that are sent before other connections of the core have their turn.
const TURN_BYTES_MAX: u64 = 1024 * 1024;
