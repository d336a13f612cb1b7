//! Runs `properties::mutated_messages` on the fuzzer's input.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringhttp::testing::properties;

fuzz_target!(|data: &[u8]| properties::mutated_messages(data));
