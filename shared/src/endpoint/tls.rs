//! How TLS protects the connections with a database.

use std::path::PathBuf;

use clap::ValueEnum;

/// How the connection is protected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// Whether TLS is used.
    pub mode: TlsMode,
    /// Accepts any certificate. Only for tests and trusted networks.
    pub trust_server_certificate: bool,
    /// Trusts the authorities in this PEM file instead of those of the system.
    pub ca_file: Option<PathBuf>,
    /// The certificate by which the client identifies itself.
    pub client_certificate: Option<ClientCertificate>,
}

/// A certificate of the client and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The PEM file of the certificate, and of those that signed it.
    pub certificate: PathBuf,
    /// The PEM file of its private key, which is not encrypted.
    pub key: PathBuf,
}

/// Whether TLS is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TlsMode {
    /// Never.
    Off,
    /// If the server offers it; the certificate is verified then.
    Prefer,
    /// Always.
    Require,
    /// Always and from the first byte, with a certificate that is always verified: TDS 8.0.
    Strict,
}
