//! libFuzzer's entry to the target `ntp_nts_records`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::target("ntp_nts_records").expect("a known target")(data));
