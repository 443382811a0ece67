//! libFuzzer's entry to the target `journal_file`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::target("journal_file").expect("a known target")(data));
