//! Dates of cookies, as anybody writes them (RFC 6265 §5.1.1).
#![forbid(unsafe_code)]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The moment that a date names; one before 1970 is 1970. `None` if it is no date.
pub(super) fn parse(date: &str) -> Option<SystemTime> {
    let (mut time, mut day, mut month, mut year) = (None, None, None, None);
    let tokens = date.split(|character: char| !character.is_ascii() || is_delimiter(character));
    for token in tokens.filter(|token| !token.is_empty()) {
        if time.is_none() {
            time = time_of(token);
            if time.is_some() {
                continue;
            }
        }
        if day.is_none() {
            day = number(token, 1..=2);
            if day.is_some() {
                continue;
            }
        }
        if month.is_none() {
            month = month_of(token);
            if month.is_some() {
                continue;
            }
        }
        year = year.or_else(|| number(token, 2..=4));
    }
    let year = match year? {
        two @ 70..=99 => 1900 + two,
        two @ 0..=69 => 2000 + two,
        year => year,
    };
    let ((hour, minute, second), day, month) = (time?, day?, month?);
    if !(1..=days_of(year, month)).contains(&day) || year < 1601 || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let days = days_since_1970(year, month, day);
    let seconds = days * 86_400 + i64::from(hour * 3600 + minute * 60 + second);
    Some(UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

fn is_delimiter(character: char) -> bool {
    matches!(character, '\t' | ' '..='/' | ';'..='@' | '['..='`' | '{'..='~')
}

/// `hh:mm:ss`, each of one or two digits, and anything that is no digit behind them.
fn time_of(token: &str) -> Option<(u32, u32, u32)> {
    let mut parts = token.splitn(3, ':');
    let hour = whole_number(parts.next()?)?;
    let minute = whole_number(parts.next()?)?;
    let second = number(parts.next()?, 1..=2)?;
    Some((hour, minute, second))
}

/// A number of one or two digits and nothing else.
fn whole_number(text: &str) -> Option<u32> {
    let is_number = (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

/// A number of so many digits at the front, and no digit behind it.
fn number(token: &str, digits: std::ops::RangeInclusive<usize>) -> Option<u32> {
    let count = token.bytes().take_while(u8::is_ascii_digit).count();
    if digits.contains(&count) { token[..count].parse().ok() } else { None }
}

/// 1 to 12, by the first three letters.
fn month_of(token: &str) -> Option<u32> {
    let start = token.get(..3)?;
    let found = MONTHS.iter().position(|month| start.eq_ignore_ascii_case(month))?;
    u32::try_from(found + 1).ok()
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

fn days_of(year: u32, month: u32) -> u32 {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01, counted in years that begin with March: the leap day is their last.
fn days_since_1970(year: u32, month: u32, day: u32) -> i64 {
    let year = i64::from(year) - i64::from(month <= 2);
    let month = i64::from((month + 9) % 12);
    let before_year = 365 * year + year / 4 - year / 100 + year / 400;
    let in_year = (153 * month + 2) / 5 + i64::from(day) - 1;
    before_year + in_year - DAYS_TO_1970
}

/// From 0000-03-01 to 1970-01-01.
const DAYS_TO_1970: i64 = 719_468;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc6265_5_1_1_dates() {
        const CASES: &[(&str, Option<u64>)] = &[
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(784_111_777)),
            ("Sun Nov  6 08:49:37 1994", Some(784_111_777)),
            ("6 nov 1994 8:49:37", Some(784_111_777)),
            ("08:49:37 6 November 94 UTC+1", Some(784_111_777)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Thu, 01 Jan 1960 00:00:00 GMT", Some(0)),
            ("Tue, 29 Feb 2000 00:00:00 GMT", Some(951_782_400)),
            ("Wed, 31 Dec 2098 23:59:59 GMT", Some(4_070_908_799)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(253_402_300_799)),
            ("29 Feb 2001 00:00:00", None),
            ("31 Apr 2001 00:00:00", None),
            ("0 Apr 2001 00:00:00", None),
            ("1 Apr 1600 00:00:00", None),
            ("1 Apr 2001 24:00:00", None),
            ("1 Apr 2001 00:60:00", None),
            ("1 Apr 2001", None),
            ("Apr 2001 00:00:00", None),
            ("1 2001 00:00:00", None),
            ("1 Apr 00:00:00", None),
            ("001 Apr 2001 00:00:00", None),
            ("", None),
            ("\u{e9} \u{1f600}", None),
        ];
        for (date, seconds) in CASES {
            let found = parse(date).map(|at| at.duration_since(UNIX_EPOCH).unwrap().as_secs());
            assert_eq!(found, *seconds, "{date}");
        }
    }
}
