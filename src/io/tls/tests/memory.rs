//! Where the bytes are: received ones stay where the kernel put them.
#![forbid(unsafe_code)]

use std::ops::Range;

use rustls::ContentType;

use super::peers::{Configs, connected, noise, served, settle, settle_ours};
use crate::io::read_buffer::Purpose;

/// Bytes of `content` that lie where the kernel put some.
fn in_place(content: &[u8], landed: &[Range<usize>]) -> usize {
    let start = content.as_ptr().addr();
    let all = start..start + content.len();
    landed.iter().map(|range| range.end.min(all.end).saturating_sub(range.start.max(all.start))).sum()
}

#[test]
fn a_request_is_given_out_where_the_kernel_put_it() {
    for configs in Configs::both() {
        let (mut server, mut client) = served(&configs);
        for bytes in [1, 40, 100, 400, 1000, 3000] {
            for round in 0..5 {
                client.write(&noise(bytes));
                client.turn(&server.far);
                server.far.landed();
                if round < 2 {
                    // The landing buffer grows with the first that fill it.
                    server.fill_for(Purpose::NextHead).expect("it is here").unwrap();
                    continue;
                }
                let content = server.fill_for(Purpose::NextHead).expect("it is here").unwrap();
                assert_eq!(in_place(&content, &server.far.landed()), bytes, "of {}", content.len());
            }
        }
    }
}

#[test]
fn a_body_is_given_out_where_the_kernel_put_it() {
    for configs in Configs::both() {
        let (mut server, mut client) = served(&configs);
        let (mut all, mut kept) = (0, 0);
        let mut landed = Vec::new();
        // What is held meanwhile: no memory is used again.
        let mut contents = Vec::new();
        for _ in 0..8 {
            client.write(&noise(1 << 20));
            client.turn(&server.far);
            while let Some(content) = server.fill() {
                let content = content.unwrap();
                landed.extend(server.far.landed());
                all += content.len();
                kept += in_place(&content, &landed);
                contents.push(content);
            }
        }
        assert_eq!(all, 8 << 20);
        // Reads have room for whole records, so none but the first few has to be moved.
        let moved = all - kept;
        assert!(moved <= 32 * 1024, "{moved} of {all} bytes were moved");
    }
}

#[test]
fn a_body_that_comes_in_packets_is_hardly_moved() {
    let (mut server, mut client) = served(&Configs::tls13());
    server.far.limit_reads(1448);
    let (mut all, mut kept) = (0, 0);
    let mut landed = Vec::new();
    let mut contents = Vec::new();
    client.write(&noise(4 << 20));
    client.turn(&server.far);
    while let Some(content) = server.fill() {
        let content = content.unwrap();
        landed.extend(server.far.landed());
        all += content.len();
        kept += in_place(&content, &landed);
        contents.push(content);
        // Views of earlier reads are of no interest any more.
        if landed.len() > 200 {
            landed.drain(..100);
        }
    }
    assert_eq!(all, 4 << 20);
    let moved = all - kept;
    assert!(moved * 100 <= all, "{moved} of {all} bytes were moved");
}

#[test]
fn memory_is_used_again_for_the_next_request() {
    let (mut server, mut client) = served(&Configs::tls13());
    let mut places = Vec::new();
    for _ in 0..50 {
        client.write(&noise(100));
        client.turn(&server.far);
        let content = server.fill_for(Purpose::NextHead).expect("it is here").unwrap();
        places.push(content.as_ptr());
    }
    places.sort_unstable();
    places.dedup();
    assert!(places.len() < 10, "{} places", places.len());
}

#[test]
fn a_head_in_many_records_is_joined() {
    let (mut client, mut server) = connected(&Configs::tls13());
    let head = noise(5000);
    for byte in &head {
        client.send_record(ContentType::ApplicationData, &[*byte]);
    }
    settle_ours(&mut client, &mut server);
    let mut read = 0;
    while read < head.len() {
        // The reader leaves what it has where it is, as the parser of heads does.
        let cx = &mut std::task::Context::from_waker(std::task::Waker::noop());
        match server.wire.poll_fill(cx, Purpose::NextHead) {
            std::task::Poll::Ready(Ok(count)) => read += count,
            other => panic!("{other:?} behind {read}"),
        }
    }
    assert_eq!(&server.wire.input()[..], &head[..]);
}

#[test]
fn an_idle_connection_holds_no_more_than_a_landing_buffer() {
    let (mut server, mut client) = served(&Configs::tls13());
    client.write(&noise(1 << 20));
    settle(&mut server, &mut client);
    assert_eq!(server.read_all().unwrap().len(), 1 << 20);
    // One small request, and the wait for another.
    client.write(b"small");
    settle(&mut server, &mut client);
    let cx = &mut std::task::Context::from_waker(std::task::Waker::noop());
    let purpose = Purpose::NextHead;
    while server.wire.poll_fill(cx, purpose).is_ready() {
        server.wire.input().clear();
    }
    assert!(server.far.lent_room() <= 4 * 1024, "{}", server.far.lent_room());
}
