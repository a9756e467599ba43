//! Whom a connection trusts: the system's certificate authorities, and a firm's own box by its
//! certificate. TLS only hides and carries; what a screen promises rests on the hub's signatures.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};

use super::BadDoor;

/// Largest PEM file taken in bytes.
const MAX_PEM_BYTES: usize = 64 * 1024;

/// Whose certificates are good for a hub.
#[derive(Debug, Clone, Default)]
pub enum Trust {
    /// Those the system trusts.
    #[default]
    System,
    /// Also those in this PEM file: a server showing exactly one of them is trusted under any
    /// name and date, and one certified by them as by any authority.
    SystemAnd {
        /// One certificate or several.
        pem: Vec<u8>,
    },
}

/// A configuration for an address without TLS.
pub(super) fn without_tls() -> Result<ClientConfig, BadDoor> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|_| BadDoor::Tls)?;
    Ok(builder
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth())
}

pub(super) fn client_config(trust: &Trust) -> Result<ClientConfig, BadDoor> {
    let provider = Arc::new(ring::default_provider());
    let verifier = Verifier::new(trust, &provider)?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| BadDoor::Tls)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

#[derive(Debug)]
struct Verifier {
    /// None: a system without authorities, where the firm's certificate has to do.
    system: Option<rustls_platform_verifier::Verifier>,
    authority: Option<Arc<WebPkiServerVerifier>>,
    // By itself, since tools like to make self-signed ones authorities, and an authority isn't
    // taken as a server's own certificate otherwise.
    exact: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    fn new(trust: &Trust, provider: &Arc<CryptoProvider>) -> Result<Self, BadDoor> {
        let exact = match trust {
            Trust::System => Vec::new(),
            Trust::SystemAnd { pem } => certificates(pem)?,
        };
        let authority = if exact.is_empty() {
            None
        } else {
            let mut roots = RootCertStore::empty();
            for certificate in &exact {
                roots
                    .add(certificate.clone())
                    .map_err(|_| BadDoor::Certificate)?;
            }
            let builder =
                WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
            Some(builder.build().map_err(|_| BadDoor::Certificate)?)
        };
        let system = rustls_platform_verifier::Verifier::new(Arc::clone(provider)).ok();
        if system.is_none() && authority.is_none() {
            return Err(BadDoor::Tls);
        }
        Ok(Self {
            system,
            authority,
            exact,
            provider: Arc::clone(provider),
        })
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, BadDoor> {
    if pem.len() > MAX_PEM_BYTES {
        return Err(BadDoor::Certificate);
    }
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    found
        .ok()
        .filter(|found| !found.is_empty())
        .ok_or(BadDoor::Certificate)
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self
            .exact
            .iter()
            .any(|exact| exact.as_ref() == end_entity.as_ref())
        {
            return Ok(ServerCertVerified::assertion());
        }
        if let Some(authority) = &self.authority
            && let Ok(good) =
                authority.verify_server_cert(end_entity, intermediates, name, ocsp, now)
        {
            return Ok(good);
        }
        match &self.system {
            Some(system) => system.verify_server_cert(end_entity, intermediates, name, ocsp, now),
            None => Err(CertificateError::UnknownIssuer.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
