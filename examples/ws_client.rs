//! A WebSocket's client: sends texts and binary messages of all sizes to a server that echoes, and sees that they come back.
//!
//! `cargo run --release --example ws_echo`, and beside it `cargo run --release --example ws_client -- --url ws://127.0.0.1:8080/ws`.
//!
//! With `--conformance on` it is what a test suite in the manner of Autobahn is pointed at: it asks `URL/getCaseCount`, connects
//! to `URL/runCase?case=…` for each, and sends everything back.
#![expect(clippy::print_stdout, reason = "an example talks to the person who started it")]

#[expect(dead_code, reason = "this example listens nowhere")]
mod common;

use std::time::{Duration, Instant};

use ringhttp::websocket::{CloseCode, CompressionConfig, Message};
use ringhttp::{Client, ClientConfig, Core, Error, Result, WebSocketConfig};

const SIZES: [usize; 8] = [0, 1, 125, 126, 4_096, 65_535, 65_536, 1_000_000];

async fn talk(core: &Core, url: &str, compressed: bool) -> Result<()> {
    let client = Client::new(core, ClientConfig::default())?;
    let mut config = WebSocketConfig::default();
    config.heartbeat = Some(Duration::from_secs(30));
    config.receive_timeout = Some(Duration::from_secs(30));
    config.compression = compressed.then(CompressionConfig::default);
    let mut socket = client.websocket(url).config(config).connect().await?;

    let started = Instant::now();
    let mut count = 0;
    for size in SIZES {
        for message in [Message::from("ü".repeat(size)), Message::Binary(vec![7; size].into())] {
            socket.send(message.clone()).await?;
            if socket.receive().await? != Some(message) {
                return Err(Error::internal(format!("a message of {size} did not come back")));
            }
            count += 1;
        }
    }
    let how = if socket.is_compressed() { "compressed" } else { "plain" };
    let closed = socket.close_with(CloseCode::NORMAL, "enough").await?;
    println!("{count} messages, {how}, closed with {}, in {:?}", closed.code().as_u16(), started.elapsed());
    client.close().await;
    Ok(())
}

/// As `ws_echo` does: more than a service needs, less than a test asks for.
fn conformance_config() -> WebSocketConfig {
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

async fn try_cases(core: &Core, url: &str) -> Result<()> {
    let client = Client::new(core, ClientConfig::default())?;
    let mut socket = client.websocket(format!("{url}/getCaseCount")).connect().await?;
    let answer = socket.receive().await?;
    let count = answer.as_ref().and_then(Message::as_text).and_then(|text| text.parse().ok());
    let count: usize = count.ok_or_else(|| Error::internal("nobody counts the cases there"))?;
    socket.close().await?;
    for case in 1..=count {
        let case = format!("{url}/runCase?case={case}&agent=ringhttp");
        let mut socket = client.websocket(&case).config(conformance_config()).connect().await?;
        // How a case ends is the suite's to judge: many are meant to fail.
        while let Ok(Some(message)) = socket.receive().await {
            if socket.send(message).await.is_err() {
                break;
            }
        }
        socket.close().await?;
    }
    client.websocket(format!("{url}/updateReports?agent=ringhttp")).connect().await?.close().await?;
    println!("{count} cases tried");
    client.close().await;
    Ok(())
}

fn main() -> Result<()> {
    let (mut url, mut compression) = ("ws://127.0.0.1:8080/ws".to_owned(), "on".to_owned());
    let mut conformance = "off".to_owned();
    let own =
        &mut [("--url", &mut url), ("--compression", &mut compression), ("--conformance", &mut conformance)];
    let options = common::Options::only(&["--driver"], own);
    ringhttp::run(options.runtime, async |core| match conformance.as_str() {
        "on" => try_cases(&core, &url).await,
        _ => talk(&core, &url, compression == "on").await,
    })
}
