//! Cross-origin requests: which other pages' scripts may read answers (Fetch §3.3, the CORS protocol).
#![forbid(unsafe_code)]

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use crate::conn::{Request, Response};
use crate::error::{Error, Result};
use crate::proto::cors::{is_origin, requested_names};
use crate::web::Next;

/// Whose scripts [`cors`](cors()) allows.
#[derive(Clone)]
#[non_exhaustive]
pub enum Origins {
    /// Everybody's.
    Any,
    /// Those of these origins, written as browsers do: `https://example.org`, `http://localhost:3000`. `null` is the origin of
    /// sandboxed frames and local files: whoever may be one of them may be anybody.
    List(Vec<String>),
    /// Those of the origins that the function accepts.
    Where(Rc<dyn Fn(&str) -> bool>),
}

/// Which request fields [`cors`](cors()) allows beside those that need no permission.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum CorsHeaders {
    /// All that are asked for.
    Any,
    /// These.
    List(Vec<HeaderName>),
}

/// What [`cors`](cors()) allows.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CorsConfig {
    /// Whose scripts may read answers. Default: an empty list, nobody's.
    pub origins: Origins,
    /// Methods they may use. Default GET, HEAD and POST, which need no permission; name what else there is.
    pub methods: Vec<Method>,
    /// Request fields they may set. Default `Content-Type`.
    pub headers: CorsHeaders,
    /// Response fields they may read, beside the seven that need no permission. Default: none.
    pub expose: Vec<HeaderName>,
    /// Whether their requests may carry the user's cookies and passwords. Default false; not together with
    /// [`Origins::Any`].
    pub credentials: bool,
    /// For how long a browser may remember the permission, in whole seconds. Default 1 hour; browsers cut it to 2 to 24.
    pub max_age: Option<Duration>,
    /// Whether pages of public addresses may ask this server on a private one (`Access-Control-Allow-Private-Network`).
    /// Default false.
    pub private_network: bool,
}

impl Default for CorsConfig {
    fn default() -> Self {
        Self {
            origins: Origins::List(Vec::new()),
            methods: vec![Method::GET, Method::HEAD, Method::POST],
            headers: CorsHeaders::List(vec![http::header::CONTENT_TYPE]),
            expose: Vec::new(),
            credentials: false,
            max_age: Some(Duration::from_secs(3600)),
            private_network: false,
        }
    }
}

impl fmt::Debug for Origins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("Any"),
            Self::List(list) => f.debug_tuple("List").field(list).finish(),
            Self::Where(_) => f.write_str("Where(..)"),
        }
    }
}

/// Tells browsers which scripts of other origins may read the answers. Put it outside of all that may refuse a request,
/// so that errors can be read too.
///
/// A preflight (OPTIONS with `Origin` and `Access-Control-Request-Method`) is answered here: 204, or 403 with the reason;
/// no route is needed for it. Other requests go on, whoever sends them: CORS protects users of browsers, not the
/// server.
///
/// ```
/// use ringhttp::middleware::{self, CorsConfig, Origins};
/// use ringhttp::{Method, Router};
///
/// let mut config = CorsConfig::default();
/// config.origins = Origins::List(vec!["https://app.example.org".to_owned()]);
/// config.methods.push(Method::DELETE);
/// config.credentials = true;
/// let router = Router::new().get("/", async |_: &(), _| "hello").with(middleware::cors(config)?);
/// # assert!(router.into_service(()).is_ok());
/// # Ok::<(), ringhttp::Error>(())
/// ```
///
/// # Errors
/// If `Origins::Any` comes with credentials, which browsers do not take and which would give every page the user's
/// data; or if an origin of the list is not written as browsers do.
pub fn cors<S: 'static>(
    config: CorsConfig,
) -> Result<impl AsyncFn(&S, Request, Next<'_, S>) -> Response + 'static> {
    let rules = Rules::new(config)?;
    Ok(async move |_: &S, req: Request, next: Next<'_, S>| {
        let origin = rules.allowed_origin(&req);
        let is_preflight = *req.method() == Method::OPTIONS
            && req.header(ORIGIN).is_some()
            && req.header(ACCESS_CONTROL_REQUEST_METHOD).is_some();
        if is_preflight {
            return rules.preflight(&req, origin);
        }
        let mut response = next.run(req).await;
        rules.permit(response.headers_mut(), origin);
        if let Some(expose) = &rules.expose {
            response.headers_mut().insert(ACCESS_CONTROL_EXPOSE_HEADERS, expose.clone());
        }
        response
    })
}

/// The configuration, its answers made ready.
struct Rules {
    config: CorsConfig,
    methods: HeaderValue,
    expose: Option<HeaderValue>,
    max_age: Option<HeaderValue>,
}

impl Rules {
    fn new(config: CorsConfig) -> Result<Self> {
        if let Origins::List(list) = &config.origins
            && let Some(wrong) = list.iter().find(|origin| *origin != "null" && !is_origin(origin))
        {
            return Err(Error::internal(format!(
                "CORS: {wrong:?} is no origin as browsers write it: `https://example.org`, in lower case, without a path"
            )));
        }
        if config.credentials && matches!(config.origins, Origins::Any) {
            return Err(Error::internal("CORS: credentials need a list of origins, not Origins::Any"));
        }
        Ok(Self {
            methods: joined(config.methods.iter().map(Method::as_str))
                .unwrap_or(HeaderValue::from_static("")),
            expose: joined(config.expose.iter().map(HeaderName::as_str)),
            max_age: config.max_age.map(|age| age.as_secs().into()),
            config,
        })
    }

    /// What `Access-Control-Allow-Origin` says to this request, if anything.
    fn allowed_origin(&self, request: &Request) -> Option<HeaderValue> {
        if matches!(self.config.origins, Origins::Any) {
            // To those without an origin, too: caches may give their answer to others (Fetch §3.3.5).
            return Some(HeaderValue::from_static("*"));
        }
        let origin = request.header(ORIGIN)?;
        let text = origin.to_str().ok()?;
        let allowed = match &self.config.origins {
            Origins::Any => true,
            Origins::List(list) => list.iter().any(|allowed| allowed == text),
            Origins::Where(accepts) => accepts(text),
        };
        allowed.then(|| origin.clone())
    }

    /// Adds what is the same for all answers. Caches must know that the answer depends on who asks, whoever did.
    fn permit(&self, headers: &mut HeaderMap, origin: Option<HeaderValue>) {
        if !matches!(self.config.origins, Origins::Any) {
            headers.append(VARY, HeaderValue::from_static("origin"));
        }
        let Some(origin) = origin else {
            return;
        };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if self.config.credentials {
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
    }

    fn preflight(&self, request: &Request, origin: Option<HeaderValue>) -> Response {
        let allowed = self.preflight_names(request, origin.is_some());
        let (mut response, names) = match allowed {
            Ok(names) => (Response::empty(StatusCode::NO_CONTENT), names),
            Err(why) => {
                (Error::new(StatusCode::FORBIDDEN).with_text(format!("CORS: {why}")).into(), Vec::new())
            }
        };
        let is_allowed = response.status() == StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        self.permit(headers, origin.filter(|_| is_allowed));
        headers.append(VARY, HeaderValue::from_static(PREFLIGHT_VARY));
        if !is_allowed {
            return response;
        }
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone());
        if let Some(names) = joined(names.iter().map(HeaderName::as_str)) {
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, names);
        }
        if let Some(max_age) = &self.max_age {
            headers.insert(ACCESS_CONTROL_MAX_AGE, max_age.clone());
        }
        if self.config.private_network && request.header(REQUEST_PRIVATE_NETWORK).is_some() {
            headers.insert(ALLOW_PRIVATE_NETWORK, HeaderValue::from_static("true"));
        }
        response
    }

    /// The field names to allow, or why the request to come is not allowed.
    fn preflight_names(&self, request: &Request, origin_allowed: bool) -> Result<Vec<HeaderName>, String> {
        if !origin_allowed {
            return Err("this origin is not allowed".to_owned());
        }
        let method = request.header(ACCESS_CONTROL_REQUEST_METHOD).map_or(&b""[..], HeaderValue::as_bytes);
        if !self.config.methods.iter().any(|allowed| allowed.as_str().as_bytes() == method) {
            return Err("this method is not allowed".to_owned());
        }
        let asked = requested_names(request.header(ACCESS_CONTROL_REQUEST_HEADERS))
            .ok_or_else(|| "the requested headers are no list of names".to_owned())?;
        match &self.config.headers {
            CorsHeaders::Any => Ok(asked),
            CorsHeaders::List(allowed) => match asked.iter().find(|name| !allowed.contains(name)) {
                Some(other) => Err(format!("the header `{other}` is not allowed")),
                None => Ok(asked),
            },
        }
    }
}

fn joined<'a>(names: impl Iterator<Item = &'a str>) -> Option<HeaderValue> {
    let text = names.collect::<Vec<_>>().join(", ");
    if text.is_empty() {
        None
    } else {
        Some(HeaderValue::try_from(text).expect("names of methods and fields"))
    }
}

const PREFLIGHT_VARY: &str = "access-control-request-method, access-control-request-headers";
const REQUEST_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-request-private-network");
const ALLOW_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-allow-private-network");
