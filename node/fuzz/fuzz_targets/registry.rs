//! Hands libFuzzer's inputs to the target of this name.

#![no_main]

libfuzzer_sys::fuzz_target!(init: trustnet_fuzz::begin("registry"), |data: &[u8]| trustnet_fuzz::targets::registry::run(data));
