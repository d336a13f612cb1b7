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
use ringhttp::{
    Core, HeaderValue, MultipartConfig, Next, Request, Response, Result, Router, ServerConfig, time,
};

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
        .post("/blocks", async |_: &App, mut req: Request| -> Result<String> {
            let (mut content, mut blocks) = (req.content(), Vec::new());
            while let Some(block) = content.until(b"\n--\n").await? {
                blocks.push(block.len().to_string());
            }
            Ok(blocks.join(" "))
        })
        .post("/pieces", async |_: &App, mut req: Request| -> Result<String> {
            let (mut content, mut longest, mut total) = (req.content(), 0, 0);
            while let Some(piece) = content.at_most(1000).await? {
                (longest, total) = (piece.len().max(longest), total + piece.len());
            }
            Ok(format!("{longest} of {total}"))
        })
        .post("/decoded", decoded)
        .nest("/twice", read_twice())
        .post("/parts", parts)
        .post("/nested", nested)
        .post("/skip", skip)
        .nest("/", json_routes())
        .nest("/large", Router::new().post("/save", save).post("/spool", spool).body_limit(64 << 20))
        .with(async |app: &App, req: Request, next: Next<'_, App>| {
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

/// Handlers behind somebody who has read the body before them.
fn read_twice() -> Routes {
    async fn reads(_: &App, mut req: Request, next: Next<'_, App>) -> Result {
        let body = req.bytes().await?;
        let first = body.first().copied().unwrap_or_default();
        req.body().unread(body);
        let response = next.run(req).await;
        Ok(response.with_header("x-first-byte", HeaderValue::from(u16::from(first))))
    }
    Router::new()
        .post("/text", async |_: &App, mut req: Request| req.text().await)
        .post("/form", async |_: &App, mut req: Request| -> Result<String> {
            let fields: Vec<(String, String)> = req.form().await?;
            Ok(format!("{fields:?}"))
        })
        .post("/parts", parts)
        .post("/back", async |_: &App, req: Request| Response::new(req.into_body()))
        .post("/nothing", async |_: &App, _| "unread")
        .with(reads)
}

/// `name|length` of each part, with what was done to it undone.
async fn decoded(_: &App, mut req: Request) -> Result<String> {
    let mut config = MultipartConfig::default();
    config.limits.part_bytes_max = Some(50_000);
    let mut form = req.multipart_with(config)?;
    let mut seen = String::new();
    while let Some(part) = form.next_part().await? {
        let mut part = part.decoded()?;
        let content = part.bytes().await?;
        seen += &format!("{}|{}|{}\n", part.name(), content.len(), content.escape_ascii());
    }
    Ok(seen)
}

#[cfg(feature = "json")]
fn json_routes() -> Routes {
    /// Lists of lists.
    #[derive(serde::Deserialize)]
    struct Deep(Vec<Self>);

    async fn deep(_: &App, mut req: Request) -> Result<String> {
        let deep: Deep = req.json().await?;
        Ok(deep.0.len().to_string())
    }
    Router::new().post("/json", deep)
}

#[cfg(not(feature = "json"))]
fn json_routes() -> Routes {
    Router::new()
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
fn a_body_may_be_read_by_two() {
    with_app(async |client, _| {
        for (path, content_type, body, text) in [
            ("/twice/text", "text/plain", "gr\u{fc}n", "gr\u{fc}n"),
            ("/twice/text", "text/plain", "", ""),
            ("/twice/form", FORM, "g=1", r#"[("g", "1")]"#),
            ("/twice/back", "", "given back", "given back"),
            ("/twice/nothing", "", "given", "unread"),
        ] {
            let read = post(client, path, content_type, body).await;
            assert_eq!((read.status.as_u16(), read.text()), (200, text), "{path}");
            let first = body.bytes().next().unwrap_or_default().to_string();
            assert_eq!(read.header("x-first-byte"), Some(&*first), "{path}");
        }
        let back = post(client, "/twice/back", "", "given back").await;
        assert_eq!(back.header("content-length"), Some("10"));
        let form = field("a", "1") + &field("b", &"x".repeat(100_000)) + "--x--";
        let parts = post(client, "/twice/parts", MULTIPART, form).await;
        assert_eq!(parts.text(), format!("a||1\nb||{}\n", "x".repeat(100_000)));
        // The connection goes on behind a body that was put back and never read again.
        let mut connection = client.raw("").await;
        for _ in 0..3 {
            let head = "POST /twice/nothing HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
            connection.send(format!("{head}5\r\nhello\r\n0\r\n\r\n")).await;
            assert_eq!(connection.response(&Method::POST).await.text(), "unread");
        }
    });
}

#[test]
fn bodies_are_read_up_to_marks_and_in_short_pieces() {
    with_app(async |client, _| {
        let body = ["x".repeat(40_000), String::new(), "--\n-".to_owned(), "y".repeat(60_000)].join("\n--\n");
        assert_eq!(post(client, "/blocks", "", body).await.text(), "40000 0 4 60000");
        assert_eq!(post(client, "/pieces", "", "z".repeat(200_500)).await.text(), "1000 of 200500");
        assert_eq!(post(client, "/pieces", "", "").await.text(), "0 of 0");
    });
}

/// A part with fields of its own.
fn part(fields: &str, content: &[u8]) -> Vec<u8> {
    let head = format!("--x\r\ncontent-disposition: form-data; name=a\r\n{fields}\r\n");
    [head.as_bytes(), content, b"\r\n"].concat()
}

#[test]
fn parts_that_were_encoded_are_decoded_if_asked() {
    with_app(async |client, _| {
        let mut body = part("content-transfer-encoding: base64\r\n", b"aGVs\r\nbG8=\r\n");
        body.extend(part("content-transfer-encoding: quoted-printable\r\n", b"a=3Db=\r\nc"));
        body.extend(part("content-transfer-encoding: 8BIT\r\ncontent-encoding: identity\r\n", b"a=3D"));
        body.extend(part("", b"plain"));
        body.extend(b"--x--");
        let read = post(client, "/decoded", MULTIPART, body.clone()).await;
        assert_eq!(read.text(), "a|5|hello\na|4|a=bc\na|4|a=3D\na|5|plain\n");
        let as_sent = post(client, "/parts", MULTIPART, body).await;
        assert!(as_sent.text().starts_with("a||aGVs\r\nbG8=\r\n\n"), "{}", as_sent.text());
    });
}

#[cfg(feature = "compression")]
#[test]
fn parts_that_were_compressed_are_decompressed_within_limits() {
    use ringhttp::proto::content_coding::{ContentCoding, Encoder, Level};

    fn pack(content: &[u8]) -> Vec<u8> {
        let (mut encoder, mut packed) = (Encoder::new(ContentCoding::Gzip, Level::Balanced), Vec::new());
        encoder.write(content, &mut packed);
        encoder.finish(&mut packed);
        packed
    }
    let packed = pack(b"hello");
    let whole = |fields: &str, content: &[u8]| [&part(fields, content)[..], b"--x--"].concat();
    let gzip = "content-encoding: GZip\r\n";
    let both = "content-encoding: gzip\r\ncontent-transfer-encoding: base64\r\n";
    let in_base64 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &packed);
    let cases = [
        (whole(gzip, &packed), 200, "a|5|hello\n"),
        (whole(both, in_base64.as_bytes()), 200, "a|5|hello\n"),
        (whole(gzip, &packed[..packed.len() - 4]), 400, "the request body is not of its content coding\n"),
        (
            whole(gzip, &[&packed[..], b"more"].concat()),
            400,
            "the request body is not of its content coding\n",
        ),
        (whole(both, &packed), 400, "the request body is not of its content coding\n"),
        (whole(gzip, &pack(&vec![0; 50_001])), 413, "the request body is too large\n"),
        (whole(gzip, &pack(&vec![0; 100 << 20])), 413, "the request body is too large\n"),
        (
            whole("content-encoding: gzip, gzip\r\n", &pack(&packed)),
            415,
            "multipart: the encoding of a part is not supported\n",
        ),
        (
            whole("content-encoding: compress\r\n", b"a"),
            415,
            "multipart: the encoding of a part is not supported\n",
        ),
    ];
    with_app(async |client, _| {
        for (body, status, text) in &cases {
            let read = post(client, "/decoded", MULTIPART, body.as_slice()).await;
            assert_eq!(
                (read.status.as_u16(), read.text()),
                (*status, *text),
                "{}",
                body[..80].escape_ascii()
            );
            let grown: isize = client.get("/grown").await.text().parse().unwrap();
            assert!(grown < HOSTILE_BYTES_MAX, "{grown} bytes");
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
        ("/blocks", String::new(), vec![b'\n'; 100_000], 413),
        ("/blocks", String::new(), b"\n--\n".repeat(20_000), 200),
        // Parts that are encoded.
        (
            "/decoded",
            multipart.clone(),
            with_head(&format!("{named}\r\ncontent-transfer-encoding: base64")).into(),
            400,
        ),
        (
            "/decoded",
            multipart.clone(),
            with_head(&format!("{named}\r\ncontent-transfer-encoding: x-uuencode")).into(),
            415,
        ),
        (
            "/decoded",
            multipart.clone(),
            with_head(&format!("{named}\r\ncontent-transfer-encoding: base64, base64")).into(),
            415,
        ),
        (
            "/decoded",
            multipart.clone(),
            [&part("content-transfer-encoding: base64\r\n", &b" ".repeat(40_000))[..], b"--x--"].concat(),
            200,
        ),
        (
            "/decoded",
            multipart.clone(),
            [&part("content-transfer-encoding: base64\r\n", &b"AAAA".repeat(200_000))[..], b"--x--"].concat(),
            413,
        ),
        (
            "/decoded",
            multipart.clone(),
            [&part("content-transfer-encoding: quoted-printable\r\n", &b"=\n".repeat(20_000))[..], b"--x--"]
                .concat(),
            200,
        ),
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
    refuse_all(&cases);
}

#[cfg(feature = "json")]
#[test]
fn hostile_json_is_refused_in_bounded_memory() {
    let json = |content_type: &str, body: &[u8], status: u16| {
        ("/json", content_type.to_owned(), body.to_vec(), status)
    };
    let good = "application/json";
    let cases = [
        json(good, b"[[],[[]]]", 200),
        json(good, &["[".repeat(127), "]".repeat(127)].concat().into_bytes(), 200),
        json(good, &["[".repeat(128), "]".repeat(128)].concat().into_bytes(), 400),
        json(good, &b"[".repeat(1_000_000), 400),
        json(good, &b"[[],".repeat(250_000), 400),
        json(good, &b"{\"a\":".repeat(150_000), 422),
        json(good, b"", 400),
        json(good, b"[", 400),
        json(good, b"[]]", 400),
        json(good, b"[1e999999999]", 400),
        json(good, b"[1]", 422),
        json(good, b"null", 422),
        json(good, b"\xff", 400),
        json(good, b"[\"\xff\"]", 400),
        json(good, b"[\0]", 400),
        json(good, &[b"[\"".as_slice(), &b"a".repeat(1_000_000)].concat(), 400),
        json(good, &b" ".repeat(1 << 20), 400),
        json(good, &b" ".repeat((1 << 20) + 1), 413),
        json("text/plain", b"[]", 415),
        json("application/json; charset=utf-16", b"\xfe\xff\0[\0]", 400),
        json("", b"[]", 415),
    ];
    refuse_all(&cases);
}

/// Each is answered so, within bounds, and the core serves on.
fn refuse_all(cases: &[(&str, String, Vec<u8>, u16)]) {
    with_app(async |client, _| {
        for (path, content_type, body, status) in cases {
            let shown = body[..body.len().min(80)].escape_ascii();
            let response = post(client, path, content_type, body.as_slice()).await;
            assert_eq!(response.status.as_u16(), *status, "{path} {content_type} {shown}");
            let grown: isize = client.get("/grown").await.text().parse().expect("a number");
            assert!(grown < HOSTILE_BYTES_MAX, "{grown} bytes for {path} {content_type} {shown}");
            assert_eq!(client.get("/").await.text(), "alive");
        }
    });
}

#[test]
fn a_body_that_was_read_already_is_our_fault_and_not_the_clients() {
    async fn reads(_: &(), mut req: Request, next: Next<'_, ()>) -> Result {
        let body = req.bytes().await?;
        if req.path() == "/back" {
            req.body().unread(body);
        }
        Ok(next.run(req).await)
    }
    /// Looks at the first piece, and leaves the rest, of which there may be none.
    async fn peek(_: &(), mut req: Request) -> Result<String> {
        let first = req.chunk().await?.unwrap_or_default();
        let rest = req.bytes().await?;
        Ok(format!("{}", first.len() + rest.len()))
    }
    testing::each_driver(async |core: Core| {
        let read = Router::new()
            .post("/text", async |_: &(), mut req: Request| req.text().await)
            .post("/back", async |_: &(), mut req: Request| req.text().await)
            .post("/lines", async |_: &(), mut req: Request| {
                req.json_lines::<u32>()?.next().await.map(|line| format!("{line:?}"))
            })
            .with(reads);
        let router = Router::new().post("/peek", peek).nest("/", read);
        testing::serve_on(&core, ServerConfig::default(), router, (), async |client| {
            let post = async |path: &str, body: &str| {
                let request =
                    client.request(Method::POST, path).header("content-type", "application/x-ndjson");
                let response = request.body(body).send().await;
                (response.status.as_u16(), response.text().to_owned())
            };
            assert_eq!(post("/text", "abc").await, (500, "Internal Server Error\n".to_owned()));
            assert_eq!(post("/lines", "1\n2\n").await.0, 500);
            assert_eq!(post("/back", "abc").await, (200, "abc".to_owned()));
            assert_eq!(post("/text", "").await, (200, String::new()), "nothing was lost of nothing");
            assert_eq!(post("/peek", "abc").await, (200, "3".to_owned()));
        })
        .await;
    });
}

#[test]
fn a_form_in_parts_is_a_form() {
    #[derive(serde::Deserialize)]
    struct SignUp {
        name: String,
        age: u8,
        #[serde(default)]
        topic: Vec<String>,
    }
    async fn sign_up(_: &(), mut req: Request) -> Result<String> {
        let form: SignUp = req.form().await?;
        Ok(format!("{} {} {:?}", form.name, form.age, form.topic))
    }
    let part =
        |head: &str, text: &str| format!("--b\r\ncontent-disposition: form-data; {head}\r\n\r\n{text}\r\n");
    let (name, age) = (part("name=\"name\"", "A & B=\u{e4}+"), part("name=\"age\"", "7"));
    let topics = part("name=\"topic\"", "x") + &part("name=\"topic\"", "y z");
    let chosen = part("name=\"photo\"; filename=\"a.png\"", "bytes");
    let not_chosen = part("name=\"photo\"; filename=\"\"", "");
    let many = part("name=\"topic\"", "x").repeat(1001);
    let long = part("name=\"name\"", &"x".repeat((1 << 20) + 1));
    let cases: &[(&str, u16, &str)] = &[
        (&format!("{name}{age}{topics}"), 200, "A & B=\u{e4}+ 7 [\"x\", \"y z\"]"),
        (&format!("{name}{not_chosen}{age}"), 200, "A & B=\u{e4}+ 7 []"),
        (&format!("{name}{age}{chosen}"), 422, "form: `photo`: a file, where a text is expected\n"),
        (&name, 422, "form: missing field `age`\n"),
        (&format!("{name}{name}{age}"), 422, "form: `name`: given more than once\n"),
        (&many, 413, ""),
        (&long, 413, ""),
    ];
    testing::each_driver(async |core: Core| {
        let router = Router::new().post("/", sign_up).body_limit(4 << 20);
        testing::serve_on(&core, ServerConfig::default(), router, (), async |client| {
            for (parts, status, text) in cases {
                let request = client.request(Method::POST, "/");
                let request = request.header("content-type", "multipart/form-data; boundary=b");
                let response = request.body(format!("{parts}--b--\r\n")).send().await;
                let shown = &parts[..parts.len().min(200)];
                assert_eq!(response.status.as_u16(), *status, "{shown}: {}", response.text());
                assert!(response.text().starts_with(text), "{shown}: {}", response.text());
            }
        })
        .await;
    });
}
