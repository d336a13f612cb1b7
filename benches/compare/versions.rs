//! Which versions of the servers, clients and loads were measured.

use std::path::Path;
use std::process::Command;

use crate::nginx;
use crate::options::Options;
use crate::server::{Binaries, Kind};

/// Names and versions, of those that take part.
pub(crate) fn find(options: &Options, binaries: &Binaries) -> Vec<(&'static str, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let has = |is_such: fn(Kind) -> bool| options.servers.iter().any(|&kind| is_such(kind));
    let mut versions =
        vec![("ringhttp is built on", of_lock(&root.join("Cargo.lock"), &OURS)), ("wrk", wrk())];
    if has(Kind::is_of_peers) {
        versions.push(("peers in Rust", of_lock(&root.join("benches/peers/Cargo.lock"), &PEERS)));
    }
    if has(Kind::is_on_uring) {
        let lock = root.join("benches/peers_uring/Cargo.lock");
        versions.push(("peers in Rust on io_uring", of_lock(&lock, &PEERS_URING)));
    }
    if has(Kind::is_nginx) {
        versions.push(("nginx", nginx::find().map_or_else(unknown, |path| nginx_of(&path))));
    }
    if let Some(python) = [Kind::Aiohttp, Kind::WsAiohttp, Kind::ClientAiohttp]
        .into_iter()
        .find_map(|kind| binaries.foreign(kind))
    {
        versions.push(("Python", first_line(Command::new(python.program()).args(["-c", PYTHON]))));
    }
    if let Some(ws) = binaries.foreign(Kind::WsNpm) {
        let mut node = Command::new(ws.program());
        versions.push(("Node", first_line(node.args(["-e", NODE_WITH_WS]).arg(ws.modules()))));
    } else if let Some(node) = binaries.foreign(Kind::Node) {
        versions.push(("Node", first_line(Command::new(node.program()).arg("--version"))));
    }
    versions
}

/// What a lock file says of some packages.
fn of_lock(path: &Path, names: &[&str]) -> String {
    let lock = std::fs::read_to_string(path).unwrap_or_default();
    let named = names.iter().filter_map(|name| Some(format!("{name} {}", locked(&lock, name)?)));
    named.collect::<Vec<_>>().join(", ")
}

/// The version of a package; of several the newest, which is the one that is asked for by name.
fn locked<'a>(lock: &'a str, name: &str) -> Option<&'a str> {
    let entry = format!("name = \"{name}\"");
    let mut lines = lock.lines();
    let mut found = None;
    while lines.any(|line| line == entry) {
        found = lines.next().and_then(|line| line.strip_prefix("version = \"")?.strip_suffix('"'));
    }
    found
}

/// It says so with its help, and fails.
fn wrk() -> String {
    let line = first_line(Command::new("wrk").arg("--version"));
    let version = line.split(" [").next().and_then(|line| line.strip_prefix("wrk "));
    version.map_or_else(unknown, str::to_owned)
}

/// Its version, and that of the library which it speaks TLS by.
fn nginx_of(program: &Path) -> String {
    let Ok(output) = Command::new(program).arg("-V").output() else { return unknown() };
    nginx_version(&String::from_utf8_lossy(&output.stderr)).unwrap_or_else(unknown)
}

fn nginx_version(said: &str) -> Option<String> {
    let version = said.lines().find_map(|line| line.strip_prefix("nginx version: nginx/"))?;
    let built = said.lines().find_map(|line| line.strip_prefix("built with "));
    // It names the one that it runs with if that is another one.
    let library = built.map(|built| match built.split_once("(running with ") {
        Some((_, running)) => running.trim_end_matches(')'),
        None => built,
    });
    let library = library.map(|library| library.split_whitespace().take(2).collect::<Vec<_>>().join(" "));
    Some([Some(version.to_owned()), library].into_iter().flatten().collect::<Vec<_>>().join(", "))
}

fn first_line(command: &mut Command) -> String {
    let output = command.output().ok();
    let line = output.as_ref().and_then(|output| {
        let said = std::str::from_utf8(&output.stdout).ok()?;
        said.lines().next().filter(|line| !line.is_empty())
    });
    line.map_or_else(unknown, str::to_owned)
}

fn unknown() -> String {
    "unknown".to_owned()
}

const PYTHON: &str = "import platform, aiohttp, uvloop; \
    print(f'{platform.python_version()}, aiohttp {aiohttp.__version__}, uvloop {uvloop.__version__}')";

/// Of packages that do not let their description be asked for.
const NODE_WITH_WS: &str = "const of = (name) => \
    JSON.parse(require('fs').readFileSync(`${process.argv[1]}/${name}/package.json`)).version; \
    console.log(`${process.version}, ws ${of('ws')}, bufferutil ${of('bufferutil')}`)";

const OURS: [&str; 3] = ["monoio", "rustls", "ring"];

const PEERS: [&str; 13] = [
    "hyper",
    "hyper-util",
    "axum",
    "actix-web",
    "actix-files",
    "tower-http",
    "fastwebsockets",
    "tokio-tungstenite",
    "reqwest",
    "tokio",
    "tokio-rustls",
    "rustls",
    "ring",
];

const PEERS_URING: [&str; 4] = ["ntex", "xitca-web", "monoio", "monoio-http"];

/// A lock file, what nginx says, and that all packages are in the lock files that there are.
pub(crate) fn self_check() {
    let lock = "[[package]]\nname = \"a\"\nversion = \"0.6.1\"\n\n[[package]]\nname = \"a\"\nversion = \"0.7.0\"\n\n\
        [[package]]\nname = \"ab\"\nversion = \"2.0.0\"\ndependencies = [\n \"a 0.7.0\",\n]\n";
    assert_eq!((locked(lock, "a"), locked(lock, "b")), (Some("0.7.0"), None));
    let said = "nginx version: nginx/1.22.1\nbuilt with OpenSSL 3.0.22 25 Aug 2026 (running with OpenSSL 3.0.19 27 Jan 2026)\n";
    assert_eq!(nginx_version(said).as_deref(), Some("1.22.1, OpenSSL 3.0.19"));
    assert_eq!(nginx_version("nginx version: nginx/1.0\n").as_deref(), Some("1.0"));
    assert_eq!(nginx_version("no nginx"), None);
    assert_eq!(first_line(&mut Command::new("false")), "unknown");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (file, names) in [
        ("Cargo.lock", &OURS[..]),
        ("benches/peers/Cargo.lock", &PEERS),
        ("benches/peers_uring/Cargo.lock", &PEERS_URING),
    ] {
        let found = of_lock(&root.join(file), names);
        assert_eq!(found.split(", ").count(), names.len(), "{file}: {found}");
    }
}
