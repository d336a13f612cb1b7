//! Runs `properties::deflate_round_trip` on the fuzzer's input.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringhttp::testing::properties;

fuzz_target!(|data: &[u8]| properties::deflate_round_trip(data));
