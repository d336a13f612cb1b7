//! Static files: a directory under a prefix, or one file as an answer.
//!
//! From a path to a file is `find.rs`, from a file to an answer `answer.rs`; small files are kept in memory by `hot.rs`.
#![forbid(unsafe_code)]

mod answer;
mod config;
mod find;
mod hot;
mod listing;
mod path;

use std::path::{Path, PathBuf};
use std::rc::Rc;

use ringhttp_runtime::file::{OpenFile, Root};

use self::answer::{Representation, respond};
pub use self::config::{FileRule, FilesConfig};
use self::find::Finder;
use super::parts::RootPath;
use super::router::Router;
use crate::conn::{Request, Response};
use crate::error::{Error, Result};

/// A directory whose files are served: see [`Router::files`].
#[derive(Clone, Debug)]
pub struct Files {
    root: PathBuf,
    config: FilesConfig,
}

impl Files {
    /// The files of a directory, by the default [`FilesConfig`].
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self::with_config(root, FilesConfig::default())
    }

    /// The files of a directory.
    pub fn with_config(root: impl Into<PathBuf>, config: FilesConfig) -> Self {
        Self { root: root.into(), config }
    }
}

impl<S: 'static> Router<S> {
    /// Serves the files of a directory below `prefix`, for GET and HEAD: with conditional requests, ranges, and siblings
    /// that are compressed already. Nothing outside of the directory is served, whatever links are in it, and neither
    /// are hidden files, directories, devices, FIFOs and sockets: all of that is answered 404.
    ///
    /// `prefix` is as in [`nest`](Self::nest): it begins with `/` and does not end with one, unless it is `/` itself. Other
    /// routes below it are preferred to files.
    ///
    /// ```no_run
    /// use ringhttp::{Files, Router};
    ///
    /// let router: Router<()> = Router::new()
    ///     .get("/api/version", async |_: &(), _| "1\n")
    ///     .files("/static", Files::new("public"));
    /// ```
    ///
    /// # Mistakes
    /// A directory that cannot be opened: serving fails with an error that names it.
    #[track_caller]
    pub fn files(self, prefix: &str, files: Files) -> Self {
        let root = match Root::open(&files.root, files.config.symlinks) {
            Ok(root) => root,
            Err(error) => {
                let root = files.root.display();
                return self.mistake(format!("files of {root} below {prefix:?} cannot be served: {error}"));
            }
        };
        let finder = Rc::new(Finder::new(root, files.config));
        let below = Rc::clone(&finder);
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        let without_slash = if prefix.is_empty() { "/" } else { prefix };
        self.get(without_slash, async |_: &S, req: Request| find::with_slash(&req))
            .with_root(RootPath::SlashMissing)
            .get(&format!("{prefix}/"), async move |_: &S, req: Request| finder.answer(&req, "").await)
            .with_root(RootPath::Directory)
            .get(&format!("{prefix}/{{*path}}"), async move |_: &S, req: Request| {
                let path = req.raw_param("path").unwrap_or_default();
                below.answer(&req, path).await
            })
    }
}

impl Response {
    /// Answers with one file of the program's own choosing, by its conditions and ranges: aiohttp's `FileResponse`. The type
    /// is guessed by the name, `Last-Modified` and `ETag` are set; add `Cache-Control` or `Content-Disposition` to taste.
    ///
    /// Never make `path` of what a client sent: links and `..` in it are followed. [`Router::files`] is for that.
    ///
    /// ```
    /// use ringhttp::{Request, Response, Result};
    ///
    /// async fn report(_: &(), req: Request) -> Result {
    ///     Response::file(&req, "/srv/reports/latest.pdf").await
    /// }
    /// # let _ = ringhttp::Router::new().get("/report", report);
    /// ```
    ///
    /// # Errors
    /// 404 if there is no such regular file, 403 if it may not be read, 503 if too many files or blocking calls are in
    /// use, 500 otherwise.
    ///
    /// # Cancellation
    /// Nothing is lost: what is opened meanwhile is closed again.
    pub async fn file(request: &Request, path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = OpenFile::open(path).await.map_err(find::error)?;
        let config = FilesConfig::default();
        let representation = Representation::new(&file, path, None, &config);
        Ok(respond(request, &representation, file, config.ranges_max))
    }
}

/// An answer for a file that there is not.
fn not_found() -> Error {
    Error::new(http::StatusCode::NOT_FOUND)
}
