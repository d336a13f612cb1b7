//! Answers that a browser saves under a name (RFC 6266).
#![forbid(unsafe_code)]

use http::header::CONTENT_DISPOSITION;

use crate::conn::Response;
use crate::proto::attachment::{Disposition, content_disposition};

impl Response {
    /// Has a browser save the answer under this name (`Content-Disposition: attachment`). The name may be anything: it is
    /// cut to 255 bytes, path separators and control characters become `_`, and what is not ASCII is sent as
    /// `filename*` (RFC 8187) too.
    ///
    /// ```
    /// use ringhttp::{Response, header};
    ///
    /// let response = Response::text("a,b\n").with_attachment("Übersicht.csv");
    /// let expected = "attachment; filename=\"_bersicht.csv\"; filename*=UTF-8''%C3%9Cbersicht.csv";
    /// assert_eq!(response.headers()[header::CONTENT_DISPOSITION], expected);
    /// ```
    #[must_use]
    pub fn with_attachment(self, file_name: &str) -> Self {
        self.with_header(CONTENT_DISPOSITION, content_disposition(Disposition::Attachment, file_name))
    }

    /// Has a browser show the answer, and save it under this name if asked to. As
    /// [`with_attachment`](Self::with_attachment).
    #[must_use]
    pub fn with_inline_name(self, file_name: &str) -> Self {
        self.with_header(CONTENT_DISPOSITION, content_disposition(Disposition::Inline, file_name))
    }
}
