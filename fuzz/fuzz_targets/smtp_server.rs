//! libFuzzer's entry to the target `smtp_server`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::target("smtp_server").expect("a known target")(data));
