//! What was loaded at one time: certificates by name, and the configurations that are made of them.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

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
    ticketers: Ticketers,
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
/// only, so that none is kept that they would not allow. They outlive a reload under the same rules, and so do their sessions.
#[derive(Default)]
struct Ticketers(HashMap<Vec<u8>, Arc<dyn ProducesTickets>>);

impl Set {
    /// Loads everything, in place of the set `before`.
    pub(super) fn load(config: &TlsConfig, before: Option<&Self>) -> Result<Self, String> {
        let provider = provider::find()?;
        let mut names = Names::new(config.unknown_name);
        for (index, certificate) in config.certificates.iter().enumerate() {
            let loaded = load::certificate(certificate, &provider).and_then(|loaded| names.add(loaded));
            loaded.map_err(|error| format!("TlsConfig::certificates[{index}]: {error}"))?;
        }
        names.check_rules(&config.certificates)?;
        let names = Arc::new(names);
        let known = before.map(|before| &before.ticketers);
        let mut ticketers = Ticketers::default();
        let mut make = |auth, min_version| {
            let ticketer = |rules| ticketers.find(rules, known);
            server_config(config, auth, min_version, &names, &provider, ticketer)
        };
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
        Ok(Self { config: base, own, names, ticketers })
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

    /// Whether certificates of the same name have the same rules: which of them a client gets is known too late.
    fn check_rules(&self, certificates: &[CertificateConfig]) -> Result<(), String> {
        let rules = |index: usize| {
            let certificate = &certificates[index];
            (&certificate.client_auth, certificate.min_version)
        };
        let wildcard = self.wildcard.iter().map(|(name, indices)| (format!("*.{name}"), indices));
        let exact = self.exact.iter().map(|(name, indices)| (name.clone(), indices));
        for (name, indices) in exact.chain(wildcard) {
            let first = indices[0];
            if let Some(other) = indices.iter().find(|&&index| rules(index) != rules(first)) {
                return Err(format!(
                    "TlsConfig::certificates[{first}] and certificates[{other}] have the name `{name}` both, and have to \
                     have the same `client_auth` and `min_version`"
                ));
            }
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
    ticketer: impl FnOnce(Vec<u8>) -> Result<Arc<dyn ProducesTickets>, String>,
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
        made.ticketer = ticketer(rules)?;
    }
    if config.key_log {
        made.key_log = Arc::new(KeyLogFile::new());
    }
    Ok(Arc::new(made))
}

impl Ticketers {
    /// The one for these rules: here, among those `before`, or a new one. What nobody asks for again is forgotten with the
    /// set that had it: every new revocation list makes rules of its own.
    fn find(&mut self, rules: Vec<u8>, before: Option<&Self>) -> Result<Arc<dyn ProducesTickets>, String> {
        let known = self.0.get(&rules).or_else(|| before?.0.get(&rules)).cloned();
        let ticketer = known.map_or_else(provider::ticketer, Ok)?;
        self.0.insert(rules, Arc::clone(&ticketer));
        Ok(ticketer)
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::ClientRoots;
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

    /// A certificate for some names, signed by itself.
    fn certificate(names: &[&str]) -> CertificateConfig {
        let key = rcgen::KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let certificate = rcgen::CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
        CertificateConfig::from_pem(certificate.pem(), key.serialize_pem())
    }

    /// Rules for clients that nobody else has.
    fn own_auth() -> ClientAuth {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        ClientAuth::Required(ClientRoots::from_pem(params.self_signed(&key).unwrap().pem()))
    }

    fn config(certificates: Vec<CertificateConfig>) -> TlsConfig {
        TlsConfig { certificates, ..TlsConfig::default() }
    }

    #[test]
    fn what_makes_tickets_is_kept_under_the_same_rules_and_forgotten_with_those_that_nobody_has() {
        let mut config = config(vec![certificate(&["localhost"])]);
        let mut set = Set::load(&config, None).unwrap();
        for _ in 0..3 {
            config.client_auth = own_auth();
            let changed = Set::load(&config, Some(&set)).unwrap();
            assert!(!Arc::ptr_eq(&changed.config.ticketer, &set.config.ticketer));
            set = Set::load(&config, Some(&changed)).unwrap();
            assert!(Arc::ptr_eq(&changed.config.ticketer, &set.config.ticketer));
            assert_eq!(set.ticketers.0.len(), 1);
        }
    }

    #[test]
    fn certificates_of_the_same_name_have_the_same_rules() {
        let of = |name: &str, change: &dyn Fn(&mut CertificateConfig)| {
            let mut certificate = certificate(&[name]);
            change(&mut certificate);
            certificate
        };
        let (auth, plain) = (own_auth(), certificate(&["a.example.org"]));
        let asks = |certificate: &mut CertificateConfig| certificate.client_auth = Some(auth.clone());
        let is_modern =
            |certificate: &mut CertificateConfig| certificate.min_version = Some(TlsVersion::Tls13);
        for (second, third, name) in [
            (of("b.example.org", &asks), of("b.example.org", &asks), None),
            (of("b.example.org", &asks), of("*.example.org", &is_modern), None),
            (of("b.example.org", &|_| {}), of("b.example.org", &asks), Some("`b.example.org`")),
            (of("*.example.org", &asks), of("*.example.org", &is_modern), Some("`*.example.org`")),
        ] {
            let mut config = config(vec![plain.clone(), second, third]);
            config.tickets = 0;
            let said = Set::load(&config, None).err();
            assert_eq!(said.is_some(), name.is_some(), "{said:?}");
            let says = |text: &str| said.as_deref().is_some_and(|said| said.contains(text));
            assert!(
                name.is_none_or(|name| says(name) && says("certificates[1] and certificates[2]")),
                "{said:?}"
            );
        }
    }
}
