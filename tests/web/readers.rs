//! What handlers read of requests, over real sockets on both drivers: forms, multipart bodies, lines; and what becomes of
//! hostile ones.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use http::Method;
use ringhttp::proto::multipart::Writer;
use ringhttp::testing::{self, TestClient, TestResponse};
use ringhttp::{Core, MultipartConfig, Request, Result, Router, ServerConfig, time};

use crate::counting::Growth;

/// A directory of one test, removed at its end.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("ringhttp-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).expect("the name is new");
        Self(path)
    }

    fn names(path: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(path).expect("it exists");
        let name = |entry: std::io::Result<std::fs::DirEntry>| entry.expect("it can be read").file_name();
        let mut names: Vec<String> =
            entries.map(|entry| name(entry).into_string().expect("our names are text")).collect();
        names.sort();
        names
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

struct App {
    directory: PathBuf,
    /// Bytes that the core's thread held at most, beyond what it held when a request began.
    grown: Cell<isize>,
}

type Routes = Router<App>;

fn routes() -> Routes {
    Router::new()
        .get("/", async |_: &App, _| "alive")
        .post("/form", async |_: &App, mut req: Request| -> Result<String> {
            let fields: Vec<(String, String)> = req.form().await?;
            Ok(format!("{fields:?}"))
        })
        .post("/text", async |_: &App, mut req: Request| req.text().await)
        .post("/lines", async |_: &App, mut req: Request| -> Result<String> {
            let mut content = req.content();
            let mut count = 0;
            while content.line().await?.is_some() {
                count += 1;
            }
            Ok(count.to_string())
        })
        .post("/parts", parts)
        .post("/nested", nested)
        .post("/skip", skip)
        .nest("/large", Router::new().post("/save", save).post("/spool", spool).body_limit(64 << 20))
        .with(async |app: &App, req: Request, next: ringhttp::Next<'_, App>| {
            let growth = Growth::begin();
            let response = next.run(req).await;
            app.grown.set(growth.most_bytes());
            response
        })
}

/// `name|file name|content` of each part.
async fn parts(_: &App, mut req: Request) -> Result<String> {
    let mut form = req.multipart()?;
    let mut seen = String::new();
    while let Some(mut part) = form.next_part().await? {
        let (name, file_name) = (part.name().to_owned(), part.file_name().map(str::to_owned));
        seen += &format!("{name}|{}|{}\n", file_name.unwrap_or_default(), part.text().await?);
    }
    Ok(seen)
}

async fn nested(_: &App, mut req: Request) -> Result<String> {
    let mut config = MultipartConfig::default();
    config.depth_max = 2;
    let mut form = req.multipart_with(config)?;
    let mut seen = String::new();
    while let Some(mut part) = form.next_part().await? {
        let mut inner = part.multipart()?;
        while let Some(mut part) = inner.next_part().await? {
            seen += &format!("{}|{}\n", part.safe_file_name().unwrap_or_default(), part.text().await?);
            if part.content_type().is_some_and(|of| of.is_multipart()) {
                part.multipart()?;
            }
        }
    }
    Ok(seen)
}

/// Reads the first piece of each part only.
async fn skip(_: &App, mut req: Request) -> Result<String> {
    let mut form = req.multipart()?;
    let mut names = Vec::new();
    while let Some(mut part) = form.next_part().await? {
        if names.len().is_multiple_of(2) {
            part.chunk().await?;
        }
        names.push(part.name().to_owned());
    }
    Ok(names.join(" "))
}

async fn save(app: &App, mut req: Request) -> Result<String> {
    let mut form = req.multipart()?;
    let mut total = 0;
    while let Some(mut part) = form.next_part().await? {
        let name = part.safe_file_name().unwrap_or_default();
        total += part.save(app.directory.join(name)).await?;
    }
    Ok(total.to_string())
}

/// Spools each part, keeps those beyond 64 KiB under the name of the field, and says where they were.
async fn spool(app: &App, mut req: Request) -> Result<String> {
    let mut config = MultipartConfig::default();
    config.spool_directory = Some(app.directory.clone());
    let mut form = req.multipart_with(config)?;
    let mut seen = String::new();
    while let Some(mut part) = form.next_part().await? {
        let name = part.name().to_owned();
        let spooled = part.spool(64 * 1024).await?;
        let left = Directory::names(&app.directory).iter().any(|name| name.ends_with(".part"));
        let end = spooled.read_at(spooled.len().saturating_sub(3), 10).await?;
        seen += &format!("{name} {} {} {left} {end:?}\n", spooled.len(), spooled.as_bytes().is_some());
        spooled.save(app.directory.join(&name)).await?;
    }
    Ok(seen)
}

fn with_app(body: impl AsyncFn(&TestClient, &Path) + Send + Sync) {
    testing::each_driver(async |core: Core| {
        let directory = Directory::new();
        let app = App { directory: directory.0.clone(), grown: Cell::new(0) };
        let routes =
            routes().get("/grown", async |app: &App, _| app.grown.get().to_string()).get("/slow", slow);
        let config = ServerConfig::default();
        testing::serve_on(&core, config, routes, app, async |client| body(&client, &directory.0).await).await;
    });
}

async fn slow(_: &App, _: Request) {
    time::sleep(Duration::from_millis(10)).await;
}

async fn post(client: &TestClient, path: &str, content_type: &str, body: impl Into<Vec<u8>>) -> TestResponse {
    client.request(Method::POST, path).header("content-type", content_type).body(body).send().await
}

const FORM: &str = "application/x-www-form-urlencoded";
const MULTIPART: &str = "multipart/form-data; boundary=x";

fn field(name: &str, content: &str) -> String {
    format!("--x\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{content}\r\n")
}

#[test]
fn forms_and_multipart_bodies_are_read() {
    with_app(async |client, _| {
        let read = post(client, "/form", FORM, "a=1&b=x+y&a=%C3%A4").await;
        assert_eq!(read.text(), r#"[("a", "1"), ("b", "x y"), ("a", "ä")]"#);
        let mut body = BytesMut::new();
        let mut writer = Writer::new();
        writer.field(&mut body, "title", "Grüße");
        writer.file(&mut body, "file", "../a b.txt", "text/plain; charset=latin1");
        body.extend_from_slice(b"gr\xfcn");
        writer.end(&mut body);
        let content_type = writer.content_type("form-data");
        let read = post(client, "/parts", content_type.to_str().unwrap(), body).await;
        assert_eq!(read.text(), "title||Grüße\nfile|../a b.txt|grün\n");
        assert_eq!(post(client, "/lines", "", "a\nb\r\nc").await.text(), "3");
    });
}

#[test]
fn a_part_may_be_multipart_itself() {
    with_app(async |client, _| {
        let file = "--y\r\ncontent-disposition: file; filename=\"b/c.txt\"\r\n\r\none\r\n";
        let deep = "--y\r\ncontent-type: multipart/mixed; boundary=z\r\n\r\n--z--\r\n";
        let outer = |inner: &str| {
            format!(
                "--x\r\ncontent-disposition: form-data; name=files\r\ncontent-type: multipart/mixed; boundary=y\r\n\r\n\
                 {inner}--y--\r\n--x--\r\n"
            )
        };
        let read = post(client, "/nested", MULTIPART, outer(&[file, file].concat())).await;
        assert_eq!(read.text(), "c.txt|one\nc.txt|one\n");
        let refused = post(client, "/nested", MULTIPART, outer(deep)).await;
        assert_eq!((refused.status.as_u16(), refused.text()), (400, "multipart: nested too deep\n"));
    });
}

/// Chunks of the request are pieces of the body: each cut is another pair of pieces.
#[test]
fn a_body_may_be_cut_anywhere() {
    with_app(async |client, _| {
        let body = [field("a", "one\r\n--\r"), field("b", ""), "--x--\r\n".to_owned()].concat();
        let mut connection = client.raw("").await;
        for at in 1..body.len() {
            let (first, second) = body.split_at(at);
            let head = "POST /parts HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n";
            let chunks =
                format!("{:x}\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\n\r\n", first.len(), second.len());
            connection.send(format!("{head}content-type: {MULTIPART}\r\n\r\n{chunks}")).await;
            let read = connection.response(&Method::POST).await;
            assert_eq!(read.text(), "a||one\r\n--\r\nb||\n", "cut at {at}");
        }
    });
}

#[test]
fn parts_that_nobody_reads_are_passed_over() {
    with_app(async |client, _| {
        let large = "x".repeat(100_000);
        let parts: String = ["a", "b", "c", "d"].iter().map(|name| field(name, &large)).collect();
        let body = parts + "--x--\r\n";
        let read = post(client, "/skip", MULTIPART, body).await;
        assert_eq!(read.text(), "a b c d");
    });
}

fn large_upload(parts: &[(&str, usize)]) -> Vec<u8> {
    let mut body = BytesMut::new();
    let mut writer = Writer::with_boundary("x");
    for &(name, length) in parts {
        writer.file(&mut body, name, &format!("/tmp/{name}.bin"), "application/octet-stream");
        body.extend((0..length).map(|number| number.to_le_bytes()[1]));
    }
    writer.end(&mut body);
    body.to_vec()
}

fn is_upload(content: &[u8], length: usize) -> bool {
    content.len() == length
        && content.iter().enumerate().all(|(number, byte)| number.to_le_bytes()[1] == *byte)
}

/// What an upload may take of the core's memory, whatever its size.
const GROWN_BYTES_MAX: isize = 1 << 20;

#[test]
fn uploads_are_saved_with_little_memory() {
    with_app(async |client, directory| {
        const LENGTHS: [usize; 3] = [16 << 20, 0, 300_000];
        let body = large_upload(&[("a", LENGTHS[0]), ("b", LENGTHS[1]), ("c", LENGTHS[2])]);
        let saved = post(client, "/large/save", MULTIPART, body).await;
        assert_eq!(saved.text(), LENGTHS.iter().sum::<usize>().to_string());
        assert_eq!(Directory::names(directory), ["a.bin", "b.bin", "c.bin"]);
        for (name, length) in ["a.bin", "b.bin", "c.bin"].iter().zip(LENGTHS) {
            let content = std::fs::read(directory.join(name)).unwrap();
            assert!(is_upload(&content, length), "{name} has {} bytes", content.len());
        }
        let grown: isize = client.get("/grown").await.text().parse().unwrap();
        assert!(grown < GROWN_BYTES_MAX, "{grown} bytes for an upload of 16 MiB");
    });
}

#[test]
fn uploads_are_spooled_beyond_what_fits_in_memory() {
    with_app(async |client, directory| {
        let body = large_upload(&[("small", 64 * 1024), ("large", 4 << 20), ("none", 0)]);
        let spooled = post(client, "/large/spool", MULTIPART, body).await;
        let expected = "small 65536 true false b\"\\xff\\xff\\xff\"\n\
                        large 4194304 false false b\"\\xff\\xff\\xff\"\nnone 0 true false b\"\"\n";
        assert_eq!(spooled.text(), expected);
        assert_eq!(Directory::names(directory), ["large", "none", "small"]);
        assert!(is_upload(&std::fs::read(directory.join("large")).unwrap(), 4 << 20));
        let grown: isize = client.get("/grown").await.text().parse().unwrap();
        assert!(grown < GROWN_BYTES_MAX, "{grown} bytes for an upload of 4 MiB");
    });
}

#[test]
fn a_client_that_goes_away_leaves_no_file() {
    with_app(async |client, directory| {
        let body = large_upload(&[("a", 1 << 20)]);
        let head = format!("POST /large/save HTTP/1.1\r\nhost: a\r\ncontent-type: {MULTIPART}\r\n");
        let mut connection = client.raw(format!("{head}content-length: {}\r\n\r\n", body.len())).await;
        connection.send(&body[..700_000]).await;
        let mut tries = 0;
        while Directory::names(directory).is_empty() && tries < 500 {
            client.get("/slow").await;
            tries += 1;
        }
        assert_eq!(Directory::names(directory).len(), 1, "it has begun");
        drop(connection);
        while !Directory::names(directory).is_empty() && tries < 1000 {
            client.get("/slow").await;
            tries += 1;
        }
        assert_eq!(Directory::names(directory), [""; 0]);
    });
}

/// What a limit lets through at most, and some room for the connection.
const HOSTILE_BYTES_MAX: isize = 3 << 20;

#[test]
fn hostile_bodies_are_refused_in_bounded_memory() {
    let with_head = |head: &str| format!("--x\r\n{head}\r\n\r\n1\r\n--x--\r\n");
    let named = "content-disposition: form-data; name=a";
    let boundary = |value: &str| format!("multipart/form-data; boundary={value}");
    let (multipart, form) = (MULTIPART.to_owned(), FORM.to_owned());
    let cases: Vec<(&str, String, Vec<u8>, u16)> = vec![
        // Forms and text.
        ("/form", form.clone(), "k=v&".repeat(100_000).into(), 413),
        ("/form", form.clone(), "&".repeat(1_000_000).into(), 200),
        ("/form", form.clone(), b"a=%FF".to_vec(), 400),
        ("/form", form.clone(), b"\xff\xfe=1".to_vec(), 400),
        ("/form", "text/plain".to_owned(), b"a=b".to_vec(), 415),
        ("/form", form, vec![b'a'; (1 << 20) + 1], 413),
        ("/text", "text/plain".to_owned(), b"\xc3(".to_vec(), 400),
        ("/text", "text/plain; charset=utf-16".to_owned(), b"a".to_vec(), 415),
        ("/lines", String::new(), vec![b'a'; 100_000], 413),
        ("/lines", String::new(), vec![b'\n'; 100_000], 200),
        // Boundaries.
        ("/parts", "multipart/form-data".to_owned(), field("a", "1").into(), 400),
        ("/parts", boundary(""), field("a", "1").into(), 400),
        ("/parts", boundary("\"\""), field("a", "1").into(), 400),
        ("/parts", boundary(&"x".repeat(71)), field("a", "1").into(), 400),
        ("/parts", boundary("\"x"), field("a", "1").into(), 400),
        ("/parts", boundary("x; boundary=y"), field("a", "1").into(), 400),
        ("/parts", boundary("\"x\""), (field("a", "1") + "--x--").into(), 200),
        ("/parts", "application/json".to_owned(), b"{}".to_vec(), 415),
        // Bodies.
        ("/parts", multipart.clone(), Vec::new(), 400),
        ("/parts", multipart.clone(), field("a", "1").into(), 400),
        ("/parts", multipart.clone(), (field("a", "1") + "--x-").into(), 400),
        ("/parts", multipart.clone(), (field("a", "1") + "--xy--").into(), 400),
        ("/parts", multipart.clone(), b"p".repeat(100_000), 413),
        ("/parts", multipart.clone(), ("--x--".to_owned() + &"e".repeat(100_000)).into(), 413),
        ("/parts", multipart.clone(), field("a", "").repeat(1001).into(), 413),
        (
            "/parts",
            multipart.clone(),
            (field("a", "\u{fffd}") + "--x--").replace('\u{fffd}', "\u{e9}").into(),
            200,
        ),
        ("/parts", multipart.clone(), [field("a", "").as_bytes(), b"--x\r\n\xff\r\n"].concat(), 400),
        // Heads of parts.
        ("/parts", multipart.clone(), with_head("").into(), 400),
        ("/parts", multipart.clone(), with_head("content-disposition: form-data").into(), 400),
        ("/parts", multipart.clone(), with_head(&format!("{named}\r\n{named}")).into(), 400),
        ("/parts", multipart.clone(), with_head(&format!("{named}; name=b")).into(), 400),
        ("/parts", multipart.clone(), with_head(&format!("{named}\0b")).into(), 400),
        ("/parts", multipart.clone(), with_head(&format!("{named}\rx: y")).into(), 400),
        ("/parts", multipart.clone(), with_head(&format!("{named}\nx: y")).into(), 400),
        ("/parts", multipart.clone(), with_head(&format!("{named}; filename*=UTF-8''%0D%0Ax")).into(), 400),
        (
            "/parts",
            multipart.clone(),
            with_head(&format!("{named}\r\n{}x: y", "x: y\r\n".repeat(40))).into(),
            413,
        ),
        ("/parts", multipart.clone(), with_head(&format!("{named}\r\nx: {}", "y".repeat(9000))).into(), 413),
        ("/parts", multipart.clone(), format!("--x\r\nx: {}", "y".repeat(1_000_000)).into(), 413),
        (
            "/parts",
            multipart,
            with_head(&format!("{named}\r\ncontent-type: text/plain; charset=x")).into(),
            415,
        ),
    ];
    with_app(async |client, _| {
        for (path, content_type, body, status) in &cases {
            let shown = body[..body.len().min(80)].escape_ascii();
            let response = post(client, path, content_type, body.as_slice()).await;
            assert_eq!(response.status.as_u16(), *status, "{path} {content_type} {shown}");
            let grown: isize = client.get("/grown").await.text().parse().unwrap();
            assert!(grown < HOSTILE_BYTES_MAX, "{grown} bytes for {path} {content_type} {shown}");
            assert_eq!(client.get("/").await.text(), "alive");
        }
    });
}
