//! Why is it slow here, or why epoll? What this machine and this process give a server: driver, flags of the ring, features
//! of the kernel, limits, CPUs, the port, cryptography.
//!
//! `cargo run --release --example doctor -- --driver io_uring`

#![expect(clippy::print_stdout, reason = "an example talks to the person who started it")]

#[expect(dead_code, reason = "nothing is served here")]
mod common;

use std::net::TcpListener;

use ringhttp::runtime::{DriverKind, KernelReport};
use ringhttp::{Core, Result};

fn main() -> Result<()> {
    let options = common::Options::from_args();
    let address = options.address.clone();
    ringhttp::run(options.runtime, async |core: Core| {
        if core.id() == 0 {
            print(core.report(), &address);
        }
        Ok(())
    })
}

fn print(report: &KernelReport, address: &str) {
    println!("{report}\n");
    println!("found    what");
    for feature in report.features() {
        println!("{feature}");
    }
    println!();
    let free = TcpListener::bind(address).map_or_else(|error| error.to_string(), |_| "free".to_owned());
    println!("port     {address}: {free}");
    println!("tls      {}", tls());
    for advice in advice(report) {
        println!("advice   {advice}");
    }
    println!("try      cargo run --release --example hello");
}

#[cfg(feature = "rustls")]
fn tls() -> &'static str {
    ringhttp::tls_provider().unwrap_or("no provider of cryptography: turn on the feature `tls`")
}

#[cfg(not(feature = "rustls"))]
fn tls() -> &'static str {
    "not built in: turn on the feature `tls`"
}

/// What could be better.
fn advice(report: &KernelReport) -> Vec<String> {
    let mut advice = Vec::new();
    if report.driver == DriverKind::Epoll && !report.rings.is_empty() {
        advice.push(
            "io_uring is refused here: a container needs a seccomp profile that allows it, and \
             /proc/sys/kernel/io_uring_disabled has to be 0"
                .to_owned(),
        );
    }
    if report.rings.len() > 1 {
        advice.push("a kernel from 6.1 on has the cheapest ring".to_owned());
    }
    if report.fd_limit.is_some_and(|limit| limit < FDS_WANTED) {
        advice.push(format!("each connection is a descriptor: `ulimit -n {FDS_WANTED}`, or LimitNOFILE="));
    }
    if report.cpus.iter().any(Option::is_none) {
        advice.push("cores roam: pinning is off, or there are more of them than CPUs".to_owned());
    }
    advice
}

/// For ten thousand connections on each side of a proxy.
const FDS_WANTED: u64 = 20_000;
