//! What a server shows in its handshakes, whoever it is: nothing is verified here.

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ringhttp::PeerCertificate;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, HandshakeKind, ProtocolVersion, SignatureScheme,
    Stream, SupportedProtocolVersion,
};

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// What was found.
pub(crate) struct Found {
    pub(crate) is_13: bool,
    pub(crate) suite: String,
    /// How keys were agreed on.
    pub(crate) exchange: String,
    pub(crate) certificate: Option<PeerCertificate>,
    pub(crate) staple_bytes: usize,
    pub(crate) resumes: bool,
    /// How it renegotiates where TLS 1.2 is spoken; `None`: it does not speak that.
    pub(crate) renegotiation_is_secure: Option<bool>,
}

/// What is shown to a server that asks for it: PEM files of a certificate chain and of its key.
pub(crate) type Own<'a> = Option<(&'a Path, &'a Path)>;

/// Asks thrice: in the best way, again with what it gave to go on with, and in TLS 1.2.
pub(crate) fn probe(host: &str, port: u16, own: Own<'_>) -> Result<Found> {
    let shown = Arc::new(Shown::default());
    let config = config(&shown, &[&TLS13, &TLS12], own)?;
    let mut found = converse(host, port, &config, |tls| {
        let suite = tls.negotiated_cipher_suite().ok_or("no cipher suite")?.suite();
        let suite = suite.as_str().unwrap_or("unknown").replace("TLS13_", "TLS_");
        let exchange = tls.negotiated_key_exchange_group().map(|group| format!("{:?}", group.name()));
        let (certificate, staple_bytes) = shown.take();
        Ok(Found {
            is_13: tls.protocol_version() == Some(ProtocolVersion::TLSv1_3),
            suite,
            exchange: exchange.unwrap_or_default(),
            certificate,
            staple_bytes,
            resumes: false,
            renegotiation_is_secure: None,
        })
    })?;
    found.resumes =
        converse(host, port, &config, |tls| Ok(tls.handshake_kind() == Some(HandshakeKind::Resumed)))?;
    found.renegotiation_is_secure = renegotiation(host, port)?;
    Ok(found)
}

/// A connection with one request. Its answer has only to begin: tickets come before it.
fn converse<T>(
    host: &str,
    port: u16,
    config: &Arc<ClientConfig>,
    look: impl FnOnce(&ClientConnection) -> Result<T>,
) -> Result<T> {
    let mut socket = connect(host, port)?;
    let mut tls = ClientConnection::new(Arc::clone(config), ServerName::try_from(host.to_owned())?)?;
    let mut stream = Stream::new(&mut tls, &mut socket);
    let asked = write!(stream, "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    // That it ends without one, or without saying so, is nothing that is asked here.
    let _ = stream.read(&mut [0; 4096]);
    // One that wants a certificate may have shown all there is to see before it refused.
    look(&tls).map_err(|unseen| asked.err().map_or(unseen, Into::into))
}

fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let socket = TcpStream::connect((host, port))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// RFC 5746: whoever can renegotiate safely says so in its hello, which TLS 1.2 sends in the clear.
fn renegotiation(host: &str, port: u16) -> Result<Option<bool>> {
    let mut socket = connect(host, port)?;
    let config = config(&Arc::default(), &[&TLS12], None)?;
    let mut tls = ClientConnection::new(config, ServerName::try_from(host.to_owned())?)?;
    tls.write_tls(&mut socket)?;
    let (mut received, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        if let Some(hello) = ServerHello::find(&received) {
            return Ok(hello.map(|hello| hello.has_extension(RENEGOTIATION_INFO)));
        }
        match socket.read(&mut piece) {
            Ok(count @ 1..) if received.len() < HELLO_BYTES_MAX => {
                received.extend_from_slice(&piece[..count]);
            }
            // It ends what is no TLS 1.3.
            _ => return Ok(None),
        }
    }
}

/// The extensions of a hello.
struct ServerHello<'a>(&'a [u8]);

impl<'a> ServerHello<'a> {
    /// In the first record that came; `None` if that is not all there, `Some(None)` if it is something else.
    fn find(received: &'a [u8]) -> Option<Option<Self>> {
        let &[kind, _, _, high, low, ref rest @ ..] = received else { return None };
        let record = rest.get(..usize::from(u16::from_be_bytes([high, low])))?;
        const HANDSHAKE: u8 = 22;
        if kind != HANDSHAKE {
            return Some(None);
        }
        Some(Self::parse(record))
    }

    /// RFC 5246 §7.4.1.3: type and length, version, random, session, suite, compression, extensions.
    fn parse(message: &'a [u8]) -> Option<Self> {
        let behind_random = message.get(4 + 2 + 32..)?;
        let session_bytes = usize::from(*behind_random.first()?);
        let extensions = behind_random.get(1 + session_bytes + 2 + 1..)?;
        Some(Self(extensions.get(2..).unwrap_or_default()))
    }

    fn has_extension(&self, wanted: u16) -> bool {
        let mut rest = self.0;
        while let &[a, b, high, low, ref behind @ ..] = rest {
            if u16::from_be_bytes([a, b]) == wanted {
                return true;
            }
            rest = behind.get(usize::from(u16::from_be_bytes([high, low]))..).unwrap_or_default();
        }
        false
    }
}

const RENEGOTIATION_INFO: u16 = 0xff01;
const HELLO_BYTES_MAX: usize = 64 * 1024;
const PATIENCE: Duration = Duration::from_secs(10);

fn config(
    shown: &Arc<Shown>,
    versions: &[&'static SupportedProtocolVersion],
    own: Own<'_>,
) -> Result<Arc<ClientConfig>> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::<Shown>::clone(shown));
    let config = match own {
        Some((chain, key)) => {
            let chain = CertificateDer::pem_file_iter(chain)?.collect::<std::result::Result<_, _>>()?;
            config.with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(key)?)?
        }
        None => config.with_no_client_auth(),
    };
    Ok(Arc::new(config))
}

/// What a server shows; it is accepted, whatever it is. Nothing is sent to it that others may not read.
#[derive(Debug, Default)]
struct Shown(Mutex<(Option<PeerCertificate>, usize)>);

impl Shown {
    fn take(&self) -> (Option<PeerCertificate>, usize) {
        std::mem::take(&mut self.0.lock().expect("nobody panics with it"))
    }
}

impl ServerCertVerifier for Shown {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        staple: &[u8],
        _: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        let certificate = PeerCertificate::from_der(end_entity);
        *self.0.lock().expect("nobody panics with it") = (certificate, staple.len());
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &ring::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &ring::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
