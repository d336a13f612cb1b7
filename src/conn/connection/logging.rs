//! What the access log is told about a connection's requests. Without a log each call is one look at an empty cell.
#![forbid(unsafe_code)]

use http::StatusCode;

use super::Connection;
use crate::conn::access_log::Entry;
use crate::conn::close_reason::CloseReason;
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

    /// The answer is complete, or there will be none; `close` is why the connection ends with it, if it does.
    pub(crate) fn end_entry(&self, close: Option<CloseReason>) {
        if let Some(entry) = self.entry.take() {
            entry.end(close);
        }
    }

    fn with_entry(&self, note: impl FnOnce(&mut Entry)) {
        if let Some(mut entry) = self.entry.take() {
            note(&mut entry);
            self.entry.set(Some(entry));
        }
    }
}
