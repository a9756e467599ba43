#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| kolonne_tests::fuzz::run("roster", bytes));
