//! libFuzzer's entry to the target `queue_segment`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::target("queue_segment").expect("a known target")(data));
