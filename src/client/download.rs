//! A content to a file: begun again where it broke off, in this run of the program or the next.
#![forbid(unsafe_code)]

mod answer;
mod content;
mod draft;
mod parts;

use std::fmt;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use ringhttp_runtime::random;

use self::answer::Meaning;
use self::content::Content;
use self::draft::Draft;
use super::error::{Error, ErrorKind, Result};
use super::request::RequestBuilder;
use super::response::Response;
use super::retry::part_of;
use super::session::Client;

impl Client {
    /// A content to be written to a file: see [`Download`]. `url` as that of [`request`](Self::request).
    pub fn download(&self, url: impl AsRef<str>) -> Download {
        Download {
            client: self.clone(),
            url: url.as_ref().to_owned(),
            change: Rc::new(|request| request),
            progress: None,
            resume: true,
            failures_max: 5,
            delay: Duration::from_secs(1),
            bytes_max: 64 << 30,
            parts: 1,
            part_bytes: 4 << 20,
            #[cfg(feature = "checksum")]
            sha256: None,
        }
    }
}

/// A content on its way to a file: see [`Client::download`].
///
/// What has come is kept beside the file, as `name.part`, and the file appears when it is whole. A download that breaks off goes
/// on where it was, if the server names its content by a strong `ETag` or a `Last-Modified` and gives parts of it (RFC 9110 §14): at once,
/// after a pause, or when it is begun again with the same URL and path. If the content is another one by then, it begins anew.
///
/// One download at a time writes to a path, of this program or another: a lock (`flock`) sees to that. Nothing is decompressed: the file is what the server has.
///
/// ```no_run
/// # async fn example(client: ringhttp::Client) -> ringhttp::Result<()> {
/// let done = client
///     .download("https://releases.example/image.iso")
///     .progress(|progress| println!("{} of {:?}", progress.bytes, progress.total))
///     .to("image.iso")
///     .await?;
/// println!("{} bytes, {} of them from before", done.bytes, done.resumed_from);
/// # Ok(())
/// # }
/// ```
#[must_use = "a download does nothing until it is told where to"]
pub struct Download {
    client: Client,
    url: String,
    change: Rc<dyn Fn(RequestBuilder) -> RequestBuilder>,
    progress: Option<Box<dyn FnMut(Progress)>>,
    resume: bool,
    failures_max: u32,
    delay: Duration,
    bytes_max: u64,
    parts: usize,
    part_bytes: u64,
    #[cfg(feature = "checksum")]
    sha256: Option<[u8; 32]>,
}

/// How far a download is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Bytes that have come, those of earlier runs included.
    pub bytes: u64,
    /// Bytes of the whole, if the server says.
    pub total: Option<u64>,
    /// Bytes that were there when it was begun; 0 if the content is another one by now.
    pub resumed_from: u64,
}

/// A download that is done.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Downloaded {
    /// Bytes of the file.
    pub bytes: u64,
    /// Of those, the ones that were there when it was begun.
    pub resumed_from: u64,
    /// Requests that were sent; redirects, and tries of `ClientConfig::retry`, are none of their own.
    pub requests: u32,
    /// The fields of the last answer.
    pub headers: HeaderMap,
}

/// A download under way.
struct Run {
    draft: Draft,
    resumed_from: u64,
    total: Option<u64>,
    /// An answer of this run has said that the content is the one of the draft, and how long it is: the rest can be had in parts.
    is_confirmed: bool,
    /// Bytes that came in this run were thrown away so often, because the server had another content by then.
    restarts: u32,
    has_written: bool,
    requests: u32,
    headers: HeaderMap,
}

impl Run {
    /// Has it begin with `content`, from its first byte.
    async fn begin(&mut self, content: Option<Content>) -> Result<()> {
        self.resumed_from = 0;
        let had_name = self.draft.content.is_some();
        self.restarts += u32::from(std::mem::take(&mut self.has_written) && had_name);
        self.draft.begin(content).await
    }
}

impl Download {
    /// Has each request changed by a function before it is sent: its fields, its token, its timeouts. It has no `timeout` of the whole
    /// unless that sets one; `read_timeout` holds, also for the first byte if there is no `first_byte_timeout`.
    pub fn with_request(mut self, change: impl Fn(RequestBuilder) -> RequestBuilder + 'static) -> Self {
        self.change = Rc::new(change);
        self
    }

    /// Has a function called with each piece that has come: for a progress bar. It must not block.
    pub fn progress(mut self, progress: impl FnMut(Progress) + 'static) -> Self {
        self.progress = Some(Box::new(progress));
        self
    }

    /// Sets whether it goes on with what an earlier run has left. Default true.
    pub fn resume(mut self, resume: bool) -> Self {
        self.resume = resume;
        self
    }

    /// Sets how often in a row it may fail without a byte more than it ever had before it is given up. Default 5; 0 gives it up at the
    /// first failure. As often it may throw away what it has because the server has another content by then. Between them times pass:
    /// see [`delay`](Self::delay).
    pub fn failures_max(mut self, failures_max: u32) -> Self {
        self.failures_max = failures_max;
        self
    }

    /// Sets up to how long it waits, by chance, before it goes on behind a failure: up to twice as long behind each further one without
    /// a byte more, up to 30 s. Default 1 s.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Sets how large the file may become. Default 64 GiB. Beyond: [`ErrorKind::BodyTooLarge`].
    pub fn bytes_max(mut self, bytes_max: u64) -> Self {
        self.bytes_max = bytes_max;
        self
    }

    /// Sets how many requests are under way at a time, each for a part of the content. Default 1, which asks for all of it; at most
    /// [`PARTS_MAX`](Self::PARTS_MAX). Parts are written in their order, and up to so many are in memory; a failure costs those behind
    /// it, and [`Progress::bytes`] steps back. A server that gives no parts, or names its content by no strong `ETag` and no
    /// `Last-Modified`, is asked for all of it.
    pub fn parts(mut self, parts: usize) -> Self {
        self.parts = parts.clamp(1, Self::PARTS_MAX);
        self
    }

    /// Sets how many bytes a part has, if there are several. Default 4 MiB; 1 KiB to 64 MiB.
    pub fn part_bytes(mut self, part_bytes: usize) -> Self {
        self.part_bytes = part_bytes.clamp(1 << 10, 64 << 20) as u64;
        self
    }

    /// The largest number of [`parts`](Self::parts): more connections of one client are a burden to a server.
    pub const PARTS_MAX: usize = 16;

    /// Sets what the SHA-256 of the file has to be. Otherwise: [`ErrorKind::Checksum`], and nothing is kept.
    #[cfg(feature = "checksum")]
    pub fn sha256(mut self, sha256: [u8; 32]) -> Self {
        self.sha256 = Some(sha256);
        self
    }

    /// Downloads it to `path`. A file that is there is replaced in one step.
    ///
    /// # Errors
    /// Of the last request, when as many as [`failures_max`](Self::failures_max) in a row have failed, or when no further one can go
    /// better; [`ErrorKind::Status`] for an answer that has no such content; [`ErrorKind::Protocol`] for parts that are not what they
    /// say, and for a content that is another one each time; [`ErrorKind::File`] if the file cannot be written, or another download
    /// writes to it. What has come is kept but for an error of its content.
    ///
    /// # Cancellation
    /// What has come is kept: another download goes on with it.
    pub async fn to(self, path: impl AsRef<Path>) -> Result<Downloaded> {
        let path = path.as_ref();
        self.save(path).await.map_err(|error| match error.kind() {
            ErrorKind::File | ErrorKind::Checksum if !error.has_text() => {
                error.with_text(path.display().to_string())
            }
            _ => error,
        })
    }

    async fn save(mut self, path: &Path) -> Result<Downloaded> {
        let core = self.client.shared.core.clone();
        // A part of what another URL leads to is of no use. It may have secrets, which are nobody's business in a file.
        let request = self.request(None, 0, None);
        let origin = fingerprint(request.location().unwrap_or(&self.url));
        let draft = Draft::open(&core, path, &origin).await?;
        let mut run = Run {
            resumed_from: if self.resume { draft.length } else { 0 },
            draft,
            total: None,
            is_confirmed: false,
            restarts: 0,
            has_written: false,
            requests: 0,
            headers: HeaderMap::new(),
        };
        if !self.resume {
            run.draft.begin(None).await?;
        }
        let result = self.run(&mut run).await;
        let Run { draft, resumed_from, requests, headers, .. } = run;
        if let Err(error) = result {
            let is_of_use = draft.length > 0 && draft.content.is_some();
            if !is_of_use || error.kind() == ErrorKind::Checksum {
                // There is a more important error to tell.
                let _ = draft.remove().await;
            }
            return Err(error);
        }
        let bytes = draft.length;
        draft.publish().await?;
        Ok(Downloaded { bytes, resumed_from, requests, headers })
    }

    /// Asks until the content is whole.
    async fn run(&mut self, run: &mut Run) -> Result<()> {
        let mut failures = 0;
        // What begins anew has no more before it has more than ever: else one that breaks off here and there never ends.
        let mut furthest = run.draft.length;
        loop {
            let result = self.fetch(run).await;
            let has_more = run.draft.length > furthest;
            furthest = furthest.max(run.draft.length);
            match result {
                Ok(true) => break,
                Ok(false) if has_more => failures = 0,
                Ok(false) => failures += 1,
                Err(error) => {
                    failures = if has_more { 1 } else { failures + 1 };
                    if failures > self.failures_max || !may_pass(&error) {
                        return Err(error);
                    }
                }
            }
            let is_another_each_time = run.restarts > self.failures_max;
            if failures > self.failures_max || is_another_each_time {
                let text = if is_another_each_time {
                    "the server has another content each time"
                } else {
                    "the server gives no part of its content that fits"
                };
                return Err(Error::new(ErrorKind::Protocol).with_text(text));
            }
            if failures > 0 {
                self.client.shared.core.timers().sleep(pause(self.delay, failures)).await;
            }
        }
        #[cfg(feature = "checksum")]
        self.check(run).await?;
        Ok(())
    }

    /// One request, or as many as are missing in parts: whether the content is whole then.
    async fn fetch(&mut self, run: &mut Run) -> Result<bool> {
        let is_in_parts = self.parts > 1;
        if let (true, true, Some(total)) = (is_in_parts, run.is_confirmed, run.total) {
            return self.fetch_side_by_side(run, total).await;
        }
        let answer = self.ask(run).await?;
        run.requests += 1;
        run.headers.clone_from(answer.headers());
        let draft = &mut run.draft;
        let has_asked_for_rest = draft.length > 0 && draft.content.is_some();
        let have = if has_asked_for_rest { draft.length } else { 0 };
        if is_in_parts && have == 0 && answer.status() != StatusCode::OK {
            return self.begin_parts(run, answer).await;
        }
        let mut end = None;
        match answer::meaning(answer.status(), answer.headers(), have, draft.content.as_ref()) {
            Meaning::Rest { end: at, total } => {
                end = Some(at);
                run.total = total;
                run.is_confirmed = true;
                if let Some(content) = &mut draft.content {
                    content.total = total;
                }
                if total.is_none() {
                    self.parts = 1;
                }
            }
            Meaning::Whole { total } => {
                self.parts = 1;
                run.total = total;
                run.begin(Content::of(answer.headers(), total)).await?;
            }
            Meaning::Complete => return Ok(true),
            Meaning::Again => {
                self.parts = 1;
                run.begin(None).await?;
                return Ok(false);
            }
            Meaning::Failure => return Err(refused(answer)),
        }
        self.take(run, answer, end).await?;
        // A part may be less than what was asked for (RFC 9110 §15.3.7): without a total the next request shows.
        Ok(run.total.map_or(end.is_none(), |total| run.draft.length >= total))
    }

    async fn ask(&self, run: &Run) -> Result<Response> {
        let content = run.draft.content.as_ref();
        let first = if content.is_some() { run.draft.length } else { 0 };
        let end = (self.parts > 1).then(|| first.saturating_add(self.part_bytes));
        self.request(content, first, end).send().await
    }

    /// A request for the content from `first` on, up to `end` if there is one.
    fn request(&self, content: Option<&Content>, first: u64, end: Option<u64>) -> RequestBuilder {
        let request = self.client.get(&self.url).timeout(None);
        // A part of what is compressed is a part of something else each time.
        let request = request.header(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let mut request = (self.change)(request).first_byte_as_any();
        if let Some(last) = end.map(|end| end - 1) {
            request = request.header(header::RANGE, format!("bytes={first}-{last}"));
        } else if first > 0 {
            request = request.header(header::RANGE, format!("bytes={first}-"));
        }
        if let (1.., Some(content)) = (first, content) {
            request = request.header(header::IF_RANGE, &content.validator);
        }
        #[cfg(feature = "compression")]
        let request = request.decompress(false);
        request
    }

    /// Writes the body of an answer behind what there is: up to `end`, if it is a part. What has come before an error is written, too.
    async fn take(&mut self, run: &mut Run, mut answer: Response, end: Option<u64>) -> Result<()> {
        let too_large = || Err(Error::new(ErrorKind::BodyTooLarge));
        if run.total.is_some_and(|total| total > self.bytes_max) {
            return too_large();
        }
        run.has_written = true;
        let mut held = Vec::new();
        loop {
            let next = answer.chunk().await;
            if let Ok(Some(piece)) = &next {
                let bytes = run.draft.length + (held.len() + piece.len()) as u64;
                if end.is_some_and(|end| bytes > end) {
                    return Err(other_length());
                }
                if bytes > run.total.unwrap_or(self.bytes_max).min(self.bytes_max) {
                    return too_large();
                }
                held.extend_from_slice(piece);
                if let Some(progress) = &mut self.progress {
                    progress(Progress { bytes, total: run.total, resumed_from: run.resumed_from });
                }
            }
            let is_last = !matches!(next, Ok(Some(_)));
            if !held.is_empty() && (is_last || held.len() >= WRITE_BYTES) {
                held = run.draft.write(held).await?;
            }
            if is_last {
                next?;
                let is_short = end.is_some_and(|end| run.draft.length < end);
                return if is_short { Err(other_length()) } else { Ok(()) };
            }
        }
    }

    #[cfg(feature = "checksum")]
    async fn check(&self, run: &Run) -> Result<()> {
        use sha2::{Digest, Sha256};

        let Some(expected) = self.sha256 else { return Ok(()) };
        let digest = run.draft.read(Sha256::new(), |digest, bytes| digest.update(bytes)).await?;
        if digest.finalize()[..] == expected { Ok(()) } else { Err(Error::new(ErrorKind::Checksum)) }
    }
}

/// Whether a further request may go better.
fn may_pass(error: &Error) -> bool {
    let is_busy = |status| {
        matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS
                | StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT
        )
    };
    match error.kind() {
        ErrorKind::Status => error.status().is_some_and(is_busy),
        ErrorKind::Timeout => false,
        _ => error.may_pass(true),
    }
}

fn refused(answer: Response) -> Error {
    let (status, url) = (answer.status(), answer.url().clone());
    let error = match answer.error_for_status() {
        Err(error) => return error,
        Ok(_) => Error::new(ErrorKind::Status).with_status(status),
    };
    error.with_text(format!("it is no content of {}", url.path()))
}

/// A part is longer or shorter than its `Content-Range` says.
fn other_length() -> Error {
    Error::new(ErrorKind::Protocol).with_text("a part of the content has another length than it says")
}

/// What a URL is known by in a file.
fn fingerprint(url: &str) -> String {
    use sha1::{Digest, Sha1};

    Sha1::digest(url).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A random time before the next try, behind so many failures.
fn pause(delay: Duration, failures: u32) -> Duration {
    let longest = delay.saturating_mul(2_u32.saturating_pow(failures - 1)).min(PAUSE_MAX);
    part_of(longest, u32::from_ne_bytes(random::bytes()))
}

const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Bytes that are gathered for one write: enough to make the way to another thread and back small beside it.
const WRITE_BYTES: usize = 256 * 1024;

impl fmt::Debug for Download {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the URL, which may have secrets.
        f.debug_struct("Download").field("resume", &self.resume).finish_non_exhaustive()
    }
}
