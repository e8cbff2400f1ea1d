#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| trustnet_fuzz::targets::bft::run(data));
