//! Answers of any status: `/status/404`, or by chance, `/status/200:3,500:1`.

use ringhttp::proto::auth;
use ringhttp::{
    Error, HeaderValue, IntoResponse, Redirect, Request, Response, Result, Router, StatusCode, header,
};
use serde_json::json;

use super::{Httpbin, json, on_all_methods};

pub(crate) fn add(router: Router<Httpbin>) -> Router<Httpbin> {
    on_all_methods(router, "/status/{codes}", status)
}

async fn status(state: &Httpbin, req: Request) -> Result {
    let codes = req.param_str("codes")?;
    let choices = codes.split(',').map(choice).collect::<Option<Vec<_>>>().ok_or_else(invalid)?;
    let total: f64 = choices.iter().map(|(_, weight)| weight).sum();
    let mut rest = state.random.fraction() * total;
    let chosen = choices.iter().find(|(_, weight)| {
        rest -= weight;
        rest < 0.0
    });
    chosen.map(|(code, _)| answer(*code)).ok_or_else(invalid)
}

/// `code`, or `code:weight`.
fn choice(text: &str) -> Option<(StatusCode, f64)> {
    let (code, weight) = text.split_once(':').unwrap_or((text, "1"));
    // RFC 9110 §15.2: an answer of 1xx is none yet.
    let code = code.parse().ok().filter(|code| *code >= 200)?;
    let weight = weight.parse().ok().filter(|weight: &f64| weight.is_finite() && *weight >= 0.0)?;
    Some((StatusCode::from_u16(code).ok()?, weight))
}

fn invalid() -> Error {
    Error::bad_request("Invalid status code")
}

/// An answer of nothing but its status, and of what belongs to that.
pub(crate) fn answer(status: StatusCode) -> Response {
    let response = match status.as_u16() {
        301 | 302 | 303 | 305 | 307 => Redirect::found("/redirect/1").into_response(),
        401 => Response::empty(status).with_header(header::WWW_AUTHENTICATE, basic_challenge()),
        402 => Response::text("The first request is free. This was the second.\n"),
        406 => json(&json!({
            "message": "There is no image of a type that you accept.",
            "accept": ["image/webp", "image/svg+xml", "image/jpeg", "image/png", "image/*"],
        })),
        407 => Response::empty(status).with_header(header::PROXY_AUTHENTICATE, basic_challenge()),
        418 => Response::text("   (  )\n  ______\n |      |)   short and stout\n  \\____/\n"),
        _ => Response::empty(status),
    };
    response.with_status(status)
}

fn basic_challenge() -> HeaderValue {
    auth::challenge("Basic", &[("realm", "Fake Realm")]).expect("the realm is ASCII")
}
