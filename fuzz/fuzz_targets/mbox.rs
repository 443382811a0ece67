//! libFuzzer's entry to the target `mbox`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::target("mbox").expect("a known target")(data));
