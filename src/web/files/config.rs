//! How a directory of files is served.
#![forbid(unsafe_code)]

use std::time::Duration;

use http::HeaderValue;
use ringhttp_runtime::file::Symlinks;

use crate::proto::range::RANGES_MAX;

/// How [`Files`](super::Files) are served. `Default` is meant to be fit for the open internet.
///
/// ```
/// use ringhttp::{FileRule, FilesConfig, HeaderValue};
///
/// let mut config = FilesConfig::default();
/// config.fallback = Some("index.html".into());
/// config.cache_control = vec![
///     FileRule::below("assets/", HeaderValue::from_static("public, max-age=31536000, immutable")),
///     FileRule::all(HeaderValue::from_static("no-cache")),
/// ];
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FilesConfig {
    /// The file that stands for its directory. Default `index.html`; `None`: no file does.
    pub index: Option<String>,
    /// The file, relative to the root, that is answered (with 200) where there is none, for applications that route in
    /// the browser. Default `None`: 404. It stands in for paths whose last segment has no dot, and for all that ask for
    /// `text/html`: a script that is missing stays a 404.
    pub fallback: Option<String>,
    /// Whether a directory without an index is answered with a page of links to what is in it. Default false: 404.
    pub listing: bool,
    /// Names that a listing reads of a directory. Default 1000. Beyond: the page says that it is not complete.
    pub listing_count_max: usize,
    /// Whether files and directories whose names begin with a dot are served. Default false: 404.
    pub hidden: bool,
    /// What becomes of symbolic links. Default: they are followed below the root, and lead to a 404 if they leave it.
    pub symlinks: Symlinks,
    /// Whether `name.br`, `name.zst` and `name.gz` beside `name` are sent to clients that accept their coding. Default
    /// true. A sibling older than its original is sent all the same: making them is up to the build. Not for directories that
    /// strangers put files into: by a sibling they would choose what others get for somebody else's file.
    pub precompressed: bool,
    /// `Cache-Control` of the answers: the first rule that fits a file. Default: none, so that clients ask again by their
    /// own judgement, and are mostly answered 304.
    pub cache_control: Vec<FileRule>,
    /// `Content-Type` of the answers where the guess by the extension will not do: the first rule that fits a file. Default:
    /// none.
    pub content_type: Vec<FileRule>,
    /// Ranges of one request that are answered. Default 16. Beyond: the whole file is.
    pub ranges_max: usize,
    /// Bytes of a file up to which it is kept in memory, by each core for itself. Default 64 KiB; 0 keeps nothing.
    pub hot_file_bytes_max: usize,
    /// Bytes of all files that a core keeps. Default 16 MiB. Beyond: the one that was asked for longest ago goes.
    pub hot_bytes_max: usize,
    /// Files that a core keeps. Default 1024. Beyond: as `hot_bytes_max`.
    pub hot_count_max: usize,
    /// How long a file in memory is answered without a look at the disk. Default 1 s. Then: it is compared by its inode,
    /// length and time of change.
    pub hot_age_max: Duration,
}

impl Default for FilesConfig {
    fn default() -> Self {
        Self {
            index: Some("index.html".to_owned()),
            fallback: None,
            listing: false,
            listing_count_max: 1000,
            hidden: false,
            symlinks: Symlinks::Within,
            precompressed: true,
            cache_control: Vec::new(),
            content_type: Vec::new(),
            ranges_max: RANGES_MAX,
            hot_file_bytes_max: 64 * 1024,
            hot_bytes_max: 16 * 1024 * 1024,
            hot_count_max: 1024,
            hot_age_max: Duration::from_secs(1),
        }
    }
}

/// A field value for some of the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRule {
    place: Place,
    value: HeaderValue,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Below(String),
    Extension(String),
}

impl FileRule {
    /// For all files.
    #[must_use]
    pub fn all(value: HeaderValue) -> Self {
        Self::below("", value)
    }

    /// For files whose path below the root begins with `prefix`, which has no slash in front: `assets/`.
    pub fn below(prefix: impl Into<String>, value: HeaderValue) -> Self {
        Self { place: Place::Below(prefix.into()), value }
    }

    /// For files whose name ends with a dot and `extension`, in any case.
    pub fn extension(extension: impl Into<String>, value: HeaderValue) -> Self {
        Self { place: Place::Extension(extension.into()), value }
    }

    /// The value of the first rule that fits a file.
    pub(super) fn find<'a>(rules: &'a [Self], path: &std::path::Path) -> Option<&'a HeaderValue> {
        let fits = |rule: &&Self| match &rule.place {
            Place::Below(prefix) => path.as_os_str().as_encoded_bytes().starts_with(prefix.as_bytes()),
            Place::Extension(wanted) => {
                path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case(wanted))
            }
        };
        rules.iter().find(fits).map(|rule| &rule.value)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_first_rule_that_fits_counts() {
        let value = HeaderValue::from_static;
        let rules = [
            FileRule::extension("html", value("page")),
            FileRule::below("assets/", value("asset")),
            FileRule::all(value("other")),
        ];
        let cases = [
            ("a.html", "page"),
            ("assets/A.HTML", "page"),
            ("assets/a.js", "asset"),
            ("assetsx/a.js", "other"),
            ("html", "other"),
        ];
        for (path, expected) in cases {
            assert_eq!(FileRule::find(&rules, Path::new(path)).unwrap(), expected, "{path}");
        }
        assert_eq!(FileRule::find(&rules[..2], Path::new("a.js")), None);
    }
}
