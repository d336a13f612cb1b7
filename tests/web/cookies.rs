//! Cookies, sessions, authentication and the guard against cross-site requests, over real sockets on both drivers.

use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::Method;
use ringhttp::middleware::{self, ConditionalConfig, CsrfConfig, JwtConfig, JwtKey, RangesConfig};
use ringhttp::session::{CookieKey, MemoryConfig, MemoryStore, SessionConfig, SpreadStore, Store};
use ringhttp::testing::{self, TestClient, TestResponse};
use ringhttp::{
    Core, Cores, HeaderValue, Request, Response, Result, Router, RuntimeConfig, SameSite, ServerConfig,
    SetCookie, StatusCode,
};
use serde::{Deserialize, Serialize};

use crate::common::ask;

/// Runs `body` against routes on both drivers.
fn with(routes: impl Fn() -> Result<Router<()>> + Send + Sync, body: impl AsyncFn(TestClient) + Send + Sync) {
    testing::each_driver(async |core: Core| {
        let routes = routes().expect("the settings work");
        testing::serve_on(&core, ServerConfig::default(), routes, (), &body).await;
    });
}

async fn get(client: &TestClient, path: &str, fields: &[(&str, &str)]) -> TestResponse {
    ask(client, "GET", path, fields).await
}

/// What a browser would send back of the last cookie that was set.
fn cookie_of(response: &TestResponse) -> Option<String> {
    let set = response.headers.get_all("set-cookie").iter().next_back()?.to_str().expect("it is ASCII");
    Some(set.split(';').next().unwrap_or_default().to_owned())
}

fn cookies() -> Result<Router<()>> {
    async fn all(_: &(), req: Request) -> String {
        req.cookies().map(|(name, value)| format!("{name}={value};")).collect()
    }
    async fn one(_: &(), req: Request) -> Result<String> {
        Ok(format!("{:?} {:?}", req.cookie("a"), req.cookie_decoded("a")?))
    }
    async fn lengths(_: &(), req: Request) -> String {
        let bytes: usize = req.cookies().map(|(_, value)| value.len()).sum();
        format!("{} {bytes}", req.cookies().count())
    }
    async fn set(_: &(), _: Request) -> Result {
        let mut full = SetCookie::encoded("c", "ä; b");
        full.domain = Some("example.com".into());
        full.max_age = Some(Duration::from_secs(60));
        full.expires = Some(UNIX_EPOCH);
        (full.secure, full.http_only, full.partitioned) = (true, true, true);
        full.same_site = Some(SameSite::None);
        let response = Response::text("set").with_cookie(&SetCookie::new("b", "2"))?;
        response.with_cookie(&SetCookie::new("a", "1"))?.with_cookie(&full)?.remove_cookie("old")
    }
    async fn smuggle(_: &(), req: Request) -> Result {
        let value: String = req.query::<Vec<(String, String)>>()?.remove(0).1;
        Response::text("set").with_cookie(&SetCookie::new("a", value))
    }
    let routes = Router::new().get("/all", all).get("/one", one).get("/lengths", lengths);
    Ok(routes.get("/set", set).get("/smuggle", smuggle))
}

#[test]
fn cookies_are_read_and_set() {
    with(cookies, async |client| {
        let read = get(&client, "/all", &[("cookie", "a=1; b=\"2\"; x"), ("cookie", "a=3")]).await;
        assert_eq!(read.text(), "a=1;b=2;a=3;");
        let read = get(&client, "/one", &[("cookie", "b=1; a=%C3%A4; a=2")]).await;
        assert_eq!(read.text(), r#"Some("%C3%A4") Some("ä")"#);
        assert_eq!(get(&client, "/one", &[]).await.text(), "None None");
        let set = get(&client, "/set", &[]).await;
        let fields: Vec<_> =
            set.headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap()).collect();
        let long_ago = "Expires=Thu, 01 Jan 1970 00:00:00 GMT";
        let expected = [
            "b=2; Path=/",
            "a=1; Path=/",
            &format!(
                "c=%C3%A4%3B%20b; HttpOnly; SameSite=None; Partitioned; Secure; Path=/; Domain=example.com; Max-Age=60; {long_ago}"
            ),
            &format!("old=; Path=/; Max-Age=0; {long_ago}"),
        ];
        assert_eq!(fields, expected);
    });
}

#[test]
fn hostile_cookies_are_answered_and_the_core_serves_on() {
    with(cookies, async |client| {
        let long = format!("a={}", "x".repeat(8 * 1024));
        assert_eq!(get(&client, "/lengths", &[("cookie", &long)]).await.text(), "1 8192");
        let many = "a=1; ".repeat(1000);
        assert_eq!(get(&client, "/lengths", &[("cookie", &many)]).await.text(), "1000 1000");
        let empty = ";".repeat(32 * 1024);
        assert_eq!(get(&client, "/lengths", &[("cookie", &empty)]).await.text(), "0 0");
        // More than a head may have is refused before anything looks at cookies.
        let huge = format!("a={}", "x".repeat(64 * 1024));
        assert_eq!(get(&client, "/lengths", &[("cookie", &huge)]).await.status, 431);
        let fields = [("cookie", "a=1"); 101];
        assert_eq!(get(&client, "/lengths", &fields).await.status, 431);
        assert_eq!(get(&client, "/one", &[("cookie", "a=%ff")]).await.status, 400);
        let mut raw =
            client.raw(&b"GET /all HTTP/1.1\r\nhost: a\r\ncookie: a=\xff; b=2; \xfe=3\r\n\r\n"[..]).await;
        assert_eq!(raw.response(&Method::GET).await.text(), "b=2;");
        for value in ["%0d%0aset-cookie:b=1", "1%3b%20Domain=evil.com", "%00", "%22", "%C3%A4"] {
            let smuggled = get(&client, &format!("/smuggle?value={value}"), &[]).await;
            assert_eq!((smuggled.status.as_u16(), cookie_of(&smuggled)), (500, None), "{value}");
        }
        assert_eq!(get(&client, "/smuggle?value=1", &[]).await.header("set-cookie"), Some("a=1; Path=/"));
    });
}

#[test]
fn signed_and_encrypted_cookies_are_taken_from_their_server_only() {
    fn routes() -> Result<Router<()>> {
        let key = Rc::new(CookieKey::generate());
        let (read, set) = (Rc::clone(&key), key);
        let read = async move |_: &(), req: Request| {
            format!("{:?} {:?}", req.signed_cookie("s", &read), req.private_cookie("p", &read))
        };
        let set = async move |_: &(), _: Request| -> Result {
            let response = Response::text("set").with_signed_cookie(&SetCookie::new("s", "user=7"), &set)?;
            response.with_private_cookie(&SetCookie::new("p", "ä; secret"), &set)
        };
        Ok(Router::new().get("/", read).get("/set", set))
    }
    with(routes, async |client| {
        let set = get(&client, "/set", &[]).await;
        let pairs: Vec<_> =
            set.headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap()).collect();
        let [signed, private] = [pairs[0], pairs[1]].map(|pair| pair.split(';').next().unwrap().to_owned());
        assert!(signed.ends_with("user=7") && !private.contains("secret"), "{signed} {private}");
        let both = format!("{signed}; {private}");
        let read = get(&client, "/", &[("cookie", &both)]).await;
        assert_eq!(read.text(), r#"Some("user=7") Some("ä; secret")"#);
        let cut = &private[..private.len() - 5];
        let forged = [
            format!("{}; p=AAAA", signed.replace("user=7", "user=8")),
            format!("s=user=7; {cut}"),
            format!("s={}; p={}", &private[2..], &signed[2..]),
            format!("s={}; p={}", "A".repeat(8192), "A".repeat(8192)),
            "s=; p=".to_owned(),
            "s=%; p=====".to_owned(),
            format!("s={}ä; p=ä", "A".repeat(43)),
        ];
        for cookie in forged {
            let read = get(&client, "/", &[("cookie", &cookie)]).await;
            assert_eq!((read.status.as_u16(), read.text()), (200, "None None"), "{cookie}");
        }
    });
}

/// What applications do with sessions.
fn signing_in() -> Router<()> {
    async fn visit(_: &(), req: Request) -> Result<String> {
        let session = req.session()?;
        let visits = session.get::<u32>("visits")?.unwrap_or(0) + 1;
        session.insert("visits", &visits)?;
        Ok(visits.to_string())
    }
    async fn login(_: &(), req: Request) -> Result<&'static str> {
        let session = req.session()?;
        session.renew();
        session.insert("user", "ada")?;
        Ok("welcome")
    }
    async fn who(_: &(), req: Request) -> Result<String> {
        Ok(req.session()?.get("user")?.unwrap_or_else(|| "nobody".to_owned()))
    }
    async fn logout(_: &(), req: Request) -> Result<&'static str> {
        req.session()?.clear();
        Ok("bye")
    }
    async fn fill(_: &(), req: Request) -> Result<&'static str> {
        req.session()?.insert("text", &"x".repeat(req.param("bytes")?))?;
        Ok("filled")
    }
    async fn plain(_: &(), _: Request) -> &'static str {
        "plain"
    }
    async fn for_all(_: &(), _: Request) -> Response {
        let value = HeaderValue::from_static("public, max-age=31536000");
        Response::text("logo").with_header("cache-control", value)
    }
    let routes = Router::new()
        .get("/for-all", for_all)
        .get("/visit", visit)
        .get("/login", login)
        .get("/who", who)
        .get("/plain", plain);
    routes.get("/logout", logout).get("/fill/{bytes}", fill)
}

fn in_cookie() -> Result<Router<()>> {
    Ok(signing_in().with(middleware::cookie_sessions(CookieKey::generate(), SessionConfig::insecure())?))
}

fn in_memory() -> Result<Router<()>> {
    Ok(signing_in().with(middleware::stored_sessions(MemoryStore::default(), SessionConfig::insecure())?))
}

#[test]
fn sessions_remember_their_client_wherever_they_are_kept() {
    for routes in [in_cookie, in_memory] {
        with(routes, async |client| {
            let first = get(&client, "/visit", &[]).await;
            let cookie = cookie_of(&first).unwrap();
            assert_eq!((first.text(), first.header("cache-control")), ("1", Some("private")));
            assert_eq!(first.header("vary"), Some("cookie"));
            let second = get(&client, "/visit", &[("cookie", &cookie)]).await;
            assert_eq!(second.text(), "2");
            let cookie = cookie_of(&second).unwrap();
            assert_eq!(get(&client, "/visit", &[]).await.text(), "1", "somebody else");

            let seen = get(&client, "/who", &[("cookie", &cookie)]).await;
            assert_eq!((seen.text(), cookie_of(&seen)), ("nobody", None), "nothing has changed");
            assert_eq!(seen.header("vary"), Some("cookie"));
            let unseen = get(&client, "/plain", &[("cookie", &cookie)]).await;
            assert_eq!((unseen.header("vary"), cookie_of(&unseen)), (None, None));

            let login = get(&client, "/login", &[("cookie", &cookie)]).await;
            let signed_in = cookie_of(&login).unwrap();
            assert_ne!(signed_in, cookie);
            assert_eq!(get(&client, "/who", &[("cookie", &signed_in)]).await.text(), "ada");
            assert_eq!(
                get(&client, "/visit", &[("cookie", &signed_in)]).await.text(),
                "3",
                "values are kept"
            );

            let logout = get(&client, "/logout", &[("cookie", &signed_in)]).await;
            assert!(logout.header("set-cookie").unwrap().contains("Max-Age=0"), "{:?}", logout.headers);
            let nothing = get(&client, "/logout", &[]).await;
            assert_eq!((nothing.status, cookie_of(&nothing)), (StatusCode::OK, None));
        });
    }
}

/// Fails when it is asked for what no server can have made up, and is full for some.
#[derive(Default)]
struct IdsOnly(MemoryStore);

impl Store for IdsOnly {
    async fn load(&self, id: &str) -> Result<Option<String>> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if id.len() != 32 || !id.bytes().all(plain) {
            return Err(StatusCode::BAD_GATEWAY.into());
        }
        self.0.load(id).await
    }

    async fn insert(&self, id: &str, record: String, lifetime: Duration) -> Result<()> {
        if record.contains("full") {
            return Err(StatusCode::INSUFFICIENT_STORAGE.into());
        }
        self.0.insert(id, record, lifetime).await
    }

    async fn replace(&self, id: &str, record: String, lifetime: Duration) -> Result<bool> {
        self.0.replace(id, record, lifetime).await
    }

    async fn remove(&self, id: &str) -> Result<()> {
        self.0.remove(id).await
    }
}

#[test]
fn a_store_sees_ids_only_and_its_failure_is_the_answer() {
    fn routes() -> Result<Router<()>> {
        let fill = async |_: &(), req: Request| -> Result<()> {
            let session = req.session()?;
            session.renew();
            session.insert("text", "full")
        };
        let sessions = middleware::stored_sessions(IdsOnly::default(), SessionConfig::insecure())?;
        Ok(signing_in().get("/full", fill).with(sessions))
    }
    with(routes, async |client| {
        let forged =
            ["x".to_owned(), String::new(), "*".repeat(32), "A".repeat(31), "A".repeat(8192), "ä".repeat(16)];
        for id in forged {
            let seen = get(&client, "/who", &[("cookie", &format!("session={id}"))]).await;
            assert_eq!((seen.status.as_u16(), seen.text()), (200, "nobody"), "{id}");
        }
        let full = get(&client, "/full", &[]).await;
        assert_eq!((full.status.as_u16(), cookie_of(&full)), (507, None));
        let cookie = cookie_of(&get(&client, "/login", &[]).await).unwrap();
        assert_eq!(get(&client, "/who", &[("cookie", &cookie)]).await.text(), "ada");
        assert_eq!(get(&client, "/full", &[("cookie", &cookie)]).await.status, 507);
        assert_eq!(get(&client, "/who", &[("cookie", &cookie)]).await.text(), "ada", "nothing is lost");
    });
}

#[test]
fn a_stored_session_ends_when_the_server_says_so() {
    with(in_memory, async |client| {
        let before = cookie_of(&get(&client, "/visit", &[]).await).unwrap();
        let after = cookie_of(&get(&client, "/login", &[("cookie", &before)]).await).unwrap();
        assert_eq!(get(&client, "/who", &[("cookie", &before)]).await.text(), "nobody", "the id of before");
        assert_eq!(get(&client, "/visit", &[("cookie", &before)]).await.text(), "1");
        get(&client, "/logout", &[("cookie", &after)]).await;
        assert_eq!(get(&client, "/who", &[("cookie", &after)]).await.text(), "nobody");
        // An id of the client's own choice is not taken over.
        for id in [after.as_str(), &format!("session={}", "A".repeat(32)), "session=x", "session="] {
            let fresh = cookie_of(&get(&client, "/login", &[("cookie", id)]).await).unwrap();
            assert_ne!(fresh, id);
            assert_eq!(get(&client, "/who", &[("cookie", id)]).await.text(), "nobody", "{id}");
        }
    });
}

#[test]
fn a_session_that_was_ended_meanwhile_does_not_come_back() {
    testing::each_driver(async |core: Core| {
        let store = Rc::new(MemoryStore::default());
        let sessions = middleware::stored_sessions(Rc::clone(&store), SessionConfig::insecure()).unwrap();
        // Another request signs out while this one is under way.
        let kept = Rc::clone(&store);
        let overtaken = async move |_: &(), req: Request| -> Result<&'static str> {
            store.remove(req.cookie("session").unwrap_or_default()).await?;
            let session = req.session()?;
            if req.query_string() == Some("renew") {
                session.renew();
            }
            session.insert("user", "eve")?;
            Ok("too late")
        };
        let routes = Router::new().nest("/", signing_in()).get("/overtaken", overtaken).with(sessions);
        testing::serve_on(&core, ServerConfig::default(), routes, (), async |client| {
            for path in ["/overtaken", "/overtaken?renew"] {
                let cookie = cookie_of(&get(&client, "/login", &[]).await).unwrap();
                let late = get(&client, path, &[("cookie", &cookie)]).await;
                assert_eq!((late.text(), cookie_of(&late)), ("too late", None), "{path}");
                assert_eq!(get(&client, "/who", &[("cookie", &cookie)]).await.text(), "nobody", "{path}");
                assert!(kept.is_empty(), "{path}");
            }
        })
        .await;
    });
}

/// Who signs in with a condition or for a part that cannot be had has signed in all the same.
#[test]
fn a_refusal_keeps_the_cookie_that_its_answer_set() {
    fn routes() -> Result<Router<()>> {
        let sessions = middleware::cookie_sessions(CookieKey::generate(), SessionConfig::insecure())?;
        let routes = signing_in().with(middleware::ranges(RangesConfig::default()));
        Ok(routes.with(middleware::conditional(ConditionalConfig::default())).with(sessions))
    }
    with(routes, async |client| {
        for (name, value, status, text) in [
            ("range", "bytes=100-", 416, "Range Not Satisfiable\n"),
            ("if-match", "\"other\"", 412, "Precondition Failed\n"),
        ] {
            let refused = get(&client, "/login", &[(name, value)]).await;
            assert_eq!((refused.status.as_u16(), refused.text()), (status, text));
            let (cache_control, vary) = (refused.header("cache-control"), refused.header("vary"));
            assert_eq!((cache_control, vary), (Some("no-store"), Some("cookie")), "{name}");
            let cookie = cookie_of(&refused).expect("somebody signed in");
            assert_eq!(get(&client, "/who", &[("cookie", &cookie)]).await.text(), "ada", "{name}");
        }
    });
}

#[test]
fn forged_session_cookies_are_empty_sessions() {
    with(in_cookie, async |client| {
        let good = cookie_of(&get(&client, "/login", &[]).await).unwrap();
        assert_eq!(get(&client, "/who", &[("cookie", &good)]).await.text(), "ada");
        let value = good.strip_prefix("session=").unwrap();
        let sealed_elsewhere = CookieKey::generate().seal("session", r#"[0,9999999999,{"user":"ada"}]"#);
        let another = if value.starts_with('A') { 'B' } else { 'A' };
        let forged = [
            String::new(),
            value[..value.len() - 1].to_owned(),
            value[..20].to_owned(),
            format!("{value}AAAA"),
            format!("{another}{}", &value[1..]),
            sealed_elsewhere,
            r#"[0,9999999999,{"user":"ada"}]"#.to_owned(),
            "A".repeat(8192),
            "=".repeat(100),
        ];
        for value in forged {
            let seen = get(&client, "/who", &[("cookie", &format!("session={value}"))]).await;
            assert_eq!((seen.status.as_u16(), seen.text()), (200, "nobody"), "{value}");
        }
    });
}

#[test]
fn sessions_have_a_size() {
    with(in_cookie, async |client| {
        let fits = get(&client, "/fill/2900", &[]).await;
        assert_eq!((fits.status.as_u16(), fits.header("set-cookie").is_some()), (200, true));
        let long = get(&client, "/fill/3100", &[]).await;
        assert_eq!((long.status.as_u16(), cookie_of(&long)), (500, None));
    });
    with(in_memory, async |client| {
        assert_eq!(get(&client, "/fill/60000", &[]).await.status, 200);
        assert_eq!(get(&client, "/fill/66000", &[]).await.status, 500);
    });
}

#[test]
fn cookies_of_sessions_are_safe_unless_told_otherwise() {
    fn routes() -> Result<Router<()>> {
        Ok(signing_in().with(middleware::cookie_sessions(CookieKey::generate(), SessionConfig::default())?))
    }
    with(routes, async |client| {
        let set = get(&client, "/visit", &[]).await;
        let field = set.header("set-cookie").unwrap();
        let (pair, attributes) = field.split_once(';').unwrap();
        assert!(pair.starts_with("__Host-session="), "{field}");
        assert_eq!(attributes, " HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=1209600");
    });
    let mut contradicts_itself = SessionConfig::default();
    contradicts_itself.secure = false;
    assert!(middleware::cookie_sessions::<()>(CookieKey::generate(), contradicts_itself).is_err());
}

#[test]
fn a_session_is_over_when_it_was_not_used_and_prolonged_when_it_was() {
    const KEY: [u8; 64] = [7; 64];
    fn routes() -> Result<Router<()>> {
        let mut config = SessionConfig::insecure();
        config.idle_timeout = Duration::from_secs(1000);
        config.lifetime_max = Some(Duration::from_secs(5000));
        Ok(signing_in().with(middleware::cookie_sessions(CookieKey::from_bytes(&KEY)?, config)?))
    }
    with(routes, async |client| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        // When it began and when it ends, as seen from now; who it is then; and for how long it is prolonged.
        let cases: [(i64, i64, &str, Option<u64>); 6] = [
            (-100, 900, "ada", None),
            (-600, 400, "ada", Some(1000)),
            (-1001, -1, "nobody", None),
            (-4600, 390, "ada", Some(400)),
            (-4900, 100, "ada", None),
            (-9000, -4000, "nobody", None),
        ];
        let key = CookieKey::from_bytes(&KEY).unwrap();
        // Who does not look at the session does not send back a copy of it, which may be older than what the client has by then.
        let record = format!(r#"[{},{},{{"user":"ada"}}]"#, now - 600, now + 400);
        let cookie = format!("session={}", key.seal("session", &record));
        let seen = get(&client, "/for-all", &[("cookie", cookie.as_str())]).await;
        let found = (cookie_of(&seen), seen.header("cache-control"), seen.header("vary"));
        assert_eq!(found, (None, Some("public, max-age=31536000"), None));
        for (began, ends, who, prolonged) in cases {
            let at = |offset| now.saturating_add_signed(offset);
            let record = format!(r#"[{},{},{{"user":"ada"}}]"#, at(began), at(ends));
            let cookie = format!("session={}", key.seal("session", &record));
            let seen = get(&client, "/who", &[("cookie", &cookie)]).await;
            let age = seen
                .header("set-cookie")
                .and_then(|field| field.rsplit_once("Max-Age=")?.1.parse::<u64>().ok());
            assert_eq!(seen.text(), who, "{began} {ends}");
            // Seconds may pass in between.
            let near = |age: u64| prolonged.is_some_and(|expected| (expected - 60..=expected).contains(&age));
            assert!(age.map_or(prolonged.is_none(), near), "{began} {ends}: {age:?}");
        }
    });
}

/// Counts what the store holds, from outside.
#[test]
fn a_store_in_memory_stays_within_its_limits() {
    testing::each_driver(async |core: Core| {
        let mut config = MemoryConfig::default();
        config.sessions_max = 50;
        let store = Rc::new(MemoryStore::new(config));
        let sessions = middleware::stored_sessions(Rc::clone(&store), SessionConfig::insecure()).unwrap();
        let routes = signing_in().with(sessions);
        testing::serve_on(&core, ServerConfig::default(), routes, (), async |client| {
            let request = "GET /visit HTTP/1.1\r\nhost: a\r\n\r\n";
            let mut connection = client.raw(request.repeat(200)).await;
            for _ in 0..200 {
                assert_eq!(connection.response(&Method::GET).await.text(), "1");
            }
            assert_eq!(store.len(), 50);
        })
        .await;
    });
}

#[test]
fn a_spread_store_is_the_same_on_all_cores() {
    let store = SpreadStore::new(MemoryConfig::default());
    let other = SpreadStore::new(MemoryConfig::default());
    let mut config = RuntimeConfig::default();
    (config.cores, config.pin, config.handle_signals) = (Cores::Count(2), false, false);
    ringhttp::run(config, async move |core| -> Result<()> {
        if core.id() == 0 {
            let long = Duration::from_secs(60);
            for number in 0..20 {
                let (id, key) = (format!("id-{number}"), format!("id-{number}"));
                store.insert(&id, format!("{number}"), long).await?;
                let there = store.clone();
                let seen = core.invoke_on(1, async move |_| {
                    let seen = there.load(&key).await.ok().flatten();
                    let replaced = there.replace(&key, "new".to_owned(), long).await.unwrap_or(false);
                    (seen, replaced)
                });
                assert_eq!(seen.await?, (Some(number.to_string()), true));
                assert_eq!(store.load(&id).await?.as_deref(), Some("new"));
                assert_eq!(other.load(&id).await?, None, "another store");
                store.remove(&id).await?;
                assert!(!store.replace(&id, "late".to_owned(), long).await?);
            }
        }
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_session_without_its_middleware_is_the_servers_mistake() {
    with(|| Ok(signing_in()), async |client| assert_eq!(client.get("/visit").await.status, 500));
}

struct User(String);

async fn user(_: &(), req: Request) -> String {
    req.extensions().get::<User>().map_or("nobody", |user| &user.0).to_owned()
}

#[test]
fn basic_credentials_are_asked_for_and_checked() {
    fn routes() -> Result<Router<()>> {
        let check = async |_: &(), user: &str, password: &str| -> Result<Option<User>> {
            if user == "broken" {
                return Err(StatusCode::SERVICE_UNAVAILABLE.into());
            }
            Ok(middleware::same_secret(password, "open sesame").then(|| User(user.to_owned())))
        };
        Ok(Router::new().get("/", user).with(middleware::basic_auth("the \"lab\"", check)?))
    }
    with(routes, async |client| {
        let cases = [
            (Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), 200, "Aladdin"),
            (Some("basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), 200, "Aladdin"),
            (Some("Basic YnJva2VuOng="), 503, "Service Unavailable\n"),
            (None, 401, "Unauthorized\n"),
            (Some("Basic QWxhZGRpbjp3cm9uZw=="), 401, "Unauthorized\n"),
            (Some("Basic !!!!"), 401, "Unauthorized\n"),
            (Some("Basic QWxhZGRpbg=="), 401, "Unauthorized\n"),
            (Some("Basic //46"), 401, "Unauthorized\n"),
            (Some("Bearer abc"), 401, "Unauthorized\n"),
            (Some(""), 401, "Unauthorized\n"),
        ];
        for (field, status, text) in cases {
            let fields: Vec<_> = field.map(|field| ("authorization", field)).into_iter().collect();
            let response = get(&client, "/", &fields).await;
            assert_eq!((response.status.as_u16(), response.text()), (status, text), "{field:?}");
            let challenge = (status == 401).then_some(r#"Basic realm="the \"lab\"", charset="UTF-8""#);
            assert_eq!(response.header("www-authenticate"), challenge, "{field:?}");
        }
        let long = format!("Basic {}", "A".repeat(32 * 1024));
        assert_eq!(get(&client, "/", &[("authorization", &long)]).await.status, 401);
        assert_eq!(client.get("/nothing").await.status, 401, "what there is, is nobody's business");
    });
}

#[test]
fn bearer_tokens_are_asked_for_and_checked() {
    fn routes() -> Result<Router<()>> {
        let check = async |_: &(), token: &str| {
            Ok(middleware::same_secret(token, "c2VjcmV0").then(|| User("ada".to_owned())))
        };
        Ok(Router::new().get("/", user).with(middleware::bearer_auth("api", check)?))
    }
    let missing = r#"Bearer realm="api""#;
    let malformed =
        r#"Bearer realm="api", error="invalid_request", error_description="the field is malformed""#;
    let unknown = r#"Bearer realm="api", error="invalid_token", error_description="the token is not valid""#;
    with(routes, async |client| {
        let cases = [
            (None, 401, Some(missing)),
            (Some("Basic QTpi"), 401, Some(missing)),
            (Some("Bearer c2VjcmV0"), 200, None),
            (Some("Bearer c2VjcmV1"), 401, Some(unknown)),
            (Some("Bearer"), 400, Some(malformed)),
            (Some("Bearer a,b"), 400, Some(malformed)),
            (Some("Bearer a b"), 400, Some(malformed)),
        ];
        for (field, status, challenge) in cases {
            let fields: Vec<_> = field.map(|field| ("authorization", field)).into_iter().collect();
            let response = get(&client, "/", &fields).await;
            assert_eq!(response.status.as_u16(), status, "{field:?}");
            assert_eq!(response.header("www-authenticate"), challenge, "{field:?}");
        }
    });
}

#[derive(Deserialize, Serialize)]
struct Claims {
    sub: String,
    exp: u64,
}

#[test]
fn json_web_tokens_are_checked() {
    const SECRET: [u8; 32] = [7; 32];
    fn routes() -> Result<Router<()>> {
        let mut config = JwtConfig::default();
        config.keys = vec![JwtKey::hs256(&SECRET)?];
        let who = async |_: &(), req: Request| {
            req.extensions().get::<Claims>().map(|claims| claims.sub.clone()).unwrap_or_default()
        };
        Ok(Router::new().get("/", who).with(middleware::jwt_auth::<_, Claims>(config)?))
    }
    let token = |secret: [u8; 32], exp| {
        let claims = Claims { sub: "ada".to_owned(), exp };
        format!("Bearer {}", JwtKey::hs256(&secret).unwrap().sign(&claims).unwrap())
    };
    let good = token(SECRET, 4_102_444_800);
    let none = format!("Bearer eyJhbGciOiJub25lIn0.{}.", good.split('.').nth(1).unwrap());
    let cases = [
        (good.clone(), 200, None),
        (token(SECRET, 1), 401, Some("the token has expired")),
        (token([8; 32], 4_102_444_800), 401, Some("the token is not valid")),
        (good[..good.len() - 1].to_owned(), 401, Some("the token is not valid")),
        (none, 401, Some("the token is not valid")),
        ("Bearer abc".to_owned(), 401, Some("the token is not valid")),
        (format!("Bearer {}", "a".repeat(32 * 1024)), 401, Some("the token is not valid")),
        ("Bearer é".to_owned(), 400, Some("the field is malformed")),
    ];
    with(routes, async |client| {
        for (field, status, description) in &cases {
            let response = get(&client, "/", &[("authorization", field)]).await;
            assert_eq!(response.status.as_u16(), *status, "{field}");
            let challenge = response.header("www-authenticate").unwrap_or_default();
            assert!(challenge.contains(description.unwrap_or("")), "{field}: {challenge}");
        }
        assert_eq!(get(&client, "/", &[("authorization", &good)]).await.text(), "ada");
        assert_eq!(client.get("/").await.header("www-authenticate"), Some(r#"Bearer realm="api""#));
    });
}

#[test]
fn requests_of_other_sites_are_refused() {
    fn routes() -> Result<Router<()>> {
        let mut config = CsrfConfig::default();
        config.trusted_origins = vec!["https://app.example.com".to_owned()];
        config.excepted_routes = vec!["/hooks/{name}".to_owned()];
        let change = async |_: &(), _: Request| "changed";
        let routes = Router::new().get("/", change).post("/", change).post("/hooks/{name}", change);
        Ok(routes.with(middleware::csrf(config)?))
    }
    with(routes, async |client| {
        let own = format!("http://{}", client.address());
        type Fields<'a> = &'a [(&'a str, &'a str)];
        let cases: [(Method, &str, Fields<'_>, u16); 9] = [
            (Method::POST, "/", &[], 200),
            (Method::POST, "/", &[("sec-fetch-site", "same-origin")], 200),
            (Method::POST, "/", &[("sec-fetch-site", "cross-site")], 403),
            (Method::POST, "/", &[("origin", &own)], 200),
            (Method::POST, "/", &[("origin", "https://evil.com")], 403),
            (Method::POST, "/", &[("origin", "https://app.example.com")], 200),
            (Method::GET, "/", &[("sec-fetch-site", "cross-site")], 200),
            (Method::POST, "/hooks/pay", &[("sec-fetch-site", "cross-site")], 200),
            (Method::POST, "/nothing", &[("sec-fetch-site", "cross-site")], 403),
        ];
        for (method, path, fields, status) in cases {
            let request = client.request(method.clone(), path);
            let request = fields.iter().fold(request, |request, (name, value)| request.header(name, value));
            assert_eq!(request.send().await.status.as_u16(), status, "{method} {path} {fields:?}");
        }
    });
}
