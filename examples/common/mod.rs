//! What the examples share: their command line, and what they print when they are ready.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "an example talks to the person who started it"
)]

use std::process::exit;

use ringhttp::{Core, Cores, Driver, RuntimeConfig, Server};
use tracing::Level;

/// The options that examples share, and what they mean.
const SHARED: [(&str, &str); 3] = [
    ("--port", "N         port of 127.0.0.1 to listen on; default 8080, 0 for any free one"),
    ("--cores", "LIST     ids of the CPUs to run on, as in 0,2-3; default: all that may be used"),
    ("--driver", "NAME    auto, io_uring or epoll; default auto"),
];

/// The command line of an example.
pub(crate) struct Options {
    /// Where to listen.
    pub(crate) address: String,
    /// Cores and driver.
    pub(crate) runtime: RuntimeConfig,
}

impl Options {
    /// Reads the command line; ends the process if it cannot be understood.
    pub(crate) fn from_args() -> Self {
        Self::from_args_and(&mut [])
    }

    /// As [`from_args`](Self::from_args), with options of the example's own: their names, and where their values go.
    pub(crate) fn from_args_and(own: &mut [(&str, &mut String)]) -> Self {
        Self::only(&SHARED.map(|(name, _)| name), own)
    }

    /// As [`from_args_and`](Self::from_args_and), for an example to which only these of the shared options mean something; the
    /// others are refused. Without `--cores` it runs on one core.
    pub(crate) fn only(shared: &[&str], own: &mut [(&str, &mut String)]) -> Self {
        log_to_stderr();
        Self::parse(std::env::args().skip(1), shared, own).unwrap_or_else(|mistake| {
            eprintln!("{mistake}\n{}", usage(shared, own));
            exit(2)
        })
    }

    fn parse(
        mut args: impl Iterator<Item = String>,
        shared: &[&str],
        own: &mut [(&str, &mut String)],
    ) -> Result<Self, String> {
        let mut options = Self { address: "127.0.0.1:8080".to_owned(), runtime: RuntimeConfig::default() };
        if !shared.contains(&"--cores") {
            options.runtime.cores = Cores::Count(1);
        }
        while let Some(name) = args.next() {
            if name == "--help" || name == "-h" {
                println!("{}", usage(shared, own));
                exit(0);
            }
            if !shared.contains(&&*name) && !own.iter().any(|(own, _)| *own == name) {
                return Err(format!("unknown option `{name}`"));
            }
            let value = args.next().ok_or_else(|| format!("`{name}` needs a value"))?;
            if let Some((_, place)) = own.iter_mut().find(|(own, _)| *own == name) {
                **place = value;
                continue;
            }
            match name.as_str() {
                "--port" => {
                    let port: u16 = value.parse().map_err(|_| format!("`{value}` is no port"))?;
                    options.address = format!("127.0.0.1:{port}");
                }
                "--cores" => options.runtime.cores = Cores::List(parse_cores(&value)?),
                _ => options.runtime.driver = value.parse::<Driver>().map_err(|error| error.to_string())?,
            }
        }
        Ok(options)
    }
}

/// What the library warns of, and what fails, goes to the terminal: without a subscriber nobody would hear of it.
fn log_to_stderr() {
    tracing_subscriber::fmt().with_max_level(Level::WARN).with_writer(std::io::stderr).init();
}

/// Prints, once for all cores, what runs where and what to try: a line each, with `URL` and `ADDRESS` for where it listens, and
/// `first: ` in front of what belongs into a terminal of its own.
pub(crate) fn announce(core: &Core, server: &Server, try_this: &str) {
    announce_as(core, server, "http", try_this);
}

/// As [`announce`], for a server whose URLs begin otherwise.
pub(crate) fn announce_as(core: &Core, server: &Server, scheme: &str, try_this: &str) {
    if core.id() > 0 {
        return;
    }
    println!("{}", core.report());
    for address in server.local_addrs() {
        println!("url      {scheme}://{address}/");
        for line in try_this.lines() {
            let (label, line) = line.strip_prefix("first: ").map_or(("try", line), |line| ("first", line));
            let line = line.replace("URL", &format!("{scheme}://{address}"));
            println!("{label:<9}{}", line.replace("ADDRESS", &address.to_string()));
        }
    }
    println!("stop     Ctrl-C");
}

fn usage(shared: &[&str], own: &[(&str, &mut String)]) -> String {
    let shared = SHARED.iter().filter(|(name, _)| shared.contains(name));
    let usage = shared.fold("options:".to_owned(), |usage, (name, rest)| format!("{usage}\n  {name} {rest}"));
    own.iter().fold(usage, |usage, (name, _)| format!("{usage}\n  {name} VALUE"))
}

fn parse_cores(list: &str) -> Result<Vec<usize>, String> {
    let mut cores = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.trim().parse::<usize>().map_err(|_| format!("`{text}` is no CPU id"));
        cores.extend(number(first)?..=number(last)?);
    }
    if cores.is_empty() { Err(format!("`{list}` names no CPU")) } else { Ok(cores) }
}
