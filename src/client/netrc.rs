//! Users and passwords by host, from a file that other programs read, too: `.netrc`.
#![forbid(unsafe_code)]

use std::env;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::{Error, ErrorKind, Result};

/// Users and passwords by host, for `ClientConfig::netrc`. The default knows none.
///
/// The format is that of ftp, curl and Python: `machine HOST login USER password PASSWORD`, in as many lines as one likes, the first entry of a
/// host before later ones, and `default` in place of `machine HOST` for all others. A value may stand in quotes (`"a \"b\""`). An entry with
/// neither user nor password signs nobody in. `account` and `macdef` are passed over; so is the rest of a line from a `#` on that
/// stands where a word of the format would.
///
/// ```
/// use ringhttp::ClientConfig;
/// use ringhttp::client::Netrc;
///
/// let mut config = ClientConfig::default();
/// config.netrc = Netrc::parse("machine api.internal login ada password \"open sesame\"")?;
/// # Ok::<(), ringhttp::client::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Netrc(Arc<[Entry]>);

#[derive(Default)]
struct Entry {
    /// In lower case; `None`: any.
    host: Option<Box<str>>,
    user: Box<str>,
    password: Box<str>,
}

impl Netrc {
    /// Reads the file that the environment names (`NETRC`), or `.netrc` in the home directory (`HOME`) if that is there. Blocks: meant for
    /// start-up, before the cores run.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if the file that `NETRC` names is not there, and as [`load`](Self::load).
    pub fn from_env() -> Result<Self> {
        if let Some(path) = env::var_os("NETRC") {
            return Self::load(PathBuf::from(path));
        }
        let Some(home) = env::var_os("HOME") else { return Ok(Self::default()) };
        let path = PathBuf::from(home).join(".netrc");
        match read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            read => Self::of_file(&path, read),
        }
    }

    /// Reads a file. Blocks, as [`from_env`](Self::from_env).
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if it cannot be read, has more than 64 KiB, or is of another format: see [`parse`](Self::parse).
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::of_file(path, read(path))
    }

    fn of_file(path: &Path, read: io::Result<String>) -> Result<Self> {
        let wrong = || Error::new(ErrorKind::Config).with_text(path.display().to_string());
        Self::parse(&read.map_err(|error| wrong().with_source(error))?)
            .map_err(|error| wrong().with_source(error))
    }

    /// Reads what would stand in a file.
    ///
    /// # Errors
    /// [`ErrorKind::Config`], with the line, if a word is none of the format, or has no value; if a user has a colon; or if there are
    /// more than 1000 entries.
    pub fn parse(text: &str) -> Result<Self> {
        let mut words = Words { rest: text, line: 1 };
        let mut entries: Vec<Entry> = Vec::new();
        while let Some(word) = words.keyword()? {
            let line = words.line;
            match &*word {
                "machine" | "default" => {
                    if entries.len() >= ENTRIES_MAX {
                        return Err(wrong(line, "there are more than 1000 entries"));
                    }
                    let host = if word == "machine" { Some(words.value("machine")?) } else { None };
                    let host = host.map(|host| host.to_ascii_lowercase().into());
                    entries.push(Entry { host, ..Entry::default() });
                }
                "macdef" => words.skip_macro(),
                "login" | "password" | "account" => {
                    let value = words.value(&word)?.into_boxed_str();
                    let Some(entry) = entries.last_mut() else {
                        return Err(wrong(line, &format!("`{word}` stands before any `machine`")));
                    };
                    match &*word {
                        "login" if value.contains(':') => {
                            return Err(wrong(line, "a user must not have a colon"));
                        }
                        "login" => entry.user = value,
                        "password" => entry.password = value,
                        _ => {}
                    }
                }
                // It may be a password whose `password` is missing: it is not shown.
                _ => {
                    return Err(wrong(
                        line,
                        "a word is none of machine, default, login, password, account, macdef",
                    ));
                }
            }
        }
        Ok(Self(entries.into()))
    }

    /// User and password of a host, which is as it stands in a URL. An entry without both says that there are none.
    pub(super) fn find(&self, host: &str) -> Option<(&str, &str)> {
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let is_of = |entry: &&Entry| entry.host.as_deref().is_none_or(|own| own == host);
        let entry =
            self.0.iter().find(is_of).filter(|entry| !entry.user.is_empty() || !entry.password.is_empty())?;
        Some((&entry.user, &entry.password))
    }
}

/// Shows hosts, and neither users nor passwords.
impl fmt::Debug for Netrc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|entry| entry.host.as_deref().unwrap_or("default"))).finish()
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it has more than 64 KiB"));
    }
    Ok(text)
}

/// The words of a file, one after the other.
struct Words<'a> {
    rest: &'a str,
    /// Of the last word.
    line: usize,
}

impl Words<'_> {
    /// The next word where one of the format is expected.
    fn keyword(&mut self) -> Result<Option<String>> {
        loop {
            self.skip_white();
            if !self.rest.starts_with('#') {
                return self.word();
            }
            self.take(self.rest.find('\n').unwrap_or(self.rest.len()));
        }
    }

    /// The value behind a word of the format.
    fn value(&mut self, word: &str) -> Result<String> {
        let line = self.line;
        self.skip_white();
        self.word()?.ok_or_else(|| wrong(line, &format!("`{word}` has no value")))
    }

    fn word(&mut self) -> Result<Option<String>> {
        if self.rest.starts_with('"') {
            return self.quoted().map(Some);
        }
        let end =
            self.rest.find(|character: char| character.is_ascii_whitespace()).unwrap_or(self.rest.len());
        let word = self.take(end).to_owned();
        Ok((!word.is_empty()).then_some(word))
    }

    fn quoted(&mut self) -> Result<String> {
        let mut word = String::new();
        let mut characters = self.rest[1..].char_indices();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    self.take(1 + at + 1);
                    return Ok(word);
                }
                '\n' => break,
                '\\' => word.extend(characters.next().map(|(_, escaped)| escaped)),
                character => word.push(character),
            }
        }
        Err(wrong(self.line, "a quote is not closed"))
    }

    /// A macro ends with an empty line.
    fn skip_macro(&mut self) {
        let lines = self.rest.split_inclusive('\n');
        let lengths = lines.skip(1).take_while(|line| !line.trim().is_empty()).map(str::len);
        let first = self.rest.find('\n').map_or(self.rest.len(), |end| end + 1);
        let length = first + lengths.sum::<usize>();
        self.take(length.min(self.rest.len()));
    }

    fn skip_white(&mut self) {
        self.take(self.rest.len() - self.rest.trim_ascii_start().len());
    }

    fn take(&mut self, length: usize) -> &str {
        let (taken, rest) = self.rest.split_at(length);
        self.line += taken.bytes().filter(|byte| *byte == b'\n').count();
        self.rest = rest;
        taken
    }
}

fn wrong(line: usize, text: &str) -> Error {
    Error::new(ErrorKind::Config).with_text(format!("netrc, line {line}: {text}"))
}

/// Bytes of a file.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Entries of a file.
const ENTRIES_MAX: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_entry_of_a_host_counts_and_default_is_for_the_others() {
        let netrc = Netrc::parse(
            "# of this machine\nmachine A.example login ada # not a word\n  password #pw account x\n\
             machine b.example\n\tpassword \"a \\\"b\\\" \\\\\"\tlogin \"\"\n\
             macdef init\nmachine evil.example login eve\n\nmachine a.example login eve\n\
             machine ::1 login six\ndefault login anonymous password guest machine never login x",
        )
        .unwrap();
        for (host, expected) in [
            ("a.example", ("ada", "#pw")),
            ("b.example", ("", "a \"b\" \\")),
            ("[::1]", ("six", "")),
            ("evil.example", ("anonymous", "guest")),
            ("never", ("anonymous", "guest")),
        ] {
            assert_eq!(netrc.find(host), Some(expected), "{host}");
        }
        assert_eq!(Netrc::default().find("a"), None);
        assert_eq!(Netrc::parse("machine a login b").unwrap().find("sub.a"), None);
        let without = Netrc::parse("machine a account x default login b password c").unwrap();
        assert_eq!((without.find("a"), without.find("b")), (None, Some(("b", "c"))));
        let shown = format!("{netrc:?}");
        assert!(shown.contains("a.example") && !shown.contains("pw") && !shown.contains("ada"), "{shown}");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_without_a_secret() {
        for (text, expected) in [
            ("machine", "line 1: `machine` has no value"),
            ("\nmachine a\nlogin", "line 3: `login` has no value"),
            ("login ada", "line 1: `login` stands before any `machine`"),
            ("machine a\n\nlogin ada secret", "line 3: a word is none of"),
            ("machine a login \"ada\n\"", "line 1: a quote is not closed"),
            ("machine a\nlogin a:b", "line 2: a user must not have a colon"),
            (&"default ".repeat(1001), "line 1: there are more than 1000"),
        ] {
            let error = Netrc::parse(text).unwrap_err();
            assert!(error.kind() == ErrorKind::Config && error.to_string().contains(expected), "{error}");
            assert!(!error.to_string().contains("secret"));
        }
        assert!(Netrc::parse("").is_ok() && Netrc::parse("macdef x\nnever ended").is_ok());
    }

    #[test]
    fn files_are_bounded_and_named() {
        let path = env::temp_dir().join(format!("ringhttp-netrc-{}", std::process::id()));
        std::fs::write(&path, "machine a login ada password pw\n").unwrap();
        assert_eq!(Netrc::load(&path).unwrap().find("a"), Some(("ada", "pw")));
        for text in ["nonsense".to_owned(), "#".repeat(65 * 1024)] {
            std::fs::write(&path, text).unwrap();
            let error = Netrc::load(&path).unwrap_err();
            assert!(error.to_string().contains("ringhttp-netrc-"), "{error}");
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(Netrc::load(&path).unwrap_err().kind(), ErrorKind::Config);
    }
}
