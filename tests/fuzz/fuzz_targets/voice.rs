#![no_main]

// A decoder's panic is caught in the core; only what comes out of the target counts.
libfuzzer_sys::fuzz_target!(init: std::panic::set_hook(Box::new(|_| {})), |bytes: &[u8]| {
    kolonne_tests::fuzz::run("voice", bytes);
});
