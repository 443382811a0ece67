//! libFuzzer's entry to the target `address`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::target("address").expect("a known target")(data));
