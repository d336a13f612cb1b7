//! Answers that send their clients elsewhere, once or often.

use ringhttp::{Error, HeaderValue, IntoResponse, Redirect, Request, Result, Router, StatusCode};

use super::{Httpbin, args, on_all_methods};

pub(crate) fn add(router: Router<Httpbin>) -> Router<Httpbin> {
    let router = router
        .get("/redirect/{n:uint}", redirect)
        .get("/relative-redirect/{n:uint}", async |_: &Httpbin, req: Request| relative(&req))
        .name("relative")
        .get("/absolute-redirect/{n:uint}", async |_: &Httpbin, req: Request| absolute(&req))
        .name("absolute");
    on_all_methods(router, "/redirect-to", redirect_to)
}

async fn redirect(_: &Httpbin, req: Request) -> Result<Redirect> {
    let is_absolute = args::find(&req, "absolute")?.is_some_and(|value| value.eq_ignore_ascii_case("true"));
    if is_absolute { absolute(&req) } else { relative(&req) }
}

fn relative(req: &Request) -> Result<Redirect> {
    Ok(Redirect::found(next(req, "relative")?))
}

fn absolute(req: &Request) -> Result<Redirect> {
    let host = req.host().ok_or_else(|| Error::bad_request("there is no `Host`"))?;
    Ok(Redirect::found(format!("{}://{host}{}", req.scheme(), next(req, "absolute")?)))
}

/// The next station of those that are left: the route `name`, or `/get` if this was the last.
fn next(req: &Request, name: &str) -> Result<String> {
    match req.param::<u64>("n")? {
        0 => Err(Error::bad_request("path parameter `n`: there is nothing left to redirect")),
        1 => req.url_for("get", &[]),
        n => req.url_for(name, &[("n", &(n - 1).to_string())]),
    }
}

async fn redirect_to(_: &Httpbin, req: Request) -> Result {
    let url = args::find(&req, "url")?.ok_or_else(|| Error::bad_request("query: `url` is missing"))?;
    HeaderValue::try_from(&*url).map_err(|error| Error::bad_request(format!("query: `url`: {error}")))?;
    let asked: Option<u16> = args::parsed(&req, "status_code")?;
    let status = asked.and_then(|code| StatusCode::from_u16(code).ok()).filter(StatusCode::is_redirection);
    Ok(Redirect::found(url).into_response().with_status(status.unwrap_or(StatusCode::FOUND)))
}
