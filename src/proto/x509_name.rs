//! Names of subjects and issuers in certificates (X.501), as text (RFC 4514).
#![forbid(unsafe_code)]

use std::fmt::Write;

use super::der::{OBJECT_IDENTIFIER, Reader, SEQUENCE, SET, Value};

/// The name as text, its last part first: `CN=billing,O=Example`. `name` is the content of an `RDNSequence` in DER. `None` if
/// it cannot be read.
pub(crate) fn to_text(name: &[u8]) -> Option<String> {
    let mut parts = Vec::new();
    for part in read_all(name)? {
        let attributes: Option<Vec<_>> =
            attributes_of(&part)?.into_iter().map(|attribute| attribute.to_text()).collect();
        parts.push(attributes?.join("+"));
    }
    parts.reverse();
    Some(parts.join(","))
}

/// The last common name in it, which is the most specific.
pub(crate) fn common_name(name: &[u8]) -> Option<String> {
    let mut found = None;
    for part in read_all(name)? {
        for attribute in attributes_of(&part)? {
            if attribute.kind == COMMON_NAME {
                found = to_string(attribute.value);
            }
        }
    }
    found
}

/// A type, a value of it.
struct Attribute<'a> {
    kind: &'a [u8],
    value: Value<'a>,
}

/// RFC 4514 §3: the types that have names, by the content of their object identifiers.
const NAMES: [(&[u8], &str); 9] = [
    (COMMON_NAME, "CN"),
    (&[85, 4, 7], "L"),
    (&[85, 4, 8], "ST"),
    (&[85, 4, 10], "O"),
    (&[85, 4, 11], "OU"),
    (&[85, 4, 6], "C"),
    (&[85, 4, 9], "STREET"),
    (&[9, 146, 38, 137, 147, 242, 44, 100, 1, 25], "DC"),
    (&[9, 146, 38, 137, 147, 242, 44, 100, 1, 1], "UID"),
];

const COMMON_NAME: &[u8] = &[85, 4, 3];

/// Tags of text.
const UTF8_STRING: u8 = 12;
const PRINTABLE_STRING: u8 = 19;
const TELETEX_STRING: u8 = 20;
const IA5_STRING: u8 = 22;
const BMP_STRING: u8 = 30;

/// The attributes of one relative name.
fn attributes_of<'a>(part: &Value<'a>) -> Option<Vec<Attribute<'a>>> {
    if part.tag != SET {
        return None;
    }
    read_all(part.content)?.into_iter().map(|pair| Attribute::read(&pair)).collect()
}

impl<'a> Attribute<'a> {
    fn read(pair: &Value<'a>) -> Option<Self> {
        let values = read_all(pair.content)?;
        match (pair.tag, &values[..]) {
            (SEQUENCE, &[kind, value]) if kind.tag == OBJECT_IDENTIFIER => {
                Some(Self { kind: kind.content, value })
            }
            _ => None,
        }
    }

    /// RFC 4514 §2.3, §2.4: a type without a name is written in numbers, and its value in hexadecimal.
    fn to_text(&self) -> Option<String> {
        let name = NAMES.iter().find(|(kind, _)| *kind == self.kind).map(|(_, name)| *name);
        match (name, to_string(self.value)) {
            (Some(name), Some(value)) => Some(format!("{name}={}", escaped(&value))),
            (Some(name), None) => Some(format!("{name}={}", to_hex(self.value))),
            (None, _) => Some(format!("{}={}", dotted(self.kind)?, to_hex(self.value))),
        }
    }
}

fn to_string(value: Value<'_>) -> Option<String> {
    let content = value.content;
    match value.tag {
        UTF8_STRING | PRINTABLE_STRING | IA5_STRING => String::from_utf8(content.to_vec()).ok(),
        TELETEX_STRING => Some(content.iter().map(|&byte| char::from(byte)).collect()),
        BMP_STRING if content.len().is_multiple_of(2) => {
            let units = content.chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
            char::decode_utf16(units).collect::<Result<_, _>>().ok()
        }
        _ => None,
    }
}

fn to_hex(value: Value<'_>) -> String {
    let mut hex = String::from("#");
    for byte in value.whole {
        write!(hex, "{byte:02x}").expect("a string takes all");
    }
    hex
}

/// All values that stand one behind the other.
fn read_all(der: &[u8]) -> Option<Vec<Value<'_>>> {
    let (mut reader, mut values) = (Reader::new(der), Vec::new());
    while !reader.is_at_end() {
        values.push(reader.any()?);
    }
    Some(values)
}

/// RFC 4514 §2.4: what would be taken for something else has a backslash in front.
fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (index, character) in value.chars().enumerate() {
        match character {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => text.push('\\'),
            '#' if index == 0 => text.push('\\'),
            ' ' if index == 0 || index == last => text.push('\\'),
            // Of control characters only NUL has to be; but names are for logs too.
            control if control.is_control() => {
                let mut bytes = [0; 4];
                for byte in control.encode_utf8(&mut bytes).bytes() {
                    write!(text, "\\{byte:02x}").expect("a string takes all");
                }
                continue;
            }
            _ => {}
        }
        text.push(character);
    }
    text
}

/// An object identifier in numbers.
fn dotted(kind: &[u8]) -> Option<String> {
    let mut numbers = Vec::new();
    let mut number = 0_u64;
    for &byte in kind {
        number = number.checked_mul(128)?.checked_add(u64::from(byte & 127))?;
        if byte < 128 {
            numbers.push(std::mem::take(&mut number));
        }
    }
    let &first = numbers.first()?;
    // X.690 §8.19.4: the first two share a number.
    let root = (first / 40).min(2);
    let rest = numbers[1..].iter().map(u64::to_string);
    let all: Vec<_> = [root.to_string(), (first - root * 40).to_string()].into_iter().chain(rest).collect();
    Some(all.join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = u8::try_from(content.len()).expect("short");
        let length = if length < 128 { vec![length] } else { vec![0x81, length] };
        [&[tag][..], &length, content].concat()
    }

    fn attribute(kind: &[u8], tag: u8, text: &[u8]) -> Vec<u8> {
        value(SEQUENCE, &[value(OBJECT_IDENTIFIER, kind), value(tag, text)].concat())
    }

    fn part(kind: &[u8], tag: u8, text: &[u8]) -> Vec<u8> {
        value(SET, &attribute(kind, tag, text))
    }

    #[test]
    fn rfc4514_2_names_are_written_from_their_end() {
        let name = [
            part(&[85, 4, 6], PRINTABLE_STRING, b"DE"),
            part(&[85, 4, 10], UTF8_STRING, "Bäcker, Sohn".as_bytes()),
            value(
                SET,
                &[attribute(&[85, 4, 11], UTF8_STRING, b"a+b"), attribute(COMMON_NAME, UTF8_STRING, b" #1 ")]
                    .concat(),
            ),
        ]
        .concat();
        assert_eq!(to_text(&name).as_deref(), Some("OU=a\\+b+CN=\\ #1\\ ,O=Bäcker\\, Sohn,C=DE"));
        assert_eq!(common_name(&name).as_deref(), Some(" #1 "));
        assert_eq!(to_text(b"").as_deref(), Some(""));
        assert_eq!(common_name(b""), None);
    }

    #[test]
    fn rfc4514_2_4_what_has_no_text_is_hexadecimal() {
        let mail = [42, 134, 72, 134, 247, 13, 1, 9, 1];
        let name = part(&mail, IA5_STRING, b"a@b");
        assert_eq!(to_text(&name).as_deref(), Some("1.2.840.113549.1.9.1=#1603614062"));
        let odd = part(COMMON_NAME, 3, &[0, 255]);
        assert_eq!(to_text(&odd).as_deref(), Some("CN=#030200ff"));
        let long = part(&[42, 3], UTF8_STRING, &[b'x'; 100]);
        assert!(to_text(&long).expect("a name").starts_with("1.2.3=#0c6478"));
    }

    #[test]
    fn every_kind_of_text_is_read() {
        let name = part(COMMON_NAME, BMP_STRING, &[0, 104, 0x20, 0xac]);
        assert_eq!(common_name(&name).as_deref(), Some("h€"));
        let name = part(COMMON_NAME, TELETEX_STRING, &[0xe4]);
        assert_eq!(common_name(&name).as_deref(), Some("ä"));
        let name = part(COMMON_NAME, UTF8_STRING, b"a\n\x00b");
        assert_eq!(to_text(&name).as_deref(), Some("CN=a\\0a\\00b"));
        let name =
            [part(COMMON_NAME, UTF8_STRING, b"first"), part(COMMON_NAME, UTF8_STRING, b"last")].concat();
        assert_eq!(common_name(&name).as_deref(), Some("last"));
    }

    #[test]
    fn no_input_panics() {
        let name = part(COMMON_NAME, UTF8_STRING, &[b'x'; 130]);
        assert!(to_text(&name).is_some());
        for end in 0..name.len() {
            let _ = (to_text(&name[..end]), common_name(&name[..end]));
        }
        for at in 0..name.len() {
            for byte in [0, 0x7f, 0x80, 0x81, 0x82, 0x84, 0xff] {
                let mut changed = name.clone();
                changed[at] = byte;
                let _ = (to_text(&changed), common_name(&changed));
            }
        }
    }
}
