//! hyper-util's pooled client on a current-thread tokio.

use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper::{StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use ringhttp_peers::client::{BODY_BYTES, FIELDS, Failure, run};

fn main() -> Result<(), Failure> {
    run(|url| {
        let uri: Uri = url.parse()?;
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(move || ask(client.clone(), uri.clone()))
    })
}

async fn ask(client: Client<HttpConnector, Empty<Bytes>>, uri: Uri) -> Result<(), Failure> {
    let answer = client.get(uri).await?;
    let is_expected = answer.status() == StatusCode::OK && answer.headers().len() == FIELDS;
    let body = answer.into_body().collect().await?.to_bytes();
    if is_expected && body.len() == BODY_BYTES { Ok(()) } else { Err("another answer than expected".into()) }
}
