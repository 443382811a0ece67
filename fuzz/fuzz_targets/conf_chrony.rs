//! libFuzzer's entry to the target `conf_chrony`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::target("conf_chrony").expect("a known target")(data));
