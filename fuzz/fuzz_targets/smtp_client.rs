//! libFuzzer's entry to the target `smtp_client`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::target("smtp_client").expect("a known target")(data));
