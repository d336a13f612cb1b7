//! Request heads to bytes, with the fields that every request of a client has put together once.
#![forbid(unsafe_code)]

use bytes::BytesMut;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use super::{HEAD_BYTES_GUESS, Special, agrees, field, framing_field, special};
use crate::proto::Misuse;
use crate::proto::http1::Framing;

/// Fields that the client's writer adds by itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct ImpliedRequest<'a> {
    /// `Host`, unless the caller set it.
    pub host: Option<&'a str>,
    /// What every request has, each field unless the caller set one of its name.
    pub defaults: Option<&'a DefaultFields>,
    /// Names of defaults that are left out.
    pub without: &'a [HeaderName],
}

/// Fields of all requests of a client, as lines.
#[derive(Clone, Debug, Default)]
pub struct DefaultFields {
    fields: HeaderMap,
    lines: Vec<u8>,
}

impl DefaultFields {
    /// Puts the lines together.
    ///
    /// # Errors
    /// [`Misuse::FramingConflict`] with a field that says where one message ends, or whom it is for: `Content-Length`,
    /// `Transfer-Encoding`, `Host`.
    pub fn new(fields: HeaderMap) -> Result<Self, Misuse> {
        let mut lines = BytesMut::new();
        for (name, value) in &fields {
            match special(name) {
                Some(Special::ContentLength | Special::TransferEncoding | Special::Host) => {
                    return Err(Misuse::FramingConflict);
                }
                _ => field(&mut lines, name, value),
            }
        }
        Ok(Self { fields, lines: lines.to_vec() })
    }

    /// The fields.
    #[must_use]
    pub fn fields(&self) -> &HeaderMap {
        &self.fields
    }

    fn write(&self, out: &mut BytesMut, headers: &HeaderMap, without: &[HeaderName]) {
        let is_left_out = |name: &HeaderName| headers.contains_key(name) || without.contains(name);
        if (headers.is_empty() && without.is_empty()) || !self.fields.keys().any(is_left_out) {
            out.extend_from_slice(&self.lines);
            return;
        }
        for (name, value) in self.fields.iter().filter(|(name, _)| !is_left_out(name)) {
            field(out, name, value);
        }
    }
}

/// Appends a request head to `out`, always in HTTP/1.1. `Host` is written first (RFC 9110 §7.2).
///
/// `target`: in the form that the method and the way (origin server, proxy, tunnel) ask for. `headers` need at most one
/// `Host`, exactly one if none is implied, and no framing fields; a `Content-Length` that says the same as `framing` is
/// tolerated.
///
/// # Errors
/// [`Misuse::HostMissing`], [`Misuse::HostInvalid`], [`Misuse::TargetInvalid`], [`Misuse::FramingConflict`]. `out` is left as it was.
pub fn encode_request_head(
    out: &mut BytesMut,
    method: &Method,
    target: &str,
    headers: &HeaderMap,
    framing: Framing,
    implied: &ImpliedRequest<'_>,
) -> Result<(), Misuse> {
    if target.is_empty() || !target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
        return Err(Misuse::TargetInvalid);
    }
    let host = host(headers, implied.host)?;
    if framing == Framing::UntilClose {
        return Err(Misuse::FramingConflict);
    }
    let start = out.len();
    out.reserve(HEAD_BYTES_GUESS + target.len());
    out.extend_from_slice(method.as_str().as_bytes());
    out.extend_from_slice(b" ");
    out.extend_from_slice(target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\nhost: ");
    out.extend_from_slice(host);
    out.extend_from_slice(b"\r\n");
    if let Some(defaults) = implied.defaults {
        defaults.write(out, headers, implied.without);
    }
    let result = request_fields(out, headers, framing);
    if result.is_err() {
        out.truncate(start);
    }
    result
}

fn host<'a>(headers: &'a HeaderMap, implied: Option<&'a str>) -> Result<&'a [u8], Misuse> {
    let mut hosts = headers.get_all(header::HOST).iter().map(HeaderValue::as_bytes);
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => Ok(host),
        (None, None) => {
            let implied = implied.ok_or(Misuse::HostMissing)?.as_bytes();
            if implied.iter().all(u8::is_ascii_graphic) { Ok(implied) } else { Err(Misuse::HostInvalid) }
        }
        _ => Err(Misuse::HostMissing),
    }
}

fn request_fields(out: &mut BytesMut, headers: &HeaderMap, framing: Framing) -> Result<(), Misuse> {
    for (name, value) in headers {
        match special(name) {
            Some(Special::Host) => {}
            Some(Special::ContentLength) => agrees(value, framing)?,
            Some(Special::TransferEncoding) => return Err(Misuse::FramingConflict),
            _ => field(out, name, value),
        }
    }
    framing_field(out, framing);
    out.extend_from_slice(b"\r\n");
    Ok(())
}
