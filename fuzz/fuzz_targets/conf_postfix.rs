//! libFuzzer's entry to the target `conf_postfix`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::target("conf_postfix").expect("a known target")(data));
