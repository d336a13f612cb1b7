//! The access log: a line for each answer and for each head that was refused.
//!
//! It is made where connections are driven, because only here is known what was sent, what never reached a handler, and
//! why a connection ended. `format.rs` is how a line looks, `entry.rs` what it is made of, `buffer.rs` how it gets to a
//! file without the core waiting for a disk.
#![forbid(unsafe_code)]

mod buffer;
mod entry;
mod format;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::fmt;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use http::HeaderName;

use self::buffer::Buffer;
pub use self::entry::AccessRecord;
pub(crate) use self::entry::{Entry, SensitiveHeaders};
use self::format::Format;
use super::host::{ServerStats, count};
use crate::error::{Error, Result};

/// A log of what was answered, for [`ServerConfig::access_log`](super::ServerConfig::access_log): how its lines look, and
/// where they go. Unless told otherwise they are `tracing` events of the target `ringhttp::access`, level INFO.
///
/// # Format
/// aiohttp's atoms: `%%` a percent sign, `%a` the peer's IP address, `%t` when the request came (UTC), `%P` the process, `%r`
/// the request line, `%s` the status, `%b` bytes of the body that were sent, `%T` whole seconds, `%Tf` seconds with six
/// decimals, `%D` microseconds until the answer was complete, `%{Name}i` and `%{Name}o` a field of the request and of
/// the answer. Of our own: `%C` the client's IP address and `%S` the scheme it came by, where [proxies are
/// trusted](super::ServerConfig::trusted_proxies) as they say, `%R` the path of the route as it was added, `%F` microseconds until the answer's head was ready, `%X` why the connection ended, if it did.
/// What there is not is `-`, and so are fields that are added where an answer leaves, `Date` and `Content-Length` among them. Of
/// a field's value the first KiB is shown.
///
/// A head that was refused has a line with its first line as it came (at most 1 KiB; `-` if it came too late), and no
/// fields. Where no status was sent, because the client went away first, the status is `-` and `%X` says why.
///
/// # Clients
/// Control characters, quotes, backslashes and non-ASCII bytes of what clients sent are written as `\x0a`, so no request can
/// forge a line. Values of `Authorization`, `Proxy-Authorization`, `Cookie`, `Set-Cookie` and of what
/// [`mask`](Self::mask) or [`sensitive_headers`](crate::middleware::sensitive_headers) name are written as `***`.
///
/// ```no_run
/// use ringhttp::{AccessLog, Request, Result, Router, RuntimeConfig, Server, ServerConfig};
///
/// fn main() -> Result<()> {
///     let file = std::fs::File::options().append(true).create(true).open("access.log")?;
///     let mut config = ServerConfig::default();
///     config.access_log = Some(AccessLog::new(r#"%a %t "%r" %s %b %D "%{User-Agent}i""#)?.to_writer(file));
///
///     ringhttp::run(RuntimeConfig::default(), async |core| {
///         let routes = Router::new().get("/", async |_: &(), _: Request| "hello");
///         Server::bind("127.0.0.1:8080", config.clone())?.serve(&core, routes, ()).await
///     })
/// }
/// ```
#[derive(Clone)]
pub struct AccessLog {
    format: Arc<Format>,
    sink: Sink,
    buffer_bytes_max: usize,
}

#[derive(Clone)]
enum Sink {
    Tracing,
    Call(Arc<Call>),
    Writer(Writer),
}

type Call = dyn Fn(&str, &AccessRecord) + Send + Sync;
type Writer = Arc<Mutex<dyn Write + Send>>;

/// aiohttp's default format.
const COMMON: &str = r#"%a %t "%r" %s %b "%{Referer}i" "%{User-Agent}i""#;

impl AccessLog {
    /// A log whose lines look like `format`.
    ///
    /// # Errors
    /// If `format` has an unknown atom or a bad field name; the error says where.
    pub fn new(format: &str) -> Result<Self> {
        Ok(Self::of(Format::parse(format).map_err(|why| Error::internal(format!("access log: {why}")))?))
    }

    /// aiohttp's default: `%a %t "%r" %s %b "%{Referer}i" "%{User-Agent}i"`.
    #[must_use]
    pub fn common() -> Self {
        Self::of(Format::parse(COMMON).expect("a format of known atoms"))
    }

    /// A JSON object per line: `time` (RFC 3339, UTC), `peer`, `client`, `scheme`, `method`, `target` and `version` (or `request`, the first
    /// line of a refused head), `route`, `status`, `body_bytes`, `first_byte_seconds`, `seconds`, `close`, `host`, `referer`, `user_agent`, `request_id`
    /// (of the answer's `x-request-id`). What there is not is left out.
    #[must_use]
    pub fn json() -> Self {
        Self::of(Format::json())
    }

    fn of(format: Format) -> Self {
        Self { format: Arc::new(format), sink: Sink::Tracing, buffer_bytes_max: 1024 * 1024 }
    }

    /// Has lines written to `writer`, which all cores share, by the threads that may block. Lines are gathered per core for
    /// up to 50 ms, and what is left is written at the end of the run, within `cleanup_timeout`.
    #[must_use]
    pub fn to_writer(mut self, writer: impl Write + Send + 'static) -> Self {
        self.sink = Sink::Writer(Arc::new(Mutex::new(writer)));
        self
    }

    /// Has `call` called with each line, without its end, and what it was made of; on the core, so it must not block.
    #[must_use]
    pub fn to_fn(mut self, call: impl Fn(&str, &AccessRecord) + Send + Sync + 'static) -> Self {
        self.sink = Sink::Call(Arc::new(call));
        self
    }

    /// Has values of this field written as `***`.
    #[must_use]
    pub fn mask(mut self, name: &HeaderName) -> Self {
        Arc::make_mut(&mut self.format).mask(name);
        self
    }

    /// Sets how many bytes of lines one core keeps for a writer that is slow. Default 1 MiB. Beyond: a line is dropped, and
    /// counted in [`ServerStats::log_lines_dropped`](super::ServerStats::log_lines_dropped).
    #[must_use]
    pub fn buffer_bytes_max(mut self, bytes_max: usize) -> Self {
        self.buffer_bytes_max = bytes_max;
        self
    }
}

impl fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessLog").field("format", &self.format).finish_non_exhaustive()
    }
}

/// One core's end of the log.
pub(crate) struct LogOutput {
    format: Arc<Format>,
    target: Target,
    /// The line in the making: its memory is used again.
    line: RefCell<String>,
    stats: Rc<ServerStats>,
}

enum Target {
    Tracing,
    Call(Arc<Call>),
    Buffer(Rc<Buffer>),
}

impl LogOutput {
    pub(super) fn new(log: &AccessLog, stats: &Rc<ServerStats>) -> Self {
        let target = match &log.sink {
            Sink::Tracing => Target::Tracing,
            Sink::Call(call) => Target::Call(Arc::clone(call)),
            Sink::Writer(writer) => {
                Target::Buffer(Buffer::new(Arc::clone(writer), log.buffer_bytes_max, Rc::clone(stats)))
            }
        };
        Self { format: Arc::clone(&log.format), target, line: RefCell::default(), stats: Rc::clone(stats) }
    }

    fn write(&self, record: &AccessRecord) {
        let mut line = self.line.take();
        line.clear();
        self.format.write(&mut line, record);
        match &self.target {
            Target::Buffer(buffer) => buffer.push(&line),
            Target::Tracing => self.call(|| tracing::info!(target: "ringhttp::access", "{line}")),
            Target::Call(call) => self.call(|| call(&line, record)),
        }
        if line.capacity() <= LINE_KEPT_MAX {
            self.line.replace(line);
        }
    }

    /// Calls code that is not ours: its panic is not the connection's.
    fn call(&self, call: impl FnOnce()) {
        if catch_unwind(AssertUnwindSafe(call)).is_err() {
            count(&self.stats.panics);
        }
    }

    /// Has what is gathered written, and waits for it.
    ///
    /// # Cancellation
    /// The work goes on.
    pub(crate) async fn flush(&self) {
        if let Target::Buffer(buffer) = &self.target {
            buffer.flush().await;
        }
    }
}

/// Memory for a line that is kept for the next one: more than most need, less than the longest target.
const LINE_KEPT_MAX: usize = 4 * 1024;
