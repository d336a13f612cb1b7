//! From the path of a request to a path below the root: decoded, with nothing in it that could mean another place.
//!
//! The kernel would hold the root anyway; what is refused here never gets that far.
#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use percent_encoding::percent_decode_str;

use super::not_found;
use crate::error::{Error, Result};

/// A path below the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CleanPath {
    /// Segments with a slash between them; empty for the root itself.
    text: String,
    /// Whether the request named a directory, by a slash at the end. The root is always one.
    pub(super) is_directory: bool,
}

impl CleanPath {
    /// Reads what stands behind the prefix, percent-encoded, without a slash in front.
    ///
    /// # Errors
    /// 400 if a segment is not UTF-8 or has a NUL; 404 if one is empty, `.` or `..`, has a slash or a backslash however
    /// encoded, or begins with a dot although `hidden` files are not served.
    pub(super) fn parse(raw: &str, hidden: bool) -> Result<Self> {
        let is_directory = raw.is_empty() || raw.ends_with('/');
        let mut text = String::with_capacity(raw.len());
        if !raw.is_empty() {
            for segment in raw.strip_suffix('/').unwrap_or(raw).split('/') {
                let segment = percent_decode_str(segment)
                    .decode_utf8()
                    .map_err(|_| Error::bad_request("the path is not UTF-8"))?;
                check(&segment, hidden)?;
                if !text.is_empty() {
                    text.push('/');
                }
                text.push_str(&segment);
            }
        }
        Ok(Self { text, is_directory })
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn as_path(&self) -> &Path {
        Path::new(&self.text)
    }

    /// A file of the directory that this path names.
    pub(super) fn join(&self, name: &str) -> PathBuf {
        self.as_path().join(name)
    }

    /// Whether the last segment looks like a page of an application and not like a file.
    pub(super) fn is_bare(&self) -> bool {
        !self.text.rsplit('/').next().unwrap_or_default().contains('.')
    }
}

/// Whether a file of this name is one that is not served unless asked for.
pub(super) fn is_hidden(name: &[u8]) -> bool {
    name.starts_with(b".")
}

/// A path with more letters at its end.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let bytes = [path.as_os_str().as_bytes(), suffix.as_bytes()].concat();
    PathBuf::from(OsStr::from_bytes(&bytes))
}

fn check(segment: &str, hidden: bool) -> Result<()> {
    if segment.contains('\0') {
        return Err(Error::bad_request("the path has a NUL"));
    }
    let leads_elsewhere = matches!(segment, "" | "." | "..") || segment.contains(['/', '\\']);
    if leads_elsewhere || (!hidden && is_hidden(segment.as_bytes())) {
        return Err(not_found());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_below_the_root() {
        // What was sent; the path, or the status; whether it is a directory.
        let cases: &[(&str, Result<&str, u16>, bool)] = &[
            ("", Ok(""), true),
            ("a.txt", Ok("a.txt"), false),
            ("a/b/c", Ok("a/b/c"), false),
            ("a/", Ok("a"), true),
            ("caf%C3%A9.txt", Ok("café.txt"), false),
            ("a%20b", Ok("a b"), false),
            ("100%", Ok("100%"), false),
            ("a+b", Ok("a+b"), false),
            ("a..b", Ok("a..b"), false),
            ("a.", Ok("a."), false),
            ("..", Err(404), false),
            ("../a", Err(404), false),
            ("a/../b", Err(404), false),
            ("a/..", Err(404), false),
            ("a/../", Err(404), false),
            ("./a", Err(404), false),
            ("%2e%2e/a", Err(404), false),
            ("%2E%2e", Err(404), false),
            (".%2e/a", Err(404), false),
            ("%2e./a", Err(404), false),
            ("..%2fa", Err(404), false),
            ("..%2Fa", Err(404), false),
            ("a%2fb", Err(404), false),
            ("%2fetc%2fpasswd", Err(404), false),
            ("/etc/passwd", Err(404), false),
            ("a//b", Err(404), false),
            ("a//", Err(404), false),
            ("/", Err(404), false),
            ("..\\a", Err(404), false),
            ("..%5ca", Err(404), false),
            ("..%5C..%5Ca", Err(404), false),
            // Decoded once, not twice: this is a name of percent signs.
            ("%252e%252e", Ok("%2e%2e"), false),
            ("%252fa", Ok("%2fa"), false),
            // Overlong forms of dots and slashes are no UTF-8.
            ("%c0%ae%c0%ae/a", Err(400), false),
            ("%c0%af", Err(400), false),
            ("%e0%80%af", Err(400), false),
            ("%ff", Err(400), false),
            ("a%00.txt", Err(400), false),
            ("%00", Err(400), false),
            (".env", Err(404), false),
            (".git/config", Err(404), false),
            ("a/.b/c", Err(404), false),
            ("%2egit/config", Err(404), false),
        ];
        for (raw, expected, is_directory) in cases {
            match (CleanPath::parse(raw, false), expected) {
                (Ok(path), Ok(text)) => {
                    assert_eq!((path.as_str(), path.is_directory), (*text, *is_directory), "{raw}");
                }
                (Err(error), Err(status)) => assert_eq!(error.status().as_u16(), *status, "{raw}"),
                (found, _) => panic!("{raw}: {found:?}"),
            }
        }
        assert_eq!(CleanPath::parse(".well-known/a", true).unwrap().as_str(), ".well-known/a");
        assert!(CleanPath::parse("..", true).is_err() && CleanPath::parse(".", true).is_err());
    }
}
