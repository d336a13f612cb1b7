//! Asks a server that speaks TLS for what is measured of it, once, as [`check`](crate::check) does over TCP.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CipherSuite, ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::Problem;
use crate::check::{TIMEOUT, parse_head};
use crate::server::Server;

/// Checks version, cipher, certificate, and the answers to all requests that are measured, over one connection.
///
/// # Errors
/// What is wrong, or missing.
pub(crate) fn surface(server: &Server, chain: &Path) -> Result<(), Problem> {
    let mut client = connect(server.port(), chain).map_err(|error| format!("connect: {error}"))?;
    for (path, body) in [
        ("/plaintext", &b"Hello, World!"[..]),
        ("/bytes/65536", &vec![b'x'; 1 << 16]),
        ("/bytes/1048576", &vec![b'x'; 1 << 20]),
    ] {
        let found = ask(&mut client, path, body.len()).map_err(|error| format!("GET {path}: {error}"))?;
        if found != body {
            return Err(format!("GET {path}: another body than expected"));
        }
    }
    match client.conn.negotiated_cipher_suite().map(|suite| suite.suite()) {
        // What all of them agree on with wrk, which is built on OpenSSL.
        Some(CipherSuite::TLS13_AES_256_GCM_SHA384) => Ok(()),
        other => Err(format!("{other:?} was agreed on")),
    }
}

type Client = StreamOwned<ClientConnection, TcpStream>;

fn connect(port: u16, chain: &Path) -> std::io::Result<Client> {
    let other = std::io::Error::other::<Box<dyn std::error::Error + Send + Sync>>;
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_file(chain).map_err(|error| other(error.into()))?;
    roots.add(certificate).map_err(|error| other(error.into()))?;
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| other(error.into()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").map_err(|error| other(error.into()))?;
    let tls = ClientConnection::new(Arc::new(config), name).map_err(|error| other(error.into()))?;
    let socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    socket.set_read_timeout(Some(TIMEOUT))?;
    socket.set_write_timeout(Some(TIMEOUT))?;
    Ok(StreamOwned::new(tls, socket))
}

/// The body of an answer that says how long it is.
fn ask(client: &mut Client, path: &str, length: usize) -> std::io::Result<Vec<u8>> {
    client.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes())?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte)?;
        head.extend_from_slice(&byte);
    }
    let head = String::from_utf8_lossy(&head);
    let is_expected = parse_head(&head).is_some_and(|(status, fields)| {
        let is_length =
            |(name, value): &(String, String)| name == "content-length" && *value == length.to_string();
        status == 200 && fields.iter().any(is_length)
    });
    if !is_expected {
        return Err(std::io::Error::other(format!("expected 200 and {length} bytes:\n{head}")));
    }
    let mut body = vec![0; length];
    client.read_exact(&mut body)?;
    Ok(body)
}
