//! libFuzzer's entry to the target `message`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::target("message").expect("a known target")(data));
