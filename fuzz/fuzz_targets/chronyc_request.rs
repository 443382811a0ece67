//! libFuzzer's entry to the target `chronyc_request`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::target("chronyc_request").expect("a known target")(data));
