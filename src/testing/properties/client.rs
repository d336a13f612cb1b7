//! What must hold for what the client is told by servers, by proxies, and by files of other programs.
#![forbid(unsafe_code)]

use super::Source;
use crate::client::Netrc;
#[cfg(feature = "digest-auth")]
use crate::proto::digest_auth::{Asked, Challenge};
use crate::proto::socks5::{read_connected, read_method, read_signed_in};

/// No bytes make the readers of a SOCKS proxy's replies panic; a reply that is complete is so with more behind it, too, and never takes more
/// than there is.
pub fn any_socks_reply(data: &[u8]) {
    for length in 0..data.len().min(300) {
        let _ = (read_method(&data[..length], true), read_signed_in(&data[..length]));
        if let Ok(Some((taken, ()))) = read_connected(&data[..length]) {
            assert!(taken <= length, "{taken} of {length}");
            assert_eq!(read_connected(data), Ok(Some((taken, ()))), "b\"{}\"", data.escape_ascii());
        }
    }
    let mut reply = b"\x05\x00\x00\x03".to_vec();
    reply.extend_from_slice(data);
    let needed = 7 + usize::from(data.first().copied().unwrap_or(0));
    let expected = (!data.is_empty() && reply.len() >= needed).then_some((needed, ()));
    assert_eq!(read_connected(&reply), Ok(expected), "b\"{}\"", data.escape_ascii());
}

/// No challenge makes the client panic, and what it answers is one field whose parameters can be read.
#[cfg(feature = "digest-auth")]
pub fn any_challenge(data: &[u8]) {
    let mut source = Source(data);
    let mut text = source.text(b"Digest Basic=,\" \\", 40);
    for name in ["realm", "nonce", "opaque", "qop", "algorithm", "charset", "userhash"] {
        let separator = source.text(b" ,=\t", 3);
        let value = source.text(b"auth,int MD5-sess\"\\;", 12).replace('"', "\\\"");
        let quote = if source.byte().is_multiple_of(4) { "" } else { "\"" };
        text += &format!("{separator}{name}={quote}{value}{quote},");
    }
    for challenge in [text.clone(), format!("Digest realm=r, nonce=n, {text}")] {
        let Some(challenge) = Challenge::find([challenge.as_bytes(), data], true) else { continue };
        let asked = Asked {
            user: "a\"d\\a",
            password: "pw",
            method: "GET",
            uri: "/",
            cnonce: "c",
            count: 1,
            body: Some(data),
        };
        let Some(field) = challenge.answer(&asked) else { continue };
        let parameters = crate::proto::auth::parameters(Some(field.as_bytes()), "Digest");
        let parameters =
            parameters.unwrap_or_else(|error| panic!("{error}: {}", field.as_bytes().escape_ascii()));
        assert!(parameters.iter().any(|(name, _)| *name == "response"));
    }
}

/// No text makes the reader of `.netrc` panic.
pub fn any_netrc(data: &[u8]) {
    let mut source = Source(data);
    let mut text = String::new();
    for _ in 0..source.below(20) {
        text += source.pick(&[
            "machine ",
            "default ",
            "login ",
            "password ",
            "account ",
            "macdef ",
            "#",
            "\n",
            "\n\n",
            "\"",
            "\\",
        ]);
        text += &source.text(b"ab \n\"\\#", 8);
    }
    let _ = (Netrc::parse(&text), Netrc::parse(&String::from_utf8_lossy(data)));
}
