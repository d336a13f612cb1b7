//! Contents that become files by several requests at a time.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ringhttp::client::{Download, ErrorKind};
use ringhttp::testing::{RawPeer, RawServer};
use ringhttp::{Client, ClientConfig, time};

use super::downloads::Scratch;
use super::{field, with_config};

/// What a server has, and how it gives parts of it.
struct Content {
    bytes: Vec<u8>,
    etag: &'static str,
    has_ranges: bool,
    /// Breaks off in the part that begins there, once.
    breaks_at: Option<usize>,
    /// Becomes another content when the part that begins there is asked for.
    changes_at: Option<usize>,
    /// Parts but for the first wait until so many requests have come.
    waits_for: usize,
    /// The first bytes of what was asked for.
    asked: Vec<usize>,
    under_way: usize,
    under_way_max: usize,
}

type Shared = Arc<Mutex<Content>>;

fn content(bytes_count: u32) -> Shared {
    let bytes = (0..bytes_count).map(|number| number.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    Arc::new(Mutex::new(Content {
        bytes,
        etag: "\"a\"",
        has_ranges: true,
        breaks_at: None,
        changes_at: None,
        waits_for: 0,
        asked: Vec::new(),
        under_way: 0,
        under_way_max: 0,
    }))
}

fn serve(content: &Shared) -> RawServer {
    let content = Arc::clone(content);
    RawServer::start(move |mut peer| while answer(&mut peer, &content) {})
}

fn answer(peer: &mut RawPeer, shared: &Shared) -> bool {
    let Some(head) = peer.read_head() else { return false };
    let mut content = shared.lock().expect("no panic");
    content.under_way += 1;
    content.under_way_max = content.under_way_max.max(content.under_way);
    let range = field(&head, "range").and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
    let first = range.and_then(|(first, _)| first.parse::<usize>().ok());
    content.asked.push(first.unwrap_or(0));
    let started = Instant::now();
    while first > Some(0) && content.asked.len() < content.waits_for {
        assert!(started.elapsed() < Duration::from_secs(20), "the others are not asked for");
        drop(content);
        std::thread::sleep(Duration::from_millis(1));
        content = shared.lock().expect("no panic");
    }
    if first.is_some() && content.changes_at == first {
        (content.changes_at, content.etag) = (None, "\"b\"");
        content.bytes.reverse();
    }
    let is_same = field(&head, "if-range").is_none_or(|validator| validator == content.etag);
    let total = content.bytes.len();
    let last =
        range.and_then(|(_, last)| last.parse::<usize>().ok()).map_or(total, |last| total.min(last + 1));
    let etag = content.etag;
    let (head, body) = match first.filter(|_| content.has_ranges && is_same) {
        Some(first) if first >= total => {
            (format!("HTTP/1.1 416 x\r\ncontent-range: bytes */{total}\r\n"), Vec::new())
        }
        Some(first) => {
            let part = format!("content-range: bytes {first}-{}/{total}", last - 1);
            (
                format!("HTTP/1.1 206 Partial\r\netag: {etag}\r\n{part}\r\n"),
                content.bytes[first..last].to_vec(),
            )
        }
        None => (format!("HTTP/1.1 200 OK\r\netag: {etag}\r\n"), content.bytes.clone()),
    };
    let breaks = first.is_some() && content.breaks_at == first;
    if breaks {
        content.breaks_at = None;
    }
    content.under_way -= 1;
    drop(content);
    let end = if breaks { body.len() / 2 } else { body.len() };
    peer.send(format!("{head}content-length: {}\r\n\r\n", body.len())) && peer.send(&body[..end]) && !breaks
}

fn download(client: &Client, server: &RawServer) -> Download {
    client.download(server.url("/content")).delay(Duration::from_millis(2)).parts(4).part_bytes(100_000)
}

/// Whether the file is what the server has, and nothing else is left.
fn is_whole(scratch: &Scratch, content: &Shared) -> bool {
    let is_alone = scratch.names() == ["file"];
    is_alone
        && std::fs::read(scratch.path()).is_ok_and(|bytes| bytes == content.lock().expect("no panic").bytes)
}

#[test]
fn parts_come_side_by_side_and_no_more_than_that() {
    with_config(&ClientConfig::default(), async |_, client| {
        let (scratch, content) = (Scratch::new(), content(950_000));
        content.lock().expect("no panic").waits_for = 5;
        let server = serve(&content);
        let done = download(&client, &server).to(scratch.path()).await.expect("a file");
        assert_eq!((done.bytes, done.resumed_from, done.requests), (950_000, 0, 10));
        assert!(is_whole(&scratch, &content));
        let mut content = content.lock().expect("no panic");
        assert_eq!(content.under_way_max, 4);
        content.asked.sort_unstable();
        assert_eq!(content.asked, (0..10).map(|part| part * 100_000).collect::<Vec<_>>());
    });
}

#[test]
fn a_part_that_breaks_off_is_asked_for_again_with_what_is_behind_it() {
    with_config(&ClientConfig::default(), async |_, client| {
        for first in [0, 100_000, 500_000, 900_000] {
            let (scratch, content) = (Scratch::new(), content(950_000));
            content.lock().expect("no panic").breaks_at = Some(first);
            let server = serve(&content);
            download(&client, &server).to(scratch.path()).await.expect("a file");
            assert!(is_whole(&scratch, &content), "{first}");
        }
        // What was whole before it stays for another run.
        let (scratch, content) = (Scratch::new(), content(950_000));
        content.lock().expect("no panic").breaks_at = Some(500_000);
        let server = serve(&content);
        let error =
            download(&client, &server).failures_max(0).to(scratch.path()).await.expect_err("it breaks");
        assert_eq!(error.kind(), ErrorKind::Body);
        let done = download(&client, &server).to(scratch.path()).await.expect("a file");
        // Half of the part that broke off, too.
        assert_eq!(done.resumed_from, 550_000);
        assert!(is_whole(&scratch, &content));
        assert_eq!(client.stats().in_use, 0);
    });
}

#[test]
fn what_cannot_be_had_in_parts_comes_whole() {
    with_config(&ClientConfig::default(), async |_, client| {
        for (bytes, etag, has_ranges, requests) in [
            (300_000, "\"a\"", false, 1),
            (300_000, "W/\"a\"", true, 2),
            (0, "\"a\"", true, 2),
            (99, "\"a\"", true, 1),
        ] {
            let (scratch, content) = (Scratch::new(), content(bytes));
            {
                let mut content = content.lock().expect("no panic");
                (content.etag, content.has_ranges) = (etag, has_ranges);
            }
            let server = serve(&content);
            let done = download(&client, &server).to(scratch.path()).await.expect("a file");
            assert_eq!((done.bytes, done.requests), (u64::from(bytes), requests), "{etag}");
            assert!(is_whole(&scratch, &content));
        }
        let (scratch, content) = (Scratch::new(), content(300_000));
        let server = serve(&content);
        let error =
            download(&client, &server).bytes_max(299_999).to(scratch.path()).await.expect_err("too large");
        assert_eq!(error.kind(), ErrorKind::BodyTooLarge);
        assert!(scratch.names().is_empty(), "{:?}", scratch.names());
    });
}

#[test]
fn parts_of_two_contents_are_not_mixed() {
    with_config(&ClientConfig::default(), async |_, client| {
        for first in [100_000, 300_000, 900_000] {
            let (scratch, content) = (Scratch::new(), content(950_000));
            content.lock().expect("no panic").changes_at = Some(first);
            let server = serve(&content);
            let done = download(&client, &server).to(scratch.path()).await.expect("a file");
            assert_eq!((done.bytes, done.resumed_from), (950_000, 0));
            assert!(is_whole(&scratch, &content), "{first}");
        }
    });
}

#[test]
fn parts_that_are_dropped_again_and_again_leave_a_beginning() {
    with_config(&ClientConfig::default(), async |_, client| {
        let (scratch, content) = (Scratch::new(), content(950_000));
        let server = serve(&content);
        let mut millis = 1;
        while time::timeout(Duration::from_millis(millis), download(&client, &server).to(scratch.path()))
            .await
            .is_err()
        {
            // A write that goes on is soon over.
            time::sleep(Duration::from_millis(20)).await;
            let part = scratch.part();
            assert_eq!(part[..], content.lock().expect("no panic").bytes[..part.len()], "after {millis} ms");
            millis += 2;
        }
        assert!(is_whole(&scratch, &content));
        assert_eq!(client.stats().in_use, 0);
    });
}
