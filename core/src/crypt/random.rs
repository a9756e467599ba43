//! The only place that asks the operating system for randomness.
//!
//! `age` draws its file keys, nonces and ephemeral keys itself while it encrypts; everything else
//! that is random comes through here and is handed on as an argument.

use zeroize::Zeroizing;

use super::CryptError;

/// Fresh random bytes for ids, nonces and file names.
pub fn bytes<const N: usize>() -> Result<[u8; N], CryptError> {
    let mut out = [0; N];
    getrandom::fill(&mut out).map_err(|_| CryptError::Randomness)?;
    Ok(out)
}

/// Fresh random bytes that are wiped when dropped.
pub fn secret<const N: usize>() -> Result<Zeroizing<[u8; N]>, CryptError> {
    let mut out = Zeroizing::new([0; N]);
    getrandom::fill(out.as_mut_slice()).map_err(|_| CryptError::Randomness)?;
    Ok(out)
}
