//! What the value of a path parameter may be limited to: `{id:int}`, `{name:[a-z]+}`.
#![forbid(unsafe_code)]

use std::fmt;

use percent_encoding::percent_decode_str;

/// What a value has to be for its route to be taken. The order is that in which routes are tried: narrow ones first.
#[derive(Clone)]
pub(super) enum Limit {
    /// Fixed length, hexadecimal: 8-4-4-4-12.
    Uuid,
    /// Decimal, fits `u64`.
    Unsigned,
    /// Decimal, perhaps behind a `-`, fits `i64`.
    Integer,
    /// All of the value matches.
    #[cfg(feature = "regex")]
    Regex(regex_lite::Regex),
    None,
}

impl Limit {
    /// Reads what stands behind the colon.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "int" => Ok(Self::Integer),
            "uint" => Ok(Self::Unsigned),
            "uuid" => Ok(Self::Uuid),
            "" => Err("there is nothing behind the `:` of a parameter".to_owned()),
            text => regex(text),
        }
    }

    /// Whether a value is within the limit. `raw`: as it stands in a path. What is not UTF-8 is within none.
    pub(super) fn takes(&self, raw: &str) -> bool {
        matches!(self, Self::None)
            || percent_decode_str(raw).decode_utf8().is_ok_and(|value| self.takes_decoded(&value))
    }

    /// Whether a decoded value is within the limit.
    pub(super) fn takes_decoded(&self, value: &str) -> bool {
        match self {
            Self::Uuid => is_uuid(value),
            Self::Unsigned => is_digits(value) && value.parse::<u64>().is_ok(),
            Self::Integer => {
                is_digits(value.strip_prefix('-').unwrap_or(value)) && value.parse::<i64>().is_ok()
            }
            #[cfg(feature = "regex")]
            Self::Regex(regex) => regex.is_match(value),
            Self::None => true,
        }
    }

    /// How narrow it is: 0 is the narrowest.
    pub(super) fn rank(&self) -> u8 {
        match self {
            Self::Uuid => 0,
            Self::Unsigned => 1,
            Self::Integer => 2,
            #[cfg(feature = "regex")]
            Self::Regex(_) => 3,
            Self::None => 4,
        }
    }
}

#[cfg(feature = "regex")]
fn regex(text: &str) -> Result<Limit, String> {
    // By itself first: what closes a group of ours is not to pass.
    let alone = regex_lite::Regex::new(text);
    let anchored = alone.and_then(|_| regex_lite::Regex::new(&format!(r"\A(?:{text})\z")));
    anchored.map(Limit::Regex).map_err(|error| format!("`{text}` is no regular expression: {error}"))
}

#[cfg(not(feature = "regex"))]
fn regex(text: &str) -> Result<Limit, String> {
    Err(format!("`{text}` is none of `int`, `uint` and `uuid`; regular expressions need the feature `regex`"))
}

/// All decimal digits, at least one. Numbers of the standard library may have a `+` as well.
fn is_digits(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit())
}

/// The form of RFC 9562 §4, in capitals or not; of any version.
fn is_uuid(value: &str) -> bool {
    value.len() == 36
        && value.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

impl fmt::Debug for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Uuid => "uuid",
            Self::Unsigned => "uint",
            Self::Integer => "int",
            #[cfg(feature = "regex")]
            Self::Regex(regex) => regex.as_str().trim_start_matches(r"\A(?:").trim_end_matches(r")\z"),
            Self::None => "",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_within_their_limits() {
        let cases: &[(&str, &[&str], &[&str])] = &[
            (
                "int",
                &["0", "7", "-7", "007", "9223372036854775807", "-9223372036854775808", "%37"],
                &[
                    "",
                    "-",
                    "+7",
                    "7.0",
                    "0x7",
                    "9223372036854775808",
                    "-9223372036854775809",
                    "7 ",
                    "٧",
                    "%FF",
                ],
            ),
            ("uint", &["0", "18446744073709551615"], &["-1", "-0", "+1", "18446744073709551616", "1e3", ""]),
            (
                "uuid",
                &["0190163d-8694-739b-aea5-966c26f8ad91", "0190163D-8694-739B-AEA5-966C26F8AD91"],
                &[
                    "0190163d8694739baea5966c26f8ad91",
                    "0190163d-8694-739b-aea5-966c26f8ad9g",
                    "0190163d-8694-739b-aea5-966c26f8ad911",
                    "{0190163d-8694-739b-aea5-966c26f8ad9}",
                ],
            ),
        ];
        for (text, taken, refused) in cases {
            let limit = Limit::parse(text).unwrap();
            assert_eq!(format!("{limit:?}"), *text);
            for value in *taken {
                assert!(limit.takes(value), "{text}: {value}");
            }
            for value in *refused {
                assert!(!limit.takes(value), "{text}: {value}");
            }
        }
        assert!(Limit::None.takes("%FF"));
        assert!(Limit::parse("").unwrap_err().contains("nothing"));
    }

    #[cfg(feature = "regex")]
    #[test]
    fn a_regular_expression_matches_all_of_a_value() {
        let limit = Limit::parse("[a-z]+|x{2,3}é").unwrap();
        for (value, taken) in [
            ("abc", true),
            ("xxé", true),
            ("xx%C3%A9", true),
            ("abc1", false),
            ("1abc", false),
            ("a%0A", false),
        ] {
            assert_eq!(limit.takes(value), taken, "{value}");
        }
        assert!(Limit::parse("[").unwrap_err().contains("no regular expression"));
        // The group that anchors it cannot be closed from within.
        assert!(Limit::parse("a)|(b").is_err());
    }

    #[cfg(not(feature = "regex"))]
    #[test]
    fn a_regular_expression_names_the_feature_it_needs() {
        assert!(Limit::parse("[a-z]+").unwrap_err().contains("feature `regex`"));
    }
}
