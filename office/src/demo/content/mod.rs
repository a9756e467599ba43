//! What the demo company has said and photographed: pictures, voices and
//! entries made by program from a seed. It knows nothing of ops, stores or
//! networks; the demo turns its plain data into captures.

pub mod exif;
pub mod paint;
pub mod pdf;
pub mod voice;
pub mod week;

#[cfg(test)]
mod tests;
