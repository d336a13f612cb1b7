//! The page that lists a directory without an index.
#![forbid(unsafe_code)]

use std::fmt::Write;

use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, X_CONTENT_TYPE_OPTIONS};
use percent_encoding::utf8_percent_encode;
use ringhttp_runtime::file::{Directory, Entry};

use super::config::FilesConfig;
use super::find;
use crate::conn::Response;
use crate::error::Result;
use crate::proto::escape::NOT_UNRESERVED;
use crate::web::into_response::{Html, IntoResponse};

/// Reads a directory and makes its page. `path` is relative to the root, and empty for that.
pub(super) async fn page(directory: Directory, path: &str, config: &FilesConfig) -> Result<Response> {
    let hidden = config.hidden;
    let entries = directory.entries(config.listing_count_max, move |name| find::is_listed(name, hidden));
    let (entries, is_complete) = entries.await.map_err(find::error)?;
    let response = Html(render(path, &entries, is_complete)).into_response();
    Ok(response
        .with_header(CACHE_CONTROL, HeaderValue::from_static("no-cache"))
        .with_header(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'"))
        .with_header(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")))
}

fn render(path: &str, entries: &[Entry], is_complete: bool) -> String {
    let title = escaped(&format!("/{path}"));
    let mut page = format!(
        "<!doctype html>\n<meta charset=\"utf-8\">\n<title>{title}</title>\n<h1>{title}</h1>\n<ul>\n"
    );
    if !path.is_empty() {
        page.push_str("<li><a href=\"../\">../</a>\n");
    }
    for entry in entries {
        let name = entry.name.to_string_lossy();
        let slash = if entry.is_directory { "/" } else { "" };
        let link = utf8_percent_encode(&name, NOT_UNRESERVED);
        let _ = write!(page, "<li><a href=\"./{link}{slash}\">{}{slash}</a>", escaped(&name));
        if !entry.is_directory {
            let _ = write!(page, " {} bytes", entry.length);
        }
        page.push('\n');
    }
    page.push_str("</ul>\n");
    if !is_complete {
        page.push_str("<p>There are more.\n");
    }
    page
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}
