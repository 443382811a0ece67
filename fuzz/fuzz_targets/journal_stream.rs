//! libFuzzer's entry to the target `journal_stream`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::target("journal_stream").expect("a known target")(data));
