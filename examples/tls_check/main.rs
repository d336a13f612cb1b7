//! Is that server's TLS in order? Ten points, each with what was found and a verdict.
//!
//! `cargo run --release --example tls_check -- example.org`, with a port as `example.org:8443`. `--ca authority.pem` trusts that
//! authority in place of the system's: for servers with a certificate of one's own. `--cert chain.pem --key key.pem` shows that
//! certificate to a server which asks for one, `--driver` chooses one of auto, io_uring and epoll. It ends with 1 if a point fails.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "an example talks to the person who started it"
)]

mod probe;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use ringhttp::client::{CertificateFault, ClientCertificate, OcspStaple};
use ringhttp::{Client, ClientConfig, ClientTls, ClientTlsConfig, Core, Cores, Driver, RuntimeConfig};

use self::probe::{Found, Result};

struct Options {
    host: String,
    port: u16,
    authority: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    driver: Driver,
}

/// How good something is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Good,
    /// It could be better.
    Fair,
    Bad,
}

/// A line of the table.
struct Point {
    name: &'static str,
    found: String,
    verdict: Verdict,
}

/// What ringhttp's own client makes of the server.
struct Asked {
    /// Why it is not accepted.
    refusal: Option<String>,
    /// What the staple says, if there has to be one.
    staple: std::result::Result<(), Option<CertificateFault>>,
    hsts: Option<String>,
}

fn main() -> ExitCode {
    let Some(options) = options() else {
        eprintln!("usage: tls_check HOST[:PORT] [--ca FILE] [--cert FILE --key FILE] [--driver NAME]");
        return ExitCode::from(2);
    };
    match check(&options) {
        Ok(points) => {
            print(&points);
            ExitCode::from(u8::from(points.iter().any(|point| point.verdict == Verdict::Bad)))
        }
        Err(error) => {
            eprintln!("{}:{}: {error}", options.host, options.port);
            ExitCode::from(2)
        }
    }
}

fn options() -> Option<Options> {
    let mut options = Options {
        host: String::new(),
        port: 443,
        authority: None,
        certificate: None,
        key: None,
        driver: Driver::Auto,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--ca" => options.authority = Some(arguments.next()?.into()),
            "--cert" => options.certificate = Some(arguments.next()?.into()),
            "--key" => options.key = Some(arguments.next()?.into()),
            "--driver" => options.driver = arguments.next()?.parse().ok()?,
            server if options.host.is_empty() && !server.starts_with("--") => {
                let (host, port) = server.rsplit_once(':').unwrap_or((server, "443"));
                (options.host, options.port) = (host.to_owned(), port.parse().ok()?);
            }
            _ => return None,
        }
    }
    let is_usable = !options.host.is_empty() && options.certificate.is_some() == options.key.is_some();
    is_usable.then_some(options)
}

fn check(options: &Options) -> Result<Vec<Point>> {
    let own = options.certificate.as_deref().zip(options.key.as_deref());
    let found = probe::probe(&options.host, options.port, own)?;
    let asked = ask(options)?;
    Ok(vec![
        chain(&asked),
        expiry(&found),
        version(&found),
        Point { name: "suite", found: found.suite.clone(), verdict: Verdict::Good },
        forward_secrecy(&found),
        key_size(&found),
        hsts(&asked),
        resumption(&found),
        staple(&found, &asked),
        renegotiation(&found),
    ])
}

/// By the library: what it accepts, and what the answer says.
fn ask(options: &Options) -> Result<Asked> {
    let mut trusting = ClientTlsConfig::default();
    if let Some(file) = &options.authority {
        trusting = ClientTlsConfig::trusting(file.clone().into());
    }
    let mut anybody = ClientTlsConfig::default();
    if let (Some(chain), Some(key)) = (&options.certificate, &options.key) {
        let shown = ClientCertificate::new(chain.clone(), key.clone());
        (trusting.certificate, anybody.certificate) = (Some(shown.clone()), Some(shown));
    }
    let mut stapled = trusting.clone();
    stapled.ocsp_staple = OcspStaple::Required;
    anybody.danger_accept_invalid_certificates = true;
    let (trusting, stapled, anybody) =
        (ClientTls::load(trusting)?, ClientTls::load(stapled)?, ClientTls::load(anybody)?);
    let url = format!("https://{}:{}/", options.host, options.port);
    let mut config = RuntimeConfig::default();
    config.cores = Cores::Count(1);
    config.driver = options.driver;
    let (sender, receiver) = std::sync::mpsc::channel();
    ringhttp::run(config, async move |core: Core| {
        let client = Client::new(&core, ClientConfig::default())?;
        let refusal = client.get(&url).tls(&trusting).send().await.err();
        // Each connection is over before the next: some servers have time for one only.
        let staple = client.get(&url).tls(&stapled).send().await.map(drop);
        let answer = client.get(&url).tls(&anybody).send().await;
        let hsts = answer.ok().and_then(|answer| {
            answer.headers().get("strict-transport-security")?.to_str().ok().map(str::to_owned)
        });
        let asked = Asked {
            refusal: refusal.as_ref().map(reason),
            staple: staple.map_err(|error| error.certificate_fault()),
            hsts,
        };
        let _ = sender.send(asked);
        core.shutdown();
        Ok::<(), ringhttp::Error>(())
    })?;
    Ok(receiver.recv()?)
}

/// What is wrong in a few words; in those of the innermost cause where there are no better ones.
fn reason(error: &ringhttp::client::Error) -> String {
    match error.certificate_fault() {
        Some(CertificateFault::Other) | None => {
            let mut cause: &dyn std::error::Error = error;
            while let Some(source) = cause.source() {
                cause = source;
            }
            cause.to_string()
        }
        Some(fault) => fault.to_string(),
    }
}

fn chain(asked: &Asked) -> Point {
    let (found, verdict) = match &asked.refusal {
        None => ("leads to an authority that is trusted, and is for this name".to_owned(), Verdict::Good),
        Some(why) => (why.clone(), Verdict::Bad),
    };
    Point { name: "chain", found, verdict }
}

fn expiry(found: &Found) -> Point {
    let until = found.certificate.as_ref().and_then(|certificate| certificate.not_after());
    let (found, verdict) = match until {
        None => ("the certificate cannot be read".to_owned(), Verdict::Bad),
        Some(until) => {
            let left = until.duration_since(SystemTime::now()).ok();
            let date = httpdate::fmt_http_date(until);
            match left {
                None => (format!("{date}, which is past"), Verdict::Bad),
                Some(left) => {
                    let verdict = if left < SOON { Verdict::Fair } else { Verdict::Good };
                    (format!("{date}, in {} days", left.as_secs() / 86_400), verdict)
                }
            }
        }
    };
    Point { name: "expiry", found, verdict }
}

fn version(found: &Found) -> Point {
    match found.is_13 {
        true => Point { name: "version", found: "TLSv1.3".to_owned(), verdict: Verdict::Good },
        false => Point { name: "version", found: "TLSv1.2, and not 1.3".to_owned(), verdict: Verdict::Fair },
    }
}

/// What has none is not spoken at all by rustls: a server without would not have come so far.
fn forward_secrecy(found: &Found) -> Point {
    Point {
        name: "forward secrecy",
        found: format!("keys agreed on by {}", found.exchange),
        verdict: Verdict::Good,
    }
}

fn key_size(found: &Found) -> Point {
    let certificate = found.certificate.as_ref();
    let key = certificate.and_then(|shown| Some((shown.key_algorithm()?, shown.key_bits()?)));
    let (found, verdict) = match key {
        None => ("a key of an unknown kind".to_owned(), Verdict::Fair),
        Some((kind, bits)) => {
            let is_enough = bits >= if kind == "RSA" { 2048 } else { 256 };
            (format!("{kind}, {bits} bits"), if is_enough { Verdict::Good } else { Verdict::Bad })
        }
    };
    Point { name: "key size", found, verdict }
}

/// RFC 6797 §6.1: how long browsers are to come by TLS only.
fn hsts(asked: &Asked) -> Point {
    let Some(value) = &asked.hsts else {
        return Point { name: "HSTS", found: "is not asked for".to_owned(), verdict: Verdict::Fair };
    };
    let age = value.split(';').find_map(|part| {
        let (name, age) = part.trim().split_once('=')?;
        if name.eq_ignore_ascii_case("max-age") { age.trim_matches('"').parse().ok() } else { None }
    });
    let is_long = age.is_some_and(|seconds| Duration::from_secs(seconds) >= HALF_A_YEAR);
    let verdict = if is_long { Verdict::Good } else { Verdict::Fair };
    Point { name: "HSTS", found: value.clone(), verdict }
}

fn resumption(found: &Found) -> Point {
    let (found, verdict) = match found.resumes {
        true => ("a session is resumed", Verdict::Good),
        false => ("each connection takes a full handshake", Verdict::Fair),
    };
    Point { name: "resumption", found: found.to_owned(), verdict }
}

fn staple(found: &Found, asked: &Asked) -> Point {
    let (found, verdict) = match (found.staple_bytes, &asked.staple) {
        (0, _) => ("there is none".to_owned(), Verdict::Fair),
        (_, Ok(())) => ("the certificate is good".to_owned(), Verdict::Good),
        (_, Err(Some(CertificateFault::Revoked))) => ("the certificate is revoked".to_owned(), Verdict::Bad),
        (bytes, Err(Some(CertificateFault::NoStaple))) => {
            (format!("{bytes} bytes that say nothing that counts"), Verdict::Bad)
        }
        (bytes, Err(_)) => (format!("{bytes} bytes; nobody to verify them by"), Verdict::Fair),
    };
    Point { name: "OCSP staple", found, verdict }
}

fn renegotiation(found: &Found) -> Point {
    let (found, verdict) = match found.renegotiation_is_secure {
        None => ("there is none in TLS 1.3, and 1.2 is not spoken", Verdict::Good),
        Some(true) => ("secure, where TLS 1.2 is spoken", Verdict::Good),
        Some(false) => ("not secured where TLS 1.2 is spoken", Verdict::Bad),
    };
    Point { name: "renegotiation", found: found.to_owned(), verdict }
}

fn print(points: &[Point]) {
    for Point { name, found, verdict } in points {
        let verdict = match verdict {
            Verdict::Good => "good",
            Verdict::Fair => "fair",
            Verdict::Bad => "BAD",
        };
        println!("{name:<16} {verdict:<5} {found}");
    }
}

/// Time in which a certificate should have been renewed.
const SOON: Duration = Duration::from_secs(14 * 86_400);
const HALF_A_YEAR: Duration = Duration::from_secs(182 * 86_400);
