//! libFuzzer's entry to the target `conf_banto`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::target("conf_banto").expect("a known target")(data));
