//! libFuzzer's entry to the target `ntp_nts_server`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::target("ntp_nts_server").expect("a known target")(data));
