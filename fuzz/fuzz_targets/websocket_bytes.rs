//! Runs `properties::any_websocket_bytes` on the fuzzer's input.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringhttp::testing::properties;

fuzz_target!(|data: &[u8]| properties::any_websocket_bytes(data));
