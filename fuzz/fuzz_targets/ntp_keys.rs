//! libFuzzer's entry to the target `ntp_keys`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::target("ntp_keys").expect("a known target")(data));
