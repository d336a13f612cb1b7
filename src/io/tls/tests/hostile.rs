//! A peer that breaks the rules is told so, and gets no further.
#![forbid(unsafe_code)]

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;
use rustls::{AlertDescription, ContentType, Error};

use super::peers::{Configs, Ours, Theirs, connected, noise, served, settle, settle_ours};
use crate::io::tls::{Handshake, HandshakeError};

/// Lets the server read until it has nothing more to read or fails; gives the failure and the alert that it sent.
fn refused(mut client: Ours, mut server: Ours) -> (io::Error, Option<AlertDescription>) {
    settle_ours(&mut client, &mut server);
    let error = match server.read_all() {
        Err(error) => error,
        Ok(read) => panic!("nothing was refused; {} bytes were read", read.len()),
    };
    settle_ours(&mut client, &mut server);
    let alert = client.read_all().err().and_then(|error| {
        let text = error.get_ref()?.to_string();
        ALERTS.into_iter().find(|alert| text.ends_with(&format!("{alert:?}")))
    });
    (error, alert)
}

const ALERTS: [AlertDescription; 7] = [
    AlertDescription::UnexpectedMessage,
    AlertDescription::BadRecordMac,
    AlertDescription::RecordOverflow,
    AlertDescription::IllegalParameter,
    AlertDescription::DecodeError,
    AlertDescription::NoRenegotiation,
    AlertDescription::InternalError,
];

#[test]
fn records_that_may_not_come_are_refused() {
    const CASES: &[(&str, bool, ContentType, &[u8], AlertDescription)] = &[
        ("a finished", true, ContentType::Handshake, &[20, 0, 0, 1, 0], AlertDescription::UnexpectedMessage),
        ("a hello", true, ContentType::Handshake, &[1, 0, 0, 1, 0], AlertDescription::UnexpectedMessage),
        (
            "a ticket for a server",
            true,
            ContentType::Handshake,
            &[4, 0, 0, 1, 0],
            AlertDescription::UnexpectedMessage,
        ),
        (
            "a key update in 1.2",
            false,
            ContentType::Handshake,
            &[24, 0, 0, 1, 0],
            AlertDescription::UnexpectedMessage,
        ),
        (
            "a key update of kind 2",
            true,
            ContentType::Handshake,
            &[24, 0, 0, 1, 2],
            AlertDescription::IllegalParameter,
        ),
        ("an empty key update", true, ContentType::Handshake, &[24, 0, 0, 0], AlertDescription::DecodeError),
        (
            "a long key update",
            true,
            ContentType::Handshake,
            &[24, 0, 0, 2, 0, 0],
            AlertDescription::DecodeError,
        ),
        (
            "two key updates in a record",
            true,
            ContentType::Handshake,
            &[24, 0, 0, 1, 0, 24, 0, 0, 1, 0],
            AlertDescription::UnexpectedMessage,
        ),
        (
            "an endless message",
            true,
            ContentType::Handshake,
            &[24, 0xff, 0xff, 0xff],
            AlertDescription::DecodeError,
        ),
        ("no message", true, ContentType::Handshake, &[], AlertDescription::UnexpectedMessage),
        ("half an alert", true, ContentType::Alert, &[1], AlertDescription::DecodeError),
        ("two alerts", true, ContentType::Alert, &[1, 90, 1, 90], AlertDescription::DecodeError),
        ("no alert", false, ContentType::Alert, &[], AlertDescription::UnexpectedMessage),
        ("an alert of level 3", true, ContentType::Alert, &[3, 90], AlertDescription::IllegalParameter),
        (
            "a change of cipher",
            true,
            ContentType::ChangeCipherSpec,
            &[1],
            AlertDescription::UnexpectedMessage,
        ),
        (
            "a change of cipher in 1.2",
            false,
            ContentType::ChangeCipherSpec,
            &[1],
            AlertDescription::UnexpectedMessage,
        ),
        ("a heartbeat", true, ContentType::Heartbeat, &[1, 0, 0], AlertDescription::UnexpectedMessage),
        (
            "a heartbeat in 1.2",
            false,
            ContentType::Heartbeat,
            &[1, 0, 0],
            AlertDescription::UnexpectedMessage,
        ),
        ("type 0", true, ContentType::Unknown(0), &[1], AlertDescription::UnexpectedMessage),
    ];
    for &(name, is_tls13, content_type, content, alert) in CASES {
        let configs = if is_tls13 { Configs::tls13() } else { Configs::tls12() };
        let (mut client, server) = connected(&configs);
        client.send_record(content_type, content);
        let (error, told) = refused(client, server);
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{name}");
        assert_eq!(told, Some(alert), "{name}: {error}");
    }
}

#[test]
fn bytes_that_are_no_records_are_refused() {
    let long = |length: u16| {
        let mut record = vec![23, 3, 3];
        record.extend_from_slice(&length.to_be_bytes());
        record.extend_from_slice(&noise(length.into()));
        record
    };
    let cases: [(&str, bool, Vec<u8>, AlertDescription); 9] = [
        ("garbage", true, noise(300), AlertDescription::UnexpectedMessage),
        ("a record in the clear", true, vec![22, 3, 3, 0, 1, 0], AlertDescription::UnexpectedMessage),
        ("an alert in the clear", true, vec![21, 3, 3, 0, 2, 1, 0], AlertDescription::UnexpectedMessage),
        ("one that nobody sealed", true, long(100), AlertDescription::BadRecordMac),
        ("one that nobody sealed in 1.2", false, long(100), AlertDescription::BadRecordMac),
        ("one too short for its tag", true, long(3), AlertDescription::BadRecordMac),
        ("an empty one", true, long(0), AlertDescription::DecodeError),
        ("one too long", true, long(16_384 + 257), AlertDescription::RecordOverflow),
        ("one too long for 1.2", false, long(16_384 + 2049), AlertDescription::RecordOverflow),
    ];
    for (name, is_tls13, bytes, alert) in cases {
        let configs = if is_tls13 { Configs::tls13() } else { Configs::tls12() };
        let (mut client, mut server) = connected(&configs);
        settle_ours(&mut client, &mut server);
        server.far.send(&bytes);
        let (error, told) = refused(client, server);
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{name}");
        assert_eq!(told, Some(alert), "{name}: {error}");
    }
}

#[test]
fn a_record_of_the_largest_size_is_taken() {
    for configs in Configs::both() {
        let (mut client, mut server) = connected(&configs);
        let content = noise(16_384);
        client.send_record(ContentType::ApplicationData, &content);
        settle_ours(&mut client, &mut server);
        assert!(server.read_all().unwrap() == content);
    }
}

#[test]
fn content_that_is_too_long_is_refused() {
    for configs in Configs::both() {
        let (mut client, server) = connected(&configs);
        client.send_record(ContentType::ApplicationData, &noise(16_385));
        let (_, told) = refused(client, server);
        assert_eq!(told, Some(AlertDescription::RecordOverflow));
    }
}

#[test]
fn empty_records_are_taken_in_moderation() {
    for configs in Configs::both() {
        let (mut client, mut server) = connected(&configs);
        for _ in 0..10 {
            for _ in 0..32 {
                client.send_record(ContentType::ApplicationData, b"");
            }
            client.send_record(ContentType::ApplicationData, b"x");
        }
        settle_ours(&mut client, &mut server);
        assert_eq!(server.read_all().unwrap(), b"xxxxxxxxxx");
        for _ in 0..33 {
            client.send_record(ContentType::ApplicationData, b"");
        }
        let (_, told) = refused(client, server);
        assert_eq!(told, Some(AlertDescription::UnexpectedMessage));
    }
}

#[test]
fn key_updates_are_taken_in_moderation() {
    let (mut client, server) = connected(&Configs::tls13());
    for _ in 0..33 {
        client.refresh_key();
    }
    let (_, told) = refused(client, server);
    assert_eq!(told, Some(AlertDescription::UnexpectedMessage));
}

#[test]
fn a_message_in_pieces_is_taken_unless_something_comes_between() {
    let (mut client, mut server) = connected(&Configs::tls12());
    // A hello of TLS 1.2 asks to renegotiate: it is declined, once.
    for byte in [1, 0, 0, 2, 9, 9] {
        client.send_record(ContentType::Handshake, &[byte]);
    }
    client.send_record(ContentType::ApplicationData, b"on with it");
    settle_ours(&mut client, &mut server);
    assert_eq!(server.read_all().unwrap(), b"on with it");

    client.send_record(ContentType::Handshake, &[1, 0, 0, 2]);
    client.send_record(ContentType::ApplicationData, b"between");
    let (_, told) = refused(client, server);
    assert_eq!(told, Some(AlertDescription::UnexpectedMessage));
}

#[test]
fn renegotiation_is_declined_and_then_refused() {
    let (mut client, mut server) = connected(&Configs::tls12());
    client.send_record(ContentType::Handshake, &[1, 0, 0, 0]);
    settle_ours(&mut client, &mut server);
    assert!(server.read_all().unwrap().is_empty());
    settle_ours(&mut client, &mut server);
    // To our own client it is a warning, upon which the connection goes on.
    assert!(client.read_all().unwrap().is_empty());
    client.write(b"as before");
    settle_ours(&mut client, &mut server);
    assert_eq!(server.read_all().unwrap(), b"as before");
    client.send_record(ContentType::Handshake, &[1, 0, 0, 0]);
    let (_, told) = refused(client, server);
    assert_eq!(told, Some(AlertDescription::UnexpectedMessage));
}

#[test]
fn warnings_are_taken_in_moderation_in_tls_1_2_and_not_in_1_3() {
    let (mut client, mut server) = connected(&Configs::tls12());
    for _ in 0..4 {
        client.send_record(ContentType::Alert, &[1, 100]);
    }
    client.write(b"still here");
    settle_ours(&mut client, &mut server);
    assert_eq!(server.read_all().unwrap(), b"still here");
    client.send_record(ContentType::Alert, &[1, 100]);
    let (_, told) = refused(client, server);
    assert_eq!(told, None, "who gave up is not told anything");

    let (mut client, mut server) = connected(&Configs::tls13());
    client.send_record(ContentType::Alert, &[1, 90]);
    client.write(b"still here");
    settle_ours(&mut client, &mut server);
    assert_eq!(server.read_all().unwrap(), b"still here");
    client.send_record(ContentType::Alert, &[1, 100]);
    let (_, told) = refused(client, server);
    assert_eq!(told, None);
}

#[test]
fn nothing_is_written_behind_a_failure() {
    let (mut client, mut server) = connected(&Configs::tls13());
    client.send_record(ContentType::Handshake, &[1, 0, 0, 0]);
    settle_ours(&mut client, &mut server);
    assert!(server.read_all().is_err());
    server.wire.output().push(noise(10).into());
    let flushed = server.wire.poll_flush(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(flushed, Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe));
    // The alert is all that left.
    assert_eq!(server.far.received().len(), 5 + 2 + 17);
}

#[test]
fn the_rest_of_a_failed_connection_can_be_thrown_away() {
    let (mut client, mut server) = connected(&Configs::tls13());
    client.send_record(ContentType::Handshake, &[1, 0, 0, 0]);
    client.write(&noise(10_000));
    settle_ours(&mut client, &mut server);
    assert!(server.read_all().is_err());
    let cx = &mut Context::from_waker(Waker::noop());
    let mut thrown_away = 0;
    server.far.send(&noise(5000));
    while let Poll::Ready(Ok(count @ 1..)) = server.wire.poll_discard(cx) {
        thrown_away += count;
    }
    assert!(thrown_away >= 5000);
    server.far.end();
    assert!(matches!(server.wire.poll_discard(cx), Poll::Ready(Ok(0))));
    assert!(matches!(server.wire.poll_discard(cx), Poll::Ready(Ok(0))));
}

#[test]
fn what_is_no_hello_is_refused_with_an_alert() {
    for garbage in [
        noise(100),
        b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00".to_vec(),
        // A hello of SSL 2.
        b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10".to_vec(),
        // Data before anything is agreed.
        b"\x17\x03\x03\x00\x05hello".to_vec(),
        // Longer than any record.
        b"\x16\x03\x01\xff\xff".to_vec(),
    ] {
        let mut server = Ours::server(&Configs::tls13());
        server.far.send(&garbage);
        server.turn();
        let Some(Err(HandshakeError::Tls(_))) = server.established else {
            panic!("{:?}: {:?}", garbage.escape_ascii().to_string(), server.established)
        };
        let told = server.far.received();
        assert_eq!(told.first(), Some(&21), "an alert: {told:?}");
    }
}

#[test]
fn alerts_end_a_handshake_and_so_do_many_warnings() {
    let mut server = Ours::server(&Configs::tls13());
    server.far.send(&[21, 3, 3, 0, 2, 2, 40]);
    server.turn();
    let expected = Error::AlertReceived(AlertDescription::HandshakeFailure);
    assert!(matches!(&server.established, Some(Err(HandshakeError::Tls(error))) if *error == expected));

    let mut server = Ours::server(&Configs::tls13());
    for _ in 0..4 {
        server.far.send(&[21, 3, 3, 0, 2, 1, 90]);
        server.turn();
        assert!(server.established.is_none());
    }
    server.far.send(&[21, 3, 3, 0, 2, 1, 90]);
    server.turn();
    assert!(matches!(server.established, Some(Err(HandshakeError::Tls(_)))));
}

#[test]
fn a_handshake_that_is_too_long_is_refused_before_it_is_here() {
    let configs = Configs::tls13();
    let mut handshake = Handshake::server(configs.server, 1000).unwrap();
    let mut received = BytesMut::from(&b"\x16\x03\x01\x04\x00\x01"[..]);
    let mut told = BytesMut::new();
    let error = handshake.advance(&mut received, &mut told).unwrap_err();
    assert!(matches!(error, HandshakeError::TooLong), "{error:?}");
    assert_eq!(told, [21, 3, 3, 0, 2, 2, 50][..]);

    // In many small records.
    let configs = Configs::tls13();
    let mut handshake = Handshake::server(configs.server, 1000).unwrap();
    let mut received = BytesMut::new();
    received.extend_from_slice(b"\x16\x03\x01\x00\x04\x01\x00\xff\xff");
    for _ in 0..200 {
        received.extend_from_slice(b"\x16\x03\x01\x00\x01\x00");
    }
    let error = handshake.advance(&mut received, &mut BytesMut::new()).unwrap_err();
    assert!(matches!(error, HandshakeError::TooLong), "{error:?}");
}

/// Whatever a client sends with one byte of it changed, the server says no or goes on, and neither side panics.
#[test]
fn a_changed_byte_anywhere_is_survived() {
    for configs in Configs::both() {
        let mut changed_at = 0_usize;
        loop {
            let (mut client, mut server) = (Ours::client(&configs), Ours::server(&configs));
            let mut sent = 0;
            for _ in 0..10 {
                client.turn();
                server.turn();
                server.far.received().into_iter().for_each(|byte| client.far.send(&[byte]));
                let mut bytes = client.far.received();
                if let Some(byte) = changed_at.checked_sub(sent).and_then(|at| bytes.get_mut(at)) {
                    *byte ^= 0x41;
                }
                sent += bytes.len();
                server.far.send(&bytes);
            }
            let is_agreed = matches!((&client.established, &server.established), (Some(Ok(_)), Some(Ok(_))));
            if is_agreed {
                client.write(b"question");
                settle_ours(&mut client, &mut server);
                assert_eq!(server.read_all().unwrap(), b"question", "byte {changed_at} means nothing");
            }
            if changed_at > sent {
                break;
            }
            changed_at += 3;
        }
    }
}

#[test]
fn early_data_that_is_not_wanted_is_passed_over() {
    // Two servers with the same sessions: the one takes early data, the other does not.
    let configs = Configs::tls13();
    let wary = (*configs.server).clone();
    let mut eager = wary.clone();
    eager.max_early_data_size = 10_000;
    let mut client = (*configs.client).clone();
    client.enable_early_data = true;
    let client = Arc::new(client);
    let eager = Configs { client: Arc::clone(&client), server: eager.into() };
    let wary = Configs { client, server: wary.into() };
    let (mut server, mut client) = served(&eager);
    settle(&mut server, &mut client);

    let (mut server, mut client) = (Ours::server(&wary), Theirs::client(&wary));
    client.write_early(b"GET / HTTP/1.1\r\n\r\n");
    settle(&mut server, &mut client);
    // It is passed over, and the client knows.
    assert!(server.established().resumed);
    let rustls::Connection::Client(connection) = &client.connection else { panic!("a client") };
    assert!(!connection.is_early_data_accepted());
    client.write(b"once more");
    settle(&mut server, &mut client);
    assert_eq!(server.read_all().unwrap(), b"once more");
}

#[test]
fn early_data_out_of_the_blue_is_refused() {
    let configs = Configs::tls13();
    let (mut server, mut client) = (Ours::server(&configs), Theirs::client(&configs));
    client.turn(&server.far);
    let hello = server.far.unread();
    assert!(hello > 0);
    server.far.send(&[&b"\x17\x03\x03\x00\x40"[..], &noise(0x40)].concat());
    settle(&mut server, &mut client);
    assert!(matches!(server.established, Some(Err(HandshakeError::Tls(_)))), "{:?}", server.established);
    assert_eq!(client.error, Some(Error::AlertReceived(AlertDescription::BadRecordMac)));
}

#[test]
fn an_end_inside_of_the_handshake_is_one() {
    let configs = Configs::tls13();
    let mut server = Ours::server(&configs);
    server.far.send(b"\x16\x03\x01");
    server.turn();
    assert!(server.established.is_none());
    server.far.end();
    server.turn();
    assert!(matches!(server.established, Some(Err(HandshakeError::Ended))));
}

#[test]
fn many_small_records_are_read_one_turn_after_the_other() {
    let (mut client, mut server) = connected(&Configs::tls13());
    let mut read = 0;
    for _ in 0..10 {
        for _ in 0..10_000 {
            client.send_record_quietly(b"x");
        }
        settle_ours(&mut client, &mut server);
        read += server.read_all().unwrap().len();
    }
    assert_eq!(read, 100_000);
}

#[test]
fn a_peer_that_resets_is_an_error_for_reader_and_writer() {
    let (mut server, _) = served(&Configs::tls13());
    server.far.reset();
    assert!(server.fill().unwrap().is_err());
    server.wire.output().push(noise(10).into());
    assert!(matches!(server.wire.poll_flush(&mut Context::from_waker(Waker::noop())), Poll::Ready(Err(_))));
}

#[test]
fn rustls_takes_our_alerts_for_what_they_are() {
    let (mut server, mut client) = served(&Configs::tls13());
    server
        .far
        .send(&[23, 3, 3, 0, 20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]);
    assert!(server.read_all().is_err());
    settle(&mut server, &mut client);
    assert_eq!(client.error, Some(Error::AlertReceived(AlertDescription::BadRecordMac)));
}
