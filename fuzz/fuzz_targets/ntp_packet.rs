//! libFuzzer's entry to the target `ntp_packet`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::target("ntp_packet").expect("a known target")(data));
