//! libFuzzer's entry to the target `ntp_nts_client`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::target("ntp_nts_client").expect("a known target")(data));
