//! Values in DER (X.690), one behind the other: tags of one byte, lengths in the fewest bytes. What is not so is no value.
#![forbid(unsafe_code)]

use std::time::{Duration, SystemTime};

pub(crate) const BOOLEAN: u8 = 1;
pub(crate) const INTEGER: u8 = 2;
pub(crate) const BIT_STRING: u8 = 3;
pub(crate) const OCTET_STRING: u8 = 4;
pub(crate) const OBJECT_IDENTIFIER: u8 = 6;
pub(crate) const ENUMERATED: u8 = 10;
pub(crate) const UTC_TIME: u8 = 23;
pub(crate) const GENERALIZED_TIME: u8 = 24;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;

/// The tag of what is in `[number]`, of its own content or made of others.
pub(crate) const fn context(number: u8, is_constructed: bool) -> u8 {
    0x80 | if is_constructed { 0x20 } else { 0 } | number
}

/// One value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Value<'a> {
    pub(crate) tag: u8,
    pub(crate) content: &'a [u8],
    /// With tag and length.
    pub(crate) whole: &'a [u8],
}

/// Reads values off the front.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// `None` too where nothing is left.
    pub(crate) fn any(&mut self) -> Option<Value<'a>> {
        let (&[tag, first], rest) = self.0.split_first_chunk()?;
        // Tags of several bytes are in nothing that is read here.
        if tag & 0x1f == 0x1f {
            return None;
        }
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x83 => {
                let (digits, rest) = rest.split_at_checked(usize::from(first - 0x80))?;
                let length = digits.iter().fold(0, |length, &digit| length << 8 | usize::from(digit));
                let is_shortest = digits[0] > 0 && length > 0x7f;
                is_shortest.then_some((length, rest))?
            }
            _ => return None,
        };
        let (content, behind) = rest.split_at_checked(length)?;
        let whole = &self.0[..self.0.len() - behind.len()];
        self.0 = behind;
        Some(Value { tag, content, whole })
    }

    /// The next value, which has to have this tag.
    pub(crate) fn value(&mut self, tag: u8) -> Option<Value<'a>> {
        if self.0.first() == Some(&tag) { self.any() } else { None }
    }

    /// The content of the next value, which has to have this tag.
    pub(crate) fn content(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.value(tag).map(|value| value.content)
    }

    /// What is in the next value, which has to have this tag.
    pub(crate) fn inner(&mut self, tag: u8) -> Option<Self> {
        self.content(tag).map(Self)
    }

    /// The next value if it has this tag; it may be missing, but not wrong.
    pub(crate) fn optional(&mut self, tag: u8) -> Option<Option<Value<'a>>> {
        if self.0.first() == Some(&tag) { self.any().map(Some) } else { Some(None) }
    }

    /// Nothing may be left.
    pub(crate) fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }

    /// The bits of a BIT STRING of whole bytes.
    pub(crate) fn bits(&mut self) -> Option<&'a [u8]> {
        match self.content(BIT_STRING)? {
            [0, bits @ ..] => Some(bits),
            _ => None,
        }
    }

    /// A UTCTime or a GeneralizedTime in the form of certificates: in UTC, with seconds and no fractions (RFC 5280 §4.1.2.5).
    pub(crate) fn time(&mut self) -> Option<SystemTime> {
        let Value { tag, content, .. } = self.any()?;
        let digits = content.strip_suffix(b"Z")?;
        let (year, rest) = match tag {
            UTC_TIME => {
                let (digits, rest) = digits.split_at_checked(2)?;
                let year = number(digits)?;
                (if year < 50 { 2000 + year } else { 1900 + year }, rest)
            }
            GENERALIZED_TIME => {
                let (digits, rest) = digits.split_at_checked(4)?;
                (number(digits)?, rest)
            }
            _ => return None,
        };
        if rest.len() != 10 {
            return None;
        }
        let mut pairs = rest.chunks_exact(2).map(number);
        let mut next = |range: std::ops::RangeInclusive<u64>| {
            pairs.next().flatten().filter(|number| range.contains(number))
        };
        let (month, day) = (next(1..=12)?, next(1..=31)?);
        let (hour, minute, second) = (next(0..=23)?, next(0..=59)?, next(0..=59)?);
        // Nothing that is read here is older.
        let days = days_since_1970(year, month, day)?;
        let seconds = days * 86_400 + hour * 3600 + minute * 60 + second;
        Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    digits
        .iter()
        .try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + u64::from(digit - b'0')))
}

fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    let is_leap =
        |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let lengths = [31, 28 + u64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let (before, rest) = lengths.split_at(usize::try_from(month).ok()? - 1);
    if day > rest[0] {
        return None;
    }
    let past = year.checked_sub(1970)?;
    let leaps = |year: u64| year / 4 - year / 100 + year / 400;
    Some(past * 365 + leaps(year - 1) - leaps(1969) + before.iter().sum::<u64>() + day - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_one_behind_the_other() {
        let mut reader = Reader::new(&[2, 1, 7, 0x30, 3, 2, 1, 9]);
        assert_eq!(reader.optional(BOOLEAN), Some(None));
        assert_eq!(reader.value(INTEGER), Some(Value { tag: INTEGER, content: &[7], whole: &[2, 1, 7] }));
        assert_eq!(reader.content(INTEGER), None);
        let mut inner = reader.inner(SEQUENCE).unwrap();
        assert_eq!((inner.content(INTEGER), inner.end()), (Some(&[9][..]), Some(())));
        assert!(reader.is_at_end() && reader.any().is_none());
    }

    #[test]
    fn x690_10_1_lengths_have_the_fewest_bytes() {
        for (digits, length) in [
            (&[0][..], 0),
            (&[127], 127),
            (&[0x81, 128], 128),
            (&[0x81, 255], 255),
            (&[0x82, 1, 0], 256),
            (&[0x82, 255, 255], 65_535),
            (&[0x83, 1, 0, 0], 65_536),
        ] {
            let value = [&[4], digits, &vec![0; length][..]].concat();
            assert_eq!(Reader::new(&value).any().map(|value| value.content.len()), Some(length));
            assert_eq!(Reader::new(&value[..value.len() - 1]).any(), None, "{length}");
        }
        // Lengths in more bytes than they need, in more than anything here has, and without an end.
        for wrong in [&[4, 0x80][..], &[4, 0x81, 127], &[4, 0x82, 0, 200], &[4, 0x84, 0, 0, 0, 1], &[0x1f, 1]]
        {
            let with_more: Vec<u8> = wrong.iter().copied().chain([0; 300]).collect();
            assert_eq!(Reader::new(&with_more).any(), None, "{wrong:x?}");
        }
        for cut in [&[][..], &[4], &[4, 0x81], &[4, 0x82, 1], &[4, 0xff]] {
            assert_eq!(Reader::new(cut).any(), None, "{cut:x?}");
        }
    }

    #[test]
    fn rfc5280_4_1_2_5_times() {
        let seconds = |tag: u8, text: &str| {
            let value = [&[tag, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
            let time = Reader::new(&value).time()?;
            time.duration_since(SystemTime::UNIX_EPOCH).ok().map(|since| since.as_secs())
        };
        assert_eq!(seconds(UTC_TIME, "700101000000Z"), Some(0));
        assert_eq!(seconds(UTC_TIME, "491231235959Z"), Some(2_524_607_999));
        assert_eq!(seconds(GENERALIZED_TIME, "20500101000000Z"), Some(2_524_608_000));
        assert_eq!(seconds(GENERALIZED_TIME, "20240229120000Z"), Some(1_709_208_000));
        assert_eq!(seconds(GENERALIZED_TIME, "99991231235959Z"), Some(253_402_300_799));
        for wrong in [
            "20230229000000Z",
            "20240230000000Z",
            "20240001000000Z",
            "20241301000000Z",
            "20240100000000Z",
            "20240101240000Z",
            "20240101000060Z",
            "20240101000000",
            "20240101000000.5Z",
            "202401010000Z",
            "2024010100000+Z",
            "19691231235959Z",
            "Z",
            "",
        ] {
            assert_eq!(seconds(GENERALIZED_TIME, wrong), None, "{wrong}");
        }
    }
}
