//! The benchmark server: one route for each kind of work that is measured.
//!
//! `cargo run --release --example plaintext -- --cores 0`, then `wrk http://127.0.0.1:8080/plaintext`.

mod common;

use ringhttp::{Bytes, Json, Request, Response, Result, Router, Server, ServerConfig, StatusCode};

/// The largest body that is sent back, and the largest that is made.
const BODY_BYTES_MAX: usize = 64 << 20;

/// Where the bodies of `/bytes/{n}` come from. Zeroes take no memory until they are read.
static ZEROES: [u8; BODY_BYTES_MAX] = [0; BODY_BYTES_MAX];

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

/// A view of the zeroes: however long it is, nothing is copied before the kernel does.
async fn bytes(_: &(), req: Request) -> Result<Bytes> {
    let length: usize = req.param("n")?;
    let zeroes = ZEROES.get(..length).ok_or(StatusCode::NOT_FOUND)?;
    Ok(Bytes::from_static(zeroes))
}

fn main() -> Result<()> {
    let options = common::Options::from_args();
    ringhttp::run(options.runtime.clone(), async |core| {
        let routes = Router::new()
            .get("/", root)
            .get("/plaintext", plaintext)
            .get("/json", json)
            .get("/users/{id}", user)
            .post("/echo", echo)
            .get("/bytes/{n}", bytes)
            .body_limit(BODY_BYTES_MAX as u64);
        let server = Server::bind(&options.address, ServerConfig::default())?;
        common::announce(&core, &server, "wrk -t1 -c64 -d5 URL/plaintext");
        server.serve(&core, routes, ()).await
    })
}
