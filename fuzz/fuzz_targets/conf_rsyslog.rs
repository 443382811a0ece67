//! libFuzzer's entry to the target `conf_rsyslog`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::target("conf_rsyslog").expect("a known target")(data));
