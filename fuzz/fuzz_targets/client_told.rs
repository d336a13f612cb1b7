//! Runs the properties of what the client is told by servers, proxies and files on the fuzzer's input.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringhttp::testing::properties;

fuzz_target!(|data: &[u8]| {
    properties::any_socks_reply(data);
    properties::any_challenge(data);
    properties::any_netrc(data);
});
