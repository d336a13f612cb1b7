//! Answers are compressed for clients that accept it.
#![forbid(unsafe_code)]

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_TYPE, ETAG, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use ringhttp_runtime::Core;

use crate::conn::{Body, Request, Response};
use crate::proto::Etag;
use crate::proto::content_coding::{ContentCoding, Level};
use crate::proto::http1::elements;
use crate::proto::negotiation::Encodings;
use crate::web::Next;
use crate::web::coders::{SpareEncoder, StreamEncoder, StreamPlace, compressed};

/// How [`compress`] compresses.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CompressConfig {
    /// The codings that may be used: of those that a client wants equally, the first is taken. Default:
    /// [`ContentCoding::ALL`] (zstd, br, gzip, deflate, as far as their features are on).
    pub codings: Vec<ContentCoding>,
    /// How hard to try. Default: [`Level::Balanced`].
    pub level: Level,
    /// Bytes of the smallest body that is compressed; smaller ones hardly gain. Bodies of unknown length count as large.
    /// Default: 1024.
    pub bytes_min: u64,
    /// Bytes from which on a body of one piece is compressed on a thread of the blocking pool, to not hold the core
    /// for longer than about a millisecond. When the pool's queue is full it is sent as it is. Default: 32 KiB.
    pub blocking_bytes_min: usize,
    /// Streams of a core that are compressed at a time, by all middleware of this kind: each holds an encoder until it ends, of
    /// 270 KiB for gzip and deflate, of some MiB for br and zstd. Default: 128. Beyond: they are sent as they are.
    pub streams_max: usize,
    /// Whether a media type gains from it, without parameters and in lower case. Default: [`is_compressible`].
    pub types: fn(&str) -> bool,
}

impl Default for CompressConfig {
    fn default() -> Self {
        Self {
            codings: ContentCoding::ALL.to_vec(),
            level: Level::default(),
            bytes_min: 1024,
            blocking_bytes_min: 32 * 1024,
            streams_max: 128,
            types: is_compressible,
        }
    }
}

/// Compresses answers by the `Accept-Encoding` of their requests (RFC 9110 §12.5.3).
///
/// Of what the client accepts, what it wants most is taken, and of several the first in [`CompressConfig::codings`]. An
/// answer that could be compressed gets `Vary: Accept-Encoding` whether it is or not, and so does a 206 with a part of one. One
/// that is gets its `Content-Encoding`; its strong `ETag` becomes a weak one, and `Accept-Ranges` is taken out, as the bytes are
/// others now.
///
/// Left as they are: answers with `Content-Encoding`, `Content-Range`, a digest of their content or `Cache-Control: no-transform`; 204,
/// 206 and 304; files, but for small ones that are kept in memory ([`FilesConfig::hot_file_bytes_max`](crate::FilesConfig)); what is
/// short or of a type that does not gain. A client that accepts nothing, not even `identity`, is answered uncompressed
/// rather than with 406 (RFC 9110 §12.5.3 allows both).
///
/// Streams are compressed while they are written. Whenever the writer waits for something else than the client, what was
/// written so far leaves: an event of `text/event-stream` is not held back. Each piece is compressed at once, so pieces
/// should not be larger than some 32 KiB.
///
/// Where answers contain both a secret and what the client sent, their compressed length tells something of the secret
/// (BREACH): do not compress those.
///
/// ```
/// use ringhttp::Router;
/// use ringhttp::middleware::{CompressConfig, compress};
///
/// let router = Router::new()
///     .get("/", async |_: &(), _| "hello ".repeat(1000))
///     .with(compress(CompressConfig::default()));
/// # assert!(router.into_service(()).is_ok());
/// ```
pub fn compress<S: 'static>(
    config: CompressConfig,
) -> impl AsyncFn(&S, Request, Next<'_, S>) -> Response + 'static {
    async move |_: &S, request: Request, next: Next<'_, S>| {
        let accepted = Encodings::new(request.headers().get_all(ACCEPT_ENCODING));
        let coding = accepted.best(&config.codings, ContentCoding::name);
        // Then a body that is too short to gain is compressed all the same.
        let identity_refused = accepted.quality("identity") == 0;
        drop(accepted);
        let response = next.run(request).await;
        if response.status() == StatusCode::NOT_MODIFIED {
            return not_modified(response, coding);
        }
        if is_part(&response, &config) {
            return varying(response);
        }
        if !may_be_compressed(&response, &config) {
            return response;
        }
        let response = varying(response);
        let is_short = response.body().length().is_some_and(|length| length < config.bytes_min);
        match coding {
            Some(coding) if !is_short || identity_refused => encode(response, coding, &config).await,
            _ => response,
        }
    }
}

/// Whether bodies of a media type gain from compression: text, and what is text by another name, but not images, films,
/// sounds, fonts and archives, which are compressed already, nor what nobody knows.
#[must_use]
pub fn is_compressible(media_type: &str) -> bool {
    let (kind, subtype) = media_type.split_once('/').unwrap_or_default();
    match kind {
        "text" => true,
        "image" => matches!(subtype, "svg+xml" | "bmp" | "x-icon" | "vnd.microsoft.icon"),
        "font" => matches!(subtype, "ttf" | "otf" | "collection"),
        "application" => {
            subtype.ends_with("+json")
                || subtype.ends_with("+xml")
                || matches!(
                    subtype,
                    "json"
                        | "javascript"
                        | "x-javascript"
                        | "ecmascript"
                        | "xml"
                        | "xml-dtd"
                        | "wasm"
                        | "x-ndjson"
                        | "jsonl"
                        | "graphql"
                        | "rtf"
                        | "sql"
                        | "toml"
                        | "yaml"
                        | "x-yaml"
                        | "x-sh"
                        | "x-www-form-urlencoded"
                        | "vnd.ms-fontobject"
                )
        }
        _ => false,
    }
}

/// Whether an answer is one that some client could get compressed.
fn may_be_compressed(response: &Response, config: &CompressConfig) -> bool {
    let headers = response.headers();
    let is_bodiless = matches!(response.status().as_u16(), 100..200 | 204 | 205 | 206)
        || response.body().length() == Some(0);
    !is_bodiless
        && !headers.contains_key(CONTENT_RANGE)
        && may_be_transformed(headers)
        && media_type(headers).is_some_and(|media_type| (config.types)(&media_type))
}

/// Whether an answer is a part of one that some client could get compressed: it varies as that does (RFC 9110 §15.3.7). Of
/// what several parts are is only said among them.
fn is_part(response: &Response, config: &CompressConfig) -> bool {
    let may_be_of = |media_type: &str| media_type == "multipart/byteranges" || (config.types)(media_type);
    response.status() == StatusCode::PARTIAL_CONTENT
        && may_be_transformed(response.headers())
        && media_type(response.headers()).is_some_and(|media_type| may_be_of(&media_type))
}

/// Whether the bytes of an answer may become others.
fn may_be_transformed(headers: &HeaderMap) -> bool {
    !NOT_WITH.iter().any(|name| headers.contains_key(name)) && !is_no_transform(headers)
}

/// The media type of an answer, without parameters and in lower case.
fn media_type(headers: &HeaderMap) -> Option<String> {
    let content_type = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    Some(content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// RFC 9111 §5.2.2.6.
fn is_no_transform(headers: &HeaderMap) -> bool {
    elements(headers, CACHE_CONTROL).any(|directive| directive.eq_ignore_ascii_case(b"no-transform"))
}

async fn encode(mut response: Response, coding: ContentCoding, config: &CompressConfig) -> Response {
    let body = response.take_body();
    let level = config.level;
    let body = match body.as_bytes() {
        Some(bytes) if bytes.len() < config.blocking_bytes_min => compressed(coding, level, bytes).into(),
        Some(_) => match compressed_elsewhere(body, coding, level).await {
            Ok(body) => body,
            Err(body) => return response.with_body(body),
        },
        None => {
            let Some(place) = StreamPlace::take(config.streams_max) else {
                return response.with_body(body);
            };
            let encoded = body.encoded(|| {
                Box::new(StreamEncoder { encoder: SpareEncoder::take(coding, level), _place: place })
            });
            if !encoded.is_encoded() {
                return response.with_body(encoded);
            }
            encoded
        }
    };
    let headers = response.headers_mut();
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
    headers.remove(CONTENT_LENGTH);
    headers.remove(ACCEPT_RANGES);
    weaken_etag(headers);
    response.with_body(body)
}

/// Compresses a body on a thread of the blocking pool. If there is none, gives it back.
async fn compressed_elsewhere(body: Body, coding: ContentCoding, level: Level) -> Result<Body, Body> {
    let (Some(core), Some(bytes)) = (Core::current(), body.to_bytes()) else {
        return Err(body);
    };
    let packed = core.spawn_blocking(move || Bytes::from(compressed(coding, level, &bytes))).await;
    packed.map(Body::from).map_err(|_| body)
}

/// RFC 9110 §15.4.5: the answer that the client has was varying, and its tag a weak one, if it was compressed; a strong tag
/// would not find it (RFC 9111 §4.3.4).
fn not_modified(response: Response, coding: Option<ContentCoding>) -> Response {
    let mut response = varying(response);
    if coding.is_some() {
        weaken_etag(response.headers_mut());
    }
    response
}

fn weaken_etag(headers: &mut HeaderMap) {
    if let Some(value) = headers.get_mut(ETAG)
        && let Ok(tag) = Etag::parse(value.as_bytes())
    {
        *value = tag.to_weak().to_value();
    }
}

/// Says that another `Accept-Encoding` might have another answer (RFC 9110 §12.5.5).
fn varying(mut response: Response) -> Response {
    let is_named = |name: &[u8]| name == b"*" || name.eq_ignore_ascii_case(b"accept-encoding");
    let headers = response.headers_mut();
    if !elements(headers, VARY).any(is_named) {
        headers.append(VARY, HeaderValue::from_static("accept-encoding"));
    }
    response
}

/// Fields of answers whose bytes must stay what they are.
const NOT_WITH: [HeaderName; 3] =
    [CONTENT_ENCODING, HeaderName::from_static("content-digest"), HeaderName::from_static("repr-digest")];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_that_gain_are_known() {
        for good in [
            "text/html",
            "text/event-stream",
            "application/json",
            "application/problem+json",
            "image/svg+xml",
        ] {
            assert!(is_compressible(good), "{good}");
        }
        for bad in [
            "",
            "text",
            "image/png",
            "video/mp4",
            "application/zip",
            "application/octet-stream",
            "font/woff2",
        ] {
            assert!(!is_compressible(bad), "{bad}");
        }
    }

    #[test]
    fn vary_is_not_repeated() {
        const CASES: &[(&[&str], usize)] = &[
            (&[], 1),
            (&["*"], 1),
            (&["origin"], 2),
            (&["origin, Accept-Encoding"], 1),
            (&["a", "accept-encoding"], 2),
        ];
        for (before, count) in CASES {
            let mut response = Response::text("");
            for value in *before {
                response.headers_mut().append(VARY, HeaderValue::from_static(value));
            }
            assert_eq!(varying(response).headers().get_all(VARY).iter().count(), *count, "{before:?}");
        }
    }
}
