//! Clients that show certificates: who has one may come in, and is called by the name in it.
//!
//! `cargo run --release --example mtls` makes an authority, a server's certificate and a client's in a directory, and prints
//! how to use them; the directory is gone at the end. With `--cert`, `--key` and `--clients` (the authorities of clients, in PEM) it
//! takes yours.

#![expect(clippy::print_stdout, reason = "an example talks to the person who started it")]

#[expect(dead_code, reason = "this example has options of its own")]
mod common;

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use ringhttp::{
    Certificates, ClientAuth, ClientRoots, Error, Request, Result, Router, Server, ServerConfig, TlsConfig,
};

async fn whoami(_: &(), req: Request) -> Result<String> {
    // It was verified in the handshake: here is only asked who it is.
    let certificate = req.tls().and_then(|tls| tls.client_certificate());
    let certificate = certificate.ok_or_else(|| Error::bad_request("who are you?"))?;
    let name = certificate.common_name().unwrap_or_else(|| "nameless one".to_owned());
    Ok(format!("Hello, {name}! Your names are {:?}.\n", certificate.dns_names()))
}

/// A directory of our own, which nobody else may look into: there are keys in it.
struct Made(PathBuf);

impl Made {
    fn new() -> io::Result<Self> {
        let directory = std::env::temp_dir().join(format!("ringhttp-mtls-{}", std::process::id()));
        DirBuilder::new().mode(0o700).create(&directory)?;
        Ok(Self(directory))
    }
}

/// However it ends, the keys are not left behind.
impl Drop for Made {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            println!("left     {}: {error}", self.0.display());
        }
    }
}

/// Files with a certificate of an authority, of a server and of a client, and the keys of the last two.
fn make_all(directory: &Path) -> std::result::Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    fs::write(directory.join("authority.pem"), params.self_signed(&key)?.pem())?;
    let authority = Issuer::new(params, key);
    for (name, names) in [("server", &["localhost", "127.0.0.1"][..]), ("client", &["ada.example.org"])] {
        let key = KeyPair::generate()?;
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name.push(DnType::CommonName, if name == "client" { "Ada" } else { name });
        fs::write(directory.join(format!("{name}.pem")), params.signed_by(&key, &authority)?.pem())?;
        fs::write(directory.join(format!("{name}.key")), key.serialize_pem())?;
    }
    Ok(())
}

fn main() -> Result<()> {
    let (mut cert, mut key, mut clients) = (String::new(), String::new(), String::new());
    let own = &mut [("--cert", &mut cert), ("--key", &mut key), ("--clients", &mut clients)];
    let options = common::Options::from_args_and(own);
    let mut try_this = "curl --cert CLIENT --key KEY URL/".to_owned();
    let made = if cert.is_empty() { Some(Made::new()?) } else { None };
    let (mut config, roots) = if let Some(Made(made)) = &made {
        make_all(made)?;
        let here = made.display();
        println!("made     {here}");
        try_this = format!(
            "curl --cacert {here}/authority.pem --cert {here}/client.pem --key {here}/client.key URL/"
        );
        let config = TlsConfig::from_files(made.join("server.pem"), made.join("server.key"));
        (config, made.join("authority.pem"))
    } else {
        (TlsConfig::from_files(cert, key), PathBuf::from(clients))
    };
    config.client_auth = ClientAuth::Required(ClientRoots::from_file(roots));
    let certificates = Certificates::load(config)?;

    ringhttp::run(options.runtime.clone(), async |core| {
        let routes = Router::new().get("/", whoami);
        let server = Server::bind_tls(&options.address, ServerConfig::default(), &certificates)?;
        common::announce_as(&core, &server, "https", &try_this);
        server.serve(&core, routes, ()).await
    })
}
