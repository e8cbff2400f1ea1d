#![no_main]
libfuzzer_sys::fuzz_target!(init: trustnet_fuzz::begin("genesis"), |data: &[u8]| trustnet_fuzz::targets::genesis::run(data));
