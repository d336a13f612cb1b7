//! Forms with files as they are sent, read by our own server and by one that looks at the bytes.

use std::fs;
use std::path::PathBuf;

use ringhttp::client::{ErrorKind, FormData, FormPart};
use ringhttp::testing::{RawServer, each_driver, serve_on};
use ringhttp::{Body, Client, ClientConfig, Method, Request, Result, Router, ServerConfig};

use super::{answering, field, mirror, ok, text, with_config};

/// Says of each part what it is, and how its content begins and ends.
async fn describe(_: &(), mut req: Request) -> Result<String> {
    let mut described = format!("{:?}", req.headers().get("content-length").is_some());
    let mut form = req.multipart()?;
    while let Some(mut part) = form.next_part().await? {
        let name = part.name().to_owned();
        let file = part.file_name().map(str::to_owned);
        let kind = part.headers().get("content-type").map(|kind| kind.to_str().expect("ASCII").to_owned());
        let (mut length, mut sum) = (0, 0_u64);
        while let Some(piece) = part.chunk().await? {
            length += piece.len();
            sum = piece.iter().fold(sum, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
        }
        described += &format!("; {name} {file:?} {kind:?} {length} {sum}");
    }
    Ok(described)
}

fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)))
}

/// A file of more than one piece, which is removed in the end.
struct OnDisk(PathBuf, Vec<u8>);

impl OnDisk {
    fn new(name: &str) -> Self {
        let bytes: Vec<u8> = (0..200_001_u32).map(|number| number.to_le_bytes()[1]).collect();
        let path = std::env::temp_dir().join(format!("ringhttp-{}-{name}", std::process::id()));
        fs::write(&path, &bytes).expect("a directory for temporary files");
        Self(path, bytes)
    }
}

impl Drop for OnDisk {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

async fn form_with(file: &OnDisk) -> FormData {
    let on_disk = FormPart::file(&file.0).await.expect("it is there").file_name("grün \"1\".csv");
    FormData::new().text("title", "Holidays\n").part("file", on_disk)
}

#[test]
fn texts_files_and_streams_arrive_with_a_length_if_it_is_known() {
    let file = OnDisk::new("arrive.csv");
    let of_file = format!("file Some(\"grün %221%22.csv\") Some(\"text/csv\") 200001 {}", sum(&file.1));
    let of_title = format!("title None None 9 {}", sum(b"Holidays\n"));
    each_driver(async |core| {
        let routes = Router::new().post("/", describe);
        serve_on(&core, ServerConfig::default(), routes, (), async |tester| {
            let client = Client::new(&core, ClientConfig::default()).expect("a good configuration");
            let url = format!("http://{}/", tester.address());
            let send = async |form: FormData| text(client.post(&url).multipart(form).send().await).await;
            assert_eq!(send(form_with(&file).await).await, format!("true; {of_title}; {of_file}"));
            let stored = tester.request(Method::POST, "/").multipart(form_with(&file).await).send().await;
            assert_eq!(stored.text(), format!("true; {of_title}; {of_file}"));

            let write = async |mut out: ringhttp::BodySender| {
                for _ in 0..1000 {
                    out.write("x".repeat(100)).await?;
                }
                Ok(())
            };
            let of_stream = format!("log None None 100000 {}", sum(&vec![b'x'; 100_000]));
            for (body, has_length) in [(Body::stream_of(100_000, write), true), (Body::stream(write), false)]
            {
                let form = form_with(&file).await.part("log", FormPart::new(body)).text("end", "");
                let expected = format!("{has_length}; {of_title}; {of_file}; {of_stream}; end None None 0 0");
                assert_eq!(send(form).await, expected);
            }
            assert_eq!(send(FormData::new()).await, "true");
            client.close().await;
        })
        .await;
    });
}

#[test]
fn the_type_is_the_forms_own_and_the_boundary_is_new_each_time() {
    let server = mirror();
    with_config(&ClientConfig::default(), async |_, client| {
        let mut seen = Vec::new();
        for _ in 0..2 {
            let form = FormData::new().text("a", "b");
            let request = client.post(server.url("/")).header("content-type", "text/plain");
            let request = request.body_from(|| "replaced".into()).multipart(form);
            let message = text(request.send().await).await;
            let boundary = field(&message, "content-type")
                .and_then(|kind| kind.strip_prefix("multipart/form-data; boundary="));
            let boundary = boundary.expect("it names one").to_owned();
            let body = message.split_once("\r\n\r\n").expect("a head").1;
            assert_eq!(
                body,
                format!(
                    "--{boundary}\r\ncontent-disposition: form-data; name=\"a\"\r\n\r\nb\r\n--{boundary}--\r\n"
                )
            );
            seen.push(boundary);
        }
        assert_ne!(seen[0], seen[1]);
    });
}

#[test]
fn a_form_without_streams_is_sent_again_by_a_redirect() {
    let server = answering(|message| match message.starts_with("POST /old ") {
        true => "HTTP/1.1 307 Temporary Redirect\r\nlocation: /new\r\ncontent-length: 0\r\n\r\n".to_owned(),
        false => ok(message),
    });
    let file = OnDisk::new("again.txt");
    with_config(&ClientConfig::default(), async |_, client| {
        let form = form_with(&file).await;
        let message = text(client.post(server.url("/old")).multipart(form).send().await).await;
        assert!(message.starts_with("POST /new ") && message.ends_with("--\r\n"), "{message}");
        let body = Body::stream_of(1, async |mut out: ringhttp::BodySender| out.write("x").await);
        let form = FormData::new().part("a", FormPart::new(body));
        let error = client.post(server.url("/old")).multipart(form).send().await.expect_err("it is spent");
        assert_eq!(error.kind(), ErrorKind::Redirect);
    });
}

/// What each of them has too much or too little, another has not: the whole would be of the right length.
#[test]
fn a_part_that_is_not_of_its_length_fails_whatever_the_others_are() {
    let server = RawServer::start(|mut peer| {
        peer.read_all();
    });
    with_config(&ClientConfig::default(), async |_, client| {
        let part = |length, text: &'static str| {
            FormPart::new(Body::stream_of(length, async move |mut out: ringhttp::BodySender| {
                out.write(text).await
            }))
        };
        for (first, second) in [(part(1, "ab"), part(1, "")), (part(1, ""), part(1, "ab"))] {
            let form = FormData::new().part("a", first).part("b", second);
            let error = client.post(server.url("/")).multipart(form).send().await.expect_err("it lies");
            assert_eq!(error.kind(), ErrorKind::Upload, "{error:?}");
        }
        let form = FormData::new().part("a", FormPart::new("").content_type("\n"));
        let error = client.post(server.url("/")).multipart(form).send().await.expect_err("no field");
        assert_eq!(error.kind(), ErrorKind::Request);
        assert_eq!((client.stats().in_use, client.stats().idle), (0, 0));
        assert!(FormPart::file("/nowhere/at/all").await.is_err());
    });
}

/// Dropped at any point while the form leaves: nothing of it is left behind, and the next one is whole.
#[test]
fn a_form_that_is_given_up_leaves_nothing_behind() {
    let file = OnDisk::new("given_up.bin");
    each_driver(async |core| {
        let routes = Router::new().post("/", describe);
        serve_on(&core, ServerConfig::default(), routes, (), async |tester| {
            let client = Client::new(&core, ClientConfig::default()).expect("a good configuration");
            let url = format!("http://{}/", tester.address());
            let form = async || {
                let slow = Body::stream(async |mut out: ringhttp::BodySender| {
                    for _ in 0..20 {
                        out.write("y".repeat(40_000)).await?;
                    }
                    Ok(())
                });
                form_with(&file).await.part("slow", FormPart::new(slow))
            };
            for polls in 0..30 {
                let mut sending = Box::pin(client.post(&url).multipart(form().await).send());
                for _ in 0..polls {
                    let mut is_done = false;
                    std::future::poll_fn(|cx| {
                        is_done = sending.as_mut().poll(cx).is_ready();
                        std::task::Poll::Ready(())
                    })
                    .await;
                    if is_done {
                        break;
                    }
                    core.yield_now().await;
                }
                drop(sending);
            }
            super::until("all are given up", || client.stats().in_use == 0).await;
            let whole = text(client.post(&url).multipart(form().await).send().await).await;
            assert!(
                whole.ends_with(&format!("slow None None 800000 {}", sum(&vec![b'y'; 800_000]))),
                "{whole}"
            );
            client.close().await;
        })
        .await;
    });
}
