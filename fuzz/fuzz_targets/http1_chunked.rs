//! Runs `properties::chunked_agrees_with_a_naive_decoder` on the fuzzer's input.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringhttp::testing::properties;

fuzz_target!(|data: &[u8]| properties::chunked_agrees_with_a_naive_decoder(data));
