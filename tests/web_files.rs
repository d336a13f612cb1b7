//! Static files over real sockets, on both drivers.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails where it stands")]

use std::fs;
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, SystemTime};

use http::Method;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, LAST_MODIFIED};
use ringhttp::testing::{self, RawConnection, TestClient, TestResponse};
use ringhttp::{
    Core, FileRule, Files, FilesConfig, HeaderValue, Request, Response, Router, ServerConfig, StatusCode,
};

/// Tests that count what the process uses run alone, the others beside each other.
static PROCESS: RwLock<()> = RwLock::new(());

fn beside_others() -> RwLockReadGuard<'static, ()> {
    PROCESS.read().unwrap_or_else(PoisonError::into_inner)
}

fn alone() -> RwLockWriteGuard<'static, ()> {
    PROCESS.write().unwrap_or_else(PoisonError::into_inner)
}

/// A directory with `root` to be served and `secret` beside it, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ringhttp-files-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("root")).unwrap();
        fs::write(path.join("secret"), "outside").unwrap();
        Self(path)
    }

    fn root(&self) -> PathBuf {
        self.0.join("root")
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.root().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    /// Makes a file one that was changed last at `modified`.
    fn date(&self, name: &str, modified: SystemTime) -> &Self {
        let file = fs::File::options().write(true).open(self.root().join(name)).unwrap();
        file.set_modified(modified).unwrap();
        self
    }

    /// A file of zeros that takes no room on the disk, with a letter as its last byte.
    fn sparse(&self, name: &str, length: u64) {
        let file = fs::File::create(self.root().join(name)).unwrap();
        file.set_len(length).unwrap();
        file.write_all_at(b"z", length - 1).unwrap();
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Serves `root` below `/f` on both drivers.
fn serve(root: &Path, config: &FilesConfig, body: impl AsyncFn(TestClient) + Send + Sync) {
    serve_with(&ServerConfig::default(), root, config, async |_, client| body(client).await);
}

fn serve_with(
    server: &ServerConfig,
    root: &Path,
    config: &FilesConfig,
    body: impl AsyncFn(&Core, TestClient) + Send + Sync,
) {
    testing::each_driver(async |core: Core| {
        let files = Files::with_config(root, config.clone());
        let router = Router::new().get("/text", async |_: &(), _| "text").files("/f", files);
        testing::serve_on(&core, server.clone(), router, (), async |client| body(&core, client).await).await;
    });
}

/// Asks for a path with some fields, on a connection of its own.
async fn ask(client: &TestClient, method: Method, path: &str, fields: &[(&str, &str)]) -> TestResponse {
    let mut request = client.request(method, path);
    for (name, value) in fields {
        request = request.header(name, value);
    }
    request.send().await
}

async fn get(client: &TestClient, path: &str, fields: &[(&str, &str)]) -> TestResponse {
    ask(client, Method::GET, path, fields).await
}

/// Bytes that differ from place to place.
fn pattern(length: usize) -> Vec<u8> {
    (b'a'..=b'z').flat_map(|letter| [letter; 7]).cycle().take(length).collect()
}

#[test]
fn files_and_directories_are_answered() {
    let _beside = beside_others();
    let scratch = Scratch::new("plain");
    scratch.write("a.txt", "one").write("empty.txt", "").write("index.html", "<p>root");
    scratch.write("sub/index.html", "<p>sub").write("bare/a b&c.txt", "x").write("caf\u{e9}.txt", "two");
    scratch
        .write("large.bin", pattern(300_000))
        .date("large.bin", SystemTime::now() - Duration::from_secs(60));
    serve(&scratch.root(), &FilesConfig::default(), async |client| {
        let cases: &[(&str, u16, &str, &str)] = &[
            ("/f/a.txt", 200, "text/plain; charset=utf-8", "one"),
            ("/f/a.txt?query", 200, "text/plain; charset=utf-8", "one"),
            ("/f/empty.txt", 200, "text/plain; charset=utf-8", ""),
            ("/f/", 200, "text/html; charset=utf-8", "<p>root"),
            ("/f/index.html", 200, "text/html; charset=utf-8", "<p>root"),
            ("/f/sub/", 200, "text/html; charset=utf-8", "<p>sub"),
            ("/f/caf%C3%A9.txt", 200, "text/plain; charset=utf-8", "two"),
            ("/f/bare/a%20b%26c.txt", 200, "text/plain; charset=utf-8", "x"),
            ("/f/bare/", 404, "text/plain; charset=utf-8", "Not Found\n"),
            ("/f/none", 404, "text/plain; charset=utf-8", "Not Found\n"),
            ("/f/a.txt/", 404, "text/plain; charset=utf-8", "Not Found\n"),
            ("/text", 200, "text/plain; charset=utf-8", "text"),
        ];
        // Twice: from the disk and from memory.
        for _ in 0..2 {
            for (path, status, content_type, body) in cases {
                let answer = client.get(path).await;
                let found = (answer.status.as_u16(), answer.header("content-type"), answer.text());
                assert_eq!(found, (*status, Some(*content_type), *body), "{path}");
                let head = ask(&client, Method::HEAD, path, &[]).await;
                let length = head.headers[CONTENT_LENGTH].to_str().unwrap();
                assert_eq!((head.status, length), (answer.status, body.len().to_string().as_str()), "{path}");
                assert!(head.body.is_empty());
            }
            let large = client.get("/f/large.bin").await;
            assert_eq!(large.body, pattern(300_000));
            assert_eq!(large.header("x-content-type-options"), Some("nosniff"));
            assert_eq!(large.header("accept-ranges"), Some("bytes"));
            assert!(large.header("last-modified").is_some() && large.header("etag").is_some());
        }
        for (path, location) in [("/f", "/f/"), ("/f/sub", "/f/sub/"), ("/f/sub?a=b", "/f/sub/?a=b")] {
            let answer = client.get(path).await;
            assert_eq!((answer.status.as_u16(), answer.header("location")), (308, Some(location)), "{path}");
        }
        let refused = ask(&client, Method::POST, "/f/a.txt", &[]).await;
        assert_eq!((refused.status.as_u16(), refused.header("allow")), (405, Some("GET, HEAD, OPTIONS")));
    });
}

#[test]
fn the_directory_of_a_nested_router_keeps_its_slash() {
    let _beside = beside_others();
    let scratch = Scratch::new("nested");
    scratch.write("index.html", "<p>root").write("sub/index.html", "<p>sub");
    testing::each_driver(async |core: Core| {
        let files = || Router::new().files("/", Files::new(scratch.root()));
        let deep = Router::new().get("/", async |_: &(), _| "deep").nest("/site", files());
        let router = Router::new().nest("/site", files()).nest("/deep", deep).nest("/", files());
        testing::serve_on(&core, ServerConfig::default(), router, (), async |client| {
            for (path, status, found) in [
                ("/", 200, "<p>root"),
                ("/site", 308, "/site/"),
                ("/site?a=//b", 308, "/site/?a=//b"),
                ("/site/", 200, "<p>root"),
                ("/site/index.html", 200, "<p>root"),
                ("/site/sub", 308, "/site/sub/"),
                ("/deep", 200, "deep"),
                ("/deep/site", 308, "/deep/site/"),
                ("/deep/site/", 200, "<p>root"),
                ("/deep/site/sub/", 200, "<p>sub"),
                ("//site", 404, "Not Found\n"),
            ] {
                let answer = client.get(path).await;
                let text = answer.header("location").unwrap_or(answer.text());
                assert_eq!((answer.status.as_u16(), text), (status, found), "{path}");
            }
        })
        .await;
    });
}

#[test]
fn nothing_outside_of_the_root_is_answered() {
    let _beside = beside_others();
    let scratch = Scratch::new("hostile");
    let root = scratch.root();
    scratch.write("a.txt", "inside").write(".env", "hidden").write(".git/config", "hidden");
    scratch.write("sub/b.txt", "deeper");
    symlink("../secret", root.join("escape")).unwrap();
    symlink("..", root.join("up")).unwrap();
    symlink("/etc/passwd", root.join("absolute")).unwrap();
    symlink("/proc/self/root/etc/passwd", root.join("magic")).unwrap();
    symlink("circle", root.join("circle")).unwrap();
    symlink("../a.txt", root.join("sub/within")).unwrap();
    let fifo = Command::new("mkfifo").arg(root.join("fifo")).status().unwrap();
    assert!(fifo.success());
    drop(std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap());
    let long = format!("/f/{}", "x".repeat(300));
    let deep = format!("/f/{}", "x/".repeat(2000));
    serve(&root, &FilesConfig::default(), async |client| {
        let cases: &[(&str, u16)] = &[
            ("/f/a.txt", 200),
            ("/f/sub/within", 200),
            ("/f/escape", 404),
            ("/f/up/secret", 404),
            ("/f/up/", 404),
            ("/f/absolute", 404),
            ("/f/magic", 404),
            ("/f/circle", 404),
            ("/f/fifo", 404),
            ("/f/socket", 404),
            ("/f/.env", 404),
            ("/f/%2eenv", 404),
            ("/f/.git/config", 404),
            ("/f/../secret", 404),
            ("/f/..", 404),
            ("/f/../", 404),
            ("/f/sub/../../secret", 404),
            ("/f/sub/../a.txt", 404),
            ("/f/%2e%2e/secret", 404),
            ("/f/%2E%2e/secret", 404),
            ("/f/.%2e/secret", 404),
            ("/f/..%2fsecret", 404),
            ("/f/..%2Fsecret", 404),
            ("/f/%2e%2e%2fsecret", 404),
            ("/f/%252e%252e%252fsecret", 404),
            ("/f/..%5csecret", 404),
            ("/f/sub%2fb.txt", 404),
            ("/f/sub%5cb.txt", 404),
            ("/f//a.txt", 404),
            ("/f//etc/passwd", 404),
            ("/f/sub//b.txt", 404),
            ("/f/%2fetc%2fpasswd", 404),
            ("/f/a.txt%00", 400),
            ("/f/%00", 400),
            ("/f/a.txt%00.html", 400),
            ("/f/%ff", 400),
            ("/f/%c0%ae%c0%ae/secret", 400),
            ("/f/%c0%af", 400),
            (&long, 404),
            (&deep, 404),
            ("/f/a.txt", 200),
        ];
        for (path, status) in cases {
            let answer = client.get(path).await;
            assert_eq!(answer.status.as_u16(), *status, "{path}: {}", answer.text());
            assert!(!answer.text().contains("outside") && !answer.text().contains("hidden"), "{path}");
            assert!(!answer.text().contains("root:"), "{path}");
        }
    });
    let mut config = FilesConfig::default();
    config.hidden = true;
    config.symlinks = ringhttp::runtime::file::Symlinks::Refused;
    serve(&root, &config, async |client| {
        for (path, status) in [("/f/.env", 200), ("/f/sub/within", 404), ("/f/..", 404), ("/f/a.txt", 200)] {
            assert_eq!(client.get(path).await.status.as_u16(), status, "{path}");
        }
    });
}

#[test]
fn ranges_of_small_and_large_files_are_answered() {
    let _beside = beside_others();
    let scratch = Scratch::new("ranges");
    scratch.write("small.txt", pattern(1000)).write("large.txt", pattern(1_000_000));
    serve(&scratch.root(), &FilesConfig::default(), async |client| {
        for (path, length) in [("/f/small.txt", 1000), ("/f/large.txt", 1_000_000)] {
            let all = pattern(length);
            let last = length - 1;
            let cases: &[(&str, u16, &str, &[u8])] = &[
                ("bytes=0-99", 206, &format!("bytes 0-99/{length}"), &all[..100]),
                ("bytes=500-", 206, &format!("bytes 500-{last}/{length}"), &all[500..]),
                ("bytes=-10", 206, &format!("bytes {}-{last}/{length}", length - 10), &all[length - 10..]),
                ("bytes=0-99999999999999999999", 206, &format!("bytes 0-{last}/{length}"), &all),
                ("bytes=0-5,3-9,10-19", 206, &format!("bytes 0-19/{length}"), &all[..20]),
                ("bytes=99999999-", 416, &format!("bytes */{length}"), b"Range Not Satisfiable\n"),
                ("bytes=-0", 416, &format!("bytes */{length}"), b"Range Not Satisfiable\n"),
                ("bytes=9-1", 200, "", &all),
                ("lines=0-9", 200, "", &all),
                ("bytes=a-b", 200, "", &all),
                (&format!("bytes={}", "0-1,5-6,".repeat(9)), 200, "", &all),
            ];
            for (range, status, content_range, body) in cases {
                let answer = get(&client, path, &[("range", range)]).await;
                let found = (answer.status.as_u16(), answer.header("content-range").unwrap_or_default());
                assert_eq!(found, (*status, *content_range), "{path} {range}");
                assert_eq!(answer.body, *body, "{path} {range}");
            }
            several_ranges(&client, path, &all).await;
            let head = ask(&client, Method::HEAD, path, &[("range", "bytes=0-9")]).await;
            assert_eq!(
                (head.status.as_u16(), head.headers[CONTENT_LENGTH].to_str().unwrap()),
                (200, &*length.to_string())
            );
        }
    });
}

async fn several_ranges(client: &TestClient, path: &str, all: &[u8]) {
    let answer = get(client, path, &[("range", "bytes=900-,0-4, 100-109")]).await;
    assert_eq!(answer.status.as_u16(), 206);
    assert_eq!(answer.header("content-range"), None);
    let content_type = answer.header("content-type").unwrap();
    let boundary = content_type.strip_prefix("multipart/byteranges; boundary=").expect("a boundary");
    let mut expected = Vec::new();
    for (start, end) in [(900, all.len()), (0, 5), (100, 110)] {
        let head = format!(
            "\r\n--{boundary}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-range: bytes {start}-{}/{}\r\n\r\n",
            end - 1,
            all.len(),
        );
        expected.extend_from_slice(head.as_bytes());
        expected.extend_from_slice(&all[start..end]);
    }
    expected.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    assert!(answer.body == expected, "{path}: {}", answer.body.len());
}

#[test]
fn conditions_are_answered() {
    let _beside = beside_others();
    let scratch = Scratch::new("conditions");
    scratch.write("small.txt", pattern(1000)).write("large.txt", pattern(1_000_000));
    // A date is said, and is a validator of ranges, once its second is over.
    let minute_ago = SystemTime::now() - Duration::from_secs(60);
    scratch.date("small.txt", minute_ago).date("large.txt", minute_ago);
    let mut config = FilesConfig::default();
    config.cache_control = vec![FileRule::all(HeaderValue::from_static("max-age=60"))];
    serve(&scratch.root(), &config, async |client| {
        for path in ["/f/small.txt", "/f/large.txt"] {
            let first = client.get(path).await;
            let etag = first.header("etag").unwrap().to_owned();
            let modified = first.header("last-modified").unwrap().to_owned();
            assert!(etag.starts_with('"'), "{etag}");
            let part = ("range", "bytes=0-9");
            let old = "Sun, 06 Nov 1994 08:49:37 GMT";
            let cases: &[(&[(&str, &str)], u16)] = &[
                (&[("if-none-match", &etag)], 304),
                (&[("if-none-match", &format!("\"x\", W/{etag}"))], 304),
                (&[("if-none-match", "*")], 304),
                (&[("if-none-match", "\"x\"")], 200),
                (&[("if-none-match", "\"x\""), ("if-modified-since", &modified)], 200),
                (&[("if-modified-since", &modified)], 304),
                (&[("if-modified-since", old)], 200),
                (&[("if-modified-since", "yesterday")], 200),
                (&[("if-match", &etag)], 200),
                (&[("if-match", "\"x\"")], 412),
                (&[("if-unmodified-since", &modified)], 200),
                (&[("if-unmodified-since", old)], 412),
                (&[part, ("if-range", &etag)], 206),
                (&[part, ("if-range", "\"x\"")], 200),
                (&[part, ("if-range", &format!("W/{etag}"))], 200),
                (&[part, ("if-range", &modified)], 206),
                (&[part, ("if-range", old)], 200),
                (&[part, ("if-none-match", &etag)], 304),
            ];
            for (fields, status) in cases {
                let answer = get(&client, path, fields).await;
                assert_eq!(answer.status.as_u16(), *status, "{path} {fields:?}");
                assert_eq!(answer.header("etag"), Some(&*etag), "{path} {fields:?}");
                let kept = (*status != 412).then_some("max-age=60");
                assert_eq!(answer.header("cache-control"), kept, "{path} {fields:?}");
                if *status == 304 {
                    assert!(answer.body.is_empty() && answer.header("content-type").is_none());
                    assert_eq!(answer.header("content-length"), None);
                }
            }
        }
    });
}

/// Such files come from archives, and from machines whose clock is wrong.
#[test]
fn a_file_of_a_time_to_come_has_no_date() {
    let _beside = beside_others();
    let scratch = Scratch::new("future");
    let to_come = SystemTime::now() + Duration::from_secs(3600);
    scratch.write("a.txt", "0123456789").date("a.txt", to_come);
    serve(&scratch.root(), &FilesConfig::default(), async |client| {
        assert!(!client.get("/f/a.txt").await.headers.contains_key(LAST_MODIFIED));
        let said = httpdate::fmt_http_date(to_come);
        let part = get(&client, "/f/a.txt", &[("range", "bytes=0-1"), ("if-range", &said)]).await;
        assert_eq!((part.status.as_u16(), part.text()), (200, "0123456789"), "the date is no validator");
    });
}

#[test]
fn siblings_that_are_compressed_already_are_sent_by_preference() {
    let _beside = beside_others();
    let scratch = Scratch::new("siblings");
    scratch.write("a.js", "plain").write("a.js.br", "br").write("a.js.gz", "gzip").write("a.js.zst", "zstd");
    scratch.write("b.js", "plain").write("b.js.gz", pattern(200_000)).write("only.js.gz", "gzip");
    scratch.write("index.html", "plain").write("index.html.gz", "gzip");
    serve(&scratch.root(), &FilesConfig::default(), async |client| {
        let cases: &[(&str, &str, Option<&str>, &str)] = &[
            ("/f/a.js", "gzip, deflate, br, zstd", Some("br"), "br"),
            ("/f/a.js", "gzip, zstd", Some("zstd"), "zstd"),
            ("/f/a.js", "gzip", Some("gzip"), "gzip"),
            ("/f/a.js", "br;q=0.5, gzip;q=0.9", Some("gzip"), "gzip"),
            ("/f/a.js", "br;q=0, *", Some("zstd"), "zstd"),
            ("/f/a.js", "identity, gzip;q=0.5", None, "plain"),
            ("/f/a.js", "*;q=0", None, "plain"),
            ("/f/a.js", "gzip;q=9", None, "plain"),
            ("/f/a.js", "", None, "plain"),
            ("/f/", "gzip", Some("gzip"), "gzip"),
        ];
        for _ in 0..2 {
            for (path, accept, coding, body) in cases {
                let answer = get(&client, path, &[("accept-encoding", accept)]).await;
                let found = (answer.header("content-encoding"), answer.text(), answer.header("vary"));
                assert_eq!(found, (*coding, *body, Some("accept-encoding")), "{path} {accept}");
                assert_ne!(answer.header("content-type"), Some("application/gzip"));
            }
        }
        let large =
            get(&client, "/f/b.js", &[("accept-encoding", "br, gzip"), ("range", "bytes=7-20")]).await;
        assert_eq!((large.status.as_u16(), large.header("content-encoding")), (206, Some("gzip")));
        assert_eq!(large.body, pattern(21)[7..]);
        let plain = client.get("/f/a.js").await;
        let gzip = get(&client, "/f/a.js", &[("accept-encoding", "gzip")]).await;
        assert_ne!(plain.headers[ETAG], gzip.headers[ETAG]);
        let none = get(&client, "/f/only.js", &[("accept-encoding", "gzip")]).await;
        assert_eq!(none.status.as_u16(), 404);
    });
    let mut config = FilesConfig::default();
    config.precompressed = false;
    serve(&scratch.root(), &config, async |client| {
        let answer = get(&client, "/f/a.js", &[("accept-encoding", "gzip")]).await;
        assert_eq!((answer.text(), answer.header("vary")), ("plain", None));
    });
}

#[test]
fn the_fallback_answers_for_pages_only() {
    let _beside = beside_others();
    let scratch = Scratch::new("fallback");
    scratch.write("app.html", "app").write("a.js", "script");
    let mut config = FilesConfig::default();
    config.fallback = Some("app.html".into());
    serve(&scratch.root(), &config, async |client| {
        let cases: &[(&str, &str, u16, &str)] = &[
            ("/f/users/7", "*/*", 200, "app"),
            ("/f/", "*/*", 200, "app"),
            ("/f/users/", "*/*", 200, "app"),
            ("/f/none.js", "*/*", 404, "Not Found\n"),
            ("/f/users/ada.lovelace", "text/html,application/xml;q=0.9", 200, "app"),
            ("/f/a.js", "text/html", 200, "script"),
            ("/f/../secret", "text/html", 404, "Not Found\n"),
            ("/f/.hidden", "text/html", 404, "Not Found\n"),
        ];
        for (path, accept, status, body) in cases {
            let answer = get(&client, path, &[("accept", accept)]).await;
            assert_eq!((answer.status.as_u16(), answer.text()), (*status, *body), "{path} {accept}");
        }
        let answer = client.get("/f/users/7").await;
        assert_eq!(answer.headers[CONTENT_TYPE], "text/html; charset=utf-8");
        assert_eq!(answer.header("vary"), Some("accept-encoding"));
        let asked_for = get(&client, "/f/none.js", &[("accept", "text/html")]).await;
        assert_eq!((asked_for.text(), asked_for.header("vary")), ("app", Some("accept, accept-encoding")));
        let refused = get(&client, "/f/none.js", &[("accept", "*/*")]).await;
        assert_eq!((refused.status.as_u16(), refused.header("vary")), (404, Some("accept")));
        // What one client gets by its type is not kept for the next that asks for the same path.
        for (accept, status) in [("text/html", 200), ("*/*", 404), ("text/html", 200)] {
            let answer = get(&client, "/f/app.html/", &[("accept", accept)]).await;
            assert_eq!((answer.status.as_u16(), accept), (status, accept));
        }
    });
    config.fallback = None;
    serve(&scratch.root(), &config, async |client| {
        let refused = get(&client, "/f/none.js", &[("accept", "*/*")]).await;
        assert_eq!((refused.status.as_u16(), refused.header("vary")), (404, None));
    });
}

#[test]
fn a_listing_names_what_is_there_and_escapes_it() {
    let _beside = beside_others();
    let scratch = Scratch::new("listing");
    scratch
        .write("d/<b>&\"'.txt", "1234")
        .write("d/.hidden", "x")
        .write("d/in/x", "")
        .write("d/a b%.txt", "");
    symlink("../../secret", scratch.root().join("d/link")).unwrap();
    let mut config = FilesConfig::default();
    config.listing = true;
    serve(&scratch.root(), &config, async |client| {
        let page = client.get("/f/d/").await;
        assert_eq!(page.status, StatusCode::OK);
        let text = page.text();
        assert!(
            text.contains(
                "<li><a href=\"./%3Cb%3E%26%22%27.txt\">&lt;b&gt;&amp;&quot;&#39;.txt</a> 4 bytes\n"
            ),
            "{text}"
        );
        assert!(
            text.contains("<a href=\"./a%20b%25.txt\">") && text.contains("<a href=\"./in/\">in/</a>"),
            "{text}"
        );
        assert!(
            !text.contains("hidden") && !text.contains("link") && !text.contains("There are more"),
            "{text}"
        );
        assert_eq!(client.get("/f/d/a%20b%25.txt").await.status, StatusCode::OK);
        assert_eq!(client.get("/f/d").await.status.as_u16(), 308);
    });
    config.listing_count_max = 2;
    serve(&scratch.root(), &config, async |client| {
        let page = client.get("/f/d/").await;
        assert_eq!(page.text().matches("<li>").count(), 3);
        assert!(page.text().contains("There are more"));
    });
}

#[test]
fn a_file_in_memory_is_looked_at_again_when_its_time_is_over() {
    let _beside = beside_others();
    let scratch = Scratch::new("hot");
    let mut config = FilesConfig::default();
    config.hot_age_max = Duration::from_secs(3600);
    serve(&scratch.root(), &config, async |client| {
        scratch.write("a.txt", "old");
        assert_eq!(client.get("/f/a.txt").await.text(), "old");
        fs::remove_file(scratch.root().join("a.txt")).unwrap();
        assert_eq!(client.get("/f/a.txt").await.text(), "old", "still in memory");
    });
    config.hot_age_max = Duration::ZERO;
    serve(&scratch.root(), &config, async |client| {
        scratch.write("a.txt", "old");
        let old = client.get("/f/a.txt").await;
        assert_eq!(client.get("/f/a.txt").await.text(), "old");
        scratch.write("a.txt", "newer");
        let new = client.get("/f/a.txt").await;
        assert_eq!(new.text(), "newer");
        assert_ne!(new.headers[ETAG], old.headers[ETAG]);
        fs::remove_file(scratch.root().join("a.txt")).unwrap();
        assert_eq!(client.get("/f/a.txt").await.status.as_u16(), 404);
    });
}

#[test]
fn fields_are_set_by_rules() {
    let _beside = beside_others();
    let scratch = Scratch::new("rules");
    scratch.write("assets/a.js", "x").write("a.js", "x").write("b.special", "x").write("index.html", "x");
    let value = HeaderValue::from_static;
    let mut config = FilesConfig::default();
    config.cache_control =
        vec![FileRule::below("assets/", value("immutable")), FileRule::extension("html", value("no-cache"))];
    config.content_type = vec![FileRule::extension("special", value("application/x-special"))];
    serve(&scratch.root(), &config, async |client| {
        let cases = [
            ("/f/assets/a.js", Some("immutable")),
            ("/f/a.js", None),
            ("/f/", Some("no-cache")),
            ("/f/index.html", Some("no-cache")),
        ];
        for (path, expected) in cases {
            assert_eq!(client.get(path).await.header("cache-control"), expected, "{path}");
        }
        // Whoever asks for what there is not must not make it the answer for all who share a cache.
        for (name, value, status) in [("range", "bytes=5-", 416), ("if-match", "\"other\"", 412)] {
            let refused = get(&client, "/f/assets/a.js", &[(name, value)]).await;
            assert_eq!((refused.status.as_u16(), refused.header("cache-control")), (status, None));
            assert!(refused.header("etag").is_some());
        }
        let special = client.get("/f/b.special").await;
        assert_eq!(special.headers[CONTENT_TYPE], "application/x-special");
    });
}

#[test]
fn a_handler_answers_with_one_file() {
    let _beside = beside_others();
    let scratch = Scratch::new("one");
    scratch.write("report.csv", pattern(100_000));
    let (file, none) = (scratch.root().join("report.csv"), scratch.root().join("none"));
    testing::each_driver(async |core: Core| {
        let (file, none, directory) = (file.clone(), none.clone(), scratch.root());
        let router = Router::new()
            .get("/report", async move |_: &(), req: Request| Response::file(&req, &file).await)
            .get("/none", async move |_: &(), req: Request| Response::file(&req, &none).await)
            .get("/directory", async move |_: &(), req: Request| Response::file(&req, &directory).await);
        testing::serve_on(&core, ServerConfig::default(), router, (), async |client| {
            let whole = client.get("/report").await;
            assert_eq!(
                (whole.header("content-type"), whole.body.len()),
                (Some("text/csv; charset=utf-8"), 100_000)
            );
            let part = get(&client, "/report", &[("range", "bytes=100-199")]).await;
            assert_eq!((part.status.as_u16(), &part.body[..]), (206, &pattern(100_000)[100..200]));
            let etag = whole.header("etag").unwrap();
            assert_eq!(get(&client, "/report", &[("if-none-match", etag)]).await.status.as_u16(), 304);
            assert_eq!(client.get("/none").await.status.as_u16(), 404);
            assert_eq!(client.get("/directory").await.status.as_u16(), 404);
        })
        .await;
    });
}

#[test]
fn a_directory_that_is_not_there_is_a_mistake() {
    let router: Router<()> = Router::new().files("/f", Files::new("/no/such/directory"));
    let error = router.into_service(()).unwrap_err();
    assert!(format!("{error:?}").contains("/no/such/directory"), "{error:?}");
}

#[test]
fn pipelined_files_leave_in_order() {
    let _beside = beside_others();
    let scratch = Scratch::new("pipelined");
    let large = pattern(2_000_000);
    scratch.write("small.txt", "small").write("large.bin", &large);
    serve(&scratch.root(), &FilesConfig::default(), async |client| {
        let one = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
        let paths = ["/f/small.txt", "/f/large.bin", "/text", "/f/large.bin", "/f/small.txt", "/f/none"];
        let mut connection = client.raw(paths.map(one).concat()).await;
        for path in paths {
            let answer = connection.response(&Method::GET).await;
            let body: &[u8] = match path {
                "/f/small.txt" => b"small",
                "/f/large.bin" => &large,
                "/text" => b"text",
                _ => b"Not Found\n",
            };
            assert!(answer.body == body, "{path}: {}", answer.body.len());
        }
        // The old protocol, which ends the connection behind the answer.
        let mut connection = client.raw("GET /f/large.bin HTTP/1.0\r\n\r\n").await;
        let all = connection.receive_all().await;
        assert!(all.ends_with(&large) && all.starts_with(b"HTTP/1.1 200"));
    });
}

/// Reads the head of an answer, and says how many bytes were announced and how many of them have come.
async fn begin(connection: &mut RawConnection) -> (u64, u64) {
    let mut head = Vec::new();
    loop {
        head.extend_from_slice(&connection.receive().await);
        if let Some(end) = head.windows(4).position(|window| window == b"\r\n\r\n") {
            let text = String::from_utf8_lossy(&head[..end]).into_owned();
            let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            return (length.parse().unwrap(), (head.len() - end - 4) as u64);
        }
    }
}

/// Counts what still comes.
async fn rest(connection: &mut RawConnection) -> u64 {
    let mut count = 0;
    loop {
        let bytes = connection.receive().await;
        if bytes.is_empty() {
            return count;
        }
        count += bytes.len() as u64;
    }
}

const LARGE: u64 = 256 << 20;

const ASK_FOR_LARGE: &str = "GET /f/large.bin HTTP/1.1\r\nhost: a\r\n\r\n";

#[test]
fn a_file_that_shrinks_ends_the_connection_early() {
    let _beside = beside_others();
    let scratch = Scratch::new("shrinks");
    serve(&scratch.root(), &FilesConfig::default(), async |client| {
        scratch.sparse("large.bin", LARGE);
        let mut connection = client.raw(ASK_FOR_LARGE).await;
        let (length, came) = begin(&mut connection).await;
        assert_eq!(length, LARGE);
        fs::File::options()
            .write(true)
            .open(scratch.root().join("large.bin"))
            .unwrap()
            .set_len(1000)
            .unwrap();
        let came = came + rest(&mut connection).await;
        assert!(came < LARGE, "{came}");
        assert_eq!(client.get("/f/large.bin").await.body.len(), 1000);
    });
}

/// Descriptors of this process.
fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Waits until the process has no more descriptors than before.
async fn until_closed(core: &Core, before: usize) {
    for _ in 0..500 {
        if descriptors() <= before {
            return;
        }
        core.timers().sleep(Duration::from_millis(10)).await;
    }
    panic!("{} descriptors, before {before}", descriptors());
}

#[test]
fn a_client_that_stops_reading_or_vanishes_costs_nothing() {
    let _alone = alone();
    let scratch = Scratch::new("vanishes");
    scratch.sparse("large.bin", LARGE);
    let mut server = ServerConfig::default();
    server.write_timeout = Duration::from_secs(1);
    serve_with(&server, &scratch.root(), &FilesConfig::default(), async |core, client| {
        let before = descriptors();
        assert_eq!(client.get("/text").await.text(), "text");
        until_closed(core, before).await;
        let mut gone = Vec::new();
        for _ in 0..20 {
            let mut connection = client.raw(ASK_FOR_LARGE).await;
            begin(&mut connection).await;
            gone.push(connection);
        }
        assert!(descriptors() >= before + 3 * gone.len(), "two sockets and a file each");
        drop(gone);
        until_closed(core, before).await;

        let mut stalled = client.raw(ASK_FOR_LARGE).await;
        let (_, came) = begin(&mut stalled).await;
        // The client's end stays open; the server's and the file are closed.
        until_closed(core, before + 1).await;
        assert!(came + rest(&mut stalled).await < LARGE);
        assert_eq!(client.get("/text").await.text(), "text");
    });
}

/// Resident bytes of this process that are its own, without pages of files.
fn resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().trim().parse::<u64>().unwrap() * 1024
}

#[test]
fn memory_does_not_grow_with_the_file() {
    let _alone = alone();
    let scratch = Scratch::new("gigabyte");
    scratch.sparse("large.bin", 1 << 30);
    serve(&scratch.root(), &FilesConfig::default(), async |client| {
        assert_eq!(client.get("/text").await.text(), "text");
        let before = resident_bytes();
        let mut most = 0;
        let mut connection = client.raw(ASK_FOR_LARGE).await;
        let (length, mut came) = begin(&mut connection).await;
        let (mut last, mut reads) = (0, 0);
        while came < length {
            let bytes = connection.receive().await;
            came += bytes.len() as u64;
            last = *bytes.last().expect("the server goes on");
            reads += 1;
            if reads % 64 == 0 {
                most = most.max(resident_bytes());
            }
        }
        assert_eq!((length, came, last), (1 << 30, 1 << 30, b'z'));
        assert!(reads > 64, "the memory was looked at while the file was sent");
        assert!(most < before + (8 << 20), "{before} grew to {most}");
    });
}
