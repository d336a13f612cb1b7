//! Heads of hostile clients, over real sockets on both drivers: what each reader of them answers, and with how much memory.

use std::cell::Cell;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

use http::Method;
use ringhttp::middleware::{
    self, CompressConfig, ConditionalConfig, CorsConfig, CsrfConfig, Origins, RangesConfig,
};
use ringhttp::proto::Etag;
use ringhttp::proto::conditional::Validators;
use ringhttp::testing::{each_driver, serve_on};
use ringhttp::{Next, Request, Response, Result, Router, ServerConfig};

use crate::counting::Growth;

/// What one of them may cost: some copies of the largest head, and what the connection holds.
const GROWTH_BYTES_MAX: isize = 1 << 20;

#[derive(Default)]
struct State {
    /// Since the last request that was not about it.
    growth: Cell<Option<Growth>>,
}

async fn query(_: &State, req: Request) -> Result<String> {
    Ok(req.query::<Vec<(String, String)>>()?.len().to_string())
}

async fn pairs(_: &State, req: Request) -> Result<String> {
    Ok(req.query_pairs().collect::<Result<Vec<_>>>()?.len().to_string())
}

async fn accepted(_: &State, req: Request) -> String {
    let language = req.accepts_language(&["en", "de"]).unwrap_or("none");
    format!("{} {language}", req.accepts(&["text/html", "application/json"]).unwrap_or("none"))
}

async fn client(_: &State, req: Request) -> String {
    let address = req.client_addr().map_or_else(|| "unknown".to_owned(), |address| address.to_string());
    format!("{address} {} {}", req.scheme(), req.host().unwrap_or_default())
}

async fn kind(_: &State, req: Request) -> String {
    let known = req.content_type().map(|kind| kind.essence().to_ascii_lowercase());
    known.unwrap_or_else(|| "none".to_owned())
}

async fn tagged(_: &State, _: Request) -> Response {
    let version = Validators { etag: Etag::strong("a").ok(), ..Validators::default() };
    Response::text("0123456789".repeat(1000)).with_validators(&version)
}

fn routes() -> Router<State> {
    let mut cors = CorsConfig::default();
    cors.origins = Origins::List(vec!["https://a.example".to_owned()]);
    let basic = async |_: &State, user: &str, _: &str| Ok((user == "ada").then_some(()));
    let bearer = async |_: &State, token: &str| Ok((token == "good").then_some(()));
    let text = async |_: &State, _| "text\n";
    let part = Router::new().get("/basic", text).with(middleware::basic_auth("a", basic).expect("a realm"));
    let other =
        Router::new().get("/bearer", text).with(middleware::bearer_auth("a", bearer).expect("a realm"));
    Router::new()
        .get("/grown", async |state: &State, _| {
            state.growth.take().map_or(0, |growth| growth.most_bytes()).to_string()
        })
        .get("/query", query)
        .get("/pairs", pairs)
        .get("/cookies", async |_: &State, req: Request| req.cookies().count().to_string())
        .get("/accept", accepted)
        .get("/client", client)
        .get("/kind", kind)
        .get("/tagged", tagged)
        .get("/last", async |_: &State, req: Request| req.last_event_id().unwrap_or("none").len().to_string())
        .get("/path/{name}", async |_: &State, req: Request| -> Result<String> {
            Ok(req.param_str("name")?.len().to_string())
        })
        .get("/rest/{*rest}", async |_: &State, req: Request| {
            req.path_decoded().map(|path| path.len().to_string())
        })
        .post("/posted", text)
        .nest("/in", part)
        .nest("/in", other)
        .with(async |state: &State, req: Request, next: Next<'_, State>| {
            if req.path() != "/grown" {
                state.growth.set(Some(Growth::begin()));
            }
            next.run(req).await
        })
        .with(middleware::cors(cors).expect("good origins"))
        .with(middleware::csrf(CsrfConfig::default()).expect("a good configuration"))
        .with(middleware::compress(CompressConfig::default()))
        .with(middleware::ranges(RangesConfig::default()))
        .with(middleware::conditional(ConditionalConfig::default()))
}

type Case = (&'static str, String, Vec<(&'static str, String)>, u16, &'static str);

/// Path, fields, and what they are answered with; no text: it does not matter.
fn cases() -> Vec<Case> {
    let get = |path: &str, fields: &[(&'static str, &str)], status, text| -> Case {
        let fields = fields.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        ("GET", path.to_owned(), fields, status, text)
    };
    let many = |piece: &str| piece.repeat(60_000 / piece.len());
    let field =
        |path: &str, name: &'static str, value: &str, status, text| get(path, &[(name, value)], status, text);
    let ranges = (0..5000).fold("bytes=".to_owned(), |mut all, at| {
        let _ = write!(all, "{at}-{at},");
        all
    });
    vec![
        // Queries.
        get("/query?a=%FF", &[], 400, ""),
        get("/query?%c3%28", &[], 400, ""),
        get("/query?a=%", &[], 200, "1"),
        get("/query?a=%0", &[], 200, "1"),
        get("/query?a=%00%0d%0a", &[], 200, "1"),
        get(&format!("/query?{}", "a&".repeat(4000)), &[], 200, "4000"),
        get(&format!("/query?{}", "&".repeat(8000)), &[], 200, "0"),
        get(&format!("/query?{}", "%".repeat(8000)), &[], 200, "1"),
        get("/pairs?a=%FF", &[], 400, ""),
        get(&format!("/pairs?{}", "a&".repeat(4000)), &[], 200, "4000"),
        get(&format!("/query?{}", "a".repeat(9000)), &[], 414, ""),
        // Paths.
        get("/path/%ff", &[], 400, ""),
        get("/path/%c0%ae%c0%ae", &[], 400, ""),
        get("/path/%00", &[], 200, "1"),
        get("/path/..%2f..%2f", &[], 200, "6"),
        get("/rest/%2e%2e/%2e%2e", &[], 200, "11"),
        get("/rest/%ff", &[], 400, ""),
        get(&format!("/rest{}", "/..".repeat(2600)), &[], 200, "7805"),
        // Cookies.
        field("/cookies", "cookie", &many("a=1; "), 200, "12000"),
        field("/cookies", "cookie", &many(";"), 200, "0"),
        field("/cookies", "cookie", &format!("a=\"{}", many("\"")), 200, "1"),
        field("/cookies", "cookie", &format!("a={}", "x".repeat(8192)), 200, "1"),
        // What the client accepts.
        field("/accept", "accept", &many("text/html;q=0.1,"), 200, ""),
        field("/accept", "accept", &many(","), 200, ""),
        field("/accept", "accept", &many("a/b;c=\"\\\""), 200, ""),
        field("/accept", "accept", "text/html;q=99999999999999999999", 200, ""),
        field("/accept", "accept-language", &many("de-"), 200, ""),
        field("/accept", "accept-language", &many("*;q=0,"), 200, ""),
        field("/tagged", "accept-encoding", &many("gzip;q=0.001,"), 200, ""),
        field("/tagged", "accept-encoding", &many(";"), 200, ""),
        // Ranges and conditions.
        field("/tagged", "range", &ranges, 200, ""),
        field("/tagged", "range", &many("bytes=0-0,"), 200, ""),
        field("/tagged", "range", "bytes=0-18446744073709551615", 206, ""),
        field("/tagged", "range", "bytes=18446744073709551616-", 416, ""),
        field("/tagged", "range", "bytes=-99999999999999999999999", 206, ""),
        field("/tagged", "range", "bytes=9-0", 200, ""),
        field("/tagged", "range", "bytes=-0", 416, ""),
        field("/tagged", "range", "bytes=0-9999,0-9999,0-9999,0-9999,0-9999,0-9999,0-9999", 206, ""),
        get("/tagged", &[("range", "bytes=0-0"), ("if-range", &many("\""))], 200, ""),
        field("/tagged", "if-none-match", &many("\"b\","), 200, ""),
        field("/tagged", "if-none-match", &format!("{}\"a\"", many("W/\"b\",")), 304, ""),
        field("/tagged", "if-none-match", &many("\""), 200, ""),
        field("/tagged", "if-match", &many("\"b\","), 412, ""),
        field("/tagged", "if-modified-since", &many("Sun, 06 Nov 1994 08:49:37 GMT "), 200, ""),
        // Who it is.
        field("/in/basic", "authorization", &format!("Basic {}", many("QUFB")), 401, ""),
        field("/in/basic", "authorization", "Basic ====", 401, ""),
        field("/in/basic", "authorization", "Basic /////w==", 401, ""),
        field("/in/basic", "authorization", &many("Basic "), 401, ""),
        field("/in/bearer", "authorization", &format!("Bearer {}", many("a")), 401, ""),
        field("/in/bearer", "authorization", &format!("Bearer {}", many("a ")), 400, ""),
        field("/client", "x-forwarded-for", &many("1.2.3.4, "), 200, ""),
        field("/client", "x-forwarded-for", &many(","), 200, ""),
        field("/client", "x-forwarded-for", "999.1.1.1, [::1, ::%eth0", 200, ""),
        field("/client", "forwarded", &many("for=1.2.3.4;"), 200, ""),
        field("/client", "forwarded", &many("for=\"[::1]:1\","), 200, ""),
        field("/client", "forwarded", &many("\"\\"), 200, ""),
        get("/client", &[("x-forwarded-for", "1.2.3.4"), ("x-forwarded-host", &many("a"))], 200, ""),
        // The rest.
        field("/kind", "content-type", &many(";"), 200, ""),
        field("/kind", "content-type", &many("text/plain; a=\"\\\""), 200, ""),
        field("/kind", "content-type", &format!("text/{}", many("plain")), 200, ""),
        field("/last", "last-event-id", &many("1"), 200, "60000"),
        field("/tagged", "origin", &many("https://a.example"), 200, ""),
        ("POST", "/posted".to_owned(), vec![("origin", many("https://a.example"))], 403, ""),
        ("POST", "/posted".to_owned(), vec![("sec-fetch-site", many("same-origin"))], 403, ""),
        (
            "OPTIONS",
            "/posted".to_owned(),
            vec![
                ("origin", "https://a.example".to_owned()),
                ("access-control-request-method", "POST".to_owned()),
                ("access-control-request-headers", many("x,")),
            ],
            403,
            "",
        ),
        field("/query", "x", &"a".repeat(70_000), 431, ""),
    ]
}

#[test]
fn hostile_heads_are_answered_in_bounded_memory() {
    let cases = cases();
    each_driver(async |core| {
        let mut config = ServerConfig::default();
        config.trusted_proxies = vec![IpAddr::V4(Ipv4Addr::LOCALHOST).into()];
        serve_on(&core, config, routes(), State::default(), async |client| {
            let mut wrong = String::new();
            for (method, path, fields, status, text) in &cases {
                let mut head = format!("{method} {path} HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n");
                fields.iter().for_each(|(name, value)| {
                    let _ = write!(head, "{name}: {value}\r\n");
                });
                let mut raw = client.raw(head + "\r\n").await;
                let response = raw.response(&Method::from_bytes(method.as_bytes()).unwrap()).await;
                let shown = fields.first().map_or("", |(_, value)| &value[..value.len().min(40)]);
                let shown = format!("{method} {} {shown}", &path[..path.len().min(60)]);
                let grown: isize = client.get("/grown").await.text().parse().expect("a number");
                let is_right = response.status == *status && (text.is_empty() || response.text() == *text);
                if !is_right || grown >= GROWTH_BYTES_MAX {
                    let _ =
                        writeln!(wrong, "{shown}: {} {}, {grown} bytes", response.status, response.text());
                }
            }
            assert!(wrong.is_empty(), "{wrong}");
        })
        .await;
    });
}
