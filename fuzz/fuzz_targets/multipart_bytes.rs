//! Runs `properties::any_multipart_bytes` on the fuzzer's input.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringhttp::testing::properties;

fuzz_target!(|data: &[u8]| properties::any_multipart_bytes(data));
