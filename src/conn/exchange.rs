//! The steps of one request and its answer behind the handler: the response is sent, the rest of the request is drained,
//! or the connection is closed in a way that does not take the answer away again.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use http::header::CONNECTION;
use http::{HeaderValue, Method, StatusCode, Version};
use ringhttp_runtime::Core;
use ringhttp_runtime::file::FileSlice;

use super::after;
use super::body::{BodyError, Kind, Part, RequestBody, Stream};
use super::close_reason::CloseReason;
use super::connection::{Connection, Meanwhile};
use super::host::count;
use super::response::Response;
use super::sender::{BodyOutput, BodySender};
use super::server::{Cycle, CycleMethod};
use super::stage::EncodeStage;
use crate::error::{Error, Result};
use crate::proto::http1::{
    ConnectionField, Framing, Implied, ResponseFraming, elements, encode_response_head, response_framing,
};

/// Whether the connection goes on after an answer, and why not.
pub(super) type Close = Option<CloseReason>;

/// How far the writing of a response has come.
pub(super) enum Written<'connection> {
    /// It is queued, or cannot be.
    Now(Result<Close, CloseReason>),
    /// There is more to it than a queue takes at once. In a box: an idle connection has room for its largest step, which
    /// this is not to be.
    Later(Pin<Box<dyn Future<Output = Result<Close, CloseReason>> + 'connection>>),
}

impl Written<'_> {
    /// Waits for the rest.
    pub(super) async fn end(self) -> Result<Close, CloseReason> {
        match self {
            Self::Now(written) => written,
            Self::Later(rest) => rest.await,
        }
    }
}

/// Queues a response, and sends it as far as it has to be sent now: a small one leaves with the next wait of the
/// connection, together with those before and behind it. If there is work behind it, sees to that too.
pub(super) fn write_response<'connection>(
    connection: &'connection Rc<Connection>,
    cycle: &'connection Cycle,
    mut response: Response,
) -> Written<'connection> {
    connection.begin_answer();
    if !response.0.after.is_empty() {
        let work = std::mem::take(&mut response.0.after);
        return Written::Later(Box::pin(after::send(connection, cycle, response, work)));
    }
    if response.0.body.incoming().is_some_and(RequestBody::exceeds_limit) {
        response = Error::from(BodyError::TooLarge).into();
    }
    if response.0.status.is_informational() {
        // The client would take it for an interim response, and wait for the final one.
        let error = format!("{} cannot be the status of a response", response.0.status);
        response = Error::internal(error).into();
    }
    connection.log_failure(&response);
    let framing = framing(cycle, &response);
    let reads_on = framing.body != Framing::Empty && may_read_on(&response);
    if reads_on {
        // RFC 9110 §15.2: an interim response comes before the final one, or not at all.
        connection.send_continue();
    }
    let close = close_after(connection, cycle, &mut response, framing.head, reads_on);
    if let Err(error) = queue_head(connection, cycle, &response, framing.head, close.is_some()) {
        tracing::error!(error = &error as &dyn std::error::Error, "a response cannot be sent");
        let error = Error::new(StatusCode::INTERNAL_SERVER_ERROR);
        return Written::Now(answer(connection, cycle, error, CloseReason::ResponseFailed));
    }
    let (kind, encoder) = match response.into_body_kind() {
        Kind::Encoded(encoded) => (encoded.inner, Some(encoded.encoder)),
        kind => (kind, None),
    };
    if framing.body != Framing::Empty {
        if matches!(kind, Kind::Stream(_) | Kind::Incoming(_) | Kind::File(_)) {
            return Written::Later(Box::pin(async move {
                send_body(connection, kind, framing.body, encoder).await?;
                connection.count_answer();
                Ok(close)
            }));
        }
        queue_body(connection, kind);
    }
    connection.count_answer();
    Written::Now(Ok(close))
}

async fn send_body(
    connection: &Rc<Connection>,
    kind: Kind,
    framing: Framing,
    encoder: Option<Box<dyn EncodeStage>>,
) -> Result<(), CloseReason> {
    match kind {
        Kind::Stream(stream) => send_stream(connection, stream, framing, encoder).await,
        Kind::Incoming(body) => send_incoming(connection, body, framing, encoder).await,
        Kind::File(parts) => send_parts(connection, parts).await,
        kind => {
            queue_body(connection, kind);
            Ok(())
        }
    }
}

/// Lets the queue shrink, and the other connections of the core have their turn: what one read brings is enough for
/// thousands of requests, and a peer that takes all answers at once would have the core to itself.
pub(super) async fn give_way(connection: &Connection) -> Result<(), CloseReason> {
    flush(connection, connection.host.config.write_buffer_bytes_max / 2).await?;
    match Core::current() {
        Some(core) => wait_for(connection, core.yield_now()).await,
        None => Ok(()),
    }
}

fn framing(cycle: &Cycle, response: &Response) -> ResponseFraming {
    let method = match cycle.method {
        CycleMethod::Head => Method::HEAD,
        CycleMethod::Connect => Method::CONNECT,
        CycleMethod::Other => Method::GET,
    };
    // RFC 9110 §8.6: whoever answers HEAD without a body may say how long the body of GET would be. It is not ours to say.
    let is_unsaid = cycle.method == CycleMethod::Head && matches!(response.0.body.0, Kind::Empty);
    let length = response.0.body.length().filter(|_| !is_unsaid);
    response_framing(&method, cycle.version, response.0.status, length)
}

/// The reason to close after this response, if there is one. What the handler said about it is taken out of the fields:
/// the writer says it.
fn close_after(
    connection: &Connection,
    cycle: &Cycle,
    response: &mut Response,
    framing: Framing,
    reads_on: bool,
) -> Close {
    // RFC 9110 §9.3.6: behind a 2xx to CONNECT come the tunnel's bytes, which must not be read as requests.
    let is_tunnel = cycle.method == CycleMethod::Connect && response.0.status.is_success();
    let asked = take_close(response) || framing == Framing::UntilClose || is_tunnel;
    if let Some(reason) = response.0.close {
        Some(reason)
    } else if asked {
        Some(CloseReason::AskedByHandler)
    } else if !cycle.keep_alive {
        Some(CloseReason::AskedByPeer)
    } else if connection.host.is_stopping() {
        Some(CloseReason::Stopping)
    } else if !connection.body_is_done() && !connection.body_can_be_drained() && !reads_on {
        Some(CloseReason::BodyLeftUnread)
    } else {
        None
    }
}

/// Whether the body of the response may be what reads the rest of the request's.
fn may_read_on(response: &Response) -> bool {
    matches!(response.0.body.0, Kind::Incoming(_) | Kind::Stream(_) | Kind::Encoded(_))
}

fn take_close(response: &mut Response) -> bool {
    let Some(headers) = response.0.fields.made_map().filter(|headers| headers.contains_key(CONNECTION))
    else {
        return false;
    };
    let has = |option: &[u8]| elements(headers, CONNECTION).any(|one| one.eq_ignore_ascii_case(option));
    let (close, upgrade) = (has(b"close"), has(b"upgrade"));
    headers.remove(CONNECTION);
    if upgrade {
        // RFC 9110 §7.8: it belongs to the `Upgrade` field of a 426.
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    }
    close
}

fn queue_head(
    connection: &Connection,
    cycle: &Cycle,
    response: &Response,
    framing: Framing,
    close: bool,
) -> Result<()> {
    let host = &connection.host;
    connection.note_response(response);
    let closing = host.closing_lines();
    let (headers, content_type) = response.0.fields.parts();
    let headers = headers.unwrap_or(&host.no_fields);
    let implied =
        Implied { content_type, closing: Some(&closing), connection: connection_field(cycle, close) };
    let encode = |out: &mut BytesMut| {
        // RFC 9110 §2.5: a server says which version it speaks, whichever the request has.
        let (version, reason) = (Version::HTTP_11, response.0.reason.as_deref());
        encode_response_head(out, version, response.0.status, reason, headers, framing, &implied)
    };
    match connection.with_output(|output| encode(output.buffer())) {
        Some(result) => result.map_err(Error::internal),
        None => Err(Error::internal("the connection was taken over")),
    }
}

/// RFC 9112 §9.3: HTTP/1.1 persists unless told otherwise, HTTP/1.0 the other way round.
fn connection_field(cycle: &Cycle, close: bool) -> ConnectionField {
    match (close, cycle.version) {
        (true, _) => ConnectionField::Close,
        (false, Version::HTTP_10) => ConnectionField::KeepAlive,
        (false, _) => ConnectionField::Absent,
    }
}

fn queue_body(connection: &Connection, kind: Kind) {
    if let Kind::Bytes(bytes) = kind
        && !bytes.is_empty()
    {
        connection.note_sent(bytes.len() as u64);
        connection.with_output(|output| output.push(bytes));
    }
}

/// Runs a stream to its end. While it waits for something itself, what it has written leaves.
async fn send_stream(
    connection: &Rc<Connection>,
    stream: Stream,
    framing: Framing,
    encoder: Option<Box<dyn EncodeStage>>,
) -> Result<(), CloseReason> {
    if stream.window.is_some() {
        // While its beginning is passed over nothing is written, so no failing write would tell.
        connection.watch_for_reset();
    }
    let output = BodyOutput::new(framing, encoder).with_window(stream.window);
    let output = Rc::new(RefCell::new(output));
    let sender = BodySender::new(Rc::clone(connection), Rc::clone(&output));
    let mut write = (stream.start)(sender);
    let written = drive_watching(connection, |cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| write.as_mut().poll(cx)));
        if let Ok(Poll::Pending) = polled {
            let mut output = output.borrow_mut();
            if output.is_over() {
                return Poll::Ready(Some(Ok(())));
            }
            if let Err(error) = output.writer_waits(connection, cx) {
                return Poll::Ready(Some(Err(error)));
            }
        }
        polled.map_or(Poll::Ready(None), |poll| poll.map(Some))
    })
    .await?;
    drop(write);
    let Some(written) = written else {
        count(&connection.host.stats.panics);
        fail_response(connection).await;
        return Err(CloseReason::HandlerPanicked);
    };
    if let Err(error) = written
        && !output.borrow().is_over()
    {
        tracing::warn!(error = &error as &dyn std::error::Error, "a streamed response failed");
        return Err(fail_response(connection).await);
    }
    let ended = output.borrow_mut().end(connection);
    end_body(connection, ended).await
}

/// Passes a request's body through as the response's.
async fn send_incoming(
    connection: &Rc<Connection>,
    body: RequestBody,
    framing: Framing,
    encoder: Option<Box<dyn EncodeStage>>,
) -> Result<(), CloseReason> {
    let mut output = BodyOutput::new(framing, encoder);
    let queued_max = connection.host.config.write_buffer_bytes_max;
    let passed = drive(connection, |cx| {
        loop {
            let chunk = body.poll_chunk(cx);
            if chunk.is_pending() {
                output.writer_waits(connection, cx)?;
            }
            match ready!(chunk)? {
                Some(piece) => output.push(connection, piece)?,
                None => return Poll::Ready(Ok(())),
            }
            if connection.queued() >= queued_max {
                ready!(connection.poll_drained(cx, queued_max))?;
            }
        }
    })
    .await?;
    let ended = passed.and_then(|()| output.end(connection));
    end_body(connection, ended).await
}

/// Sends a body that is in files, at least in part.
async fn send_parts(connection: &Rc<Connection>, parts: Vec<Part>) -> Result<(), CloseReason> {
    for part in parts {
        match part {
            Part::Bytes(bytes) => queue_body(connection, Kind::Bytes(bytes)),
            Part::File(slice) => send_file(connection, slice).await?,
        }
    }
    Ok(())
}

/// Sends a part of a file. What the access log is told of one that fails is what the peer got.
async fn send_file(connection: &Rc<Connection>, slice: FileSlice) -> Result<(), CloseReason> {
    let length = slice.length;
    if connection.is_writing() {
        // How much of it was taken already is not known, and would count as the file's.
        flush(connection, 0).await?;
    }
    let ahead = connection.written() + connection.queued() as u64;
    if let Some(slice) = connection.queue_file(slice) {
        return copy_file(connection, slice).await;
    }
    let flushed = flush(connection, 0).await;
    connection.note_sent(connection.written().saturating_sub(ahead).min(length));
    flushed
}

/// Sends a part of a file through this process' memory, for transports that the kernel cannot send files to.
async fn copy_file(connection: &Rc<Connection>, mut slice: FileSlice) -> Result<(), CloseReason> {
    while slice.length > 0 {
        let piece = usize::try_from(slice.length).map_or(FILE_PIECE_BYTES, |left| left.min(FILE_PIECE_BYTES));
        let mut read = pin!(slice.file.read(slice.offset, piece));
        let bytes = match drive(connection, |cx| read.as_mut().poll(cx)).await? {
            Ok(bytes) => bytes,
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "a file could not be read to its end"
                );
                return Err(fail_response(connection).await);
            }
        };
        queue_body(connection, Kind::Bytes(bytes));
        slice.offset += piece as u64;
        slice.length -= piece as u64;
        flush(connection, connection.host.config.write_buffer_bytes_max).await?;
    }
    Ok(())
}

/// Bytes of a file that are read at once when they have to pass through memory: as many as a reader of the network gets.
const FILE_PIECE_BYTES: usize = 64 * 1024;

async fn end_body(connection: &Connection, ended: Result<()>) -> Result<(), CloseReason> {
    if let Err(error) = ended {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "a response could not be brought to its end"
        );
        return Err(fail_response(connection).await);
    }
    Ok(())
}

/// A body that cannot be brought to its end: what was written leaves, and the missing end tells the client.
async fn fail_response(connection: &Connection) -> CloseReason {
    connection.end_cycle();
    match flush(connection, 0).await {
        Ok(()) => CloseReason::ResponseFailed,
        Err(reason) => reason,
    }
}

/// Waits for `poll` while the connection is looked after.
async fn drive<T>(
    connection: &Connection,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> Result<T, CloseReason> {
    drive_in(Meanwhile::new(connection, None), connection, &mut poll).await
}

/// As [`drive`], for what is done for a peer that may go away meanwhile.
async fn drive_watching<T>(
    connection: &Connection,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> Result<T, CloseReason> {
    drive_in(Meanwhile::new(connection, None).watching_peer(), connection, &mut poll).await
}

async fn drive_in<T>(
    mut wait: Meanwhile,
    connection: &Connection,
    poll: &mut dyn FnMut(&mut Context<'_>) -> Poll<T>,
) -> Result<T, CloseReason> {
    poll_fn(|cx| match connection.in_turn(|| poll(cx)) {
        Poll::Ready(output) => Poll::Ready(Ok(output)),
        Poll::Pending => connection.poll_meanwhile(cx, &mut wait).map(Err),
    })
    .await
}

/// Waits for something while the connection is looked after.
pub(super) async fn wait_for<T>(
    connection: &Connection,
    something: impl Future<Output = T>,
) -> Result<T, CloseReason> {
    let mut something = pin!(something);
    drive(connection, |cx| something.as_mut().poll(cx)).await
}

/// Waits until no more than `queued_max` bytes wait for the kernel.
pub(super) async fn flush(connection: &Connection, queued_max: usize) -> Result<(), CloseReason> {
    let flushed = drive(connection, |cx| connection.poll_drained(cx, queued_max)).await?;
    flushed.map_err(|error| CloseReason::of_failed_write(&error))
}

/// Ends the cycle: the next request may come, or the connection is closed.
pub(super) async fn finish_cycle(connection: &Rc<Connection>, close: Close) -> Result<(), CloseReason> {
    if let Some(reason) = close {
        return Err(Box::pin(end(connection, reason)).await);
    }
    if !connection.body_is_done() {
        Box::pin(drain(connection)).await?;
    }
    connection.next_cycle().map_err(|_| CloseReason::BodyLeftUnread)
}

/// Reads and throws away what the handler left of the body, so that the next head can be found.
async fn drain(connection: &Rc<Connection>) -> Result<(), CloseReason> {
    let bytes_max = connection.host.config.drain_bytes_max;
    // Who still reads the body elsewhere is told now, and does not read beside us.
    connection.end_cycle();
    let mut drained = 0;
    let done = drive(connection, |cx| {
        loop {
            match connection.poll_body(cx, connection.cycle(), u64::MAX) {
                Poll::Ready(Ok(None)) => return Poll::Ready(true),
                Poll::Ready(Ok(Some(piece))) => drained += piece.len() as u64,
                Poll::Ready(Err(_)) => return Poll::Ready(false),
                Poll::Pending => return Poll::Pending,
            }
            if drained > bytes_max {
                return Poll::Ready(false);
            }
        }
    })
    .await?;
    if done { Ok(()) } else { Err(end(connection, CloseReason::BodyLeftUnread).await) }
}

/// Answers a request whose head broke the rules, or is not for this connection, and ends the connection.
pub(super) async fn refuse(
    connection: &Rc<Connection>,
    status: StatusCode,
    method: CycleMethod,
) -> CloseReason {
    answer_and_end(connection, method, Error::new(status), CloseReason::Refused).await
}

/// Answers a head that did not come in time, and ends the connection.
pub(super) async fn refuse_late(connection: &Rc<Connection>) -> CloseReason {
    let error = Error::new(StatusCode::REQUEST_TIMEOUT);
    answer_and_end(connection, CycleMethod::Other, error, CloseReason::HeadTimeout).await
}

/// Answers a client that speaks HTTP where TLS is expected, in the way it understands, and ends the connection.
#[cfg(feature = "rustls")]
pub(super) async fn refuse_plain(connection: &Rc<Connection>) -> CloseReason {
    let error = Error::bad_request("plain HTTP was sent to a port that speaks HTTPS: use https://");
    answer_and_end(connection, CycleMethod::Other, error, CloseReason::NotTls).await
}

async fn answer_and_end(
    connection: &Rc<Connection>,
    method: CycleMethod,
    error: Error,
    reason: CloseReason,
) -> CloseReason {
    count(&connection.host.stats.refused);
    let cycle = Cycle { method, version: Version::HTTP_11, keep_alive: false };
    match answer(connection, &cycle, error, reason) {
        Ok(_) => {
            connection.end_entry(Some(reason));
            end(connection, reason).await
        }
        Err(reason) => reason,
    }
}

/// Queues an answer of our own, behind which the connection ends.
fn answer(
    connection: &Connection,
    cycle: &Cycle,
    error: Error,
    reason: CloseReason,
) -> Result<Close, CloseReason> {
    let response = Response::from(error);
    let framing = framing(cycle, &response);
    queue_head(connection, cycle, &response, framing.head, true).map_err(|_| CloseReason::ResponseFailed)?;
    if framing.body != Framing::Empty {
        queue_body(connection, response.into_body_kind());
    }
    Ok(Some(reason))
}

/// Ends the connection: what is queued leaves, our side ends, and what the peer still sends is read for a while: closing
/// over unread bytes would reset the connection, and take the answer away from a peer that has not read it yet
/// (RFC 9112 §9.6).
async fn end(connection: &Connection, reason: CloseReason) -> CloseReason {
    connection.end_cycle();
    if let Err(reason) = flush(connection, 0).await {
        return reason;
    }
    // Who asked for the end sends nothing more; others may have a request on the way, which we have not seen yet.
    if reason != CloseReason::AskedByPeer || connection.has_unread_input() {
        linger(connection).await;
    }
    reason
}

/// Ends our side, and waits until that is with the kernel.
#[cfg(feature = "rustls")]
pub(super) async fn say_goodbye(connection: &Connection) {
    connection.set_deadline(connection.host.config.linger_timeout);
    poll_fn(|cx| {
        connection.shutdown_write(cx);
        if connection.poll_drained(cx, 0).is_ready() || connection.host.is_cut() {
            return Poll::Ready(());
        }
        connection.poll_deadline(cx)
    })
    .await;
}

/// Ends our side, and reads what the peer still sends until its end, within limits.
pub(super) async fn linger(connection: &Connection) {
    let bytes_max = connection.host.config.drain_bytes_max;
    let mut discarded = 0;
    connection.set_deadline(connection.host.config.linger_timeout);
    let mut ended = false;
    poll_fn(|cx| {
        if !std::mem::replace(&mut ended, true) {
            connection.shutdown_write(cx);
        }
        while let Poll::Ready(count) = connection.poll_discard(cx) {
            discarded += count as u64;
            if count == 0 || discarded > bytes_max {
                return Poll::Ready(());
            }
        }
        if connection.host.is_cut() {
            return Poll::Ready(());
        }
        connection.poll_deadline(cx)
    })
    .await;
}
