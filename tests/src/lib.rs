//! Kolonne.
