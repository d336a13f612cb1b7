//! Contents that become files, whatever breaks on the way.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ringhttp::client::{Download, ErrorKind};
use ringhttp::testing::{RawPeer, RawServer};
use ringhttp::{Client, ClientConfig, header, time};

use super::{field, with_config};

/// A directory that is gone behind the test.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("ringhttp-download-{}-{number}", std::process::id()));
        fs::create_dir(&path).expect("the name is new");
        Self(path)
    }

    pub(super) fn path(&self) -> PathBuf {
        self.0.join("file")
    }

    /// The file whose name ends with that.
    pub(super) fn beside(&self, suffix: &str) -> PathBuf {
        self.0.join(format!("file{suffix}"))
    }

    pub(super) fn part(&self) -> Vec<u8> {
        fs::read(self.0.join("file.part")).unwrap_or_default()
    }

    pub(super) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).expect("it exists").flatten();
        let mut names: Vec<_> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).expect("it is ours");
    }
}

/// What a server has, and what it does with its next requests.
struct Content {
    bytes: Vec<u8>,
    /// As it stands in its heads; empty for none.
    etag: &'static str,
    /// Breaks off behind so many bytes of a body.
    breaks: Vec<usize>,
    /// Waits there in place of breaking off.
    stalls: bool,
    /// The ranges that were asked for.
    asked: Vec<Option<String>>,
}

type Shared = Arc<Mutex<Content>>;

fn content(bytes_count: u32, etag: &'static str) -> Shared {
    let bytes = (0..bytes_count).map(|number| number.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    Arc::new(Mutex::new(Content { bytes, etag, breaks: Vec::new(), stalls: false, asked: Vec::new() }))
}

fn serve(content: &Shared) -> RawServer {
    let content = Arc::clone(content);
    RawServer::start(move |mut peer| while answer(&mut peer, &content) {})
}

/// Answers a request, by the range that it asks for if the content is still the same.
fn answer(peer: &mut RawPeer, content: &Shared) -> bool {
    let Some(head) = peer.read_head() else { return false };
    let mut content = content.lock().expect("no panic");
    let range = field(&head, "range").map(str::to_owned);
    content.asked.push(range.clone());
    assert_eq!(
        (field(&head, "accept-encoding"), range.is_some()),
        (Some("identity"), head.contains("if-range"))
    );
    let is_same = field(&head, "if-range") == Some(content.etag);
    let first = range.filter(|_| is_same).map(|range| {
        let first = range.strip_prefix("bytes=").and_then(|range| range.strip_suffix('-'));
        first.and_then(|first| first.parse::<usize>().ok()).expect("a range that is open")
    });
    let total = content.bytes.len();
    let (status, more, first) = match first {
        None => ("200 OK", String::new(), 0),
        Some(first) if first >= total => {
            let refusal =
                format!("HTTP/1.1 416 x\r\ncontent-range: bytes */{total}\r\ncontent-length: 0\r\n\r\n");
            return peer.send(refusal);
        }
        Some(first) => {
            ("206 Partial", format!("content-range: bytes {first}-{}/{total}\r\n", total - 1), first)
        }
    };
    let etag = if content.etag.is_empty() { String::new() } else { format!("etag: {}\r\n", content.etag) };
    let length = total - first;
    let head = format!("HTTP/1.1 {status}\r\n{etag}{more}content-length: {length}\r\n\r\n");
    let body = content.bytes[first..].to_vec();
    let end = if content.breaks.is_empty() { length } else { content.breaks.remove(0) };
    let stalls = content.stalls && end < length;
    drop(content);
    let is_sent = peer.send(head) && peer.send(&body[..end]);
    if stalls {
        peer.read_all();
    }
    is_sent && end == length
}

fn download(client: &Client, server: &RawServer) -> Download {
    client.download(server.url("/content?secret=1")).delay(Duration::from_millis(2))
}

/// Whether the file is what the server has, and nothing else is left.
fn is_whole(scratch: &Scratch, content: &Shared) -> bool {
    let is_alone = scratch.names() == ["file"];
    is_alone && fs::read(scratch.path()).is_ok_and(|bytes| bytes == content.lock().expect("no panic").bytes)
}

fn asked(content: &Shared) -> Vec<Option<String>> {
    std::mem::take(&mut content.lock().expect("no panic").asked)
}

#[test]
fn a_content_becomes_a_file_and_goes_on_where_it_broke_off() {
    with_config(&ClientConfig::default(), async |_, client| {
        let (scratch, content) = (Scratch::new(), content(1_000_000, "\"a\""));
        let server = serve(&content);
        fs::write(scratch.path(), "an older one").expect("a file");
        content.lock().expect("no panic").breaks = vec![300_000, 0, 1, 200_000];
        let told: Rc<RefCell<Vec<_>>> = Rc::default();
        let tell = Rc::clone(&told);
        let download = download(&client, &server).progress(move |progress| tell.borrow_mut().push(progress));
        let done = download.to(scratch.path()).await.expect("a file");
        assert_eq!((done.bytes, done.resumed_from, done.requests), (1_000_000, 0, 5));
        assert_eq!(done.headers[header::ETAG], "\"a\"");
        assert!(is_whole(&scratch, &content), "{:?}", scratch.names());
        let ranges: Vec<_> = asked(&content).into_iter().flatten().collect();
        assert_eq!(ranges, ["bytes=300000-", "bytes=300000-", "bytes=300001-", "bytes=500001-"]);
        let told = told.borrow();
        assert!(
            told.windows(2).all(|pair| pair[0].bytes < pair[1].bytes && pair[0].total == Some(1_000_000))
        );
        assert_eq!(told.last().map(|progress| progress.bytes), Some(1_000_000));
    });
}

/// Begins a download that stalls behind `bytes` bytes, and drops it there.
async fn drop_behind(client: &Client, server: &RawServer, scratch: &Scratch, content: &Shared, bytes: usize) {
    content.lock().expect("no panic").breaks = vec![bytes];
    content.lock().expect("no panic").stalls = true;
    let dropped = time::timeout(Duration::from_secs(10), async {
        let mut download = Box::pin(download(client, server).to(scratch.path()));
        loop {
            assert!(time::timeout(Duration::from_millis(5), &mut download).await.is_err(), "it stalls");
            // Two writes, and no third one.
            if scratch.part().len() >= 512 * 1024 {
                return;
            }
        }
    });
    dropped.await.expect("something comes");
    // A write that goes on is soon over.
    time::sleep(Duration::from_millis(20)).await;
    content.lock().expect("no panic").stalls = false;
}

#[test]
fn another_run_goes_on_with_what_one_has_left() {
    with_config(&ClientConfig::default(), async |_, client| {
        let (scratch, content) = (Scratch::new(), content(700_000, "\"a\""));
        let server = serve(&content);
        drop_behind(&client, &server, &scratch, &content, 600_000).await;
        let left = scratch.part().len() as u64;
        assert_eq!(scratch.names(), ["file.part", "file.part.from"]);
        let from = fs::read_to_string(scratch.0.join("file.part.from")).expect("it is there");
        assert!(!from.contains("secret"), "{from}");
        asked(&content);
        let done = download(&client, &server).to(scratch.path()).await.expect("a file");
        assert_eq!((done.bytes, done.resumed_from, done.requests), (700_000, left, 1));
        assert!(is_whole(&scratch, &content));
        assert_eq!(asked(&content), [Some(format!("bytes={left}-"))]);

        // All of it is there, and only its name is missing.
        fs::rename(scratch.path(), scratch.0.join("file.part")).expect("a file");
        fs::write(scratch.0.join("file.part.from"), from).expect("a file");
        let done = download(&client, &server).to(scratch.path()).await.expect("a file");
        assert_eq!((done.bytes, done.resumed_from), (700_000, 700_000));
        assert!(is_whole(&scratch, &content));
    });
}

#[test]
fn a_part_of_another_content_is_of_no_use() {
    with_config(&ClientConfig::default(), async |_, client| {
        for case in 0..3 {
            let (scratch, content) = (Scratch::new(), content(700_000, "\"a\""));
            let server = serve(&content);
            drop_behind(&client, &server, &scratch, &content, 600_000).await;
            asked(&content);
            let next = match case {
                0 => {
                    let mut content = content.lock().expect("no panic");
                    content.etag = "\"b\"";
                    content.bytes.reverse();
                    download(&client, &server)
                }
                1 => download(&client, &server).resume(false),
                _ => client.download(server.url("/another")),
            };
            let done = next.to(scratch.path()).await.expect("a file");
            assert_eq!((done.bytes, done.resumed_from), (700_000, 0));
            assert!(is_whole(&scratch, &content));
            assert_eq!(asked(&content)[0].is_some(), case == 0);
        }
    });
}

#[test]
fn without_a_name_for_its_content_it_begins_anew() {
    with_config(&ClientConfig::default(), async |_, client| {
        for etag in ["", "W/\"a\""] {
            let (scratch, content) = (Scratch::new(), content(100_000, etag));
            let server = serve(&content);
            content.lock().expect("no panic").breaks = vec![50_000];
            let done = download(&client, &server).to(scratch.path()).await.expect("a file");
            assert_eq!((done.bytes, done.requests), (100_000, 2));
            assert!(is_whole(&scratch, &content));
            assert_eq!(asked(&content), [None, None]);
        }
    });
}

#[test]
fn what_cannot_go_better_is_given_up_and_nothing_useless_is_left() {
    with_config(&ClientConfig::default(), async |_, client| {
        let scratch = Scratch::new();
        let gone = super::answering(|_| "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned());
        let error = download(&client, &gone).to(scratch.path()).await.expect_err("it is gone");
        assert_eq!(
            (error.kind(), error.status().map(|status| status.as_u16())),
            (ErrorKind::Status, Some(404))
        );
        let empty = super::answering(|_| "HTTP/1.1 204 No Content\r\n\r\n".to_owned());
        let error = download(&client, &empty).to(scratch.path()).await.expect_err("it is no content");
        assert_eq!(error.kind(), ErrorKind::Status);
        let broken = RawServer::start(|mut peer| drop(peer.read_head()));
        let error =
            download(&client, &broken).failures_max(2).to(scratch.path()).await.expect_err("it breaks");
        assert_eq!((error.kind(), broken.accepted()), (ErrorKind::Disconnected, 3));
        assert!(scratch.names().is_empty(), "{:?}", scratch.names());

        // Parts that are none of what was asked for, again and again.
        let liar = RawServer::start(|mut peer| {
            let head = peer.read_head().expect("a request");
            let answer = if field(&head, "range").is_some() {
                "HTTP/1.1 206 x\r\ncontent-range: bytes 0-4/10\r\ncontent-length: 5\r\n\r\nhello"
            } else {
                "HTTP/1.1 200 OK\r\netag: \"a\"\r\ncontent-length: 10\r\n\r\nhello"
            };
            peer.send(answer);
        });
        let error = download(&client, &liar).failures_max(0).to(scratch.path()).await.expect_err("it breaks");
        assert_eq!(error.kind(), ErrorKind::Body);
        assert_eq!(scratch.part(), b"hello");
        let error = download(&client, &liar).failures_max(0).to(scratch.path()).await.expect_err("it lies");
        assert_eq!(error.kind(), ErrorKind::Protocol);
        assert!(scratch.names().is_empty(), "{:?}", scratch.names());

        let error = download(&client, &gone).to(Path::new("/nowhere/file")).await.expect_err("no directory");
        assert_eq!(error.kind(), ErrorKind::File);
        let (scratch, content) = (Scratch::new(), content(100_000, "\"a\""));
        let server = serve(&content);
        let error =
            download(&client, &server).bytes_max(99_999).to(scratch.path()).await.expect_err("too large");
        assert_eq!(error.kind(), ErrorKind::BodyTooLarge);
        assert!(scratch.names().is_empty(), "{:?}", scratch.names());
    });
}

#[test]
fn what_begins_anew_and_breaks_here_and_there_ends() {
    with_config(&ClientConfig::default(), async |_, client| {
        let (scratch, content) = (Scratch::new(), content(100_000, ""));
        let server = serve(&content);
        content.lock().expect("no panic").breaks = [500, 400, 450].into_iter().cycle().take(30).collect();
        let error =
            download(&client, &server).failures_max(3).to(scratch.path()).await.expect_err("it breaks");
        assert_eq!((error.kind(), asked(&content).len()), (ErrorKind::Body, 4));
        assert!(scratch.names().is_empty(), "{:?}", scratch.names());
    });
}

#[test]
fn a_part_of_an_unknown_whole_is_not_taken_for_the_rest() {
    with_config(&ClientConfig::default(), async |_, client| {
        let scratch = Scratch::new();
        let server = RawServer::start(|mut peer| {
            while let Some(head) = peer.read_head() {
                let answer = match field(&head, "range") {
                    None => {
                        "HTTP/1.1 200 OK\r\netag: \"a\"\r\ntransfer-encoding: chunked\r\n\r\n4\r\n0123\r\n"
                    }
                    Some("bytes=4-") => {
                        "HTTP/1.1 206 x\r\ncontent-range: bytes 4-6/*\r\ncontent-length: 3\r\n\r\n456"
                    }
                    Some("bytes=7-") => {
                        "HTTP/1.1 206 x\r\ncontent-range: bytes 7-9/*\r\ncontent-length: 3\r\n\r\n789"
                    }
                    Some(_) => "HTTP/1.1 416 x\r\ncontent-range: bytes */10\r\ncontent-length: 0\r\n\r\n",
                };
                if !peer.send(answer) || field(&head, "range").is_none() {
                    return;
                }
            }
        });
        let done = download(&client, &server).to(scratch.path()).await.expect("a file");
        assert_eq!((done.bytes, done.requests), (10, 4));
        assert_eq!(fs::read(scratch.path()).expect("it is there"), b"0123456789");
    });
}

#[test]
fn no_link_leads_what_comes_elsewhere() {
    with_config(&ClientConfig::default(), async |_, client| {
        let (scratch, elsewhere, content) = (Scratch::new(), Scratch::new(), content(100_000, "\"a\""));
        let server = serve(&content);
        fs::write(elsewhere.path(), "another's").expect("a file");
        for name in ["file.part", "file.part.from"] {
            std::os::unix::fs::symlink(elsewhere.path(), scratch.0.join(name)).expect("a link");
        }
        download(&client, &server).to(scratch.path()).await.expect("a file");
        assert!(is_whole(&scratch, &content), "{:?}", scratch.names());
        assert_eq!(fs::read(elsewhere.path()).expect("it is there"), b"another's");
    });
}

#[cfg(feature = "checksum")]
#[test]
fn a_file_that_is_not_the_one_that_was_meant_is_not_kept() {
    use sha2::{Digest, Sha256};

    with_config(&ClientConfig::default(), async |_, client| {
        let (scratch, content) = (Scratch::new(), content(3_000_000, "\"a\""));
        let server = serve(&content);
        let expected: [u8; 32] = Sha256::digest(&content.lock().expect("no panic").bytes).into();
        let error = download(&client, &server).sha256([7; 32]).to(scratch.path()).await.expect_err("another");
        assert_eq!(error.kind(), ErrorKind::Checksum);
        assert!(scratch.names().is_empty(), "{:?}", scratch.names());
        // What came in two runs is checked as a whole.
        content.lock().expect("no panic").breaks = vec![2_000_000];
        download(&client, &server).sha256(expected).to(scratch.path()).await.expect("the right one");
        assert!(is_whole(&scratch, &content));
    });
}
