//! A content by several requests at a time, each for a part of it (RFC 9110 §14.1.2), written in their order.
//!
//! So the file is a beginning of the whole at any time, as if all came by one request. What is ahead of it waits in memory.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::ops::Range;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use http::StatusCode;

use super::content::Content;
use super::{Download, Progress, Run, answer, other_length, refused};
use crate::client::error::{Error, ErrorKind, Result};
use crate::client::request::RequestBuilder;
use crate::client::response::Response;

/// The bytes of a part, those before an error too; and whether it is one: not if the server has another content by now, or gives no
/// such part.
type Answered = (Vec<u8>, Result<bool>);

/// A request for a part.
enum Part {
    UnderWay(Pin<Box<dyn Future<Output = Answered>>>),
    Here(Answered),
}

impl Part {
    fn poll(&mut self, cx: &mut Context<'_>) {
        if let Self::UnderWay(answer) = self
            && let Poll::Ready(answered) = answer.as_mut().poll(cx)
        {
            *self = Self::Here(answered);
        }
    }
}

impl Download {
    /// Takes the answer to a request for the first part. Unless the others can be had too, all of it is asked for.
    pub(super) async fn begin_parts(&mut self, run: &mut Run, answer: Response) -> Result<bool> {
        let beginning = answer::beginning(answer.headers());
        let content = Content::of(answer.headers(), beginning.map(|(_, total)| total));
        match (answer.status(), beginning) {
            (StatusCode::PARTIAL_CONTENT, Some((end, total))) if content.is_some() => {
                run.begin(content).await?;
                run.total = Some(total);
                run.is_confirmed = true;
                self.take(run, answer, Some(end)).await?;
                Ok(total == run.draft.length)
            }
            (StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE, _) => {
                self.parts = 1;
                Box::pin(self.fetch(run)).await
            }
            _ => Err(refused(answer)),
        }
    }

    /// Asks for all that is missing of a content whose length and validator are known: whether it is whole then. At the first
    /// failure those that are behind it are given up.
    pub(super) async fn fetch_side_by_side(&mut self, run: &mut Run, total: u64) -> Result<bool> {
        let (begun_at, came) = (run.draft.length, Rc::new(Cell::new(0)));
        let (mut next, mut parts) = (begun_at, VecDeque::new());
        loop {
            while parts.len() < self.parts && next < total {
                let range = next..total.min(next.saturating_add(self.part_bytes));
                next = range.end;
                let content = run.draft.content.clone();
                let request = self.request(content.as_ref(), range.start, Some(range.end));
                parts.push_back(Part::UnderWay(Box::pin(ask(
                    request,
                    range,
                    total,
                    content,
                    Rc::clone(&came),
                ))));
                run.requests += 1;
            }
            if parts.is_empty() {
                return Ok(true);
            }
            let mut told = came.get();
            let answered = poll_fn(|cx| {
                parts.iter_mut().for_each(|part| part.poll(cx));
                if let Some(progress) = &mut self.progress
                    && told < came.get()
                {
                    told = came.get();
                    let (total, resumed_from) = (Some(total), run.resumed_from);
                    progress(Progress { bytes: begun_at + told, total, resumed_from });
                }
                match parts.pop_front() {
                    Some(Part::Here(answered)) => Poll::Ready(answered),
                    Some(part) => {
                        parts.push_front(part);
                        Poll::Pending
                    }
                    None => Poll::Ready((Vec::new(), Ok(true))),
                }
            });
            let (bytes, is_part) = answered.await;
            if !bytes.is_empty() {
                // Of a part that broke off, too: else one that breaks off each time never ends.
                run.has_written = true;
                run.draft.write(bytes).await?;
            }
            if !is_part? {
                // By one request it is found out what there is now.
                self.parts = 1;
                return Ok(false);
            }
        }
    }
}

/// Asks for a part. Bytes are counted when they come.
async fn ask(
    request: RequestBuilder,
    range: Range<u64>,
    total: u64,
    content: Option<Content>,
    came: Rc<Cell<u64>>,
) -> Answered {
    let mut bytes = Vec::new();
    let is_part = gather(&mut bytes, request, range, total, content.as_ref(), &came).await;
    (bytes, is_part)
}

async fn gather(
    bytes: &mut Vec<u8>,
    request: RequestBuilder,
    range: Range<u64>,
    total: u64,
    content: Option<&Content>,
    came: &Cell<u64>,
) -> Result<bool> {
    let mut answer = request.send().await?;
    let is_part = answer::is_part(answer.headers(), &range, total, content);
    match answer.status() {
        StatusCode::PARTIAL_CONTENT if is_part => {}
        StatusCode::PARTIAL_CONTENT | StatusCode::OK | StatusCode::RANGE_NOT_SATISFIABLE => return Ok(false),
        _ => return Err(refused(answer)),
    }
    let length = usize::try_from(range.end - range.start).map_err(|_| Error::new(ErrorKind::BodyTooLarge))?;
    bytes.reserve_exact(length);
    while let Some(piece) = answer.chunk().await? {
        if piece.len() > length - bytes.len() {
            bytes.clear();
            return Err(other_length());
        }
        bytes.extend_from_slice(&piece);
        came.set(came.get() + piece.len() as u64);
    }
    if bytes.len() < length {
        bytes.clear();
        return Err(other_length());
    }
    Ok(true)
}
