//! TLS towards PostgreSQL: used when asked for, and the certificate is checked
//! unless the endpoint says otherwise.

#![expect(clippy::unwrap_used, reason = "in a test a missing value is a failure")]

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use harness::services::{Database, Postgres};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
};
use shared::endpoint::Endpoint;
use shared::outcome::Failure;
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

/// A self-signed certificate for `names`, marked as an authority as the instructions of
/// PostgreSQL produce it, and its key.
fn self_signed(names: &[&str]) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut server = CertificateParams::new(names).unwrap();
    server.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    (server.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

/// Writes a file that only the server's user may read, as PostgreSQL demands of keys.
fn write_for_server(server: &Postgres, file: &Path, text: &str) {
    let owner = server.socket_directory().metadata().unwrap();
    std::fs::write(file, text).unwrap();
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
    chown(file, Some(owner.uid()), Some(owner.gid())).unwrap();
}

/// A server, and the files of its certificate and its key.
struct Served {
    server: Postgres,
    database: Database,
    certificate: PathBuf,
    key: PathBuf,
}

impl Served {
    fn start() -> Self {
        // A second call has no effect.
        rustls::crypto::aws_lc_rs::default_provider()
            .install_default()
            .ok();
        let server = Postgres::start().unwrap();
        let directory = server.socket_directory();
        Self {
            database: server.create_database("tls").unwrap(),
            certificate: directory.join("server.pem"),
            key: directory.join("server.key"),
            server,
        }
    }

    async fn attempt(&self, parameters: &str) -> Result<(), Failure> {
        let url = format!("{}?{parameters}", self.database.url());
        let endpoint = Endpoint::from_url("e", &url).unwrap();
        list_tables(&endpoint).await.map(drop)
    }

    /// Lets the server use a certificate, and waits until `is_used` says so of an attempt with
    /// `parameters`: the server takes a moment to read its configuration again.
    async fn serve(
        &self,
        (certificate, key): (&str, &str),
        parameters: &str,
        is_used: impl Fn(&Result<(), Failure>) -> bool,
    ) {
        write_for_server(&self.server, &self.certificate, certificate);
        write_for_server(&self.server, &self.key, key);
        let client = self.database.connect().await.unwrap();
        for statement in [
            format!(
                "ALTER SYSTEM SET ssl_cert_file = '{}'",
                self.certificate.display()
            ),
            format!("ALTER SYSTEM SET ssl_key_file = '{}'", self.key.display()),
            "ALTER SYSTEM SET ssl = on".to_owned(),
            "SELECT pg_reload_conf()".to_owned(),
        ] {
            client.batch_execute(&statement).await.unwrap();
        }
        let start = Instant::now();
        loop {
            let ended = self.attempt(parameters).await;
            if is_used(&ended) {
                return;
            }
            assert!(start.elapsed() < Duration::from_secs(10), "{ended:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_checked() {
    let served = Served::start();
    let no_tls = served.attempt("sslmode=require").await.unwrap_err();
    assert_eq!(no_tls.kind.as_str(), "TlsError", "{}", no_tls.message);
    for part in ["does not offer TLS", "sslmode=disable"] {
        assert!(no_tls.message.contains(part), "{}", no_tls.message);
    }
    served.attempt("sslmode=prefer").await.unwrap();

    let (certificate, key, authority) = certificates();
    let ours = tempfile::tempdir().unwrap();
    let (authority_file, other_file) = (ours.path().join("ca.pem"), ours.path().join("other.pem"));
    std::fs::write(&authority_file, authority).unwrap();
    std::fs::write(&other_file, certificates().2).unwrap();
    let trusted = format!("sslmode=require&ca_file={}", authority_file.display());
    served
        .serve((&certificate, &key), &trusted, Result::is_ok)
        .await;
    served
        .attempt("sslmode=require&trust_server_certificate=true")
        .await
        .unwrap();
    served.attempt("sslmode=disable").await.unwrap();
    served.attempt("").await.expect("loopback needs no TLS");
    let mut socket = Endpoint::from_url("e", &served.database.url()).unwrap();
    socket.host = served.server.socket_directory().display().to_string();
    list_tables(&socket).await.expect("sockets have no TLS");

    let refused = [
        ("sslmode=require".to_owned(), "certificate"),
        // No connection falls back to plain text silently.
        ("sslmode=prefer".to_owned(), "certificate"),
        (
            format!("sslmode=require&ca_file={}", other_file.display()),
            "not signed by a trusted certificate authority",
        ),
        (
            "sslmode=require&ca_file=/nonexistent/ca.pem".to_owned(),
            "/nonexistent/ca.pem",
        ),
    ];
    for (parameters, mentions) in refused {
        let failure = served.attempt(&parameters).await.expect_err(&parameters);
        assert_eq!(
            (failure.kind.as_str(), failure.retryable),
            ("TlsError", false),
            "{parameters}: {}",
            failure.message
        );
        assert!(failure.message.contains(mentions), "{}", failure.message);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_servers_own_certificate_is_accepted_although_it_is_an_authority() {
    let served = Served::start();
    let ours = tempfile::tempdir().unwrap();
    let (named_file, other_file) = (ours.path().join("named.pem"), ours.path().join("other.pem"));
    std::fs::write(&other_file, certificates().2).unwrap();
    let parameters = |file: &Path| format!("sslmode=require&ca_file={}", file.display());
    for (names, mentions) in [
        (&["127.0.0.1"][..], None),
        (&[][..], None),
        (&["other.example"][..], Some("only for")),
    ] {
        let (certificate, key) = self_signed(names);
        std::fs::write(&named_file, &certificate).unwrap();
        served
            .serve(
                (&certificate, &key),
                &parameters(&named_file),
                |ended| match (ended, mentions) {
                    (Ok(()), None) => true,
                    (Err(failure), Some(mentions)) => failure.message.contains(mentions),
                    _ => false,
                },
            )
            .await;
        // Another file does not name it.
        let failure = served.attempt(&parameters(&other_file)).await.unwrap_err();
        assert!(
            failure.message.contains("that of a certificate authority"),
            "{}",
            failure.message
        );
    }
}

/// A certificate for `name` and its key, signed by the authority.
fn client(name: &str, authority: &Issuer<'_, KeyPair>) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut client = CertificateParams::new(Vec::new()).unwrap();
    client.distinguished_name = DistinguishedName::new();
    client.distinguished_name.push(DnType::CommonName, name);
    let signed = client.signed_by(&key, authority).unwrap();
    (signed.pem(), key.serialize_pem())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_logs_in_by_its_certificate() {
    let served = Served::start();
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_pem = authority.self_signed(&authority_key).unwrap().pem();
    let issuer = Issuer::new(authority, authority_key);

    let directory = served.server.socket_directory();
    let server_ca = directory.join("ca.pem");
    write_for_server(&served.server, &server_ca, &authority_pem);
    let rules = directory.join("data/pg_hba.conf");
    let before = std::fs::read_to_string(&rules).unwrap();
    let rule = "hostssl all clerk 127.0.0.1/32 cert\n";
    write_for_server(&served.server, &rules, &(rule.to_owned() + &before));
    served.database.execute("CREATE ROLE clerk LOGIN").unwrap();
    let set = format!("ALTER SYSTEM SET ssl_ca_file = '{}'", server_ca.display());
    served.database.execute(&set).unwrap();
    let (certificate, key) = self_signed(&["127.0.0.1"]);
    let trusts = "sslmode=require&trust_server_certificate=true";
    served
        .serve((&certificate, &key), trusts, Result::is_ok)
        .await;

    let ours = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = ours.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (certificate, key) = client("clerk", &issuer);
    let (certificate, key) = (write("clerk.pem", &certificate), write("clerk.key", &key));
    let (other, other_key) = client("other", &issuer);
    let (other, other_key) = (write("other.pem", &other), write("other.key", &other_key));
    let attempt = async |parameters: &str| {
        let port = served.server.port();
        let url = format!("postgres://clerk@127.0.0.1:{port}/tls?{trusts}{parameters}");
        let endpoint = Endpoint::from_url("e", &url).unwrap();
        list_tables(&endpoint).await.map(drop)
    };
    let identified = format!("&sslcert={certificate}&sslkey={key}");
    attempt(&identified).await.unwrap();
    let of_other = format!("&sslcert={other}&sslkey={other_key}");
    for parameters in ["", &of_other] {
        let refused = attempt(parameters).await.unwrap_err();
        assert_eq!(refused.kind.as_str(), "AuthenticationError", "{refused:?}");
    }
    for (key, file) in [
        ("/nowhere/key.pem", "/nowhere/key.pem"),
        (&other_key, "clerk.pem"),
    ] {
        let parameters = format!("&sslcert={certificate}&sslkey={key}");
        let unusable = attempt(&parameters).await.unwrap_err();
        assert_eq!(unusable.kind.as_str(), "TlsError", "{unusable:?}");
        assert!(unusable.message.contains(file), "{unusable:?}");
    }
}
