//! TLS with servers: how it is spoken, made once and shared by the cores, and the step that secures a connection.
#![forbid(unsafe_code)]

mod config;
mod fault;
mod roots;
mod staple;
mod verifier;

use std::cell::OnceCell;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use ringhttp_runtime::Core;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, KeyLogFile};

pub use self::config::{ClientCertificate, ClientTlsConfig, OcspStaple};
use super::error::{Error, ErrorKind, Result};
use super::location::Location;
use crate::conn::client::ClientConnection;
use crate::conn::{pem, provider};

/// How TLS is spoken with servers, and the sessions with them that may be resumed. Cloning gives another handle to the same.
///
/// Load it before `run`: all cores share it. Requests share a connection only if they go by the same one (or its clones).
///
/// ```no_run
/// use std::path::Path;
/// use ringhttp::{Client, ClientConfig, ClientTls, ClientTlsConfig, Result, RuntimeConfig};
///
/// fn main() -> Result<()> {
///     let tls = ClientTlsConfig::trusting(Path::new("our_authority.pem").into());
///     let mut config = ClientConfig::default();
///     config.tls = Some(ClientTls::load(tls)?);
///     ringhttp::run(RuntimeConfig::default(), async |core| {
///         let client = Client::new(&core, config.clone())?;
///         println!("{}", client.get("https://internal.example/").send().await?.text().await?);
///         Ok(())
///     })
/// }
/// ```
#[derive(Clone)]
pub struct ClientTls(Arc<Shared>);

struct Shared {
    config: ClientTlsConfig,
    made: Arc<ClientConfig>,
    /// In place of the host.
    server_name: Option<ServerName<'static>>,
}

impl ClientTls {
    /// Loads everything that `config` names. It reads files: do it before `run`, or on the blocking pool
    /// ([`Core::spawn_blocking`]).
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if a value in `config` cannot work, if something cannot be read, if a key is encrypted or is not
    /// that of its certificate, or if there is no provider of cryptography. The error says what and where.
    pub fn load(config: ClientTlsConfig) -> Result<Self> {
        Self::make(config).map_err(|text| Error::new(ErrorKind::Config).with_text(text))
    }

    fn make(config: ClientTlsConfig) -> Result<Self, String> {
        config.check()?;
        let server_name = config.server_name.as_deref().map(config::server_name).transpose()?;
        let provider = provider::find()?;
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(config.min_version.and_newer())
            .map_err(|error| format!("ClientTlsConfig::min_version: {error}"))?
            .dangerous()
            .with_custom_certificate_verifier(verifier::make(&config, &provider)?);
        let mut made = match &config.certificate {
            None => builder.with_no_client_auth(),
            Some(ClientCertificate { chain, key }) => {
                let key: CertifiedKey = pem::certified_key(chain, key, &provider)
                    .map_err(|error| format!("ClientTlsConfig::certificate: {error}"))?;
                builder.with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(key)))
            }
        };
        made.alpn_protocols = vec![b"http/1.1".to_vec()];
        // Behind the handshake records are protected by us.
        made.enable_secret_extraction = true;
        made.resumption = match config.sessions_max {
            0 => Resumption::disabled(),
            sessions_max => Resumption::in_memory_sessions(sessions_max),
        };
        if config.key_log {
            made.key_log = Arc::new(KeyLogFile::new());
        }
        Ok(Self(Arc::new(Shared { config, made: Arc::new(made), server_name })))
    }

    /// What goes for clients that say nothing of it: loaded once for all of them.
    fn standard() -> Result<Self, String> {
        static STANDARD: Mutex<Option<ClientTls>> = Mutex::new(None);
        let mut standard = STANDARD.lock().unwrap_or_else(PoisonError::into_inner);
        match &*standard {
            Some(loaded) => Ok(loaded.clone()),
            None => Ok(standard.insert(Self::make(ClientTlsConfig::default())?).clone()),
        }
    }

    /// What it was loaded from.
    #[must_use]
    pub fn config(&self) -> &ClientTlsConfig {
        &self.0.config
    }
}

/// Two are the same if they are handles to the same.
impl PartialEq for ClientTls {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for ClientTls {}

impl Hash for ClientTls {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ClientTls").field(&self.0.config).finish()
    }
}

/// What secures the connections of one client.
#[derive(Default)]
pub(super) struct Securer {
    standard: OnceCell<ClientTls>,
}

impl Securer {
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "the one without TLS says so")]
    pub(super) fn is_built_in(&self) -> Result<()> {
        Ok(())
    }

    /// Secures a connection to where a URL leads. The caller sets the time.
    ///
    /// # Cancellation
    /// The connection is closed.
    pub(super) async fn secure(
        &self,
        connection: ClientConnection,
        tls: Option<&ClientTls>,
        location: &Location,
    ) -> Result<ClientConnection> {
        let tls = match tls {
            Some(tls) => tls,
            None => self.standard().await?,
        };
        let Shared { config, made, server_name } = &*tls.0;
        let name = match server_name {
            Some(name) => name.clone(),
            None => name_of(location)?,
        };
        let secured = connection.into_tls(Arc::clone(made), name.clone(), config.handshake_bytes_max).await;
        secured.map_err(|error| fault::to_error(error, &name.to_str()))
    }

    /// Files are read on the blocking pool, by the first request of the process.
    async fn standard(&self) -> Result<&ClientTls> {
        if let Some(standard) = self.standard.get() {
            return Ok(standard);
        }
        let core = Core::current().expect("a client is polled on its core");
        let loaded = core.spawn_blocking(ClientTls::standard).await;
        let loaded = loaded.map_err(|error| Error::new(ErrorKind::Tls).with_source(error))?;
        let loaded = loaded.map_err(|error| Error::new(ErrorKind::Tls).with_text(error))?;
        Ok(self.standard.get_or_init(|| loaded))
    }
}

/// The name that the server's certificate has to have.
fn name_of(location: &Location) -> Result<ServerName<'static>> {
    match location.ip() {
        Some(ip) => Ok(ServerName::IpAddress(ip.into())),
        None => {
            config::server_name(location.host()).map_err(|error| Error::new(ErrorKind::Tls).with_text(error))
        }
    }
}
