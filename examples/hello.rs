//! The smallest server: one route with a parameter, on every core.
//!
//! `cargo run --release --example hello`, then `curl http://127.0.0.1:8080/world`.

mod common;

use ringhttp::{Request, Result, Router, Server, ServerConfig};

async fn hello(_: &(), req: Request) -> Result<String> {
    let name: String = req.param("name")?;
    Ok(format!("Hello, {name}!\n"))
}

fn main() -> Result<()> {
    let options = common::Options::from_args();
    ringhttp::run(options.runtime.clone(), async |core| {
        let routes = Router::new().get("/{name}", hello);
        let server = Server::bind(&options.address, ServerConfig::default())?;
        common::announce(&core, &server, "curl URL/world");
        server.serve(&core, routes, ()).await
    })
}
