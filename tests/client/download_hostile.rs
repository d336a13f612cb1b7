//! Contents that become files, from servers that give other bytes than they say, and beside others that write to the same file:
//! there is the right file in the end, or an error that says why, and never a wrong file.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ringhttp::client::{Download, ErrorKind};
use ringhttp::testing::{RawPeer, RawServer};
use ringhttp::{Client, ClientConfig, time};

use super::downloads::Scratch;
use super::{answering, field, with_config};

/// Bytes of a content: those of `seed`.
fn content(length: usize, seed: usize) -> Vec<u8> {
    (0..length)
        .map(|at| at.wrapping_mul(31).wrapping_add(at >> 8).wrapping_add(seed).to_le_bytes()[0])
        .collect()
}

/// What a request asks for: the first byte, and the one behind the last one.
fn range(head: &str) -> Option<(usize, usize)> {
    let (first, last) = field(head, "range")?.strip_prefix("bytes=")?.split_once('-')?;
    Some((first.parse().expect("a number"), last.parse().map_or(usize::MAX, |last: usize| last + 1)))
}

/// Sends a head and what stands behind it.
fn send(peer: &mut RawPeer, head: &str, body: &[u8]) -> bool {
    peer.send(head.replace('\n', "\r\n") + "\r\n\r\n") && peer.send(body)
}

/// Sends the part that a head asks for of a content: all of it, if it asks for none.
fn send_part(peer: &mut RawPeer, head: &str, bytes: &[u8], more: &str) -> bool {
    let total = bytes.len();
    match range(head) {
        Some((first, end)) => {
            let end = end.min(total);
            let length = end - first;
            let head = format!(
                "HTTP/1.1 206 x\n{more}content-range: bytes {first}-{}/{total}\ncontent-length: {length}",
                end - 1
            );
            send(peer, &head, &bytes[first..end])
        }
        None => send(peer, &format!("HTTP/1.1 200 OK\n{more}content-length: {total}"), bytes),
    }
}

fn download(client: &Client, server: &RawServer) -> Download {
    client.download(server.url("/content")).delay(Duration::from_millis(2))
}

/// A server whose first answer breaks off behind 400 of 1000 bytes; then each request for the rest gets a `false` one, and those
/// for the whole a good one.
fn lying(first: &'static str, lie: &'static str) -> RawServer {
    let bytes = content(1000, 0);
    let answers = AtomicUsize::new(0);
    RawServer::start(move |mut peer| {
        while let Some(head) = peer.read_head() {
            if answers.fetch_add(1, Ordering::SeqCst) == 0 {
                send(&mut peer, &format!("HTTP/1.1 200 OK\n{first}content-length: 1000"), &bytes[..400]);
                return;
            }
            let goes_on = match range(&head) {
                Some(_) => send(&mut peer, &format!("HTTP/1.1 206 x\n{lie}"), &[b'!'; 600]),
                None => send(&mut peer, &format!("HTTP/1.1 200 OK\n{first}content-length: 1000"), &bytes),
            };
            if !goes_on {
                return;
            }
        }
    })
}

#[test]
fn what_is_no_rest_of_the_content_has_it_begin_anew() {
    const LIES: &[&str] = &[
        "content-length: 600",
        "content-length: 600\ncontent-range: bytes 0-599/1000",
        "content-length: 600\ncontent-range: bytes 399-998/1000",
        "content-length: 600\ncontent-range: bytes 401-1000/1001",
        "content-length: 600\ncontent-range: bytes 400-999/1001",
        "content-length: 600\ncontent-range: bytes 400-999/999",
        "content-length: 600\ncontent-range: bytes 400-1000/1001",
        "content-length: 600\ncontent-range: bytes 400-998/1000",
        "content-length: 600\ncontent-range: bytes 400-1000/*",
        "content-length: 600\ncontent-range: bytes 400-18446744073709551615/*",
        "content-length: 600\ncontent-range: bytes 400-18446744073709551616/*",
        "content-length: 600\ncontent-range: bytes 400-999/18446744073709551615",
        "content-length: 600\ncontent-range: lines 400-999/1000",
        "content-length: 600\ncontent-range: bytes 400-999/1000\netag: \"b\"",
        "content-length: 600\ncontent-range: bytes 400-999/1000\netag: W/\"a\"",
        "content-length: 600\ncontent-range: bytes 400-999/1000\ncontent-encoding: gzip",
        "content-length: 600\ncontent-range: bytes 400-999/1000\ncontent-type: multipart/byteranges; boundary=x",
        "content-length: 600\ncontent-type: multipart/byteranges; boundary=x",
    ];
    with_config(&ClientConfig::default(), async |_, client| {
        for lie in LIES {
            let scratch = Scratch::new();
            let server = lying("etag: \"a\"\n", lie);
            let done = download(&client, &server).to(scratch.path()).await.expect(lie);
            assert_eq!((done.bytes, done.resumed_from, done.requests), (1000, 0, 3), "{lie}");
            assert_eq!(fs::read(scratch.path()).expect("a file"), content(1000, 0), "{lie}");
            assert_eq!(scratch.names(), ["file"]);
        }
        let dates = "last-modified: Sun, 06 Nov 1994 08:49:37 GMT\ndate: Sun, 06 Nov 1994 09:49:37 GMT\n";
        let lie = "content-length: 600\ncontent-range: bytes 400-999/1000\nlast-modified: Sun, 06 Nov 1994 08:50:37 GMT";
        let scratch = Scratch::new();
        let server = lying(dates, lie);
        download(&client, &server).to(scratch.path()).await.expect("a file");
        assert_eq!(fs::read(scratch.path()).expect("a file"), content(1000, 0));
        assert_eq!(client.stats().in_use, 0);
    });
}

#[test]
fn a_part_of_another_length_than_it_says_is_an_error() {
    // A chunked body has no length of its own.
    const LIES: &[&str] = &[
        "transfer-encoding: chunked\ncontent-range: bytes 400-409/1000\n\n258\n",
        "transfer-encoding: chunked\ncontent-range: bytes 400-1999/2000\n\n258\n",
    ];
    with_config(&ClientConfig::default(), async |_, client| {
        for (parts, lie) in [(1, 0), (1, 1), (4, 0), (4, 1)] {
            let scratch = Scratch::new();
            let total = if lie == 0 { 1000 } else { 2000 };
            let bytes = content(total, 0);
            let server = RawServer::start(move |mut peer| {
                let head = peer.read_head().expect("a request");
                match range(&head) {
                    Some((400.., _)) => {
                        let lie = LIES[lie].replace('\n', "\r\n");
                        peer.send(format!("HTTP/1.1 206 x\r\n{lie}"));
                        peer.send([b'!'; 600]);
                        peer.send("\r\n0\r\n\r\n")
                    }
                    _ => send(
                        &mut peer,
                        &format!("HTTP/1.1 200 OK\netag: \"a\"\ncontent-length: {total}"),
                        &bytes[..400],
                    ),
                };
            });
            let error =
                download(&client, &server).parts(parts).to(scratch.path()).await.expect_err("it lies");
            assert_eq!(error.kind(), ErrorKind::Protocol, "{parts} {lie}: {error}");
            assert!(!scratch.path().exists());
            let part = scratch.part();
            assert_eq!(part[..400], content(total, 0)[..400]);
        }
    });
}

#[test]
fn a_content_that_is_another_one_each_time_is_given_up() {
    with_config(&ClientConfig::default(), async |_, client| {
        for (parts, names_it) in [(1, true), (1, false), (4, true), (4, false)] {
            let scratch = Scratch::new();
            let answers = AtomicUsize::new(0);
            // Longer each time, so that each time more comes than before; it says that by its tag, or not.
            let server = RawServer::start(move |mut peer| {
                while let Some(head) = peer.read_head() {
                    let number = answers.fetch_add(1, Ordering::SeqCst);
                    let bytes = content(10_000 + 3000 * number, number);
                    let etag =
                        if names_it { format!("etag: \"{number}\"\n") } else { "etag: \"a\"\n".to_owned() };
                    let is_same = field(&head, "if-range").is_none_or(|tag| etag.contains(tag));
                    if range(&head).is_some() && is_same {
                        if !send_part(&mut peer, &head, &bytes, &etag) {
                            return;
                        }
                    } else {
                        let length = bytes.len();
                        let head = format!("HTTP/1.1 200 OK\n{etag}content-length: {length}");
                        send(&mut peer, &head, &bytes[..length - 1]);
                        return;
                    }
                }
            });
            let download = download(&client, &server).parts(parts).part_bytes(2000).failures_max(3);
            let error = download.to(scratch.path()).await.expect_err("it never ends");
            assert_eq!(error.kind(), ErrorKind::Protocol, "{parts} {names_it}: {error}");
            assert!(!scratch.path().exists());
        }
    });
}

#[test]
fn a_server_that_takes_the_request_and_says_nothing_has_failed() {
    let mut config = ClientConfig::default();
    config.read_timeout = Some(Duration::from_millis(50));
    with_config(&config, async |_, client| {
        for parts in [1, 4] {
            let server = RawServer::start(|mut peer| {
                peer.read_all();
            });
            let scratch = Scratch::new();
            let download = download(&client, &server).parts(parts).failures_max(1);
            let done = time::timeout(Duration::from_secs(20), download.to(scratch.path())).await;
            let error = done.expect("it ends").expect_err("nothing came");
            assert_eq!((error.kind(), server.accepted()), (ErrorKind::FirstByteTimeout, 2), "{parts}");
            assert!(scratch.names().is_empty(), "{:?}", scratch.names());
        }
        assert_eq!(client.stats().in_use, 0);
    });
}

#[test]
fn a_total_beyond_all_bounds_is_refused_at_once() {
    with_config(&ClientConfig::default(), async |_, client| {
        let server = answering(|head| {
            match field(head, "range") {
            Some(_) => "HTTP/1.1 206 x\r\netag: \"a\"\r\ncontent-length: 1024\r\ncontent-range: bytes 0-1023/18446744073709551615\r\n\r\n"
                .to_owned(),
            None => "HTTP/1.1 200 OK\r\netag: \"a\"\r\ncontent-length: 18446744073709551615\r\n\r\n".to_owned(),
        }
        });
        for parts in [1, 4] {
            let scratch = Scratch::new();
            let download = download(&client, &server).parts(parts).part_bytes(1024);
            let error = download.to(scratch.path()).await.expect_err("too large");
            assert!(matches!(error.kind(), ErrorKind::BodyTooLarge | ErrorKind::Protocol), "{error:?}");
            assert!(scratch.names().is_empty(), "{:?}", scratch.names());
        }
    });
}

#[test]
fn a_server_that_kills_each_connection_is_no_match() {
    with_config(&ClientConfig::default(), async |_, client| {
        for (parts, bytes_each) in [(1, 997), (1, 70_001), (4, 997), (4, 70_001)] {
            let scratch = Scratch::new();
            let bytes = content(100 * bytes_each.min(3000), 0);
            let expected = bytes.clone();
            let server = RawServer::start(move |mut peer| {
                let Some(head) = peer.read_head() else { return };
                let (first, end) = range(&head).unwrap_or((0, bytes.len()));
                let (end, total) = (end.min(bytes.len()), bytes.len());
                let head = format!(
                    "HTTP/1.1 206 x\netag: \"a\"\ncontent-range: bytes {first}-{}/{total}\ncontent-length: {}",
                    end - 1,
                    end - first
                );
                let head = match field(&head, "range") {
                    _ if first > 0 || end < total => head,
                    _ => format!("HTTP/1.1 200 OK\netag: \"a\"\ncontent-length: {total}"),
                };
                send(&mut peer, &head, &bytes[first..end.min(first + bytes_each)]);
            });
            let download = download(&client, &server).parts(parts).part_bytes(20_000).failures_max(2);
            download.delay(Duration::ZERO).to(scratch.path()).await.expect("a file");
            assert_eq!(fs::read(scratch.path()).expect("a file"), expected, "{parts} {bytes_each}");
        }
        assert_eq!(client.stats().in_use, 0);
    });
}

#[test]
fn parts_that_are_led_to_servers_of_different_contents_are_not_mixed() {
    with_config(&ClientConfig::default(), async |_, client| {
        for parts in [1, 4] {
            let mirrors = [0, 1].map(|seed| {
                let bytes = content(100_000, seed);
                RawServer::start(move |mut peer| {
                    while let Some(head) = peer.read_head() {
                        assert_eq!(field(&head, "authorization"), None, "it is another server");
                        let etag = format!("etag: \"{seed}\"\n");
                        let is_same = field(&head, "if-range").is_none_or(|tag| etag.contains(tag));
                        let asked = if is_same { head } else { String::new() };
                        if !send_part(&mut peer, &asked, &bytes, &etag) {
                            return;
                        }
                    }
                })
            });
            let urls = mirrors.each_ref().map(|mirror| mirror.url("/content"));
            let requests = AtomicUsize::new(0);
            let server = answering(move |_| {
                let number = requests.fetch_add(1, Ordering::SeqCst);
                format!("HTTP/1.1 302 Found\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n", urls[number % 2])
            });
            let scratch = Scratch::new();
            let download = download(&client, &server).parts(parts).part_bytes(10_000);
            let download = download.with_request(|request| request.header("authorization", "Bearer x"));
            download.to(scratch.path()).await.expect("a file");
            let found = fs::read(scratch.path()).expect("a file");
            assert!([0, 1].iter().any(|&seed| found == content(100_000, seed)), "it is one of the two");
        }
    });
}

#[test]
fn one_download_at_a_time_writes_to_a_path() {
    with_config(&ClientConfig::default(), async |core, client| {
        let scratch = Scratch::new();
        let bytes = content(700_000, 0);
        let server = RawServer::start(move |mut peer| {
            while let Some(head) = peer.read_head() {
                let stalls = !head.contains(" /content ");
                if stalls {
                    send(
                        &mut peer,
                        "HTTP/1.1 200 OK\netag: \"a\"\ncontent-length: 700000",
                        &bytes[..300_000],
                    );
                    peer.read_all();
                    return;
                }
                if !send_part(&mut peer, &head, &bytes, "etag: \"a\"\n") {
                    return;
                }
            }
        });
        let mut stalled = Box::pin(client.download(server.url("/stalls")).to(scratch.path()));
        while scratch.part().len() < 200_000 {
            assert!(time::timeout(Duration::from_millis(5), &mut stalled).await.is_err(), "it stalls");
        }
        let error = download(&client, &server).to(scratch.path()).await.expect_err("another one has it");
        assert_eq!(error.kind(), ErrorKind::File);
        assert!(error.to_string().contains("another download"), "{error}");
        assert!(scratch.part().len() > 200_000, "it is left alone");
        drop(stalled);
        let two = [(); 2].map(|()| Box::pin(download(&client, &server).to(scratch.path())));
        let [one, other] = two;
        let other = core.spawn("other download", async move { other.await.is_ok() });
        let is_done = one.await.is_ok();
        assert!(other.await.expect("no panic") || is_done);
        assert_eq!(fs::read(scratch.path()).expect("a file"), content(700_000, 0));
        assert_eq!(scratch.names(), ["file"]);
    });
}

#[test]
fn a_draft_that_was_tampered_with_is_not_trusted() {
    with_config(&ClientConfig::default(), async |_, client| {
        let bytes = content(10_000, 0);
        let served = bytes.clone();
        let server = RawServer::start(move |mut peer| {
            while let Some(head) = peer.read_head() {
                let total = served.len();
                let goes_on = match range(&head) {
                    Some((first, _)) if first >= total => send(
                        &mut peer,
                        "HTTP/1.1 416 x\ncontent-range: bytes */10000\ncontent-length: 0",
                        b"",
                    ),
                    _ if head.contains(" /breaks ") => {
                        send(
                            &mut peer,
                            "HTTP/1.1 200 OK\netag: \"a\"\ncontent-length: 10000",
                            &served[..5000],
                        );
                        false
                    }
                    _ => send_part(&mut peer, &head, &served, "etag: \"a\"\n"),
                };
                if !goes_on {
                    return;
                }
            }
        });
        type Tamper = fn(&Scratch);
        let cases: [Tamper; 6] = [
            |scratch| fs::write(scratch.beside(".part"), vec![0; 20_000]).expect("longer"),
            |scratch| {
                let draft =
                    fs::OpenOptions::new().write(true).open(scratch.beside(".part")).expect("a draft");
                draft.set_len(1 << 40).expect("a hole");
            },
            |scratch| fs::write(scratch.beside(".part.from"), "nonsense").expect("a file"),
            |scratch| fs::write(scratch.beside(".part.from"), [0xff; 5000]).expect("a file"),
            |scratch| fs::remove_file(scratch.beside(".part.from")).expect("a file"),
            // Whoever has it by another name would see it change.
            |scratch| {
                fs::remove_file(scratch.beside(".part")).expect("a draft");
                fs::write(scratch.beside(".mine"), "mine").expect("a file");
                fs::hard_link(scratch.beside(".mine"), scratch.beside(".part")).expect("a link");
            },
        ];
        for (number, tamper) in cases.iter().enumerate() {
            for path in ["/content", "/other"] {
                let scratch = Scratch::new();
                let breaks = client.download(server.url("/breaks")).failures_max(0);
                breaks.to(scratch.path()).await.expect_err("it breaks");
                // It goes on with that of the same URL only: have both see a draft of their own.
                fs::remove_file(scratch.beside(".part.from")).expect("it is there");
                let first = client.download(server.url(path)).failures_max(0);
                first.to(scratch.path()).await.expect("a file");
                fs::rename(scratch.path(), scratch.beside(".part")).expect("a draft");
                fs::write(scratch.beside(".part.from"), "other\n\"a\"\n10000\n\n").expect("a file");
                tamper(&scratch);
                let done = client.download(server.url(path)).to(scratch.path()).await.expect("a file");
                assert_eq!(done.bytes, 10_000);
                assert_eq!(fs::read(scratch.path()).expect("a file"), bytes, "{number} {path}");
                if number == 5 {
                    assert_eq!(fs::read(scratch.beside(".mine")).expect("it is there"), b"mine");
                }
            }
        }
        let scratch = Scratch::new();
        let before = server.accepted();
        let directory = scratch.path().parent().expect("a directory").to_owned();
        let error = download(&client, &server).to(&directory).await.expect_err("a directory");
        assert_eq!((error.kind(), server.accepted()), (ErrorKind::File, before));
        assert!(scratch.names().is_empty(), "{:?}", scratch.names());
    });
}

#[test]
fn a_download_that_is_dropped_behind_each_number_of_polls_leaves_a_beginning() {
    with_config(&ClientConfig::default(), async |_, client| {
        for parts in [1, 3] {
            let scratch = Scratch::new();
            let bytes = content(300_000, 0);
            let served = bytes.clone();
            let server = RawServer::start(move |mut peer| {
                while let Some(head) = peer.read_head() {
                    if !send_part(&mut peer, &head, &served, "etag: \"a\"\n") {
                        return;
                    }
                }
            });
            let mut polls = 0;
            loop {
                let download = download(&client, &server).parts(parts).part_bytes(50_000);
                let done = ringhttp::testing::polled_only(polls, download.to(scratch.path())).await;
                if let Some(done) = done {
                    done.expect("a file");
                    break;
                }
                let part = scratch.part();
                assert!(part.len() <= bytes.len() && part[..] == bytes[..part.len()], "behind {polls} polls");
                polls += 1;
            }
            assert!(polls > 3, "it waits for something");
            assert_eq!(fs::read(scratch.path()).expect("a file"), bytes);
            assert_eq!(scratch.names(), ["file"]);
            let stats = client.stats();
            assert_eq!((stats.in_use, stats.waiting), (0, 0));
            time::sleep(Duration::from_millis(1)).await;
        }
    });
}
