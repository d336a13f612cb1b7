//! Request bodies are decompressed while they are read.
#![forbid(unsafe_code)]

use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::conn::{Request, Response};
use crate::error::{Error, Result};
use crate::proto::content_coding::{ContentCoding, DecodeLimits, Decoder};
use crate::proto::http1::elements;
use crate::web::Next;

/// What [`decompress`] takes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DecompressConfig {
    /// The codings that are taken; others are answered with 415. Default: [`ContentCoding::ALL`].
    pub codings: Vec<ContentCoding>,
    /// How much may become of how little: a body that goes beyond fails with 413, for too many members with 400. The
    /// body limit of the route holds beside it, for the bytes that come and for those that are made of them.
    pub limits: DecodeLimits,
}

impl Default for DecompressConfig {
    fn default() -> Self {
        Self { codings: ContentCoding::ALL.to_vec(), limits: DecodeLimits::default() }
    }
}

/// Decompresses request bodies that have a `Content-Encoding` (RFC 9110 §8.4), for every way of reading them.
///
/// `Content-Encoding` and `Content-Length` are taken out of the request. The body is read in pieces of at most 32 KiB, made when
/// they are asked for, so a bomb never stands in memory as a whole. Reading fails with 400 if the body is not of its coding or
/// ends early, and with 413 beyond the limits. More than one coding, and one that is not known, are answered with 415 and the
/// `Accept-Encoding` that would be taken (RFC 9110 §15.5.16).
///
/// ```
/// use ringhttp::middleware::{DecompressConfig, decompress};
/// use ringhttp::{Request, Result, Router};
///
/// async fn length(_: &(), mut req: Request) -> Result<String> {
///     Ok(req.bytes().await?.len().to_string())
/// }
///
/// let router = Router::new().post("/length", length).with(decompress(DecompressConfig::default()));
/// # assert!(router.into_service(()).is_ok());
/// ```
pub fn decompress<S: 'static>(
    config: DecompressConfig,
) -> impl AsyncFn(&S, Request, Next<'_, S>) -> Result + 'static {
    async move |_: &S, mut request: Request, next: Next<'_, S>| {
        match coding(request.headers(), &config) {
            Ok(None) => {}
            Ok(Some(coding)) => {
                request.body().decode(Box::new(Decoder::new(coding, config.limits)));
                let headers = request.headers_mut();
                headers.remove(CONTENT_ENCODING);
                headers.remove(CONTENT_LENGTH);
            }
            Err(Unknown) => return unsupported(&config),
        }
        Ok(next.run(request).await)
    }
}

/// A body in a coding that is not taken.
struct Unknown;

/// The coding of the body; `None` if it has none. `identity` says nothing.
fn coding(headers: &HeaderMap, config: &DecompressConfig) -> Result<Option<ContentCoding>, Unknown> {
    let mut found = None;
    let names = elements(headers, CONTENT_ENCODING).filter(|name| !name.eq_ignore_ascii_case(b"identity"));
    for name in names {
        let coding = ContentCoding::of_name(name).filter(|coding| config.codings.contains(coding));
        // Codings upon codings multiply what a bomb becomes, and nobody uses them.
        if found.replace(coding.ok_or(Unknown)?).is_some() {
            return Err(Unknown);
        }
    }
    Ok(found)
}

fn unsupported(config: &DecompressConfig) -> Result {
    let names: Vec<&str> = config.codings.iter().map(|coding| coding.name()).collect();
    let error = Error::new(StatusCode::UNSUPPORTED_MEDIA_TYPE)
        .with_text("the content coding of the body is not supported");
    let accepted = HeaderValue::try_from(names.join(", ")).map_err(Error::internal)?;
    Ok(Response::from(error).with_header(ACCEPT_ENCODING, accepted))
}
