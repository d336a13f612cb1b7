//! New certificates while the server runs.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use ringhttp::testing::each_driver;
use ringhttp::{ClientAuth, ClientRoots, Request, Router, ServerConfig, TlsConfig};
use rustls::ClientConfig;

use super::common::{Authority, BOTH, Client, Identity, client_config, on_thread, serve, until};

fn routes() -> Router<()> {
    Router::new()
        .get("/", async |_: &(), request: Request| request.tls().expect("over TLS").is_resumed().to_string())
}

/// A certificate in files of a directory of its own.
struct Files {
    directory: PathBuf,
}

impl Files {
    fn new(name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("ringhttp-tls-{name}-{}", std::process::id()));
        fs::create_dir_all(&directory).expect("a directory");
        Self { directory }
    }

    fn config(&self) -> TlsConfig {
        TlsConfig::from_files(self.directory.join("chain.pem"), self.directory.join("key.pem"))
    }

    fn write(&self, identity: &Identity) {
        for (name, text) in [("chain.pem", &identity.chain), ("key.pem", &identity.key)] {
            // As those who renew certificates do: nobody sees half a file.
            let new = self.directory.join(format!("{name}.new"));
            fs::write(&new, text).expect("written");
            fs::rename(new, self.directory.join(name)).expect("renamed");
        }
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// A client that trusts nobody else, and does not resume.
fn trusting(authority: &Authority) -> Arc<ClientConfig> {
    let mut config = client_config(authority, &BOTH, None);
    config.resumption = rustls::client::Resumption::disabled();
    Arc::new(config)
}

async fn connects(core: &ringhttp::Core, address: std::net::SocketAddr, config: &Arc<ClientConfig>) -> bool {
    let config = Arc::clone(config);
    on_thread(core, move || Client::connect(address, &config, "localhost").is_ok()).await
}

#[test]
fn a_reload_is_for_new_connections_and_disturbs_no_other() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    each_driver(async |core| {
        let files = Files::new("call");
        files.write(&old.server(&["localhost"]));
        serve(&core, files.config(), ServerConfig::default(), routes(), (), async |site| {
            let address = site.address;
            let (trusts_old, trusts_new) = (trusting(&old), trusting(&new));
            let client = Arc::clone(&trusts_old);
            let mut open = on_thread(&core, move || {
                let mut open = Client::connect(address, &client, "localhost").expect("a handshake");
                open.get("/");
                open
            })
            .await;
            assert!(!connects(&core, address, &trusts_new).await);

            files.write(&new.server(&["localhost"]));
            assert!(connects(&core, address, &trusts_old).await, "nothing happens by itself");
            let certificates = site.certificates.clone();
            on_thread(&core, move || certificates.reload()).await.expect("it can be loaded");
            assert_eq!(site.certificates.generation(), 2);
            assert!(connects(&core, address, &trusts_new).await);
            assert!(!connects(&core, address, &trusts_old).await);
            on_thread(&core, move || assert_eq!(open.get("/").status, 200)).await;

            // What cannot be loaded changes nothing.
            let identity = old.server(&["localhost"]);
            files.write(&Identity { key: "no key".to_owned(), ..identity });
            let certificates = site.certificates.clone();
            let error = on_thread(&core, move || certificates.reload()).await.expect_err("it has no key");
            let said = std::error::Error::source(&error).expect("a cause").to_string();
            assert!(said.contains("no private key in") && said.contains("key.pem"), "{said}");
            assert_eq!(site.certificates.generation(), 2);
            assert!(connects(&core, address, &trusts_new).await);
        })
        .await;
    });
}

#[test]
fn files_that_change_are_loaded() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    each_driver(async |core| {
        let files = Files::new("files");
        files.write(&old.server(&["localhost"]));
        let mut tls = files.config();
        tls.reload_interval = Some(Duration::from_millis(20));
        serve(&core, tls, ServerConfig::default(), routes(), (), async |site| {
            assert!(connects(&core, site.address, &trusting(&old)).await);
            // First the one, then the other: between the two they do not belong together, and the old ones stay.
            let identity = new.server(&["localhost"]);
            fs::write(files.directory.join("chain.pem"), &identity.chain).expect("written");
            ringhttp::time::sleep(Duration::from_millis(100)).await;
            assert_eq!(site.certificates.generation(), 1);
            assert!(connects(&core, site.address, &trusting(&old)).await);
            fs::write(files.directory.join("key.pem"), &identity.key).expect("written");
            until("they are loaded", || site.certificates.generation() == 2).await;
            assert!(connects(&core, site.address, &trusting(&new)).await);
            ringhttp::time::sleep(Duration::from_millis(100)).await;
            assert_eq!(site.certificates.generation(), 2, "once is enough");
        })
        .await;
    });
}

#[test]
fn a_hangup_has_them_loaded() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    each_driver(async |core| {
        let files = Files::new("hangup");
        files.write(&old.server(&["localhost"]));
        let mut tls = files.config();
        tls.reload_on_hangup = true;
        serve(&core, tls, ServerConfig::default(), routes(), (), async |site| {
            // It serves, so it listens for the signal.
            assert!(connects(&core, site.address, &trusting(&old)).await);
            for (generation, authority) in [(2, &new), (3, &old)] {
                files.write(&authority.server(&["localhost"]));
                let sent = std::process::Command::new("kill")
                    .args(["-HUP", &std::process::id().to_string()])
                    .status()
                    .expect("a shell's kill");
                assert!(sent.success());
                until("they are loaded", || site.certificates.generation() == generation).await;
                assert!(connects(&core, site.address, &trusting(authority)).await);
            }
        })
        .await;
    });
}

#[test]
fn no_request_fails_while_certificates_are_loaded() {
    let authority = Authority::new("test");
    each_driver(async |core| {
        let files = Files::new("load");
        files.write(&authority.server(&["localhost"]));
        serve(&core, files.config(), ServerConfig::default(), routes(), (), async |site| {
            let over = Arc::new(AtomicBool::new(false));
            let answered = Arc::new(AtomicU64::new(0));
            let clients: Vec<_> = (0..4)
                .map(|n| {
                    let (over, answered) = (Arc::clone(&over), Arc::clone(&answered));
                    let config = Arc::new(client_config(&authority, &BOTH, None));
                    let address = site.address;
                    core.spawn_blocking(move || {
                        while !over.load(Ordering::Relaxed) {
                            let mut client =
                                Client::connect(address, &config, "localhost").expect("a handshake");
                            for _ in 0..=n * 10 {
                                assert_eq!(client.get("/").status, 200);
                                answered.fetch_add(1, Ordering::Relaxed);
                            }
                            client.close();
                        }
                    })
                })
                .collect();
            for _ in 0..30 {
                files.write(&authority.server(&["localhost"]));
                let certificates = site.certificates.clone();
                on_thread(&core, move || certificates.reload()).await.expect("it can be loaded");
                let before = answered.load(Ordering::Relaxed);
                until("somebody was answered", || answered.load(Ordering::Relaxed) > before).await;
            }
            over.store(true, Ordering::Relaxed);
            for client in clients {
                client.await.expect("no request failed");
            }
            assert_eq!(site.certificates.generation(), 31);
            assert_eq!(site.stats.tls_handshakes_failed.get(), 0);
        })
        .await;
    });
}

#[test]
fn sessions_outlive_a_reload_unless_the_rules_for_clients_change() {
    let (authority, clients, others) =
        (Authority::new("test"), Authority::new("clients"), Authority::new("others"));
    let ada = clients.client("ada", 7);
    let files = Files::new("tickets");
    let roots = files.directory.join("roots.pem");
    for version in BOTH {
        each_driver(async |core| {
            files.write(&authority.server(&["localhost"]));
            fs::write(&roots, &clients.pem).expect("written");
            let mut tls = files.config();
            tls.client_auth = ClientAuth::Required(ClientRoots::from_file(&roots));
            serve(&core, tls, ServerConfig::default(), routes(), (), async |site| {
                let config = Arc::new(client_config(&authority, &[version], Some(&ada)));
                let ask = async || {
                    let (config, address) = (Arc::clone(&config), site.address);
                    on_thread(&core, move || {
                        let mut client = Client::connect(address, &config, "localhost").ok()?;
                        client.stream.sock.set_nodelay(true).ok()?;
                        client.try_get("/").map(|answer| answer.text() == "true")
                    })
                    .await
                };
                assert_eq!(ask().await, Some(false));
                assert_eq!(ask().await, Some(true));
                files.write(&authority.server(&["localhost"]));
                let certificates = site.certificates.clone();
                on_thread(&core, move || certificates.reload()).await.expect("it can be loaded");
                assert_eq!(ask().await, Some(true), "a new certificate, the same clients");
                fs::write(&roots, &others.pem).expect("written");
                let certificates = site.certificates.clone();
                on_thread(&core, move || certificates.reload()).await.expect("it can be loaded");
                assert_eq!(ask().await, None, "nobody vouches for the client any more");
            })
            .await;
        });
    }
}
