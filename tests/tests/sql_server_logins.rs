//! Logins at SQL Server: by password, by NTLM, by access token; how often they are tried; and the
//! ways to a server: named instances, failover partners, redirects, TLS before everything else.

#![expect(clippy::unwrap_used, reason = "in a test a missing value is a failure")]

use std::net::Ipv4Addr;

use harness::services::standin::StandinOptions;
use harness::services::{Database, Standin, StandinTls, shared_postgres};
use serde_json::Value as Json;
use tests::product::{Run, Workplace};

const TABLES: usize = 12;

/// A database with the tables `dbo.t0` to `dbo.t11`.
fn database() -> Database {
    let database = shared_postgres().create_database("logins").unwrap();
    let tables: String = (0..TABLES)
        .map(|number| format!("CREATE TABLE dbo.t{number} AS SELECT generate_series(1, 9) AS id;"))
        .collect();
    database
        .execute(&format!("CREATE SCHEMA dbo; {tables}"))
        .unwrap();
    database
}

fn names() -> String {
    let names: Vec<String> = (0..TABLES).map(|number| format!("dbo.t{number}")).collect();
    names.join(",")
}

/// A stand-in as the source, and its PostgreSQL database as the target.
struct Sides {
    database: Database,
    server: Standin,
}

impl Sides {
    fn start(tls: StandinTls, options: &StandinOptions) -> Self {
        let database = database();
        let server = Standin::start_with(&database.url(), "logins", tls, options).unwrap();
        Self { database, server }
    }

    fn password(&self) -> String {
        std::fs::read_to_string(self.server.password_file()).unwrap()
    }

    /// `HOST:PORT` of the stand-in.
    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.server.port())
    }

    /// Compares all tables; the endpoint of the source has these lines.
    fn run(&self, source: &str) -> Run {
        let here = Workplace::new(&format!(
            "[endpoints.source]\n{source}\n[endpoints.target]\nurl = '{}?schema=dbo'\n",
            self.database.url()
        ));
        let run = ["run", "--local", "--no-store", "--max-attempts", "1"];
        let at_once = ["--parallel", "--parallel-workers", "4"];
        let sides = ["--source", "source", "--target", "target"];
        let what = ["--tables", &names(), "--row-level", "--format", "json"];
        here.reconcile(&[&run[..], &at_once, &sides, &what].concat())
    }

    /// All tables match.
    fn matches(&self, source: &str) {
        let run = self.run(source);
        assert_eq!(run.code, 0, "{source}: {run:?}");
        assert_eq!(run.report()["matched"], TABLES, "{source}");
    }

    /// All tables fail with one error, whose message is returned.
    fn fails(&self, source: &str, kind: &str) -> String {
        let run = self.run(source);
        assert_eq!(run.code, 3, "{source}: {run:?}");
        let report = run.report();
        let errors = report["errors"].as_array().unwrap();
        assert_eq!(errors.len(), TABLES, "{report:#}");
        let texts: Vec<&Json> = errors.iter().map(|error| &error["error"]).collect();
        assert!(texts.iter().all(|text| *text == texts[0]), "{texts:#?}");
        assert!(
            errors.iter().all(|error| error["type"] == kind),
            "{report:#}"
        );
        texts[0].as_str().unwrap().to_owned()
    }

    fn refused(&self) -> Vec<String> {
        let logins = self.server.logins().into_iter();
        logins.filter(|line| line.starts_with("refused")).collect()
    }
}

#[test]
fn a_refused_password_is_tried_once_and_its_message_is_that_of_all_tables() {
    let sides = Sides::start(StandinTls::Off, &StandinOptions::default());
    let url = format!(
        "url = 'mssql://sa:wrong@{}/logins?encrypt=false'",
        sides.address()
    );
    let error = sides.fails(&url, "AuthenticationError");
    for part in [
        "Login failed for user 'sa'",
        "error 18456",
        "endpoint `source`",
        "restart",
    ] {
        assert!(error.contains(part), "{error}");
    }
    assert!(!error.contains("wrong"), "{error}");
    assert_eq!(sides.server.logins(), ["refused password sa read-only"]);
}

#[test]
fn ntlm_logs_in_with_user_and_password_of_a_domain() {
    let options = StandinOptions {
        domain: Some("CORP".to_owned()),
        ..StandinOptions::default()
    };
    let sides = Sides::start(StandinTls::On, &options);
    let ca_file = sides.server.ca_file();
    let (address, ca_file) = (sides.address(), ca_file.display());
    let endpoint = |user: &str, password: &str, more: &str| {
        format!("url = 'mssql://{user}:{password}@{address}/logins?auth=ntlm&{more}'")
    };
    let password = sides.password();
    sides.matches(&endpoint(
        "CORP%5Csa",
        &password,
        &format!("ca_file={ca_file}"),
    ));
    sides.matches(&endpoint("corp%5CSA", &password, "encrypt=false"));
    let logins = sides.server.logins();
    assert!(
        logins.contains(&"accepted ntlm CORP\\sa read-only".to_owned()),
        "{logins:?}"
    );
    assert_eq!(sides.refused(), [""; 0]);

    // Neither is tried again, nor as a login of SQL Server.
    for (user, password) in [("CORP%5Csa", "wrong"), ("OTHER%5Csa", &*password)] {
        let before = sides.refused().len();
        let error = sides.fails(
            &endpoint(user, password, "encrypt=false"),
            "AuthenticationError",
        );
        assert!(error.contains("error 18456"), "{error}");
        let refused = sides.refused();
        assert_eq!(refused.len(), before + 1, "{refused:?}");
        assert!(refused[before].starts_with("refused ntlm"), "{refused:?}");
    }
}

#[test]
fn a_server_without_a_domain_refuses_ntlm() {
    let sides = Sides::start(StandinTls::Off, &StandinOptions::default());
    let address = sides.address();
    let url = format!("url = 'mssql://CORP%5Csa:x@{address}/logins?auth=ntlm&encrypt=false'");
    let error = sides.fails(&url, "AuthenticationError");
    assert!(
        error.contains("untrusted domain") && error.contains("18452"),
        "{error}"
    );
}

#[test]
fn a_command_prints_the_access_token() {
    let options = StandinOptions {
        tokens: vec![
            "eyJhbGciOiJub25lIn0.first.x".to_owned(),
            "second".to_owned(),
        ],
        ..StandinOptions::default()
    };
    let sides = Sides::start(StandinTls::On, &options);
    let counter = tempfile::NamedTempFile::new().unwrap();
    let endpoint = |command: &str| {
        format!(
            "url = 'mssql://{}/logins?auth=token&ca_file={}'\ntoken_command = ['/bin/sh', '-c', '''{command}''']",
            sides.address(),
            sides.server.ca_file().display()
        )
    };
    let count = format!("echo call >> {}; echo second", counter.path().display());
    sides.matches(&endpoint(&count));
    let calls = std::fs::read_to_string(counter.path()).unwrap();
    assert_eq!(calls, "call\n", "one token serves all sessions");
    let logins = sides.server.logins();
    let expected = "accepted token <token-identified principal> read-only";
    assert!(
        !logins.is_empty() && logins.iter().all(|line| line == expected),
        "{logins:?}"
    );

    let error = sides.fails(&endpoint("echo third"), "AuthenticationError");
    assert!(
        error.contains("18456") && !error.contains("third"),
        "{error}"
    );
    assert_eq!(sides.refused().len(), 1);
    let error = sides.fails(
        &endpoint("echo run az login >&2; exit 1"),
        "AuthenticationError",
    );
    for part in [
        "token_command: `/bin/sh` has failed",
        "run az login",
        "endpoint `source`",
    ] {
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(sides.refused().len(), 1, "no login without a token");
}

#[test]
fn strict_encryption_begins_before_everything_else_and_always_verifies() {
    for tls in [StandinTls::Strict, StandinTls::Required] {
        let sides = Sides::start(tls, &StandinOptions::default());
        let (address, password) = (sides.address(), sides.password());
        let ca_file = sides.server.ca_file();
        let endpoint = |parameters: &str| {
            format!("url = 'mssql://sa:{password}@{address}/logins?{parameters}'")
        };
        let named = format!("ca_file={}", ca_file.display());
        sides.matches(&endpoint(&format!("encrypt=strict&{named}")));
        sides.matches(&format!("{}\ntls = 'strict'", endpoint(&named)));
        let trusting = endpoint("encrypt=strict&trust_server_certificate=true");
        let error = sides.fails(&trusting, "TlsError");
        assert!(error.contains("certificate"), "{error}");
        if tls == StandinTls::Strict {
            sides.fails(
                &endpoint(&format!("encrypt=true&{named}")),
                "ConnectionError",
            );
        }
    }
    let sides = Sides::start(StandinTls::Off, &StandinOptions::default());
    let (address, password) = (sides.address(), sides.password());
    let url = format!("url = 'mssql://sa:{password}@{address}/logins?encrypt=strict'");
    let run = sides.run(&url);
    assert_eq!(run.code, 3, "{run:?}");
    assert_eq!(
        sides.server.logins(),
        [""; 0],
        "no login without encryption"
    );
}

/// An address on loopback that other tests and services do not use.
fn own_address() -> Ipv4Addr {
    let byte = || fastrand::u8(1..255);
    Ipv4Addr::new(127, byte(), byte(), byte())
}

#[test]
fn the_port_of_a_named_instance_is_asked_for() {
    let options = StandinOptions {
        address: own_address(),
        instance: Some("SALES".to_owned()),
        ..StandinOptions::default()
    };
    let sides = Sides::start(StandinTls::Off, &options);
    let (host, password) = (options.address, sides.password());
    let endpoint =
        |more: &str| format!("url = 'mssql://sa:{password}@{host}/logins?encrypt=false&{more}'");
    sides.matches(&endpoint("instance=sales"));
    sides.matches(&format!(
        "engine = 'sqlserver'\nhost = '{host}'\ninstance = 'SALES'\ndatabase = 'logins'\n\
         user = 'sa'\npassword = '{password}'\ntls = 'off'\nmulti_subnet_failover = true"
    ));
    let error = sides.fails(&endpoint("instance=OTHER"), "ConnectionError");
    for part in ["`OTHER`", "SQL Server Browser", "1434"] {
        assert!(error.contains(part), "{error}");
    }
}

/// The port of a server that has ended.
fn unused_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// An endpoint that logs in with a token, which several stand-ins accept.
fn with_token(port: u16, more: &str) -> String {
    format!(
        "url = 'mssql://127.0.0.1:{port}/logins?auth=token&encrypt=false'\n\
         token_command = ['/bin/echo', 'token']\n{more}"
    )
}

fn accepting_token() -> StandinOptions {
    StandinOptions {
        tokens: vec!["token".to_owned()],
        ..StandinOptions::default()
    }
}

#[test]
fn a_failover_partner_is_tried_when_the_server_does_not_serve_the_database() {
    let sides = Sides::start(StandinTls::Off, &accepting_token());
    let partner = format!("failover_partner = '{}'", sides.address());
    sides.matches(&with_token(unused_port(), &partner));
    let postgres = sides.database.url();
    let mirror =
        Standin::start_with(&postgres, "mirror", StandinTls::Off, &accepting_token()).unwrap();
    sides.matches(&with_token(mirror.port(), &partner));

    // A login that the server refuses is not repeated at the partner.
    let before = sides.server.logins().len();
    let other = Standin::start(&postgres, "logins", StandinTls::Off).unwrap();
    let error = sides.fails(&with_token(other.port(), &partner), "AuthenticationError");
    assert!(error.contains("18456"), "{error}");
    assert_eq!(
        (other.logins().len(), sides.server.logins().len()),
        (1, before)
    );

    let nowhere = format!("failover_partner = '127.0.0.1:{}'", unused_port());
    let error = sides.fails(&with_token(unused_port(), &nowhere), "ConnectionError");
    assert!(error.contains("failover partner 127.0.0.1"), "{error}");
}

#[test]
fn a_gateway_names_the_server_that_has_the_database() {
    let sides = Sides::start(StandinTls::Off, &accepting_token());
    let gateway = StandinOptions {
        route_to: Some(sides.address()),
        ..accepting_token()
    };
    let postgres = sides.database.url();
    let gateway = Standin::start_with(&postgres, "logins", StandinTls::Off, &gateway).unwrap();
    sides.matches(&with_token(gateway.port(), ""));
    let (first, second) = (gateway.logins(), sides.server.logins());
    assert_eq!(first.len(), second.len(), "{first:?} {second:?}");
    assert!(!first.is_empty());
}
