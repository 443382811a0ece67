//! libFuzzer's entry to the target `journal_export`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::target("journal_export").expect("a known target")(data));
