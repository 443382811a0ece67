//! libFuzzer's entry to the target `syslog_framing`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::target("syslog_framing").expect("a known target")(data));
