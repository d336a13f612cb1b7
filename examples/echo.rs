//! A request body that is sent back while it still comes: nothing is collected, and a client that reads slowly slows
//! down what it sends.
//!
//! `cargo run --release --example echo`, then `curl --data-binary @/etc/services http://127.0.0.1:8080/`.

mod common;

use ringhttp::{Request, Response, Result, Router, Server, ServerConfig};

/// The largest body that is sent back: 1 GiB. It takes no memory, only time.
const BODY_BYTES_MAX: u64 = 1 << 30;

async fn echo(_: &(), req: Request) -> Response {
    Response::new(req.into_body())
}

fn main() -> Result<()> {
    let options = common::Options::from_args();
    ringhttp::run(options.runtime.clone(), async |core| {
        let routes = Router::new().post("/", echo).body_limit(BODY_BYTES_MAX);
        let server = Server::bind(&options.address, ServerConfig::default())?;
        common::announce(&core, &server, "curl --data-binary @/etc/services URL/");
        server.serve(&core, routes, ()).await
    })
}
