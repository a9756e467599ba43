//! What is fuzzed: for each format that strangers can write one function from bytes to nothing that
//! panics when a promise is broken. `tests/fuzz` runs them on bytes that a fuzzer invents,
//! `tests/tests/fuzz_cases.rs` on the seeds and on whatever once broke one.

mod cbor;
mod forms;
mod hub;
mod media;
mod roster;
mod seeds;

pub use seeds::seeds;

/// A thing to be fuzzed.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name: of its binary, its corpus and its folder of crashers.
    pub name: &'static str,
    /// Takes bytes; panics when they break a promise.
    pub run: fn(&[u8]),
    /// Whether a decoder of others may panic inside; the core turns that into an error.
    pub decoders_may_panic: bool,
}

const fn target(name: &'static str, run: fn(&[u8])) -> Target {
    Target {
        name,
        run,
        decoders_may_panic: false,
    }
}

/// All of them.
pub const TARGETS: [Target; 15] = [
    target("cbor", cbor::one_form),
    target("signed_form", forms::signed_form),
    target("page", forms::page),
    target("body", forms::body),
    target("control", forms::control),
    target("roster", roster::chain),
    target("hub_messages", forms::hub_messages),
    target("cursor", forms::cursor),
    target("receipts", forms::receipts),
    target("enrolment", forms::enrolment),
    target("sealed", forms::sealed),
    target("pack_and_backup", forms::pack_and_backup),
    Target {
        name: "photo",
        run: media::photo,
        decoders_may_panic: true,
    },
    Target {
        name: "voice",
        run: media::voice,
        decoders_may_panic: true,
    },
    target("hub", hub::meeting),
];

/// Runs a target by name.
///
/// # Panics
/// If there is none, or a promise is broken.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    (target.unwrap().run)(bytes);
}
