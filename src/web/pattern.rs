//! The path of a route: `/users/{id:int}/files/{*path}`, taken apart once.
#![forbid(unsafe_code)]

use std::cmp::Reverse;

use super::limit::Limit;
use crate::error::{Error, Result};
use crate::proto::http1::{canonical_path, push_encoded};

/// A path with parameters, as it was added and as it is matched.
#[derive(Debug)]
pub(super) struct Pattern {
    pub(super) text: String,
    pieces: Vec<Piece>,
    /// The names of the parameters, in order.
    pub(super) names: Vec<String>,
    /// Whether a parameter is limited.
    pub(super) limited: bool,
}

#[derive(Debug)]
enum Piece {
    /// Text in its one spelling: see [`canonical_path`].
    Fixed(String),
    /// One segment, or what fixed text leaves of it.
    Value(Limit),
    /// All the rest.
    Rest,
}

impl Pattern {
    /// Takes a path apart.
    ///
    /// # Errors
    /// What is wrong with it. Whether parameters stand where they may is for the tree to say.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut pattern =
            Self { text: text.to_owned(), pieces: Vec::new(), names: Vec::new(), limited: false };
        let mut fixed = String::new();
        let mut rest = text;
        while let Some(character) = rest.chars().next() {
            if rest.starts_with("{{") || rest.starts_with("}}") {
                fixed.push(character);
                rest = &rest[2..];
            } else if character == '{' {
                pattern.push_fixed(&mut fixed);
                let end = end_of_parameter(rest).ok_or("a `{` is not closed")?;
                pattern.push_parameter(&rest[1..end])?;
                rest = &rest[end + 1..];
            } else if character == '}' {
                return Err("a `}` has no `{` before it (`}}` is a brace)".to_owned());
            } else {
                fixed.push(character);
                rest = &rest[character.len_utf8()..];
            }
        }
        pattern.push_fixed(&mut fixed);
        Ok(pattern)
    }

    fn push_fixed(&mut self, fixed: &mut String) {
        if !fixed.is_empty() {
            self.pieces.push(Piece::Fixed(canonical_path(fixed).into_owned()));
            fixed.clear();
        }
    }

    /// Adds what stands between braces.
    fn push_parameter(&mut self, parameter: &str) -> Result<(), String> {
        let (name, piece) = match (parameter.split_once(':'), parameter.strip_prefix('*')) {
            (Some((name, _)), Some(_)) => {
                return Err(format!("`{{{name}}}` takes all, it cannot be limited"));
            }
            (Some((name, limit)), None) => {
                self.limited = true;
                (name, Piece::Value(Limit::parse(limit)?))
            }
            (None, Some(name)) => (name, Piece::Rest),
            (None, None) => (parameter, Piece::Value(Limit::None)),
        };
        if name.is_empty() || name.contains(['{', '}', '*', '/']) {
            return Err(format!("`{name}` is no name for a parameter"));
        }
        if self.names.iter().any(|other| other == name) {
            return Err(format!("two parameters are named `{name}`"));
        }
        self.names.push(name.to_owned());
        self.pieces.push(piece);
        Ok(())
    }

    /// The path without names and limits, for the tree: patterns of one shape are told apart by their limits only.
    pub(super) fn shape(&self) -> String {
        let mut number = 0;
        let mut parameter = |star: &str| {
            number += 1;
            format!("{{{star}{number}}}")
        };
        let shape = self.pieces.iter().map(|piece| match piece {
            // In the one spelling there are no braces.
            Piece::Fixed(text) => text.clone(),
            Piece::Value(_) => parameter(""),
            Piece::Rest => parameter("*"),
        });
        shape.collect()
    }

    /// The beginnings of its shape up to each parameter that has text behind it in its segment, the brace included.
    pub(super) fn before_ended_values(&self) -> impl Iterator<Item = String> {
        let mut number = 0;
        let mut before = String::new();
        self.pieces.iter().enumerate().filter_map(move |(index, piece)| {
            if let Piece::Fixed(text) = piece {
                before.push_str(text);
                return None;
            }
            number += 1;
            let beginning = format!("{before}{{");
            before = format!("{beginning}{number}}}");
            let is_ended =
                matches!(self.pieces.get(index + 1), Some(Piece::Fixed(text)) if !text.starts_with('/'));
            is_ended.then_some(beginning)
        })
    }

    /// The limits of its parameters: two patterns that are equal in shape and limits are one.
    pub(super) fn limits(&self) -> Vec<String> {
        self.values().map(|limit| format!("{limit:?}")).collect()
    }

    fn values(&self) -> impl Iterator<Item = &Limit> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Value(limit) => Some(limit),
            Piece::Fixed(_) | Piece::Rest => None,
        })
    }

    /// Whether the values found by the tree are within the limits. `values`: where they stand in `path`.
    pub(super) fn takes(&self, path: &str, values: &[(u32, u32)]) -> bool {
        let value = |&(start, end): &(u32, u32)| &path[start as usize..end as usize];
        self.values().zip(values).all(|(limit, place)| limit.takes(value(place)))
    }

    /// Matches a path without the tree: what it would find if this were its only pattern. Puts down where the values are.
    pub(super) fn matches(&self, path: &str, values: &mut Vec<(u32, u32)>) -> bool {
        self.has_shape_of(path, values) && (!self.limited || self.takes(path, values))
    }

    /// Whether a path has this shape, whatever the limits. Puts down where the values are.
    pub(super) fn has_shape_of(&self, path: &str, values: &mut Vec<(u32, u32)>) -> bool {
        values.clear();
        let mut rest = path.as_bytes();
        for (index, piece) in self.pieces.iter().enumerate() {
            let bytes = match piece {
                Piece::Fixed(text) => match rest.strip_prefix(text.as_bytes()) {
                    Some(behind) => {
                        rest = behind;
                        continue;
                    }
                    None => return false,
                },
                Piece::Value(_) => self.value_bytes(index, rest),
                Piece::Rest => rest.len(),
            };
            if bytes == 0 {
                return false;
            }
            let start = path.len() - rest.len();
            values.push((offset(start), offset(start + bytes)));
            rest = &rest[bytes..];
        }
        rest.is_empty()
    }

    /// How much of `rest` is the value of the parameter at `index`: its segment, less the fixed text that ends it.
    fn value_bytes(&self, index: usize, rest: &[u8]) -> usize {
        // Values are short: nothing is quicker than looking at each byte.
        let segment = rest.iter().position(|&byte| byte == b'/').unwrap_or(rest.len());
        match self.pieces.get(index + 1) {
            Some(Piece::Fixed(text)) => {
                let end = text.split('/').next().unwrap_or_default();
                rest[..segment].strip_suffix(end.as_bytes()).map_or(0, <[u8]>::len)
            }
            _ => segment,
        }
    }

    /// The fixed text before the first parameter.
    pub(super) fn beginning(&self) -> &str {
        match self.pieces.first() {
            Some(Piece::Fixed(text)) => text,
            _ => "",
        }
    }

    /// Whether there may be a path that both match. It may say so though there is none, never the reverse.
    pub(super) fn may_share_paths_with(&self, other: &Self) -> bool {
        let has_rest = |pattern: &Self| matches!(pattern.pieces.last(), Some(Piece::Rest));
        // A value has no slash in it.
        has_rest(self) || has_rest(other) || self.slashes() == other.slashes()
    }

    fn slashes(&self) -> usize {
        let of = |piece: &Piece| match piece {
            Piece::Fixed(text) => text.matches('/').count(),
            Piece::Value(_) | Piece::Rest => 0,
        };
        self.pieces.iter().map(of).sum()
    }

    /// The order in which patterns are tried: fixed text before limited parameters, those before plain ones, and what
    /// takes all the rest at last.
    pub(super) fn order(&self) -> impl Ord + use<> {
        let rank = |piece: &Piece| match piece {
            Piece::Fixed(text) => (0, Reverse(text.len())),
            Piece::Value(limit) => (1 + limit.rank(), Reverse(0)),
            Piece::Rest => (u8::MAX, Reverse(0)),
        };
        // Text behind a parameter makes it narrower than the end does.
        let end = (1, Reverse(0));
        self.pieces.iter().map(rank).chain([end]).collect::<Vec<_>>()
    }

    /// The path with these values for its parameters.
    ///
    /// # Errors
    /// 500, if they are not those it has, or not such as they may be.
    pub(super) fn url(&self, values: &[(&str, &str)]) -> Result<String> {
        let wrong = |what: String| Error::internal(format!("no path for `{}`: {what}", self.text));
        if let Some((name, _)) = values.iter().find(|(name, _)| !self.names.iter().any(|own| own == name)) {
            return Err(wrong(format!("it has no parameter `{name}`")));
        }
        let mut path = String::new();
        let mut names = self.names.iter();
        for piece in &self.pieces {
            if let Piece::Fixed(text) = piece {
                path.push_str(text);
                continue;
            }
            let name = names.next().map_or("", String::as_str);
            let mut given = values.iter().filter(|(other, _)| *other == name);
            let (Some((_, value)), None) = (given.next(), given.next()) else {
                return Err(wrong(format!("parameter `{name}` needs one value")));
            };
            let fits = match piece {
                Piece::Value(limit) => limit.takes_decoded(value),
                Piece::Fixed(_) | Piece::Rest => true,
            };
            if value.is_empty() || !fits {
                return Err(wrong(format!("`{value}` is no value for `{name}`")));
            }
            push_encoded(&mut path, value, matches!(piece, Piece::Rest));
        }
        // RFC 3986 §5.2.4: clients take such segments out, encoded or not. §4.2: `//` begins with a host.
        if path.starts_with("//") || path.split('/').any(|segment| matches!(segment, "." | "..")) {
            return Err(wrong(format!("{path:?} would lead elsewhere")));
        }
        Ok(path)
    }
}

/// A position in a path, as a request keeps it.
pub(super) fn offset(position: usize) -> u32 {
    u32::try_from(position).expect("a target is far shorter than 4 GiB")
}

/// Where the parameter ends that `text` begins with: at the brace that closes its first. Within a limit, braces come in pairs
/// or behind a backslash.
fn end_of_parameter(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'{' => depth += 1,
            b'}' if depth == 1 => return Some(at),
            b'}' => depth -= 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests;
