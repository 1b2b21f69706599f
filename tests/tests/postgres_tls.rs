//! TLS towards PostgreSQL: used when asked for, and the certificate is checked
//! unless the endpoint says otherwise.

#![expect(clippy::unwrap_used, reason = "in a test a missing value is a failure")]

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::time::{Duration, Instant};

use harness::services::Postgres;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use shared::endpoint::Endpoint;
use worker::engine::list_tables;

/// A server certificate for 127.0.0.1, its key, and the authority that signed it.
fn certificates() -> (String, String, String) {
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_pem = authority.self_signed(&authority_key).unwrap().pem();
    let key = KeyPair::generate().unwrap();
    let issuer = Issuer::new(authority, authority_key);
    let server = CertificateParams::new(vec!["127.0.0.1".to_owned()])
        .unwrap()
        .signed_by(&key, &issuer)
        .unwrap();
    (server.pem(), key.serialize_pem(), authority_pem)
}

/// Writes a file that only the server's user may read, as PostgreSQL demands of keys.
fn write_for_server(server: &Postgres, file: &Path, text: &str) {
    let owner = server.socket_directory().metadata().unwrap();
    std::fs::write(file, text).unwrap();
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
    chown(file, Some(owner.uid()), Some(owner.gid())).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_checked() {
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .unwrap();
    let server = Postgres::start().unwrap();
    let directory = server.socket_directory();
    let (certificate, key, authority) = certificates();
    let (certificate_file, key_file) = (directory.join("server.pem"), directory.join("server.key"));
    write_for_server(&server, &certificate_file, &certificate);
    write_for_server(&server, &key_file, &key);
    let ours = tempfile::tempdir().unwrap();
    let (authority_file, other_file) = (ours.path().join("ca.pem"), ours.path().join("other.pem"));
    std::fs::write(&authority_file, authority).unwrap();
    std::fs::write(&other_file, certificates().2).unwrap();

    let database = server.create_database("tls").unwrap();
    let client = database.connect().await.unwrap();
    for statement in [
        format!(
            "ALTER SYSTEM SET ssl_cert_file = '{}'",
            certificate_file.display()
        ),
        format!("ALTER SYSTEM SET ssl_key_file = '{}'", key_file.display()),
        "ALTER SYSTEM SET ssl = on".to_owned(),
        "SELECT pg_reload_conf()".to_owned(),
    ] {
        client.batch_execute(&statement).await.unwrap();
    }

    let attempt = async |parameters: &str| {
        let endpoint =
            Endpoint::from_url("e", &format!("{}?{parameters}", database.url())).unwrap();
        list_tables(&endpoint).await.map(drop)
    };
    // The server takes a moment to read its configuration again.
    let trusted = format!("sslmode=require&ca_file={}", authority_file.display());
    let start = Instant::now();
    while let Err(failure) = attempt(&trusted).await {
        assert!(start.elapsed() < Duration::from_secs(10), "{failure:?}");
    }
    attempt("sslmode=require&trust_server_certificate=true")
        .await
        .unwrap();
    attempt("sslmode=disable").await.unwrap();
    attempt("").await.expect("loopback needs no TLS");
    let mut socket = Endpoint::from_url("e", &database.url()).unwrap();
    socket.host = directory.display().to_string();
    list_tables(&socket).await.expect("sockets have no TLS");

    let refused = [
        ("sslmode=require".to_owned(), "certificate"),
        // No connection falls back to plain text silently.
        ("sslmode=prefer".to_owned(), "certificate"),
        (
            format!("sslmode=require&ca_file={}", other_file.display()),
            "certificate",
        ),
        (
            "sslmode=require&ca_file=/nonexistent/ca.pem".to_owned(),
            "/nonexistent/ca.pem",
        ),
    ];
    for (parameters, mentions) in refused {
        let failure = attempt(&parameters).await.expect_err(&parameters);
        assert_eq!(
            (failure.kind.as_str(), failure.retryable),
            ("TlsError", false),
            "{parameters}: {}",
            failure.message
        );
        assert!(failure.message.contains(mentions), "{}", failure.message);
    }
}
