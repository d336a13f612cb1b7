//! What was loaded at one time: certificates by name, and the configurations that are made of them.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, NoServerSessionStorage, ProducesTickets, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{KeyLogFile, ServerConfig};

use super::config::{CertificateConfig, ClientAuth, TlsConfig, UnknownName};
use super::load;
use crate::conn::{TlsSetup, TlsVersion, note_server_name, provider};

/// All that new connections are made with.
pub(super) struct Set {
    names: Arc<Names>,
    config: Arc<ServerConfig>,
    /// For certificates that have rules of their own; the others have `None`.
    own: Vec<Option<Arc<ServerConfig>>>,
}

/// Which certificates have which name.
struct Names {
    keys: Vec<Arc<CertifiedKey>>,
    exact: HashMap<String, Vec<usize>>,
    /// By what follows the `*.`.
    wildcard: HashMap<String, Vec<usize>>,
    unknown: UnknownName,
}

/// What makes tickets, by the rules for clients that they were given under: a session is resumed under the same rules
/// only, so that none is kept that they would not allow. They outlive a reload, and so do their sessions.
#[derive(Default)]
pub(super) struct Ticketers(Mutex<HashMap<Vec<u8>, Arc<dyn ProducesTickets>>>);

impl Set {
    /// Loads everything.
    pub(super) fn load(config: &TlsConfig, ticketers: &Ticketers) -> Result<Self, String> {
        let provider = provider::find()?;
        let mut names = Names::new(config.unknown_name);
        for (index, certificate) in config.certificates.iter().enumerate() {
            let loaded = load::certificate(certificate, &provider).and_then(|loaded| names.add(loaded));
            loaded.map_err(|error| format!("TlsConfig::certificates[{index}]: {error}"))?;
        }
        let names = Arc::new(names);
        let make = |auth, min_version| server_config(config, auth, min_version, &names, &provider, ticketers);
        let mut own = Vec::new();
        for (index, certificate) in config.certificates.iter().enumerate() {
            let made = own_rules(certificate).then(|| {
                make(
                    certificate.client_auth.as_ref().unwrap_or(&config.client_auth),
                    certificate.min_version.unwrap_or(config.min_version),
                )
            });
            let made = made.transpose();
            own.push(made.map_err(|error| format!("TlsConfig::certificates[{index}]: {error}"))?);
        }
        let base = make(&config.client_auth, config.min_version);
        let base = base.map_err(|error| format!("TlsConfig::client_auth: {error}"))?;
        Ok(Self { config: base, own, names })
    }

    /// The configuration of its own that a name has.
    fn own_config(&self, name: Option<&str>) -> Option<&Arc<ServerConfig>> {
        let index = self.names.find(name?)?.first()?;
        self.own[*index].as_ref()
    }
}

fn own_rules(certificate: &CertificateConfig) -> bool {
    certificate.client_auth.is_some() || certificate.min_version.is_some()
}

impl TlsSetup for Set {
    fn has_rules_by_name(&self) -> bool {
        self.own.iter().any(Option::is_some)
    }

    fn config_for(&self, server_name: Option<&str>) -> &Arc<ServerConfig> {
        match server_name.map(str::to_ascii_lowercase) {
            Some(name) => self.own_config(Some(&name)).unwrap_or(&self.config),
            None => &self.config,
        }
    }

    fn forbids_host(&self, server_name: Option<&str>, host: &str) -> bool {
        let host = name_in(host).to_ascii_lowercase();
        let rules = |config: Option<&Arc<ServerConfig>>| config.map(Arc::as_ptr);
        let server_name = server_name.map(str::to_ascii_lowercase);
        rules(self.own_config(server_name.as_deref())) != rules(self.own_config(Some(&host)))
    }
}

/// A host as it stands in a `Host` field, without its port and the dot that a name may end with (RFC 3986 §3.2.2): routes
/// take it for the same. Addresses in brackets are no names.
fn name_in(host: &str) -> &str {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    name.strip_suffix('.').unwrap_or(name)
}

impl Names {
    fn new(unknown: UnknownName) -> Self {
        Self { keys: Vec::new(), exact: HashMap::new(), wildcard: HashMap::new(), unknown }
    }

    fn add(&mut self, loaded: load::Loaded) -> Result<(), String> {
        let index = self.keys.len();
        self.keys.push(loaded.key);
        // The first is used without a name as well.
        if loaded.names.is_empty() && index > 0 {
            return Err("the certificate has no DNS name: set `names`".to_owned());
        }
        for name in loaded.names {
            let (map, name) = match name.strip_prefix("*.") {
                Some(rest) => (&mut self.wildcard, rest.to_owned()),
                None => (&mut self.exact, name),
            };
            if name.is_empty() || name.contains('*') {
                return Err(format!("`{name}` is no name of a host"));
            }
            map.entry(name).or_default().push(index);
        }
        Ok(())
    }

    /// The certificates for a name in lower case. RFC 9525 §6.3: a wildcard stands for one label.
    fn find(&self, name: &str) -> Option<&[usize]> {
        let by_wildcard = || {
            let (label, rest) = name.split_once('.')?;
            if label.is_empty() { None } else { self.wildcard.get(rest) }
        };
        self.exact.get(name).or_else(by_wildcard).map(Vec::as_slice)
    }
}

impl ResolvesServerCert for Names {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        note_server_name(&hello);
        let name = hello.server_name().map(str::to_ascii_lowercase);
        let indices = match name.as_deref().map(|name| self.find(name)) {
            Some(Some(indices)) => indices,
            Some(None) if self.unknown == UnknownName::Refuse => return None,
            Some(None) | None => &[0],
        };
        let usable = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(hello.signature_schemes()).is_some();
        let mut keys = indices.iter().map(|&index| &self.keys[index]);
        // With none that it can use, the handshake says so.
        keys.clone().find(usable).or_else(|| keys.next()).cloned()
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.exact.keys()).entries(self.wildcard.keys()).finish()
    }
}

fn server_config(
    config: &TlsConfig,
    auth: &ClientAuth,
    min_version: TlsVersion,
    names: &Arc<Names>,
    provider: &Arc<CryptoProvider>,
    ticketers: &Ticketers,
) -> Result<Arc<ServerConfig>, String> {
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(min_version.and_newer())
        .map_err(|error| error.to_string())?;
    let (builder, rules) = match load::verifier(auth, provider)? {
        Some(verifier) => (builder.with_client_cert_verifier(verifier.verifier), verifier.rules),
        None => (builder.with_no_client_auth(), Vec::new()),
    };
    let resolver: Arc<dyn ResolvesServerCert> = Arc::clone(names) as _;
    let mut made = builder.with_cert_resolver(resolver);
    made.alpn_protocols.clone_from(&config.alpn);
    // Behind the handshake records are protected by us.
    made.enable_secret_extraction = true;
    // Sessions are in their tickets: no table, and no lock on it, is shared by the cores.
    made.session_storage = Arc::new(NoServerSessionStorage {});
    made.send_tls13_tickets = config.tickets;
    if config.tickets > 0 {
        made.ticketer = ticketers.find(rules)?;
    }
    if config.key_log {
        made.key_log = Arc::new(KeyLogFile::new());
    }
    Ok(Arc::new(made))
}

impl Ticketers {
    fn find(&self, rules: Vec<u8>) -> Result<Arc<dyn ProducesTickets>, String> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ticketer) = all.get(&rules) {
            return Ok(Arc::clone(ticketer));
        }
        let ticketer = provider::ticketer()?;
        all.insert(rules, Arc::clone(&ticketer));
        Ok(ticketer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_looked_up_without_its_port_and_its_last_dot() {
        for (host, name) in [
            ("example.org", "example.org"),
            ("example.org:443", "example.org"),
            ("example.org:", "example.org"),
            ("example.org.", "example.org"),
            ("example.org.:443", "example.org"),
            ("[::1]:8443", "[::1]"),
            ("127.0.0.1", "127.0.0.1"),
            ("example.org:http", "example.org:http"),
        ] {
            assert_eq!(name_in(host), name);
        }
    }

    #[test]
    fn rfc9525_6_3_a_wildcard_stands_for_the_first_label() {
        let mut names = Names::new(UnknownName::UseFirst);
        names.exact.insert("a.example.org".to_owned(), vec![1]);
        names.wildcard.insert("example.org".to_owned(), vec![2, 3]);
        for (name, found) in [
            ("a.example.org", Some(&[1][..])),
            ("b.example.org", Some(&[2, 3])),
            ("example.org", None),
            ("a.b.example.org", None),
            (".example.org", None),
            ("org", None),
            ("", None),
        ] {
            assert_eq!(names.find(name), found, "{name}");
        }
    }
}
