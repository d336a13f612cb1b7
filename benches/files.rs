//! CPU time and throughput of static files beside nginx with sendfile, in interleaved rounds on one CPU.
//!
//! `cargo bench --bench files -- [--rounds 5] [--seconds 2] [--connections 4] [--server-cpu 0] [--client-cpu 1]`; needs
//! `nginx` and `taskset`. What counts is the ratio within a round: the machine may do other things.
#![expect(clippy::print_stdout, reason = "a bench reports")]

#[expect(dead_code, reason = "the comparison of servers asks for more")]
#[path = "compare/process.rs"]
mod process;

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) type Problem = String;

/// The files: name, bytes.
const FILES: [(&str, u64); 2] = [("1m", 1 << 20), ("1g", 1 << 30)];

const GIB: f64 = (1_u64 << 30) as f64;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Nginx,
    IoUring,
    Epoll,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Nginx, Self::IoUring, Self::Epoll];

    fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::IoUring => "ringhttp",
            Self::Epoll => "ringhttp-epoll",
        }
    }
}

struct Options {
    rounds: usize,
    seconds: u64,
    connections: usize,
    server_cpu: usize,
    client_cpu: usize,
}

/// A server that runs, ended when it is dropped.
struct Server {
    child: Child,
    port: u16,
}

/// What one round found out about one server and one file.
#[derive(Clone, Copy)]
struct Figure {
    cpu_per_gib: f64,
    gib_per_second: f64,
    memory: u64,
}

fn main() -> Result<(), Problem> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if !args.iter().any(|arg| arg == "--bench") {
        self_check();
        return Ok(());
    }
    let options = Options::parse(&args)?;
    let directory = std::env::temp_dir().join(format!("ringhttp-bench-files-{}", std::process::id()));
    fs::create_dir_all(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    let result = measure(&options, &directory);
    let _ = fs::remove_dir_all(&directory);
    result
}

fn measure(options: &Options, directory: &Path) -> Result<(), Problem> {
    for (name, length) in FILES {
        let file = fs::File::create(directory.join(name)).and_then(|file| file.set_len(length));
        file.map_err(|error| format!("{name}: {error}"))?;
    }
    let ours = build()?;
    pin_self(options.client_cpu)?;
    for (name, _) in FILES {
        let mut figures: Vec<Vec<Figure>> = vec![Vec::new(); Kind::ALL.len()];
        for _ in 0..options.rounds {
            for (kind, figures) in Kind::ALL.into_iter().zip(&mut figures) {
                let server = Server::start(kind, &ours, directory, options.server_cpu)?;
                figures.push(round(&server, name, options)?);
            }
        }
        report(name, &figures);
    }
    Ok(())
}

fn report(file: &str, figures: &[Vec<Figure>]) {
    println!("\n{file}: medians of {} rounds\n", figures[0].len());
    println!("| server | CPU s/GiB | of nginx's (range) | GiB/s | own memory, KiB |\n|---|---|---|---|---|");
    for (kind, rounds) in Kind::ALL.into_iter().zip(figures) {
        let ratios: Vec<f64> =
            rounds.iter().zip(&figures[0]).map(|(own, nginx)| own.cpu_per_gib / nginx.cpu_per_gib).collect();
        let (ratio, least, most) = median(ratios);
        let (cpu, ..) = median(rounds.iter().map(|figure| figure.cpu_per_gib).collect());
        let (speed, ..) = median(rounds.iter().map(|figure| figure.gib_per_second).collect());
        let memory = rounds.iter().map(|figure| figure.memory).max().unwrap_or(0) / 1024;
        let name = kind.name();
        println!("| {name} | {cpu:.4} | {ratio:.2} ({least:.2}-{most:.2}) | {speed:.2} | {memory} |");
    }
}

/// The middle one, the least and the most.
fn median(mut values: Vec<f64>) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    (values[values.len() / 2], values[0], values[values.len() - 1])
}

fn round(server: &Server, file: &str, options: &Options) -> Result<Figure, Problem> {
    // What the first request pays for counts for nobody.
    fetch(&mut server.connect()?, file, &AtomicU64::new(0))?;
    let (received, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let pid = server.child.id();
    let (before, started) = (process::cpu_time(pid)?, Instant::now());
    let taken = thread::scope(|scope| {
        let client = || -> Result<(), Problem> {
            let mut socket = server.connect()?;
            while !stop.load(Ordering::Relaxed) {
                fetch(&mut socket, file, &received)?;
            }
            Ok(())
        };
        let clients: Vec<_> = (0..options.connections).map(|_| scope.spawn(client)).collect();
        thread::sleep(Duration::from_secs(options.seconds));
        let used = process::cpu_time(pid).map(|after| after.since(before).total());
        let taken =
            (used, received.load(Ordering::Relaxed), started.elapsed(), process::anonymous_memory(pid));
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            client.join().map_err(|_| "a client panicked")??;
        }
        Ok::<_, Problem>(taken)
    })?;
    let (used, bytes, time, memory) = taken;
    let gib = bytes as f64 / GIB;
    Ok(Figure { cpu_per_gib: used? / 1e9 / gib, gib_per_second: gib / time.as_secs_f64(), memory: memory? })
}

/// Gets a file once and throws it away.
fn fetch(socket: &mut TcpStream, file: &str, received: &AtomicU64) -> Result<(), Problem> {
    let failed = |error: std::io::Error| format!("GET /{file}: {error}");
    let request = format!("GET /{file} HTTP/1.1\r\nhost: bench\r\n\r\n");
    socket.write_all(request.as_bytes()).map_err(failed)?;
    let mut buffer = vec![0; 256 * 1024];
    let mut filled = 0;
    let end = loop {
        let count = socket.read(&mut buffer[filled..]).map_err(failed)?;
        if count == 0 {
            return Err(format!("GET /{file}: no answer"));
        }
        filled += count;
        if let Some(end) = buffer[..filled].windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let length = content_length(&buffer[..end]).ok_or("an answer without a length")?;
    let mut left = length.checked_sub((filled - end) as u64).ok_or("an answer that is too long")?;
    received.fetch_add((filled - end) as u64, Ordering::Relaxed);
    while left > 0 {
        let count = socket.read(&mut buffer).map_err(failed)? as u64;
        if count == 0 || count > left {
            return Err(format!("GET /{file}: {left} bytes are missing"));
        }
        left -= count;
        received.fetch_add(count, Ordering::Relaxed);
    }
    Ok(())
}

fn content_length(head: &[u8]) -> Option<u64> {
    let head = std::str::from_utf8(head).ok()?;
    if !head.starts_with("HTTP/1.1 200 ") {
        return None;
    }
    let value = |line: &str| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    };
    head.lines().find_map(value)
}

impl Server {
    fn start(kind: Kind, ours: &Path, directory: &Path, cpu: usize) -> Result<Self, Problem> {
        let port = free_port()?;
        let mut command = Command::new("taskset");
        command.args(["-c", &cpu.to_string()]);
        if kind == Kind::Nginx {
            let config = directory.join("nginx.conf");
            fs::write(&config, nginx_config(directory, port)).map_err(|error| error.to_string())?;
            command.arg("nginx").arg("-c").arg(config).arg("-p").arg(directory);
        } else {
            let driver = if kind == Kind::IoUring { "io_uring" } else { "epoll" };
            command.arg(ours).args(["--driver", driver, "--cores", &cpu.to_string()]);
            command.args(["--port", &port.to_string()]).arg("--directory").arg(directory);
        }
        let child = command.stdout(Stdio::null()).stderr(Stdio::inherit()).spawn();
        let child = child.map_err(|error| format!("taskset {}: {error}", kind.name()))?;
        let server = Self { child, port };
        for _ in 0..200 {
            if server.connect().is_ok() {
                return Ok(server);
            }
            thread::sleep(Duration::from_millis(25));
        }
        Err(format!("{} does not listen", kind.name()))
    }

    fn connect(&self) -> Result<TcpStream, Problem> {
        let socket =
            TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).map_err(|error| error.to_string())?;
        socket.set_read_timeout(Some(Duration::from_secs(10))).map_err(|error| error.to_string())?;
        Ok(socket)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One process, so that its CPU time is the child's; no log; all else as Debian has it.
fn nginx_config(directory: &Path, port: u16) -> String {
    let directory = directory.display();
    format!(
        "daemon off;\nmaster_process off;\nuser root;\npid {directory}/nginx.pid;\nerror_log stderr;\n\
         events {{ worker_connections 1024; }}\n\
         http {{\n  access_log off;\n  sendfile on;\n  tcp_nopush on;\n  keepalive_requests 1000000;\n\
         \x20 server {{ listen 127.0.0.1:{port}; root {directory}; }}\n}}\n"
    )
}

fn build() -> Result<PathBuf, Problem> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let status =
        Command::new(program).args(["build", "--release", "--example", "files"]).current_dir(root).status();
    match status {
        Ok(status) if status.success() => {}
        other => return Err(format!("cargo build --example files: {other:?}")),
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    Ok(target.join("release/examples/files"))
}

fn pin_self(cpu: usize) -> Result<(), Problem> {
    let (cpu, pid) = (cpu.to_string(), std::process::id().to_string());
    match Command::new("taskset").args(["-a", "-p", "-c", &cpu, &pid]).stdout(Stdio::null()).status() {
        Ok(status) if status.success() => Ok(()),
        other => Err(format!("taskset: {other:?}")),
    }
}

fn free_port() -> Result<u16, Problem> {
    let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    bound.map(|address| address.port()).map_err(|error| error.to_string())
}

impl Options {
    fn parse(args: &[String]) -> Result<Self, Problem> {
        let mut options = Self { rounds: 5, seconds: 2, connections: 4, server_cpu: 0, client_cpu: 1 };
        let mut args = args.iter().filter(|arg| *arg != "--bench");
        while let Some(name) = args.next() {
            let value = args.next().and_then(|value| value.parse::<usize>().ok());
            let value = value.ok_or_else(|| format!("`{name}` needs a number"))?;
            match name.as_str() {
                "--rounds" => options.rounds = value.max(1),
                "--seconds" => options.seconds = value.max(1) as u64,
                "--connections" => options.connections = value.max(1),
                "--server-cpu" => options.server_cpu = value,
                "--client-cpu" => options.client_cpu = value,
                _ => return Err(format!("unknown option `{name}`")),
            }
        }
        Ok(options)
    }
}

/// What `cargo test` runs of this.
fn self_check() {
    assert_eq!(content_length(b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n"), Some(12));
    assert_eq!(content_length(b"HTTP/1.1 404 Not Found\r\ncontent-length: 12\r\n\r\n"), None);
    assert_eq!(median(vec![3.0, 1.0, 2.0]), (2.0, 1.0, 3.0));
    let args = ["--bench", "--rounds", "3"].map(str::to_owned);
    assert_eq!(Options::parse(&args).map(|options| options.rounds), Ok(3));
    process::self_check();
}
