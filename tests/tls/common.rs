//! Certificates, a server that uses them, and a client on threads.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::{Arc, Once};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber,
    date_time_ymd,
};
use ringhttp::{Certificates, Core, Router, Server, ServerConfig, ServerStats, TlsConfig};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};

use super::ocsp::Saying;

/// Time that a client waits for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const BOTH: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];

/// Has everything in this process use ring, whatever else is built in.
pub(crate) fn use_ring() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Another test's may be there already.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

/// Who signs certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
    der: CertificateDer<'static>,
}

/// A certificate and its key, in PEM.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) chain: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).expect("signed");
        let (pem, der) = (certificate.pem(), certificate.der().clone());
        Self { issuer: Issuer::new(params, key), pem, der }
    }

    /// A server's certificate for these names.
    pub(crate) fn server(&self, names: &[&str]) -> Identity {
        self.sign(Self::params(names), 1)
    }

    /// A server's certificate that has expired.
    pub(crate) fn expired(&self, name: &str) -> Identity {
        let mut params = Self::params(&[name]);
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
        self.sign(params, 2)
    }

    /// A client's certificate with this common name and number.
    pub(crate) fn client(&self, name: &str, serial: u64) -> Identity {
        let mut params = Self::params(&[&format!("{name}.example.org")]);
        params.distinguished_name.push(DnType::OrganizationName, "Example, Inc.");
        params.distinguished_name.push(DnType::CommonName, name);
        let uri = format!("spiffe://example.org/{name}").try_into().expect("ASCII");
        params.subject_alt_names.push(SanType::URI(uri));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params, serial)
    }

    fn params(names: &[&str]) -> CertificateParams {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
    }

    fn sign(&self, mut params: CertificateParams, serial: u64) -> Identity {
        let key = KeyPair::generate().expect("a key");
        params.serial_number = Some(SerialNumber::from(serial));
        let certificate = params.signed_by(&key, &self.issuer).expect("signed");
        Identity { chain: certificate.pem(), key: key.serialize_pem() }
    }

    /// A list that revokes these numbers.
    pub(crate) fn revoke(&self, serials: &[u64]) -> String {
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2024, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(2124, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).expect("signed").pem().expect("PEM")
    }

    /// What it says of the certificate with this number; `name` is its own.
    pub(crate) fn ocsp(&self, name: &str, serial: u8, status: &'static [u8]) -> Vec<u8> {
        Saying::new(name, self.issuer.key(), serial, status).sign(self.issuer.key())
    }

    pub(crate) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).expect("a root");
        roots
    }
}

impl Identity {
    pub(crate) fn config(&self) -> TlsConfig {
        TlsConfig::from_pem(self.chain.as_str(), self.key.as_str())
    }
}

/// A server under test.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) core: Core,
    pub(crate) address: SocketAddr,
    pub(crate) stats: Rc<ServerStats>,
    pub(crate) certificates: Certificates,
}

/// Runs `body` against a server on this core that speaks TLS, then stops the core.
pub(crate) async fn serve<S: 'static>(
    core: &Core,
    tls: TlsConfig,
    config: ServerConfig,
    router: Router<S>,
    state: S,
    body: impl AsyncFnOnce(Site),
) {
    use_ring();
    let certificates = Certificates::load(tls).expect("the test's certificates can be used");
    let server = Server::bind_tls("127.0.0.1:0", config, &certificates).expect("a free port");
    let address = server.local_addrs()[0].as_socket().expect("over IP");
    let stats = server.stats();
    let here = core.clone();
    let served = core.spawn("test server", async move { server.serve(&here, router, state).await });
    Box::pin(body(Site { core: core.clone(), address, stats, certificates })).await;
    core.shutdown();
    served.await.expect("no panic").expect("no error");
}

/// What a client trusts, and how it speaks.
pub(crate) fn client_config(
    authority: &Authority,
    versions: &[&'static SupportedProtocolVersion],
    identity: Option<&Identity>,
) -> ClientConfig {
    use_ring();
    let builder = ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_protocol_versions(versions)
        .expect("versions")
        .with_root_certificates(authority.roots());
    match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => builder
            .with_client_auth_cert(
                CertificateDer::pem_slice_iter(identity.chain.as_bytes())
                    .map(|one| one.expect("PEM"))
                    .collect(),
                PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).expect("PEM"),
            )
            .expect("a key that fits"),
    }
}

/// A connection behind its handshake. It blocks: it is for threads.
pub(crate) struct Client {
    pub(crate) stream: StreamOwned<ClientConnection, TcpStream>,
    unread: Vec<u8>,
}

/// What came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }
}

impl Client {
    /// Connects and shakes hands; the error is the handshake's.
    pub(crate) fn connect(address: SocketAddr, config: &Arc<ClientConfig>, name: &str) -> io::Result<Self> {
        Self::over(connect(address), config, name)
    }

    /// Shakes hands on a connection that is there.
    pub(crate) fn over(socket: TcpStream, config: &Arc<ClientConfig>, name: &str) -> io::Result<Self> {
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let connection = ClientConnection::new(Arc::clone(config), name).expect("a configuration that works");
        let mut stream = StreamOwned::new(connection, socket);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Self { stream, unread: Vec::new() })
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("the server reads");
        self.stream.flush().expect("the server reads");
    }

    /// Sends a large body to a server that answers before it has all of it: what comes is read in between.
    pub(crate) fn send_while_reading(&mut self, body: &[u8]) {
        self.stream.sock.set_nonblocking(true).expect("an open socket");
        for piece in body.chunks(32 * 1024) {
            self.stream.conn.writer().write_all(piece).expect("it fits");
            while self.stream.conn.wants_write() {
                let sent = self.stream.conn.write_tls(&mut self.stream.sock).is_ok();
                let received = self.fill().is_ok();
                if !sent && !received {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        }
        self.stream.sock.set_nonblocking(false).expect("an open socket");
    }

    pub(crate) fn get(&mut self, path: &str) -> Answer {
        self.send(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n"));
        self.answer().expect("an answer")
    }

    /// As [`get`](Self::get), of a server that may not answer.
    pub(crate) fn try_get(&mut self, path: &str) -> Option<Answer> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        self.stream.write_all(request.as_bytes()).ok()?;
        self.answer().ok()
    }

    /// The next answer, which has a length.
    pub(crate) fn answer(&mut self) -> io::Result<Answer> {
        let end = loop {
            if let Some(at) = self.unread.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            self.fill()?;
        };
        let head = String::from_utf8(self.unread.drain(..end).collect()).expect("a head is text");
        let status = head[9..12].parse().expect("a status");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length = length.map_or(0, |length| length.parse().expect("a number"));
        while self.unread.len() < length {
            self.fill()?;
        }
        let body = self.unread.drain(..length).collect();
        Ok(Answer { status, body })
    }

    /// Everything up to the end, which the server has to say.
    pub(crate) fn rest(&mut self) -> io::Result<Vec<u8>> {
        self.stream.read_to_end(&mut self.unread)?;
        Ok(std::mem::take(&mut self.unread))
    }

    /// What has come behind the last answer.
    pub(crate) fn take_unread(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.unread)
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut piece = [0; 16 * 1024];
        match self.stream.read(&mut piece)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                self.unread.extend_from_slice(&piece[..count]);
                Ok(())
            }
        }
    }

    /// Ends our side as it should be.
    pub(crate) fn close(mut self) {
        self.stream.conn.send_close_notify();
        let _ = self.stream.flush();
    }
}

/// A plain connection.
pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).expect("the server listens");
    socket.set_nodelay(true).expect("an open socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("an open socket");
    socket.set_write_timeout(Some(PATIENCE)).expect("an open socket");
    socket
}

/// Runs `work` on a thread that may block.
pub(crate) async fn on_thread<T: Send + 'static>(
    core: &Core,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    core.spawn_blocking(work).await.unwrap_or_else(|error| panic!("{error}"))
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..2000 {
        if holds() {
            return;
        }
        ringhttp::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it never came to this: {what}");
}
