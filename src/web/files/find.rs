//! From the path of a request to the file that answers it: the file itself, a sibling that is compressed already, the index
//! of a directory, or the fallback.
#![forbid(unsafe_code)]

use std::io;
use std::path::{Path, PathBuf};

use http::header::{ACCEPT, ACCEPT_ENCODING, VARY};
use http::{HeaderMap, StatusCode};
use ringhttp_runtime::BlockingError;
use ringhttp_runtime::file::{Directory, Found, OpenFile, Root};

use super::answer::{Representation, respond};
use super::config::FilesConfig;
use super::hot::HotFiles;
use super::path::{CleanPath, is_hidden, with_suffix};
use super::{listing, not_found};
use crate::conn::{Request, Response};
use crate::error::{Error, Result};
use crate::proto::http1::elements;
use crate::proto::negotiation::Encodings;
use crate::web::into_response::IntoResponse;
use crate::web::redirect::Redirect;

/// Answers for the files below one root.
pub(super) struct Finder {
    root: Root,
    config: FilesConfig,
    hot: HotFiles,
}

/// A coding that files may be stored in, beside the original.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Brotli,
    Zstd,
    Gzip,
}

impl Coding {
    /// In the order of preference where a client has none: the smallest first.
    const ALL: [Self; 3] = [Self::Brotli, Self::Zstd, Self::Gzip];

    /// As in `Content-Encoding`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    /// Behind the name of the file.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Self::Brotli => ".br",
            Self::Zstd => ".zst",
            Self::Gzip => ".gz",
        }
    }
}

/// What a path came to.
enum Place {
    File {
        file: OpenFile,
        path: PathBuf,
        coding: Option<Coding>,
    },
    Directory(Directory),
    /// A directory that was named without a slash.
    SlashMissing,
}

impl Finder {
    pub(super) fn new(root: Root, config: FilesConfig) -> Self {
        Self { root, config, hot: HotFiles::new() }
    }

    /// Answers a request for `raw`, the part of its path below the prefix.
    pub(super) async fn answer(&self, request: &Request, raw: &str) -> Result<Response> {
        let path = CleanPath::parse(raw, self.config.hidden)?;
        let codings = if self.config.precompressed { accepted(request.headers()) } else { Vec::new() };
        let key = key(&path, &codings);
        let kept = self.hot.get(&key, &self.config);
        if let Some((hot, true)) = &kept {
            return Ok(respond(request, &hot.representation, hot.bytes.clone(), self.config.ranges_max));
        }
        let mut by_type = false;
        let place = match self.find(&path, &codings).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                by_type = !path.is_bare() && self.config.fallback.is_some();
                self.find_fallback(request, &path, &codings).await
            }
            found => found,
        };
        let refusal = |found| {
            let error = error(found);
            // Another client might have got the page.
            if by_type { error.with_header(VARY, ACCEPT.into()) } else { error }
        };
        let (file, name, coding) = match place.map_err(refusal)? {
            Place::File { file, path, coding } => (file, path, coding),
            Place::Directory(directory) => {
                return listing::page(directory, path.as_str(), &self.config).await;
            }
            Place::SlashMissing => return Ok(with_slash(request)),
        };
        if let Some((hot, _)) = &kept
            && self.hot.confirm(hot, &file, &self.config)
        {
            return Ok(respond(request, &hot.representation, hot.bytes.clone(), self.config.ranges_max));
        }
        let representation = Representation::new(&file, &name, coding, &self.config)
            .with_varying(self.config.precompressed, by_type);
        let length = usize::try_from(file.length()).unwrap_or(usize::MAX);
        if length == 0 || length > self.config.hot_file_bytes_max || !self.is_at(&name, &path) {
            return Ok(respond(request, &representation, file, self.config.ranges_max));
        }
        let bytes = file.read(0, length).await.map_err(error)?;
        let hot = self.hot.insert(key, &self.config, representation, &file, bytes);
        Ok(respond(request, &hot.representation, hot.bytes.clone(), self.config.ranges_max))
    }

    /// Whether a file has this path of its own: what the fallback answers is not kept once for each path.
    fn is_at(&self, name: &Path, path: &CleanPath) -> bool {
        let is_index = |index: &String| path.is_directory && *name == path.join(index);
        (!path.is_directory && *name == *path.as_path()) || self.config.index.as_ref().is_some_and(is_index)
    }

    async fn find(&self, path: &CleanPath, codings: &[Coding]) -> io::Result<Place> {
        let named = match self.root.find(path.as_path()).await? {
            Found::File(_) if path.is_directory => return Err(io::ErrorKind::NotFound.into()),
            Found::File(file) => return Ok(self.best(file, path.as_path().to_owned(), codings).await),
            Found::Directory(_) if !path.is_directory => return Ok(Place::SlashMissing),
            Found::Directory(directory) => directory,
        };
        if let Some(index) = &self.config.index {
            let index = path.join(index);
            match self.root.find(&index).await {
                Ok(Found::File(file)) => return Ok(self.best(file, index, codings).await),
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(Found::Directory(_)) | Err(_) => {}
            }
        }
        if self.config.listing { Ok(Place::Directory(named)) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    async fn find_fallback(
        &self,
        request: &Request,
        path: &CleanPath,
        codings: &[Coding],
    ) -> io::Result<Place> {
        let Some(fallback) = &self.config.fallback else {
            return Err(io::ErrorKind::NotFound.into());
        };
        if !path.is_bare() && !wants_page(request.headers()) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let file = self.root.find(Path::new(fallback)).await?.into_file()?;
        Ok(self.best(file, fallback.into(), codings).await)
    }

    /// The file, or the sibling that the client likes best. One that cannot be read is as good as none.
    async fn best(&self, file: OpenFile, path: PathBuf, codings: &[Coding]) -> Place {
        for &coding in codings {
            let sibling = with_suffix(&path, coding.suffix());
            if let Ok(Found::File(file)) = self.root.find(&sibling).await {
                return Place::File { file, path, coding: Some(coding) };
            }
        }
        Place::File { file, path, coding: None }
    }
}

/// Sends a client that named a directory without a slash to where its relative links are right. The path is our own, so it
/// leads to no other host: no file is served below `//`.
pub(super) fn with_slash(request: &Request) -> Response {
    let path = request.path();
    let location = match request.query_string() {
        Some(query) => format!("{path}/?{query}"),
        None => format!("{path}/"),
    };
    Redirect::permanent(location).into_response()
}

/// Which error an answer is, by why a file could not be opened or read.
pub(super) fn error(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::NotFound => return not_found(),
        io::ErrorKind::PermissionDenied => return Error::new(StatusCode::FORBIDDEN),
        _ => {}
    }
    let is_full = error.get_ref().and_then(|inner| inner.downcast_ref()) == Some(&BlockingError::QueueFull);
    if is_full || matches!(error.raw_os_error(), Some(EMFILE | ENFILE)) {
        return Error::new(StatusCode::SERVICE_UNAVAILABLE).with_source(error);
    }
    error.into()
}

/// The codings that the client prefers to the plain file, best first.
fn accepted(headers: &HeaderMap) -> Vec<Coding> {
    let encodings = Encodings::new(headers.get_all(ACCEPT_ENCODING));
    let plain = encodings.quality("identity");
    let weighed = |coding: Coding| (encodings.quality(coding.name()), coding);
    let mut codings: Vec<_> = Coding::ALL.into_iter().map(weighed).collect();
    codings.retain(|(quality, _)| *quality > 0 && *quality >= plain);
    codings.sort_by_key(|(quality, _)| std::cmp::Reverse(*quality));
    codings.into_iter().map(|(_, coding)| coding).collect()
}

fn wants_page(headers: &HeaderMap) -> bool {
    let is_html = |range: &[u8]| range.get(..9).is_some_and(|name| name.eq_ignore_ascii_case(b"text/html"));
    elements(headers, ACCEPT).any(is_html)
}

/// What is kept in memory differs by path and by the codings that were looked for.
fn key(path: &CleanPath, codings: &[Coding]) -> String {
    let mut key = String::with_capacity(path.as_str().len() + Coding::ALL.len() + 1);
    key.extend(codings.iter().map(|coding| coding.name().as_bytes()[0] as char));
    // No segment is `:`, and the codings have none, so no two keys are the same by chance.
    key.push(':');
    key.push_str(path.as_str());
    if path.is_directory {
        key.push('/');
    }
    key
}

/// Too many files are open: in this process, in the system.
const EMFILE: i32 = 24;
const ENFILE: i32 = 23;

/// Whether a directory's page tells of a name.
pub(super) fn is_listed(name: &[u8], hidden: bool) -> bool {
    std::str::from_utf8(name).is_ok() && !name.contains(&b'\\') && (hidden || !is_hidden(name))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn codings_are_tried_in_the_order_of_their_weights() {
        use Coding::{Brotli, Gzip, Zstd};
        let cases: &[(&str, &[Coding])] = &[
            ("gzip, deflate, br, zstd", &[Brotli, Zstd, Gzip]),
            ("gzip;q=1, br;q=0.5", &[Gzip, Brotli]),
            ("br;q=0, gzip", &[Gzip]),
            ("*", &[Brotli, Zstd, Gzip]),
            ("*;q=0, gzip", &[Gzip]),
            ("identity, gzip;q=0.5", &[]),
            ("identity;q=0.5, gzip;q=0.5", &[Gzip]),
            ("", &[]),
            ("deflate", &[]),
        ];
        for (value, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_str(value).unwrap());
            assert_eq!(accepted(&headers), *expected, "{value}");
        }
        assert!(accepted(&HeaderMap::new()).is_empty());
    }
}
