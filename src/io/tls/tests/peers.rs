//! Both sides of a wire in memory: one is ours, the other rustls' or ours.
#![forbid(unsafe_code)]

use std::io::{Read, Write};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;
use ringhttp_runtime::buffer::BufferPool;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{
    ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, ServerConnection,
    SupportedCipherSuite, SupportedProtocolVersion,
};

use crate::io::duplex::{Duplex, FarEnd};
use crate::io::read_buffer::Purpose;
use crate::io::tls::session::Session;
use crate::io::tls::{Established, Handshake, HandshakeError, State, Tls, note_server_name};
use crate::io::transport::Transport;
use crate::io::wire::Wire;

/// What two sides agree by.
#[derive(Clone)]
pub(crate) struct Configs {
    pub(crate) client: Arc<ClientConfig>,
    pub(crate) server: Arc<ServerConfig>,
}

/// The one certificate there is, whatever is asked for.
#[derive(Debug)]
struct OneCertificate(Arc<CertifiedKey>);

impl ResolvesServerCert for OneCertificate {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        note_server_name(&hello);
        Some(Arc::clone(&self.0))
    }
}

/// Bytes that a handshake may have in these tests.
const HANDSHAKE_BYTES_MAX: usize = 64 * 1024;

pub(crate) fn provider() -> CryptoProvider {
    rustls::crypto::ring::default_provider()
}

/// All providers that are built in.
pub(crate) fn providers() -> Vec<CryptoProvider> {
    vec![
        provider(),
        #[cfg(feature = "tls-aws-lc")]
        rustls::crypto::aws_lc_rs::default_provider(),
    ]
}

/// Configurations for every cipher suite there is.
pub(crate) fn every_suite() -> Vec<(SupportedCipherSuite, Configs)> {
    let suites = providers().into_iter().flat_map(|provider| {
        let suites = provider.cipher_suites.clone();
        suites.into_iter().map(move |suite| {
            (suite, CryptoProvider { cipher_suites: vec![suite], ..provider.clone() }, suite.version())
        })
    });
    suites
        // The test's key is an ECDSA one.
        .filter(|(suite, ..)| !format!("{suite:?}").contains("RSA_WITH"))
        .map(|(suite, provider, version)| (suite, Configs::new(provider, version)))
        .collect()
}

impl Configs {
    pub(crate) fn new(provider: CryptoProvider, version: &'static SupportedProtocolVersion) -> Self {
        let provider = Arc::new(provider);
        let issuer_key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority = params.self_signed(&issuer_key).unwrap();
        let issuer = rcgen::Issuer::from_params(&params, &issuer_key);
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(authority.der().clone()).unwrap();
        let mut client = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        client.alpn_protocols = vec![b"http/1.1".to_vec()];
        client.enable_secret_extraction = true;
        let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(OneCertificate(Arc::new(
                CertifiedKey::from_der(
                    vec![certificate.der().clone()],
                    PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
                    &provider,
                )
                .unwrap(),
            ))));
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        server.enable_secret_extraction = true;
        Self { client: Arc::new(client), server: Arc::new(server) }
    }

    pub(crate) fn tls13() -> Self {
        Self::new(provider(), &rustls::version::TLS13)
    }

    pub(crate) fn tls12() -> Self {
        Self::new(provider(), &rustls::version::TLS12)
    }

    /// Both versions, by every provider.
    pub(crate) fn both() -> Vec<Self> {
        let of = |provider: CryptoProvider| {
            [
                Self::new(provider.clone(), &rustls::version::TLS12),
                Self::new(provider, &rustls::version::TLS13),
            ]
        };
        providers().into_iter().flat_map(of).collect()
    }

    fn our_client(&self) -> Handshake {
        let name = ServerName::try_from("localhost").unwrap();
        Handshake::client(Arc::clone(&self.client), name, HANDSHAKE_BYTES_MAX).unwrap()
    }

    fn our_server(&self) -> Handshake {
        Handshake::server(Arc::clone(&self.server), HANDSHAKE_BYTES_MAX).unwrap()
    }
}

/// Our end of a wire, and the far end of its carrier.
pub(crate) struct Ours {
    pub(crate) wire: Wire,
    pub(crate) far: FarEnd,
    pub(crate) established: Option<Result<Established, HandshakeError>>,
    /// Read, and not asked for yet.
    pub(crate) read: Vec<u8>,
}

impl Ours {
    fn new(handshake: Handshake) -> Self {
        let (near, far) = Duplex::pair();
        let wire = Wire::new(Transport::Duplex(near), &BufferPool::new()).into_tls(handshake);
        Self { wire, far, established: None, read: Vec::new() }
    }

    pub(crate) fn client(configs: &Configs) -> Self {
        Self::new(configs.our_client())
    }

    pub(crate) fn server(configs: &Configs) -> Self {
        Self::new(configs.our_server())
    }

    /// Goes on with the handshake, or with what is to be written.
    pub(crate) fn turn(&mut self) {
        let cx = &mut Context::from_waker(Waker::noop());
        if self.established.is_none() {
            if let Poll::Ready(result) = self.wire.poll_handshake(cx) {
                self.established = Some(result);
            }
            return;
        }
        let _ = self.wire.poll_flush(cx);
    }

    pub(crate) fn established(&self) -> &Established {
        self.established.as_ref().expect("over").as_ref().expect("agreed")
    }

    /// The next read's result: `None` if there is nothing to read.
    pub(crate) fn fill(&mut self) -> Option<std::io::Result<BytesMut>> {
        self.fill_for(Purpose::More)
    }

    pub(crate) fn fill_for(&mut self, purpose: Purpose) -> Option<std::io::Result<BytesMut>> {
        let cx = &mut Context::from_waker(Waker::noop());
        match self.wire.poll_fill(cx, purpose) {
            Poll::Pending => None,
            Poll::Ready(Ok(_)) => Some(Ok(self.wire.input().split())),
            Poll::Ready(Err(error)) => Some(Err(error)),
        }
    }

    /// Reads until there is nothing, or the end.
    pub(crate) fn read_all(&mut self) -> std::io::Result<Vec<u8>> {
        while let Some(content) = self.fill() {
            match content? {
                content if content.is_empty() => break,
                content => self.read.extend_from_slice(&content),
            }
        }
        Ok(std::mem::take(&mut self.read))
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.wire.output().push(bytes.to_vec().into());
        self.turn();
    }

    pub(crate) fn shutdown(&mut self) {
        self.wire.shutdown_write(&mut Context::from_waker(Waker::noop()));
    }

    /// What is under the wire.
    pub(crate) fn tls(&mut self) -> &mut Tls {
        self.wire.tls_mut().expect("TLS")
    }

    /// Sends a record of any type, sealed as it should be.
    pub(crate) fn send_record(&mut self, content_type: rustls::ContentType, content: &[u8]) {
        let record = self.session().seal_any(content_type, content);
        self.tls().sealed.push(record);
        self.turn();
    }

    /// Queues a record of data for the next turn.
    pub(crate) fn send_record_quietly(&mut self, content: &[u8]) {
        let record = self.session().seal_any(rustls::ContentType::ApplicationData, content);
        self.tls().sealed.push(record);
    }

    /// Changes the key, and says so.
    pub(crate) fn refresh_key(&mut self) {
        let record = self.session().refresh_key();
        self.tls().sealed.push(record);
        self.turn();
    }

    pub(in crate::io::tls) fn session(&mut self) -> &mut Session {
        match &mut self.tls().state {
            State::Open(session) => session,
            _ => panic!("the session is not open"),
        }
    }

    /// Puts TLS over the TLS there is, as a client.
    pub(crate) fn wrap_client(self, configs: &Configs) -> Self {
        Self { wire: self.wire.into_tls(configs.our_client()), established: None, ..self }
    }

    /// Puts TLS over the TLS there is, as a server.
    pub(crate) fn wrap_server(self, configs: &Configs) -> Self {
        Self { wire: self.wire.into_tls(configs.our_server()), established: None, ..self }
    }
}

/// rustls' own end of a wire.
pub(crate) struct Theirs {
    pub(crate) connection: Connection,
    pub(crate) error: Option<rustls::Error>,
    /// Read, and not asked for yet.
    unread: Vec<u8>,
}

impl Theirs {
    pub(crate) fn client(configs: &Configs) -> Self {
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(Arc::clone(&configs.client), name).unwrap();
        Self { connection: connection.into(), error: None, unread: Vec::new() }
    }

    pub(crate) fn server(configs: &Configs) -> Self {
        let connection = ServerConnection::new(Arc::clone(&configs.server)).unwrap();
        Self { connection: connection.into(), error: None, unread: Vec::new() }
    }

    /// Takes what the far end has received, and sends what is to be sent. Says whether anything moved.
    pub(crate) fn turn(&mut self, far: &FarEnd) -> bool {
        let received = far.received();
        let mut unread = &received[..];
        while !unread.is_empty() && self.error.is_none() {
            self.connection.read_tls(&mut unread).unwrap();
            self.error = self.connection.process_new_packets().err();
            let mut piece = [0; 4096];
            while let Ok(count @ 1..) = self.connection.reader().read(&mut piece) {
                self.unread.extend_from_slice(&piece[..count]);
            }
        }
        let out = self.records();
        far.send(&out);
        !received.is_empty() || !out.is_empty()
    }

    /// The records that wait to leave.
    fn records(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        while self.connection.wants_write() {
            self.connection.write_tls(&mut out).unwrap();
        }
        out
    }

    /// The records that data becomes, for who sends them otherwise than at once.
    pub(crate) fn sealed(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.write(bytes);
        self.records()
    }

    /// What was read.
    pub(crate) fn read(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.unread)
    }

    /// Sends data before the handshake.
    pub(crate) fn write_early(&mut self, bytes: &[u8]) {
        let Connection::Client(client) = &mut self.connection else { panic!("clients do that") };
        client.early_data().expect("the server takes some").write_all(bytes).unwrap();
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.connection.set_buffer_limit(None);
        self.connection.writer().write_all(bytes).unwrap();
    }
}

/// Lets both go on until nothing moves.
pub(crate) fn settle(ours: &mut Ours, theirs: &mut Theirs) {
    loop {
        ours.turn();
        if !theirs.turn(&ours.far) {
            return;
        }
    }
}

/// Lets two of ours go on until nothing moves.
pub(crate) fn settle_ours(one: &mut Ours, other: &mut Ours) {
    loop {
        one.turn();
        other.turn();
        let (to_other, to_one) = (one.far.received(), other.far.received());
        if to_other.is_empty() && to_one.is_empty() {
            return;
        }
        other.far.send(&to_other);
        one.far.send(&to_one);
    }
}

/// A client and a server of ours, behind their handshake.
pub(crate) fn connected(configs: &Configs) -> (Ours, Ours) {
    let (mut client, mut server) = (Ours::client(configs), Ours::server(configs));
    settle_ours(&mut client, &mut server);
    client.established();
    server.established();
    (client, server)
}

/// A server of ours and a client of rustls', behind their handshake.
pub(crate) fn served(configs: &Configs) -> (Ours, Theirs) {
    let (mut server, mut client) = (Ours::server(configs), Theirs::client(configs));
    settle(&mut server, &mut client);
    server.established();
    assert!(!client.connection.is_handshaking());
    (server, client)
}

/// Bytes that are not the same anywhere nearby.
pub(crate) fn noise(count: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    std::iter::repeat_with(next).take(count).collect()
}
