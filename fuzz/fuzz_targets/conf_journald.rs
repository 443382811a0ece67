//! libFuzzer's entry to the target `conf_journald`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::target("conf_journald").expect("a known target")(data));
