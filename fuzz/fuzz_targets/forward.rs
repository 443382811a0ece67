//! libFuzzer's entry to the target `forward`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::target("forward").expect("a known target")(data));
