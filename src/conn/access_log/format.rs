//! How a line of the access log looks: a format string, parsed once, or JSON.
#![forbid(unsafe_code)]

use std::fmt::Write;
use std::process;
use std::time::Duration;

use http::HeaderName;
use http::header::{AUTHORIZATION, COOKIE, HOST, PROXY_AUTHORIZATION, REFERER, SET_COOKIE, USER_AGENT};
use ringhttp_runtime::time::DATE_BYTES;

use super::entry::{AccessRecord, Value};
use crate::proto::escape::{json_string, log_text};

/// A line's parts, and the fields that have to be noted for it.
#[derive(Clone, Debug)]
pub(super) struct Format {
    /// `None`: a JSON object.
    pieces: Option<Vec<Piece>>,
    pub(super) request_fields: Vec<Field>,
    pub(super) response_fields: Vec<Field>,
}

/// A field that lines have.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) name: HeaderName,
    pub(super) masked: bool,
}

#[derive(Clone, Debug)]
enum Piece {
    Text(String),
    Peer,
    Client,
    Route,
    Scheme,
    Time,
    RequestLine,
    Status,
    BodyBytes,
    Seconds,
    SecondsFraction,
    Micros,
    FirstByteMicros,
    Close,
    /// Indices into the fields.
    RequestField(usize),
    ResponseField(usize),
}

/// Fields whose values are never shown.
const MASKED: [HeaderName; 4] = [AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE, SET_COOKIE];

impl Format {
    pub(super) fn json() -> Self {
        Self {
            pieces: None,
            request_fields: vec![Field::new(HOST), Field::new(REFERER), Field::new(USER_AGENT)],
            response_fields: vec![Field::new(HeaderName::from_static("x-request-id"))],
        }
    }

    /// Parses a format string; the error says what is wrong and where.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut format = Self { pieces: None, request_fields: Vec::new(), response_fields: Vec::new() };
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(percent) = rest.find('%') {
            pieces.push(Piece::Text(rest[..percent].to_owned()));
            let at = text.len() - rest.len() + percent;
            let (piece, used) =
                format.atom(&rest[percent + 1..]).map_err(|why| format!("{why} at byte {at}"))?;
            pieces.push(piece);
            rest = &rest[percent + 1 + used..];
        }
        pieces.push(Piece::Text(rest.to_owned()));
        pieces.retain(|piece| !matches!(piece, Piece::Text(text) if text.is_empty()));
        format.pieces = Some(pieces);
        Ok(format)
    }

    /// The atom that `text` begins with, behind its `%`, and how many bytes it has.
    fn atom(&mut self, text: &str) -> Result<(Piece, usize), String> {
        let piece = match text.chars().next() {
            Some('%') => Piece::Text("%".to_owned()),
            Some('a') => Piece::Peer,
            Some('C') => Piece::Client,
            Some('R') => Piece::Route,
            Some('S') => Piece::Scheme,
            Some('t') => Piece::Time,
            Some('P') => Piece::Text(process::id().to_string()),
            Some('r') => Piece::RequestLine,
            Some('s') => Piece::Status,
            Some('b') => Piece::BodyBytes,
            Some('T') if text.starts_with("Tf") => return Ok((Piece::SecondsFraction, 2)),
            Some('T') => Piece::Seconds,
            Some('D') => Piece::Micros,
            Some('F') => Piece::FirstByteMicros,
            Some('X') => Piece::Close,
            Some('{') => return self.field(&text[1..]).map(|(piece, used)| (piece, used + 1)),
            Some(other) => return Err(format!("unknown atom `%{}`", other.escape_debug())),
            None => return Err("`%` without an atom".to_owned()),
        };
        Ok((piece, 1))
    }

    fn field(&mut self, text: &str) -> Result<(Piece, usize), String> {
        let end = text.find('}').ok_or("`%{` without `}`")?;
        let name = HeaderName::from_bytes(&text.as_bytes()[..end])
            .map_err(|_| format!("`{}` is no field name", text[..end].escape_debug()))?;
        let piece = match text.as_bytes().get(end + 1) {
            Some(b'i') => Piece::RequestField(index_of(&mut self.request_fields, name)),
            Some(b'o') => Piece::ResponseField(index_of(&mut self.response_fields, name)),
            _ => return Err("`%{Name}` must be followed by `i` or `o`".to_owned()),
        };
        Ok((piece, end + 2))
    }

    pub(super) fn mask(&mut self, name: &HeaderName) {
        for field in self.request_fields.iter_mut().chain(&mut self.response_fields) {
            field.masked |= field.name == *name;
        }
    }

    /// Writes the line of a record, without an end.
    pub(super) fn write(&self, out: &mut String, record: &AccessRecord) {
        let Some(pieces) = &self.pieces else {
            return write_json(out, record);
        };
        for piece in pieces {
            // A string takes all that is written to it.
            let _ = match piece {
                Piece::Text(text) => out.write_str(text),
                Piece::Peer => write_or_dash(out, record.peer.map(|peer| peer.ip())),
                Piece::Client => write_or_dash(out, record.client),
                Piece::Route => write_text(out, record.route().unwrap_or_default().as_bytes()),
                Piece::Scheme => write_or_dash(out, record.scheme),
                Piece::Time => write_time(out, &record.date),
                Piece::RequestLine => write_text(out, &record.request_line),
                Piece::Status => write_or_dash(out, record.status.map(|status| status.as_u16())),
                Piece::BodyBytes => write!(out, "{}", record.body_bytes),
                Piece::Seconds => write!(out, "{}", record.elapsed.as_secs()),
                Piece::SecondsFraction => write!(out, "{:.6}", record.elapsed.as_secs_f64()),
                Piece::Micros => write!(out, "{}", record.elapsed.as_micros()),
                Piece::FirstByteMicros => write_or_dash(out, record.first_byte.map(|time| time.as_micros())),
                Piece::Close => write_or_dash(out, record.close),
                Piece::RequestField(index) => write_value(out, &record.request_fields[*index]),
                Piece::ResponseField(index) => write_value(out, &record.response_fields[*index]),
            };
        }
    }
}

impl Field {
    fn new(name: HeaderName) -> Self {
        Self { masked: MASKED.contains(&name), name }
    }
}

fn index_of(fields: &mut Vec<Field>, name: HeaderName) -> usize {
    fields.iter().position(|field| field.name == name).unwrap_or_else(|| {
        fields.push(Field::new(name));
        fields.len() - 1
    })
}

type Written = std::fmt::Result;

fn write_or_dash(out: &mut String, value: Option<impl std::fmt::Display>) -> Written {
    match value {
        Some(value) => write!(out, "{value}"),
        None => out.write_str("-"),
    }
}

fn write_text(out: &mut String, bytes: &[u8]) -> Written {
    if bytes.is_empty() {
        return out.write_str("-");
    }
    log_text(out, bytes);
    Ok(())
}

fn write_value(out: &mut String, value: &Value) -> Written {
    match value {
        Value::Missing => out.write_str("-"),
        Value::Masked => out.write_str(MASK),
        Value::Shown(bytes) => write_text(out, bytes),
    }
}

/// From `Sun, 06 Nov 1994 08:49:37 GMT` to `[06/Nov/1994:08:49:37 +0000]`.
fn write_time(out: &mut String, date: &[u8; DATE_BYTES]) -> Written {
    let (day, month, year, time) = parts_of(date);
    write!(out, "[{day}/{month}/{year}:{time} +0000]")
}

/// Day, month, year and time of an IMF-fixdate (RFC 9110 §5.6.7).
fn parts_of(date: &[u8; DATE_BYTES]) -> (&str, &str, &str, &str) {
    let text = std::str::from_utf8(date).unwrap_or("Thu, 01 Jan 1970 00:00:00 GMT");
    (&text[5..7], &text[8..11], &text[12..16], &text[17..25])
}

fn write_json(out: &mut String, record: &AccessRecord) {
    let (day, month, year, time) = parts_of(&record.date);
    let month = MONTHS.iter().position(|name| *name == month).unwrap_or(0) + 1;
    let _ = write!(out, "{{\"time\":\"{year}-{month:02}-{day}T{time}Z\"");
    if let Some(peer) = record.peer {
        let _ = write!(out, ",\"peer\":\"{}\"", peer.ip());
    }
    if let Some(client) = record.client {
        let _ = write!(out, ",\"client\":\"{client}\"");
    }
    if let Some(scheme) = record.scheme {
        write_member(out, "scheme", scheme.as_bytes());
    }
    let line = &record.request_line;
    match record.parts {
        Some((method, target)) => {
            write_member(out, "method", &line[..method]);
            write_member(out, "target", &line[method + 1..target]);
            write_member(out, "version", &line[target + 1..]);
        }
        None => write_member(out, "request", line),
    }
    if let Some(route) = record.route() {
        write_member(out, "route", route.as_bytes());
    }
    if let Some(status) = record.status {
        let _ = write!(out, ",\"status\":{}", status.as_u16());
    }
    let _ = write!(out, ",\"body_bytes\":{}", record.body_bytes);
    let mut seconds = |name, time: Duration| write!(out, ",\"{name}\":{:.6}", time.as_secs_f64());
    let _ = record.first_byte.map(|time| seconds("first_byte_seconds", time));
    let _ = seconds("seconds", record.elapsed);
    if let Some(close) = record.close {
        write_member(out, "close", close.as_str().as_bytes());
    }
    let names = ["host", "referer", "user_agent", "request_id"];
    for (name, value) in names.iter().zip(record.request_fields.iter().chain(&record.response_fields)) {
        match value {
            Value::Missing => {}
            Value::Masked => write_member(out, name, MASK.as_bytes()),
            Value::Shown(bytes) => write_member(out, name, bytes),
        }
    }
    out.push('}');
}

fn write_member(out: &mut String, name: &str, value: &[u8]) {
    out.extend([",\"", name, "\":"]);
    json_string(out, value);
}

/// What stands for a value that is not shown.
const MASK: &str = "***";

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
