//! TLS towards databases: certificates are checked unless the endpoint says otherwise.
//!
//! `ca_file` stands in place of the system's authorities. It may also name the certificate of the
//! server itself, which the instructions of database servers let users create: self-signed, marked
//! as an authority, and often without the name of a host outside of its subject.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WantsClientCert, WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, ConfigBuilder, DigitallySignedStruct, Error, RootCertStore,
    SignatureScheme,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use shared::endpoint::{ClientCertificate, Tls, TlsMode};

use crate::engine::error::DatabaseError;

pub(crate) fn client_config(tls: &Tls) -> Result<ClientConfig, DatabaseError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let unusable = |error: &dyn std::fmt::Display| DatabaseError::Certificates(error.to_string());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&error))?;
    if tls.mode == TlsMode::Off {
        return Ok(builder
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth());
    }
    // Strict encryption always verifies, as Microsoft's drivers do.
    let trusts_anything = tls.trust_server_certificate && tls.mode != TlsMode::Strict;
    let verifier: Arc<dyn ServerCertVerifier> = if trusts_anything {
        Arc::new(TrustAnything(provider))
    } else {
        let (roots, named) = trusted(tls)?;
        if roots.is_empty() {
            return identified(builder.with_root_certificates(roots), tls);
        }
        let authorities = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|error| unusable(&error))?;
        Arc::new(Verifier { authorities, named })
    };
    let builder = builder
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    identified(builder, tls)
}

/// The configuration with the client's certificate, if the endpoint has one.
fn identified(
    builder: ConfigBuilder<ClientConfig, WantsClientCert>,
    tls: &Tls,
) -> Result<ClientConfig, DatabaseError> {
    let Some(ClientCertificate { certificate, key }) = &tls.client_certificate else {
        return Ok(builder.with_no_client_auth());
    };
    let unusable = |what: &str, file: &Path, reason: &dyn std::fmt::Display| {
        DatabaseError::ClientCertificate(format!("cannot use {what} {}: {reason}", file.display()))
    };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<CertificateDer<'static>>, _>>)
        .map_err(|error| unusable("the client's certificate", certificate, &error))?;
    let private = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| unusable("the key of the client's certificate", key, &error))?;
    builder
        .with_client_auth_cert(chain, private)
        .map_err(|error| unusable("the client's certificate", certificate, &error))
}

/// The authorities, of which the system may have none, and the certificates of `ca_file`.
fn trusted(tls: &Tls) -> Result<(RootCertStore, Vec<CertificateDer<'static>>), DatabaseError> {
    let mut roots = RootCertStore::empty();
    let Some(file) = &tls.ca_file else {
        let native = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(native.certs);
        return Ok((roots, Vec::new()));
    };
    let unreadable = |reason: &dyn std::fmt::Display| {
        DatabaseError::Certificates(format!(
            "cannot read certificates from {}: {reason}",
            file.display()
        ))
    };
    let named = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect::<Result<Vec<CertificateDer<'static>>, _>>)
        .map_err(|error| unreadable(&error))?;
    for certificate in &named {
        roots
            .add(certificate.clone())
            .map_err(|error| unreadable(&error))?;
    }
    if roots.is_empty() {
        return Err(unreadable(&"there is none in it"));
    }
    Ok((roots, named))
}

/// Verifies by the authorities, and accepts a server's own certificate that `ca_file` contains.
#[derive(Debug)]
struct Verifier {
    authorities: Arc<WebPkiServerVerifier>,
    named: Vec<CertificateDer<'static>>,
}

impl Verifier {
    /// Whether `refusal` is no reason to refuse a certificate that the user has named. When it is
    /// reported, the certificate is known to be within its time.
    fn is_no_matter(refusal: &Error) -> bool {
        match refusal {
            Error::InvalidCertificate(CertificateError::Other(other)) => matches!(
                other.0.downcast_ref::<webpki::Error>(),
                Some(webpki::Error::CaUsedAsEndEntity)
            ),
            refusal => has_no_names(refusal),
        }
    }
}

/// Whether a name was refused because the certificate has none (no `subjectAltName`).
fn has_no_names(refusal: &Error) -> bool {
    matches!(
        refusal,
        Error::InvalidCertificate(CertificateError::NotValidForNameContext { presented, .. })
            if presented.is_empty()
    )
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.authorities.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        match verified {
            Err(refusal)
                if self.named.iter().any(|named| named == end_entity)
                    && Self::is_no_matter(&refusal) =>
            {
                match verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name) {
                    Err(refusal) if !has_no_names(&refusal) => Err(refusal),
                    _ => Ok(ServerCertVerified::assertion()),
                }
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authorities
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authorities
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authorities.supported_verify_schemes()
    }
}

/// Why a TLS handshake failed, in words of this program; `None` if `error` is not about TLS.
pub(crate) fn refusal(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        let inner = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref)
            .and_then(|inner| inner.downcast_ref::<Error>());
        if let Some(error) = inner.or_else(|| error.downcast_ref::<Error>()) {
            return Some(explain(error));
        }
        next = error.source();
    }
    None
}

fn explain(error: &Error) -> String {
    let Error::InvalidCertificate(reason) = error else {
        return format!("the TLS handshake failed: {error}");
    };
    let reason = match reason {
        CertificateError::UnknownIssuer => {
            "it is not signed by a trusted certificate authority".to_owned()
        }
        CertificateError::BadSignature => {
            "it is not signed by a trusted certificate authority: the one with the name of its issuer has another key".to_owned()
        }
        CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty() => {
            "it is not valid for the endpoint's host: it has no subjectAltName".to_owned()
        }
        CertificateError::NotValidForNameContext { presented, .. } => format!(
            "it is not valid for the endpoint's host, only for {}",
            presented.join(", ")
        ),
        CertificateError::Other(other) => match other.0.downcast_ref::<webpki::Error>() {
            Some(webpki::Error::CaUsedAsEndEntity) => {
                "it is that of a certificate authority, and is not itself in ca_file".to_owned()
            }
            Some(webpki::Error::UnsupportedCertVersion) => {
                "it has an X.509 version before 3; create a newer one".to_owned()
            }
            _ => reason.to_string(),
        },
        // Validity: the library's text has both times.
        _ => reason.to_string(),
    };
    format!("the server's certificate was refused: {reason}")
}

/// Accepts every certificate, as `trust_server_certificate` asks.
#[derive(Debug)]
struct TrustAnything(Arc<CryptoProvider>);

impl ServerCertVerifier for TrustAnything {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};

    use super::*;

    fn parameters(names: &[&str], is_authority: bool) -> CertificateParams {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut parameters = CertificateParams::new(names).unwrap();
        if is_authority {
            parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        parameters.not_before = date_time_ymd(2020, 1, 1);
        parameters.not_after = date_time_ymd(2030, 1, 1);
        parameters
    }

    fn self_signed(names: &[&str], is_authority: bool) -> CertificateDer<'static> {
        let key = KeyPair::generate().unwrap();
        let signed = parameters(names, is_authority).self_signed(&key).unwrap();
        signed.der().clone()
    }

    /// Whether `server` is accepted for `host` in 2025, or why not; `ca_file` has `named`.
    fn verify(
        named: &CertificateDer<'static>,
        server: &CertificateDer<'static>,
        host: &'static str,
    ) -> Result<(), String> {
        verify_in(2025, named, server, host)
    }

    fn verify_in(
        year: u64,
        named: &CertificateDer<'static>,
        server: &CertificateDer<'static>,
        host: &'static str,
    ) -> Result<(), String> {
        let mut roots = RootCertStore::empty();
        roots.add(named.clone()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let authorities = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .unwrap();
        let verifier = Verifier {
            authorities,
            named: vec![named.clone()],
        };
        let now = Duration::from_secs((year - 1970) * 365 * 24 * 60 * 60);
        let now = UnixTime::since_unix_epoch(now);
        let host = ServerName::try_from(host).unwrap();
        verifier
            .verify_server_cert(server, &[], &host, &[], now)
            .map(drop)
            .map_err(|error| explain(&error))
    }

    #[test]
    fn a_servers_own_certificate_is_accepted_as_what_it_is() {
        for is_authority in [false, true] {
            let named = self_signed(&["db.example"], is_authority);
            assert_eq!(verify(&named, &named, "db.example"), Ok(()));
            let other = verify(&named, &named, "other.example").unwrap_err();
            assert!(
                other.contains("only for") && other.contains("db.example"),
                "{other}"
            );
            let expired = verify_in(2035, &named, &named, "db.example").unwrap_err();
            assert!(expired.contains("expired"), "{expired}");
            let addressed = self_signed(&["10.1.2.3"], is_authority);
            assert_eq!(verify(&addressed, &addressed, "10.1.2.3"), Ok(()));
            verify(&addressed, &addressed, "10.1.2.4").unwrap_err();
        }
        let nameless = self_signed(&[], true);
        for host in ["db.example", "10.1.2.3"] {
            assert_eq!(verify(&nameless, &nameless, host), Ok(()));
        }
        verify_in(2035, &nameless, &nameless, "db.example").unwrap_err();
    }

    #[test]
    fn no_other_certificate_is_accepted_for_it() {
        let named = self_signed(&["db.example"], true);
        for other in [
            self_signed(&["db.example"], true),
            self_signed(&["db.example"], false),
            self_signed(&[], true),
        ] {
            verify(&named, &other, "db.example").unwrap_err();
        }
    }

    #[test]
    fn certificates_of_a_named_authority_are_verified_as_usual() {
        let authority_key = KeyPair::generate().unwrap();
        let authority = parameters(&[], true);
        let named = authority.self_signed(&authority_key).unwrap().der().clone();
        let issuer = Issuer::new(authority, authority_key);
        let signed = |names: &[&str]| {
            let key = KeyPair::generate().unwrap();
            let signed = parameters(names, false).signed_by(&key, &issuer).unwrap();
            signed.der().clone()
        };
        assert_eq!(
            verify(&named, &signed(&["db.example"]), "db.example"),
            Ok(())
        );
        for names in [&["other.example"][..], &[]] {
            verify(&named, &signed(names), "db.example").unwrap_err();
        }
    }
}
