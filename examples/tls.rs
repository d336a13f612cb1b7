//! HTTPS, with certificates that are renewed while it serves.
//!
//! `cargo run --release --example tls`, then `curl -k https://127.0.0.1:8080/`: without files it makes a certificate of its
//! own, which nobody trusts. With `--cert chain.pem --key key.pem` it serves those, and loads them again when they change
//! (it looks every second) or when it is told to: `kill -HUP`. `--other-cert` and `--other-key` add another, for other names.

#![expect(clippy::print_stdout, reason = "an example talks to the person who started it")]

#[expect(dead_code, reason = "this example has options of its own")]
mod common;

use std::time::Duration;

use bytes::Bytes;
use ringhttp::middleware::{SecurityHeaders, security_headers};
use ringhttp::{
    CertificateConfig, Certificates, Error, Request, Response, Result, Router, Server, ServerConfig,
    TlsConfig,
};

/// What the connection is.
async fn whoami(_: &(), req: Request) -> Result<String> {
    let tls = req.tls().ok_or_else(|| Error::bad_request("this is not TLS"))?;
    Ok(format!(
        "{} {}, for {}, {}\n",
        tls.version(),
        tls.cipher_suite(),
        tls.server_name().unwrap_or("nobody in particular"),
        if tls.is_resumed() { "resumed" } else { "new" },
    ))
}

/// So many bytes.
async fn bytes(_: &(), req: Request) -> Result<Bytes> {
    let count: usize = req.param("count")?;
    Ok(Bytes::from(vec![b'x'; count.min(100 << 20)]))
}

async fn echo(_: &(), req: Request) -> Response {
    Response::new(req.into_body())
}

/// How many bytes came.
async fn count(_: &(), mut req: Request) -> Result<String> {
    let mut bytes = 0;
    while let Some(piece) = req.chunk().await? {
        bytes += piece.len();
    }
    Ok(format!("{bytes}\n"))
}

fn config(cert: &str, key: &str, other_cert: &str, other_key: &str) -> Result<TlsConfig> {
    if cert.is_empty() {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]);
        let made = made.map_err(Error::internal)?;
        println!("no --cert was given: made one that nobody trusts");
        return Ok(TlsConfig::from_pem(made.cert.pem(), made.signing_key.serialize_pem()));
    }
    let mut config = TlsConfig::from_files(cert, key);
    if !other_cert.is_empty() {
        config.certificates.push(CertificateConfig::from_files(other_cert, other_key));
    }
    config.reload_interval = Some(Duration::from_secs(1));
    config.reload_on_hangup = true;
    Ok(config)
}

fn main() -> Result<()> {
    let (mut cert, mut key) = (String::new(), String::new());
    let (mut other_cert, mut other_key) = (String::new(), String::new());
    let options = common::Options::from_args_and(&mut [
        ("--cert", &mut cert),
        ("--key", &mut key),
        ("--other-cert", &mut other_cert),
        ("--other-key", &mut other_key),
    ]);
    // Before the cores start: they share it.
    let certificates = Certificates::load(config(&cert, &key, &other_cert, &other_key)?)?;

    ringhttp::run(options.runtime.clone(), async |core| {
        let mut headers = SecurityHeaders::default();
        headers.hsts_max_age = Some(Duration::from_secs(31_536_000));
        let routes = Router::new()
            .get("/", whoami)
            .get("/bytes/{count}", bytes)
            .post("/echo", echo)
            .post("/count", count)
            .with(security_headers(headers));
        let mut config = ServerConfig::default();
        config.body_bytes_max = 64 << 20;
        let server = Server::bind_tls(&options.address, config, &certificates)?;
        common::announce_as(&core, &server, "https", "curl -k URL/");
        server.serve(&core, routes, ()).await
    })
}
