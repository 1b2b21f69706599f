//! The server's certificate: made anew at every start, and signed by an authority whose
//! certificate is written to a file for clients to trust.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::{ServerConfig, SupportedProtocolVersion, version};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The certificate cannot be made.
    #[error("cannot make a certificate")]
    Make(#[from] rcgen::Error),
    /// The TLS library rejects the certificate.
    #[error("cannot use the certificate")]
    Use(#[from] rustls::Error),
    /// The authority's certificate cannot be written.
    #[error("cannot write {}", file.display())]
    Write {
        /// The file that was to be written.
        file: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
}

/// The protocol that clients of TDS 8.0 name in the handshake.
pub(crate) const STRICT_PROTOCOL: &[u8] = b"tds/8.0";

/// Configurations for TLS within and before PRELOGIN.
#[derive(Debug)]
pub(crate) struct ServerConfigs {
    pub(crate) usual: Arc<ServerConfig>,
    pub(crate) strict: Arc<ServerConfig>,
}

/// Configurations with a certificate for `localhost` and the loopback addresses. The
/// authority's certificate is written to `ca.pem` in `directory`. Within PRELOGIN TLS 1.2 only:
/// TDS 7.4 cannot carry what TLS 1.3 sends after its handshake.
pub(crate) fn server_configs(directory: &Path) -> Result<ServerConfigs, CertificateError> {
    let authority_key = KeyPair::generate()?;
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority
        .distinguished_name
        .push(DnType::CommonName, "sqlserver-standin authority");
    let authority_pem = authority.self_signed(&authority_key)?.pem();
    let key = KeyPair::generate()?;
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let certificate =
        CertificateParams::new(names)?.signed_by(&key, &Issuer::new(authority, authority_key))?;

    let file = directory.join("ca.pem");
    std::fs::create_dir_all(directory)
        .and_then(|()| std::fs::write(&file, authority_pem))
        .map_err(|source| CertificateError::Write { file, source })?;

    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let certificate = vec![certificate.into()];
    let config = |versions: &[&'static SupportedProtocolVersion]| {
        ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)?
            .with_no_client_auth()
            .with_single_cert(certificate.clone(), key.clone_key())
    };
    let mut strict = config(&[&version::TLS13, &version::TLS12])?;
    strict.alpn_protocols = vec![STRICT_PROTOCOL.to_vec()];
    Ok(ServerConfigs {
        usual: Arc::new(config(&[&version::TLS12])?),
        strict: Arc::new(strict),
    })
}
