//! libFuzzer's entry to the target `journal_native`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::target("journal_native").expect("a known target")(data));
