//! The motifs. Each function throws its dice once and returns the surface to
//! paint; none knows about pixels, light or files.

pub mod facade;
pub mod indoor;
pub mod paper;
pub mod roof;
