//! Which drivers tests are for: both, or those that the environment names.
#![forbid(unsafe_code)]

/// The names of the drivers under test. A machine without io_uring fails the tests rather than skipping half of them, unless
/// `RINGHTTP_TEST_DRIVERS` says `epoll`, as it does for `ringhttp::testing`.
pub(crate) fn names() -> Vec<String> {
    let names = std::env::var("RINGHTTP_TEST_DRIVERS").unwrap_or_else(|_| "io_uring,epoll".to_owned());
    names.split(',').map(|name| name.trim().to_owned()).collect()
}
