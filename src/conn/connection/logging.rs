//! What the access log is told about a connection's requests (without a log each call is one look at an empty cell), and
//! the event of an answer that is a failure of ours.
#![forbid(unsafe_code)]

use std::error::Error;

use http::{HeaderName, StatusCode};

use super::Connection;
use crate::conn::access_log::Entry;
use crate::conn::close_reason::CloseReason;
use crate::conn::request::{Matched, Request};
use crate::conn::response::Response;
use crate::proto::http1::RequestHead;

impl Connection {
    /// A request's head is here.
    pub(crate) fn begin_entry(&self, head: &RequestHead) {
        if let Some(mut entry) = self.new_entry() {
            entry.note_request(head);
            self.entry.set(Some(entry));
        }
    }

    /// Who asked is known.
    pub(crate) fn note_client(&self, request: &Request) {
        self.with_entry(|entry| entry.note_client(request.client_addr(), request.scheme()));
    }

    /// A request is done with, and so it is known which route it took.
    pub(super) fn note_route(&self, matched: &Matched) {
        if let Some(route) = &matched.route {
            self.with_entry(|entry| entry.note_route(route));
        }
    }

    /// A head is refused: its lines, or those that have come, are what is known.
    pub(crate) fn begin_refused_entry(&self, lines: &[u8], unread: &[u8]) {
        if let Some(mut entry) = self.new_entry() {
            entry.note_refused(if lines.is_empty() { unread } else { lines });
            self.entry.set(Some(entry));
        }
    }

    fn new_entry(&self) -> Option<Box<Entry>> {
        let output = self.host.access_log.as_ref()?;
        Some(Box::new(Entry::new(output, self.peer.get(), self.host.timers.date())))
    }

    /// The head of a response leaves.
    pub(crate) fn note_response(&self, response: &Response) {
        self.with_entry(|entry| entry.note_response(response));
    }

    /// The head of an answer leaves that is no response.
    pub(crate) fn note_status(&self, status: StatusCode) {
        self.with_entry(|entry| entry.note_status(status));
    }

    /// Bytes of a response's body leave.
    pub(crate) fn note_sent(&self, bytes: u64) {
        self.with_entry(|entry| entry.note_sent(bytes));
    }

    /// The answer is complete, but the rest of its request is read still.
    pub(crate) fn complete_entry(&self) {
        self.with_entry(Entry::complete);
    }

    /// The answer is complete, or there will be none; `close` is why the connection ends with it, if it does.
    pub(crate) fn end_entry(&self, close: Option<CloseReason>) {
        if let Some(entry) = self.entry.take() {
            entry.end(close);
        }
    }

    /// Logs the source of an error that became the running request's answer, if there is one, and whose answer it is.
    pub(crate) fn log_failure(&self, response: &Response) {
        if let Some(source) = response.error_source() {
            self.log_source(response, source);
        }
    }

    #[cold]
    fn log_source(&self, response: &Response, error: &(dyn Error + 'static)) {
        // The request is done with, and waits here for the next one, unless somebody still has it.
        let last = self.last.take();
        let request = last.as_ref().and_then(|exchange| exchange.answered());
        tracing::error!(
            status = response.status().as_u16(),
            method = request.as_ref().map(|request| request.method.as_str()),
            path = request.as_ref().map(|request| request.path),
            route = request.as_ref().and_then(|request| request.route),
            request_id = response.headers().get(X_REQUEST_ID).and_then(|id| id.to_str().ok()),
            peer = self.peer.get().map(tracing::field::display),
            error,
            "handler failed"
        );
        self.last.set(last);
    }

    fn with_entry(&self, note: impl FnOnce(&mut Entry)) {
        if let Some(mut entry) = self.entry.take() {
            note(&mut entry);
            self.entry.set(Some(entry));
        }
    }
}

/// Where an answer has the id of its request, if the middleware `request_id` gave it one.
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
