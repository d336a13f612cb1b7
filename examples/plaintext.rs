//! The benchmark server: one route for each kind of work that is measured.
//!
//! `cargo run --release --example plaintext -- --cores 0`, then `wrk http://127.0.0.1:8080/plaintext`. With `--cert chain.pem --key
//! key.pem` it is the same over TLS.

#[expect(dead_code, reason = "this example has options of its own")]
mod common;

use ringhttp::{
    Bytes, Certificates, Json, Request, Response, Result, Router, Server, ServerConfig, StatusCode, TlsConfig,
};

/// The largest body that is sent back.
const ECHO_BYTES_MAX: u64 = 64 << 20;

/// Where the bodies of `/bytes/{n}` come from. Not zeroes: those that nobody has written are all one page of the cache.
static BYTES: [u8; 1 << 20] = [b'x'; 1 << 20];

#[derive(serde::Serialize)]
struct Message {
    message: &'static str,
}

async fn root(_: &(), _: Request) -> &'static str {
    "ringhttp\n"
}

async fn plaintext(_: &(), _: Request) -> &'static str {
    "Hello, World!"
}

async fn json(_: &(), _: Request) -> Json<Message> {
    Json(Message { message: "Hello, World!" })
}

async fn user(_: &(), req: Request) -> Result<String> {
    Ok(req.param_str("id")?.into_owned())
}

async fn echo(_: &(), req: Request) -> Response {
    Response::new(req.into_body())
}

/// A view of what is there already: however long it is, nothing is copied before the kernel does.
async fn bytes(_: &(), req: Request) -> Result<Bytes> {
    let length: usize = req.param("n")?;
    let bytes = BYTES.get(..length).ok_or(StatusCode::NOT_FOUND)?;
    Ok(Bytes::from_static(bytes))
}

fn main() -> Result<()> {
    let (mut cert, mut key) = (String::new(), String::new());
    let options = common::Options::from_args_and(&mut [("--cert", &mut cert), ("--key", &mut key)]);
    let certificates = match cert.is_empty() {
        true => None,
        false => Some(Certificates::load(TlsConfig::from_files(cert, key))?),
    };
    ringhttp::run(options.runtime.clone(), async |core| {
        let routes = Router::new()
            .get("/", root)
            .get("/plaintext", plaintext)
            .get("/json", json)
            .get("/users/{id}", user)
            .post("/echo", echo)
            .get("/bytes/{n}", bytes)
            .body_limit(ECHO_BYTES_MAX);
        let config = ServerConfig::default();
        let (server, scheme) = match &certificates {
            Some(certificates) => (Server::bind_tls(&options.address, config, certificates)?, "https"),
            None => (Server::bind(&options.address, config)?, "http"),
        };
        common::announce_as(&core, &server, scheme, "wrk -t1 -c64 -d5 URL/plaintext");
        server.serve(&core, routes, ()).await
    })
}
