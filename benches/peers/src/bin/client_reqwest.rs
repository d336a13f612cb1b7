//! reqwest on a current-thread tokio.

use reqwest::{Client, StatusCode, Url};
use ringhttp_peers::client::{BODY_BYTES, FIELDS, Failure, run};

fn main() -> Result<(), Failure> {
    run(|url| {
        let url: Url = url.parse()?;
        let client = Client::builder().no_proxy().build()?;
        Ok(move || ask(client.clone(), url.clone()))
    })
}

async fn ask(client: Client, url: Url) -> Result<(), Failure> {
    let answer = client.get(url).send().await?;
    let is_expected = answer.status() == StatusCode::OK && answer.headers().len() == FIELDS;
    let body = answer.bytes().await?;
    if is_expected && body.len() == BODY_BYTES { Ok(()) } else { Err("another answer than expected".into()) }
}
