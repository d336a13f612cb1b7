//! What several of these tests do.

use std::time::Duration;

use ringhttp::testing::{TestClient, TestResponse};
use ringhttp::time;

/// Waits for something that another task or the kernel brings about.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..5000 {
        if is_so() {
            return;
        }
        time::sleep(Duration::from_millis(1)).await;
    }
    panic!("never: {what}");
}

/// Asks for a path with some fields, on a connection of its own.
pub(crate) async fn ask(
    client: &TestClient,
    method: &str,
    path: &str,
    fields: &[(&str, &str)],
) -> TestResponse {
    let request = client.request(method.parse().expect("a method"), path);
    fields.iter().fold(request, |request, (name, value)| request.header(name, value)).send().await
}
