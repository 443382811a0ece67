//! libFuzzer's entry to the target `syslog_message`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::target("syslog_message").expect("a known target")(data));
