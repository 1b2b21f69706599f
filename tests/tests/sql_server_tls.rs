//! TLS towards SQL Server: it is used unless the endpoint says otherwise, and `ca_file` stands in
//! place of the system's authorities.

#![expect(clippy::unwrap_used, reason = "in a test a missing value is a failure")]

use harness::services::{Database, Standin, StandinTls, shared_postgres};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use tests::product::{Run, Workplace, finish};

/// Another authority.
fn other_authority() -> String {
    let key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.self_signed(&key).unwrap().pem()
}

/// A database with the table `dbo.t`.
fn database() -> Database {
    let database = shared_postgres().create_database("tls").unwrap();
    database
        .execute("CREATE SCHEMA dbo; CREATE TABLE dbo.t (id int PRIMARY KEY, v text); INSERT INTO dbo.t SELECT i, repeat('x', i) FROM generate_series(1, 3000) i")
        .unwrap();
    database
}

/// Compares the table of `server` with that of `target`. `system` has the authorities of the
/// system.
fn run(
    here: &Workplace,
    server: &Standin,
    parameters: &str,
    (target, system): (&str, &str),
) -> Run {
    let password = std::fs::read_to_string(server.password_file()).unwrap();
    let source = format!(
        "mssql://sa:{password}@127.0.0.1:{}/tls?{parameters}",
        server.port()
    );
    let arguments = "run --local --no-store --tables t --row-level --format json";
    let mut command = here.command("reconcile", &Vec::from_iter(arguments.split(' ')));
    command
        .args(["--source-url", &source, "--target-url", target])
        .env("SSL_CERT_FILE", system)
        .env_remove("SSL_CERT_DIR");
    finish(&mut command)
}

#[test]
fn certificates_are_checked() {
    let database = database();
    let start = |tls| Standin::start(&database.url(), "tls", tls).unwrap();
    let (on, off, required) = (
        start(StandinTls::On),
        start(StandinTls::Off),
        start(StandinTls::Required),
    );
    let here = Workplace::new("");
    let other = here.path().join("other.pem");
    std::fs::write(&other, other_authority()).unwrap();
    let other = other.to_str().unwrap();
    let target = format!("{}?schema=dbo", database.url());
    let run = |server: &Standin, parameters: &str, system: &str| {
        run(&here, server, parameters, (&target, system))
    };
    let own = on.ca_file();
    let own = own.to_str().unwrap();
    let required_own = required.ca_file();
    let required_own = required_own.to_str().unwrap();

    for (server, parameters, system) in [
        (&on, format!("ca_file={own}"), other),
        (&on, String::new(), own),
        (&on, "trust_server_certificate=true".to_owned(), other),
        (&on, "encrypt=false".to_owned(), other),
        (&off, "encrypt=false".to_owned(), other),
        (&required, format!("ca_file={required_own}"), other),
    ] {
        let run = run(server, &parameters, system);
        assert_eq!(run.code, 0, "{parameters}: {run:?}");
        assert_eq!(run.report()["matched"], 1, "{parameters}");
    }

    for (server, parameters, system, mentions) in [
        (
            &on,
            String::new(),
            other,
            "not signed by a trusted certificate authority",
        ),
        // The system's authorities do not count beside a ca_file.
        (
            &on,
            format!("ca_file={other}"),
            own,
            "not signed by a trusted certificate authority",
        ),
        (
            &on,
            "ca_file=/nonexistent/ca.pem".to_owned(),
            own,
            "/nonexistent/ca.pem",
        ),
        (&off, String::new(), own, "does not offer encryption"),
        (
            &required,
            "encrypt=false".to_owned(),
            own,
            "requires encryption",
        ),
    ] {
        let run = run(server, &parameters, system);
        assert_eq!(run.code, 3, "{parameters}: {run:?}");
        let error = &run.report()["errors"][0];
        assert_eq!(error["type"], "TlsError", "{parameters}: {error:#}");
        let text = error["error"].as_str().unwrap();
        assert!(text.contains(mentions), "{parameters}: {text}");
        assert!(!text.contains("Config::"), "advice for programmers: {text}");
    }
}

#[test]
fn tls_may_depend_on_what_the_server_offers() {
    let database = database();
    for tls in [StandinTls::On, StandinTls::Off] {
        let server = Standin::start(&database.url(), "tls", tls).unwrap();
        let password = std::fs::read_to_string(server.password_file()).unwrap();
        let here = Workplace::new(&format!(
            "[endpoints.a]\nurl = 'mssql://sa:{password}@127.0.0.1:{}/tls?ca_file={}'\ntls = 'prefer'\n\
             [endpoints.b]\nurl = '{}?schema=dbo'\n",
            server.port(),
            server.ca_file().display(),
            database.url()
        ));
        let tables = ["--tables", "t", "--source", "a", "--target", "b"];
        let run = here.reconcile(&[&["run", "--local"][..], &tables].concat());
        assert_eq!(run.code, 0, "{run:?}");
    }
}
