//! libFuzzer's entry to the target `aliases`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::target("aliases").expect("a known target")(data));
