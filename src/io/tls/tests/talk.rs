//! What two sides that keep the rules say to each other.
#![forbid(unsafe_code)]

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use rustls::{HandshakeKind, ProtocolVersion};

use super::peers::{Configs, Ours, Theirs, connected, every_suite, noise, served, settle, settle_ours};
use crate::io::duplex::Flag;

#[test]
fn every_suite_is_spoken_on_both_sides() {
    for (suite, configs) in every_suite() {
        let (mut server, mut client) = (Ours::server(&configs), Theirs::client(&configs));
        settle(&mut server, &mut client);
        assert_eq!(server.established().suite, suite.suite());
        assert_eq!(server.established().server_name.as_deref(), Some("localhost"));
        assert_eq!(server.established().alpn.as_deref(), Some(&b"http/1.1"[..]));
        client.write(b"question");
        settle(&mut server, &mut client);
        assert_eq!(server.read_all().unwrap(), b"question", "{suite:?}");
        server.write(b"answer");
        settle(&mut server, &mut client);
        assert_eq!(client.read(), b"answer", "{suite:?}");
        for n in 0..100_u8 {
            server.write(&[n; 20]);
            settle(&mut server, &mut client);
            assert_eq!(client.read(), [n; 20], "{suite:?}, answer {n}");
        }

        let (mut client, mut server) = (Ours::client(&configs), Theirs::server(&configs));
        settle(&mut client, &mut server);
        assert_eq!(client.established().version, suite.version().version);
        assert_eq!(client.established().peer_certificates.len(), 1);
        client.write(b"question");
        settle(&mut client, &mut server);
        assert_eq!(server.read(), b"question", "{suite:?}");
        server.write(b"answer");
        settle(&mut client, &mut server);
        assert_eq!(client.read_all().unwrap(), b"answer", "{suite:?}");
        for n in 0..100_u8 {
            client.write(&[n; 20]);
            settle(&mut client, &mut server);
            assert_eq!(server.read(), [n; 20], "{suite:?}, question {n}");
        }
    }
}

#[test]
fn records_cut_at_every_byte_mean_the_same() {
    for configs in Configs::both() {
        for limit in 1..80 {
            let (mut server, mut client) = (Ours::server(&configs), Theirs::client(&configs));
            server.far.limit_reads(limit);
            settle(&mut server, &mut client);
            for bytes in [1, 100, 1000, 20_000] {
                let sent = noise(bytes);
                client.write(&sent);
                settle(&mut server, &mut client);
                assert_eq!(server.read_all().unwrap(), sent, "{bytes} bytes, {limit} at a time");
            }
        }
    }
}

#[test]
fn much_data_goes_both_ways() {
    for configs in Configs::both() {
        let (mut server, mut client) = served(&configs);
        let sent = noise(1 << 20);
        client.write(&sent);
        settle(&mut server, &mut client);
        assert!(server.read_all().unwrap() == sent, "to the server");
        server.write(&sent);
        settle(&mut server, &mut client);
        assert!(client.read() == sent, "to the client");
    }
}

#[test]
fn a_window_that_fills_up_loses_nothing() {
    let (mut server, mut client) = served(&Configs::tls13());
    let sent = noise(300_000);
    server.far.set_window(0);
    server.write(&sent);
    let mut received = Vec::new();
    for _ in 0..2000 {
        server.far.set_window(777);
        settle(&mut server, &mut client);
        received.extend_from_slice(&client.read());
        if received.len() == sent.len() {
            break;
        }
    }
    assert!(received == sent);
    assert!(!server.wire.is_flushing());
}

#[test]
fn a_long_write_to_a_peer_that_takes_all_gives_way_and_goes_on() {
    let (mut server, mut client) = served(&Configs::tls13());
    let sent = noise(4 << 20);
    server.wire.output().push(sent.clone().into());
    let flag = Arc::new(Flag::default());
    let waker = Waker::from(Arc::clone(&flag));
    let mut received = Vec::new();
    let mut pauses = 0;
    while server.wire.poll_flush(&mut Context::from_waker(&waker)).is_pending() {
        assert!(flag.0.swap(false, Ordering::Relaxed), "nobody is told to go on");
        client.turn(&server.far);
        let piece = client.read();
        assert!(piece.len() <= 2 << 20, "{} bytes in one turn", piece.len());
        received.extend_from_slice(&piece);
        pauses += 1;
    }
    client.turn(&server.far);
    received.extend_from_slice(&client.read());
    assert!(received == sent);
    assert!((2..10).contains(&pauses), "{pauses} pauses");
}

#[test]
fn a_write_that_nobody_polls_goes_on_with_the_next_poll() {
    let (mut server, mut client) = served(&Configs::tls13());
    server.far.set_window(10);
    server.write(b"one that does not fit");
    // Whoever waited for it is gone. Somebody reads meanwhile.
    client.write(b"hello");
    client.turn(&server.far);
    assert_eq!(server.read_all().unwrap(), b"hello");
    server.far.set_window(usize::MAX);
    settle(&mut server, &mut client);
    assert_eq!(client.read(), b"one that does not fit");
}

#[test]
fn an_answer_leaves_as_one_record_and_the_first_ones_are_small() {
    for (configs, overhead) in [(Configs::tls12(), 24 + 5), (Configs::tls13(), 17 + 5)] {
        let (mut server, mut client) = served(&configs);
        server.wire.output().buffer().extend_from_slice(b"head and ");
        server.wire.output().push(Bytes::from_static(b"body"));
        server.turn();
        assert_eq!(record_sizes(&server.far.received()), [13 + overhead]);

        // Large pieces beside the head.
        server.wire.output().buffer().extend_from_slice(&[1; 200]);
        server.wire.output().push(noise(40_000).into());
        server.turn();
        let sizes = record_sizes(&server.far.received());
        assert!(sizes[..9].iter().all(|&size| size == 1400 + overhead), "{sizes:?}");
        let content: usize = sizes.iter().map(|size| size - overhead).sum();
        assert_eq!(content, 40_200, "{sizes:?}");
        assert_eq!(sizes[10], 16_384 + overhead, "{sizes:?}");

        // Behind a pause they are small again, if it was a long one.
        server.wire.rest();
        server.write(&noise(16_384));
        assert_eq!(record_sizes(&server.far.received()), [16_384 + overhead]);
        server.wire.rest();
        server.wire.tls_mut().expect("it is TLS").has_paused();
        server.write(&noise(20_000));
        let sizes = record_sizes(&server.far.received());
        assert_eq!(sizes[..10], [1400 + overhead; 10]);
        assert_eq!(sizes.len(), 11);
        client.connection.send_close_notify();
    }
}

fn record_sizes(mut bytes: &[u8]) -> Vec<usize> {
    let mut sizes = Vec::new();
    while let &[_, _, _, high, low, ..] = bytes {
        let size = 5 + usize::from(u16::from_be_bytes([high, low]));
        sizes.push(size);
        bytes = &bytes[size..];
    }
    assert!(bytes.is_empty(), "whole records");
    sizes
}

#[test]
fn the_end_is_said_on_both_sides() {
    for configs in Configs::both() {
        let (mut server, mut client) = served(&configs);
        client.write(b"last");
        client.connection.send_close_notify();
        settle(&mut server, &mut client);
        assert_eq!(server.read_all().unwrap(), b"last");
        assert!(server.wire.has_ended());
        // Our side is still open.
        server.write(b"goodbye");
        server.shutdown();
        settle(&mut server, &mut client);
        assert_eq!(client.read(), b"goodbye");
        let state = client.connection.process_new_packets().unwrap();
        assert!(state.peer_has_closed());
        assert!(server.far.near_has_ended(), "the carrier's end follows");
    }
}

#[test]
fn an_end_waits_for_what_is_being_written() {
    let (mut server, mut client) = served(&Configs::tls13());
    server.far.set_window(100);
    let sent = noise(100_000);
    server.write(&sent);
    server.shutdown();
    assert!(!server.far.near_has_ended());
    server.far.set_window(usize::MAX);
    settle(&mut server, &mut client);
    assert!(client.read() == sent);
    assert!(client.connection.process_new_packets().unwrap().peer_has_closed());
    assert!(server.far.near_has_ended());
}

#[test]
fn an_end_that_the_peer_did_not_say_is_an_error() {
    for configs in Configs::both() {
        let (mut server, mut client) = served(&configs);
        client.write(b"part");
        settle(&mut server, &mut client);
        server.far.end();
        assert_eq!(&server.fill().unwrap().unwrap()[..], b"part");
        let error = server.fill().unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}

#[test]
fn what_comes_behind_the_end_is_ignored() {
    let (mut client, mut server) = connected(&Configs::tls13());
    client.send_record(rustls::ContentType::Alert, &[1, 0]);
    client.send_record(rustls::ContentType::ApplicationData, b"too late");
    settle_ours(&mut client, &mut server);
    assert_eq!(server.read_all().unwrap(), b"");
    assert!(server.wire.has_ended());
}

#[test]
fn keys_change_when_either_side_wants_it() {
    let (mut server, mut client) = served(&Configs::tls13());
    for round in 0..100_u8 {
        // rustls asks for an answer, which is a change of our key.
        client.connection.refresh_traffic_keys().unwrap();
        client.write(&[round; 10]);
        settle(&mut server, &mut client);
        assert_eq!(server.read_all().unwrap(), [round; 10]);
        server.session().wear_out_key();
        server.write(&vec![round; 20_000]);
        settle(&mut server, &mut client);
        assert!(client.read() == vec![round; 20_000]);
    }
}

#[test]
fn a_peer_that_asks_for_keys_and_takes_none_is_answered_in_moderation() {
    let (mut server, mut client) = served(&Configs::tls13());
    server.far.set_window(0);
    for _ in 0..200 {
        client.connection.refresh_traffic_keys().unwrap();
        client.write(b"x");
        settle(&mut server, &mut client);
        assert_eq!(server.read_all().unwrap(), b"x");
    }
    assert!(server.tls().sealed.len() <= 16, "{} answers wait", server.tls().sealed.len());
    server.far.set_window(usize::MAX);
    server.write(b"and on it goes");
    settle(&mut server, &mut client);
    assert_eq!(client.error, None);
    assert_eq!(client.read(), b"and on it goes");
}

#[test]
fn a_worn_out_key_ends_a_connection_of_tls_1_2() {
    let (mut server, mut client) = served(&Configs::tls12());
    server.session().wear_out_key();
    server.wire.output().push(Bytes::from_static(b"too much"));
    let flushed = server.wire.poll_flush(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(flushed, Poll::Ready(Err(_))));
    settle(&mut server, &mut client);
    assert_eq!(client.error, Some(rustls::Error::AlertReceived(rustls::AlertDescription::InternalError)));
}

#[test]
fn sessions_are_resumed_in_both_roles() {
    for make in [Configs::tls12, Configs::tls13] {
        let configs = make();
        for round in 0..3 {
            let (mut server, mut client) = served(&configs);
            client.write(b"x");
            settle(&mut server, &mut client);
            assert_eq!(server.established().resumed, round > 0, "{round}");
            assert_eq!(
                client.connection.handshake_kind() == Some(HandshakeKind::Resumed),
                round > 0,
                "{round}"
            );
        }
        // Our client keeps tickets too, those that come behind the handshake among them.
        let configs = make();
        for round in 0..3 {
            let (mut client, mut server) = (Ours::client(&configs), Theirs::server(&configs));
            settle(&mut client, &mut server);
            assert!(client.read_all().unwrap().is_empty());
            assert_eq!(client.established().resumed, round > 0, "{round}");
        }
    }
}

#[test]
fn tls_runs_over_tls() {
    let outer = Configs::tls13();
    let inner = Configs::tls12();
    let (client, server) = connected(&outer);
    let (mut client, mut server) = (client.wrap_client(&inner), server.wrap_server(&inner));
    settle_ours(&mut client, &mut server);
    assert_eq!(client.established().version, ProtocolVersion::TLSv1_2);
    client.write(b"through both");
    settle_ours(&mut client, &mut server);
    assert_eq!(server.read_all().unwrap(), b"through both");
}

/// Whoever waits may go away at any point, and poll again or not: the bytes are where they belong.
#[test]
fn reads_and_writes_that_are_dropped_at_each_step_lose_nothing() {
    for configs in Configs::both() {
        let (mut server, mut client) = served(&configs);
        server.far.limit_reads(7);
        let mut expected = Vec::new();
        let mut seen = Vec::new();
        for round in 0..200_u8 {
            client.write(&[round; 50]);
            expected.extend_from_slice(&[round; 50]);
            client.turn(&server.far);
            // One poll, then somebody else writes, then another poll.
            if let Some(content) = server.fill() {
                seen.extend_from_slice(&content.unwrap());
            }
            server.write(&[round; 30]);
            client.turn(&server.far);
        }
        seen.extend_from_slice(&server.read_all().unwrap());
        assert_eq!(seen, expected);
        settle(&mut server, &mut client);
        assert_eq!(client.read().len(), 200 * 30);
    }
}
