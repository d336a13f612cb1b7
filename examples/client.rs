//! A service that asks another one: the answer is passed on while it comes, and what goes wrong there is a 502 or 504 here.
//!
//! `cargo run --release --example hello -- --port 8081`, and beside it `cargo run --release --example client`, then
//! `curl http://127.0.0.1:8080/world`.

#[expect(dead_code, reason = "this example has an option of its own")]
mod common;

use std::time::Duration;

use ringhttp::client::Url;
use ringhttp::{Client, ClientConfig, Error, Request, Response, Result, Router, Server, ServerConfig, time};

/// What to type when it runs.
const TRY: &str = "first: cargo run --release --example hello -- --port 8081
curl URL/world; curl URL/stats";

struct Service {
    client: Client,
    upstream: Url,
}

impl Service {
    async fn greet(&self, req: Request) -> Result<Response> {
        let mut url = self.upstream.clone();
        // Pushed as a segment, a name like `../admin` or `http://elsewhere/` leads nowhere else.
        url.path_segments_mut().map_err(|()| Error::internal("no path"))?.push(&req.param_str("name")?);
        let answer = self.client.get(url).send().await?.error_for_status()?;
        Ok(Response::new(answer.into_body()))
    }

    async fn stats(&self, _: Request) -> String {
        format!("{}\n", self.client.stats())
    }
}

fn main() -> Result<()> {
    let mut upstream = "http://127.0.0.1:8081".to_owned();
    let options = common::Options::from_args_and(&mut [("--upstream", &mut upstream)]);
    let upstream = Url::parse(&upstream).map_err(Error::internal)?;
    let mut config = ClientConfig::default();
    config.limit_per_host = 32;
    config.timeout = Some(Duration::from_secs(5));

    ringhttp::run(options.runtime.clone(), async |core| {
        // A client of this core, with connections of its own.
        let client = Client::new(&core, config.clone())?;
        let service = Service { client: client.clone(), upstream: upstream.clone() };
        let routes = Router::new().get("/{name}", Service::greet).get("/stats", Service::stats);
        let server = Server::bind(&options.address, ServerConfig::default())?;
        common::announce(&core, &server, TRY);
        server.serve(&core, routes, service).await?;
        // Every answer was sent; none that is still held somewhere is waited for longer than that.
        let _ = time::timeout(Duration::from_secs(1), client.close()).await;
        Ok(())
    })
}
