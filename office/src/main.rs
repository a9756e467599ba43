//! Kolonne.
fn main() {}
