//! A content to a file: killed and started again, it goes on where it was. With a bar, the speed, and the time that is left.
//!
//! `cargo run --release --example download --features checksum -- --url URL --to FILE --sha256 HEX`.
#![expect(clippy::print_stdout, reason = "an example talks to the person who started it")]

#[expect(dead_code, reason = "this example listens nowhere")]
mod common;

use std::io::{Write, stdout};
use std::time::{Duration, Instant};

use ringhttp::client::Progress;
use ringhttp::{Client, ClientConfig, Error, Result};

/// Between two lines on the terminal.
const PAUSE: Duration = Duration::from_millis(100);

/// How far it is, at what speed since this run began, and how long the rest will take at that.
fn line(progress: &Progress, elapsed: Duration) -> String {
    const MEBIBYTE: f64 = 1024.0 * 1024.0;
    let has_come = progress.bytes.saturating_sub(progress.resumed_from);
    let speed = has_come as f64 / elapsed.as_secs_f64().max(1e-3);
    let bytes = progress.bytes as f64;
    let Some(total) = progress.total.filter(|total| *total > 0) else {
        return format!("{:.1} MiB at {:.1} MiB/s", bytes / MEBIBYTE, speed / MEBIBYTE);
    };
    let (part, left) = (bytes / total as f64, (total as f64 - bytes) / speed.max(1.0));
    let bar = "#".repeat(usize::try_from(progress.bytes.min(total) * 40 / total).unwrap_or(40));
    format!("[{bar:<40}] {:3.0} % at {:.1} MiB/s, {left:.0} s left", part * 100.0, speed / MEBIBYTE)
}

/// A function that draws the bar, not with each piece that comes.
fn bar() -> impl FnMut(Progress) {
    let (started, mut drawn) = (Instant::now(), None::<Instant>);
    move |progress| {
        let is_last = progress.total == Some(progress.bytes);
        if !is_last && drawn.is_some_and(|drawn| drawn.elapsed() < PAUSE) {
            return;
        }
        drawn = Some(Instant::now());
        print!("\r{:<90}", line(&progress, started.elapsed()));
        let _ = stdout().flush();
    }
}

/// The 32 bytes that 64 hexadecimal digits are.
fn digest(text: &str) -> Result<[u8; 32]> {
    let is_hex = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_hex {
        return Err(Error::internal(format!("`{text}` is no SHA-256: 64 hexadecimal digits")));
    }
    let mut digest = [0; 32];
    for (place, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * place..2 * place + 2], 16).map_err(Error::internal)?;
    }
    Ok(digest)
}

fn main() -> Result<()> {
    let (mut url, mut to, mut sha256) =
        ("http://127.0.0.1:8080/".to_owned(), "download".to_owned(), String::new());
    let mut parts = "1".to_owned();
    let own =
        &mut [("--url", &mut url), ("--to", &mut to), ("--sha256", &mut sha256), ("--parts", &mut parts)];
    let options = common::Options::only(&["--driver"], own);
    let parts = parts.parse::<usize>().map_err(Error::internal)?;
    let sha256 = if sha256.is_empty() { None } else { Some(digest(&sha256)?) };
    ringhttp::run(options.runtime, async |core| {
        let client = Client::new(&core, ClientConfig::default())?;
        let mut download = client.download(&url).parts(parts).progress(bar());
        if let Some(sha256) = sha256 {
            download = download.sha256(sha256);
        }
        let done = download.to(&to).await?;
        println!(
            "\n{} bytes, {} of them from before, {} requests",
            done.bytes, done.resumed_from, done.requests
        );
        println!("file     {to}{}", if sha256.is_some() { ", with the right checksum" } else { "" });
        client.close().await;
        Ok(())
    })
}
