//! Who is shown what, who has to show what, and what cannot be loaded.

use std::io;
use std::sync::{Arc, Mutex};

use rcgen::{CertificateParams, KeyPair};
use ringhttp::testing::each_driver;
use ringhttp::{
    CertificateConfig, Certificates, ClientAuth, ClientRoots, FileOrBytes, Request, Router, ServerConfig,
    TlsConfig, TlsVersion, UnknownName,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
};

use super::common::{Authority, BOTH, Client, Identity, client_config, on_thread, serve, until, use_ring};

fn routes() -> Router<()> {
    Router::new().get("/", async |_: &(), request: Request| {
        let tls = request.tls().expect("over TLS");
        match tls.client_certificate() {
            None => "nobody".to_owned(),
            Some(certificate) => format!(
                "{} {} {:?} {:?} {:?} {}",
                certificate.subject().expect("a subject"),
                certificate.common_name().expect("a name"),
                certificate.dns_names(),
                certificate.uris(),
                certificate.serial().expect("a number"),
                tls.client_certificates().len(),
            ),
        }
    })
}

/// Shakes hands and asks once; the error is what the client was told or found.
async fn ask(
    core: &ringhttp::Core,
    address: std::net::SocketAddr,
    config: ClientConfig,
    name: &'static str,
) -> Result<String, Error> {
    on_thread(core, move || {
        let error = |error: io::Error| match error.downcast::<Error>() {
            Ok(error) => error,
            Err(error) => panic!("no error of TLS: {error}"),
        };
        let mut client = Client::connect(address, &Arc::new(config), name).map_err(error)?;
        client.send(format!("GET / HTTP/1.1\r\nhost: {name}\r\nconnection: close\r\n\r\n"));
        // In TLS 1.3 a client hears behind its own handshake that it was refused.
        let answer = client.answer().map_err(error)?;
        Ok(format!("{} {}", answer.status, answer.text()))
    })
    .await
}

#[test]
fn certificates_are_chosen_by_name() {
    let authority = Authority::new("test");
    each_driver(async |core| {
        let mut config = authority.server(&["localhost"]).config();
        for names in [&["a.example.org", "*.b.example.org"][..], &["*.example.org"]] {
            let identity = authority.server(names);
            config.certificates.push(CertificateConfig::from_pem(identity.chain, identity.key));
        }
        serve(&core, config.clone(), ServerConfig::default(), routes(), (), async |site| {
            // The client verifies the name, so what it takes is what it asked for.
            for name in ["localhost", "a.example.org", "x.b.example.org", "b.example.org", "z.example.org"] {
                for version in BOTH {
                    let config = client_config(&authority, &[version], None);
                    let answer = ask(&core, site.address, config, name).await;
                    assert_eq!(answer.as_deref(), Ok("200 nobody"), "{name}");
                }
            }
            // An exact name goes before a wildcard, which stands for one label; others get the first.
            for name in ["x.y.b.example.org", "example.net"] {
                let answer = ask(&core, site.address, client_config(&authority, &BOTH, None), name).await;
                let Err(Error::InvalidCertificate(CertificateError::NotValidForNameContext {
                    presented,
                    ..
                })) = answer
                else {
                    panic!("{name}: {answer:?}")
                };
                assert_eq!(presented, ["DnsName(\"localhost\")"], "{name}");
            }
            // An address is no name: the first.
            let answer = ask(&core, site.address, client_config(&authority, &BOTH, None), "127.0.0.1").await;
            assert!(matches!(answer, Err(Error::InvalidCertificate(_))), "{answer:?}");
            until("all were counted", || site.stats.tls_handshakes_failed.get() == 3).await;
        })
        .await;
    });
    each_driver(async |core| {
        let mut config = authority.server(&["localhost"]).config();
        config.unknown_name = UnknownName::Refuse;
        serve(&core, config, ServerConfig::default(), routes(), (), async |site| {
            let answer =
                ask(&core, site.address, client_config(&authority, &BOTH, None), "example.net").await;
            assert!(matches!(answer, Err(Error::AlertReceived(_))), "{answer:?}");
            let answer = ask(&core, site.address, client_config(&authority, &BOTH, None), "localhost").await;
            assert_eq!(answer.as_deref(), Ok("200 nobody"));
        })
        .await;
    });
}

#[test]
fn a_client_gets_a_certificate_with_a_key_that_it_can_use() {
    let authority = Authority::new("test");
    // ring makes no RSA keys.
    let key = KeyPair::from_pem(include_str!("../data/tls/rsa.key")).expect("a key");
    let names = vec!["localhost".to_owned()];
    let chain = CertificateParams::new(names).expect("a name").self_signed(&key).expect("signed").pem();
    let rsa = Identity { chain, key: include_str!("../data/tls/rsa.key").to_owned() };
    each_driver(async |core| {
        let mut config = authority.server(&["localhost"]).config();
        config.certificates.push(CertificateConfig::from_pem(rsa.chain.as_str(), rsa.key.as_str()));
        serve(&core, config, ServerConfig::default(), routes(), (), async |site| {
            for (scheme, is_rsa) in
                [(SignatureScheme::ECDSA_NISTP256_SHA256, false), (SignatureScheme::RSA_PSS_SHA256, true)]
            {
                let seen = Arc::new(Seen { schemes: vec![scheme], ..Seen::default() });
                let mut config = client_config(&authority, &BOTH, None);
                config.dangerous().set_certificate_verifier(Arc::clone(&seen) as _);
                let answer = ask(&core, site.address, config, "localhost").await;
                assert_eq!(answer.as_deref(), Ok("200 nobody"));
                let certificate = seen.certificate.lock().expect("no panic").clone();
                // An RSA key makes a certificate long.
                assert_eq!(certificate.len() > 600, is_rsa, "{}", certificate.len());
            }
        })
        .await;
    });
}

/// A verifier that takes everything and remembers what it saw.
#[derive(Debug, Default)]
struct Seen {
    schemes: Vec<SignatureScheme>,
    certificate: Mutex<Vec<u8>>,
    ocsp: Mutex<Vec<u8>>,
}

impl ServerCertVerifier for Seen {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        ocsp_response: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        *self.certificate.lock().expect("no panic") = end_entity.to_vec();
        *self.ocsp.lock().expect("no panic") = ocsp_response.to_vec();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}

#[test]
fn an_ocsp_response_is_stapled() {
    let authority = Authority::new("test");
    each_driver(async |core| {
        let mut config = authority.server(&["localhost"]).config();
        config.certificates[0].ocsp = Some(FileOrBytes::Bytes(b"a response".to_vec()));
        serve(&core, config, ServerConfig::default(), routes(), (), async |site| {
            for version in BOTH {
                let schemes = vec![SignatureScheme::ECDSA_NISTP256_SHA256];
                let seen = Arc::new(Seen { schemes, ..Seen::default() });
                let mut config = client_config(&authority, &[version], None);
                config.dangerous().set_certificate_verifier(Arc::clone(&seen) as _);
                let answer = ask(&core, site.address, config, "localhost").await;
                assert_eq!(answer.as_deref(), Ok("200 nobody"));
                assert_eq!(*seen.ocsp.lock().expect("no panic"), b"a response");
            }
        })
        .await;
    });
}

#[test]
fn clients_show_who_they_are() {
    const ADA: &str =
        "200 CN=ada,O=Example\\, Inc. ada [\"ada.example.org\"] [\"spiffe://example.org/ada\"] [7] 1";
    let authority = Authority::new("servers");
    let clients = Authority::new("clients");
    let ada = clients.client("ada", 7);
    let revoked = clients.client("eve", 66);
    let stranger = Authority::new("others").client("mallory", 8);
    for is_required in [true, false] {
        let mut roots = ClientRoots::from_pem(clients.pem.as_str());
        roots.revocations = Some(FileOrBytes::Bytes(clients.revoke(&[66]).into_bytes()));
        let mut config = authority.server(&["localhost"]).config();
        config.client_auth =
            if is_required { ClientAuth::Required(roots) } else { ClientAuth::Optional(roots) };
        each_driver(async |core| {
            serve(&core, config.clone(), ServerConfig::default(), routes(), (), async |site| {
                for version in BOTH {
                    let with = |identity| client_config(&authority, &[version], identity);
                    let answer = ask(&core, site.address, with(Some(&ada)), "localhost").await;
                    assert_eq!(answer.as_deref(), Ok(ADA));
                    let answer = ask(&core, site.address, with(None), "localhost").await;
                    if is_required {
                        let told = Err(Error::AlertReceived(AlertDescription::CertificateRequired));
                        let told_12 = Err(Error::AlertReceived(AlertDescription::HandshakeFailure));
                        assert!(answer == told || answer == told_12, "{answer:?}");
                    } else {
                        assert_eq!(answer.as_deref(), Ok("200 nobody"));
                    }
                    for identity in [&stranger, &revoked] {
                        let answer = ask(&core, site.address, with(Some(identity)), "localhost").await;
                        assert!(matches!(answer, Err(Error::AlertReceived(_))), "{answer:?}");
                    }
                }
            })
            .await;
        });
    }
}

#[test]
fn who_a_client_is_is_known_when_its_session_is_resumed() {
    let authority = Authority::new("servers");
    let clients = Authority::new("clients");
    let ada = clients.client("ada", 7);
    each_driver(async |core| {
        let mut config = authority.server(&["localhost"]).config();
        config.client_auth = ClientAuth::Required(ClientRoots::from_pem(clients.pem.as_str()));
        serve(&core, config, ServerConfig::default(), routes(), (), async |site| {
            for version in BOTH {
                let config = client_config(&authority, &[version], Some(&ada));
                for _ in 0..3 {
                    let answer = ask(&core, site.address, config.clone(), "localhost").await;
                    assert!(
                        answer.as_deref().is_ok_and(|answer| answer.starts_with("200 CN=ada")),
                        "{answer:?}"
                    );
                }
            }
            assert_eq!((site.stats.tls_handshakes.get(), site.stats.tls_resumptions.get()), (6, 4));
        })
        .await;
    });
}

#[test]
fn a_name_may_have_rules_of_its_own() {
    let authority = Authority::new("servers");
    let clients = Authority::new("clients");
    let ada = clients.client("ada", 7);
    each_driver(async |core| {
        let mut config = authority.server(&["public.example.org", "localhost"]).config();
        let private = authority.server(&["private.example.org"]);
        let mut private = CertificateConfig::from_pem(private.chain, private.key);
        private.client_auth = Some(ClientAuth::Required(ClientRoots::from_pem(clients.pem.as_str())));
        let modern = authority.server(&["modern.example.org"]);
        let mut modern = CertificateConfig::from_pem(modern.chain, modern.key);
        modern.min_version = Some(TlsVersion::Tls13);
        config.certificates.extend([private, modern]);
        serve(&core, config, ServerConfig::default(), routes(), (), async |site| {
            let ask_as = async |identity, name| {
                ask(&core, site.address, client_config(&authority, &BOTH, identity), name).await
            };
            assert_eq!(ask_as(None, "public.example.org").await.as_deref(), Ok("200 nobody"));
            assert!(matches!(ask_as(None, "private.example.org").await, Err(Error::AlertReceived(_))));
            let answer = ask_as(Some(&ada), "private.example.org").await;
            assert!(answer.as_deref().is_ok_and(|answer| answer.starts_with("200 CN=ada")), "{answer:?}");
            // Nobody asks those who are not asked.
            assert_eq!(ask_as(Some(&ada), "public.example.org").await.as_deref(), Ok("200 nobody"));

            let old = || client_config(&authority, &[&rustls::version::TLS12], None);
            let answer = ask(&core, site.address, old(), "modern.example.org").await;
            assert_eq!(answer, Err(Error::AlertReceived(AlertDescription::ProtocolVersion)));
            let answer = ask(&core, site.address, old(), "public.example.org").await;
            assert_eq!(answer.as_deref(), Ok("200 nobody"));

            // What was asked for in the handshake is what may be asked for behind it.
            let config = Arc::new(client_config(&authority, &BOTH, Some(&ada)));
            for (connected, host, status) in [
                ("public.example.org", "private.example.org", 421),
                ("public.example.org", "PRIVATE.example.org:443", 421),
                ("public.example.org", "private.example.org.", 421),
                ("public.example.org", "private.example.org.:443", 421),
                ("private.example.org", "public.example.org", 421),
                ("private.example.org", "private.example.org:8443", 200),
                ("private.example.org", "Private.Example.org", 200),
                ("public.example.org", "localhost", 200),
                ("public.example.org", "elsewhere.example.org", 200),
            ] {
                let (config, address) = (Arc::clone(&config), site.address);
                let answer = on_thread(&core, move || {
                    let mut client = Client::connect(address, &config, connected).expect("a handshake");
                    client.send(format!("GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"));
                    client.answer().expect("an answer").status
                });
                assert_eq!(answer.await, status, "{connected} {host}");
            }
        })
        .await;
    });
}

#[test]
fn a_hello_of_many_records_gets_the_rules_of_its_name() {
    let authority = Authority::new("servers");
    let clients = Authority::new("clients");
    let ada = clients.client("ada", 7);
    each_driver(async |core| {
        let mut config = authority.server(&["public.example.org"]).config();
        let private = authority.server(&["private.example.org"]);
        let mut private = CertificateConfig::from_pem(private.chain, private.key);
        private.client_auth = Some(ClientAuth::Required(ClientRoots::from_pem(clients.pem.as_str())));
        config.certificates.push(private);
        serve(&core, config, ServerConfig::default(), routes(), (), async |site| {
            let ask_as = async |identity| {
                let mut config = client_config(&authority, &BOTH, identity);
                config.alpn_protocols = (0..200).map(|n| format!("{n:0>250}").into_bytes()).collect();
                config.alpn_protocols.push(b"http/1.1".to_vec());
                ask(&core, site.address, config, "private.example.org").await
            };
            assert!(matches!(ask_as(None).await, Err(Error::AlertReceived(_))));
            let answer = ask_as(Some(&ada)).await;
            assert!(answer.as_deref().is_ok_and(|answer| answer.starts_with("200 CN=ada")), "{answer:?}");
        })
        .await;
    });
}

#[test]
fn versions_and_protocols_have_to_be_agreed_on() {
    let authority = Authority::new("test");
    each_driver(async |core| {
        let mut config = authority.server(&["localhost"]).config();
        config.min_version = TlsVersion::Tls13;
        serve(&core, config, ServerConfig::default(), routes(), (), async |site| {
            let old = client_config(&authority, &[&rustls::version::TLS12], None);
            let answer = ask(&core, site.address, old, "localhost").await;
            assert_eq!(answer, Err(Error::AlertReceived(AlertDescription::ProtocolVersion)));
            for (alpn, is_agreed) in [
                (&[][..], true),
                (&["http/1.1"], true),
                (&["h2", "http/1.1"], true),
                (&["h2"], false),
                (&["http/1.0"], false),
            ] {
                let mut config = client_config(&authority, &BOTH, None);
                config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
                let answer = ask(&core, site.address, config, "localhost").await;
                let refused = Err(Error::AlertReceived(AlertDescription::NoApplicationProtocol));
                assert_eq!(answer, if is_agreed { Ok("200 nobody".to_owned()) } else { refused }, "{alpn:?}");
            }
        })
        .await;
    });
}

/// What is wrong is said, and where.
#[test]
fn what_cannot_be_loaded_is_refused() {
    use_ring();
    let authority = Authority::new("test");
    let identity = authority.server(&["localhost"]);
    let other = authority.server(&["localhost"]);
    let nameless = authority.server(&[]);
    let with = |chain: &str, key: &str| TlsConfig::from_pem(chain, key);
    let changed = |change: &dyn Fn(&mut TlsConfig)| {
        let mut config = identity.config();
        change(&mut config);
        config
    };
    let old_encrypted = "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA\n\
                         -----END EC PRIVATE KEY-----\n";
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let cases: [(TlsConfig, &[&str]); 19] = [
        (TlsConfig::default(), &["TlsConfig::certificates"]),
        (with(&identity.chain, &other.key), &["certificates[0]", "not that of the certificate"]),
        (with(&identity.chain, encrypted), &["certificates[0]", "encrypted", "openssl pkey"]),
        (with(&identity.chain, old_encrypted), &["encrypted"]),
        (with(&identity.chain, &identity.chain), &["no private key"]),
        (with(&identity.key, &identity.key), &["no certificate in"]),
        (with("", ""), &["no certificate in"]),
        (with("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n", &identity.key), &["as PEM"]),
        (
            with("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", &identity.key),
            &["certificates[0]"],
        ),
        (
            TlsConfig::from_files("/nowhere/chain.pem", "/nowhere/key.pem"),
            &["/nowhere/chain.pem", "No such file"],
        ),
        (
            changed(&|config| {
                let nameless = nameless.clone();
                config.certificates.push(CertificateConfig::from_pem(nameless.chain, nameless.key));
            }),
            &["certificates[1]", "`names`"],
        ),
        (changed(&|config| config.certificates[0].names = vec!["*.*.org".to_owned()]), &["`*.org`"]),
        (changed(&|config| config.handshakes_max = 0), &["TlsConfig::handshakes_max"]),
        (changed(&|config| config.handshake_bytes_max = 0), &["TlsConfig::handshake_bytes_max"]),
        (changed(&|config| config.handshake_timeout = Default::default()), &["TlsConfig::handshake_timeout"]),
        (
            changed(&|config| config.reload_interval = Some(Default::default())),
            &["TlsConfig::reload_interval"],
        ),
        (changed(&|config| config.alpn.push(Vec::new())), &["TlsConfig::alpn"]),
        (
            changed(&|config| config.client_auth = ClientAuth::Required(ClientRoots::from_pem(""))),
            &["TlsConfig::client_auth", "no certificate"],
        ),
        (
            changed(&|config| {
                let mut roots = ClientRoots::from_pem(authority.pem.as_str());
                roots.revocations = Some(FileOrBytes::Bytes(Vec::new()));
                config.certificates[0].client_auth = Some(ClientAuth::Optional(roots));
            }),
            &["certificates[0]", "no revocation list"],
        ),
    ];
    for (config, texts) in cases {
        let error = Certificates::load(config).expect_err("it cannot be used");
        let said = std::error::Error::source(&error).expect("a cause").to_string();
        for text in texts {
            assert!(said.contains(text), "{said:?} does not say {text:?}");
        }
        assert!(!said.contains("PRIVATE KEY"), "secrets are not shown");
    }
    let shown = format!("{:?}", identity.config());
    assert!(!shown.contains("PRIVATE") && shown.contains("bytes"), "{shown}");
}
