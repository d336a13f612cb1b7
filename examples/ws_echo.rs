//! A WebSocket that sends every message back: what conformance tests, other clients and load generators are pointed at. At
//! `/broadcast` it is sent to everybody who is there.
//!
//! `cargo run --release --example ws_echo`, then `websocat ws://127.0.0.1:8080/ws`.

mod common;

use ringhttp::websocket::{Closed, CompressionConfig, Hub};
use ringhttp::{Request, Result, Router, Server, ServerConfig, WebSocketConfig};

/// Messages of up to 16 MiB, in up to 100,000 fragments: more than a service needs, less than a test asks for.
fn config() -> WebSocketConfig {
    let mut compression = CompressionConfig::default();
    compression.threshold_bytes = 0;
    compression.binary = true;
    compression.context_takeover = true;
    let mut config = WebSocketConfig::default();
    config.message_bytes_max = 16 << 20;
    config.fragment_count_max = 100_000;
    config.compression = Some(compression);
    config
}

async fn echo(_: &Hub, req: Request) -> Result<Closed> {
    let mut socket = req.websocket(config()).await?;
    while let Some(message) = socket.receive().await? {
        socket.send(message).await?;
    }
    Ok(socket.close().await?)
}

async fn broadcast(hub: &Hub, req: Request) -> Result<Closed> {
    let mut socket = req.websocket(config()).await?;
    let member = hub.join("all", "", &socket)?;
    while let Some(message) = socket.receive().await? {
        member.say(message)?;
    }
    Ok(socket.close().await?)
}

fn main() -> Result<()> {
    let options = common::Options::from_args();
    let hub = Hub::default();
    ringhttp::run(options.runtime.clone(), async |core| {
        let routes = Router::new().get("/ws", echo).get("/broadcast", broadcast);
        let server = Server::bind(&options.address, ServerConfig::default())?;
        let other = "cargo run --release --example ws_client -- --url ws://ADDRESS/ws";
        common::announce(&core, &server, &format!("{other}\nwebsocat ws://ADDRESS/ws"));
        server.serve(&core, routes, hub.clone()).await
    })
}
