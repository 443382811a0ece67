//! libFuzzer's entry to the target `chronyc_reply`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::target("chronyc_reply").expect("a known target")(data));
