//! TLS off, on and required, with clients that trust the authority and clients that do not.

use serde_json::json;
use standin::TlsMode;
use tiberius::EncryptionLevel;

use crate::external;
use crate::fixture::{Fixture, connect, rows, run};

/// Connects with tiberius, and reads a few megabytes.
async fn connect_and_read(
    fixture: &Fixture,
    level: EncryptionLevel,
    trusts: bool,
) -> Result<(), String> {
    let mut config = fixture.config();
    config.encryption(level);
    if trusts {
        config.trust_cert_ca(fixture.certificates.path().join("ca.pem").display());
    }
    let mut client = connect(config).await.map_err(|error| error.to_string())?;
    let long = "x".repeat(8000);
    let values = vec![format!("('{long}')"); 300].join(", ");
    run(&mut client, "CREATE TABLE t (a varchar(8000))").await;
    run(&mut client, &format!("INSERT INTO t VALUES {values}")).await;
    let found = rows(&mut client, "SELECT * FROM t").await.unwrap();
    assert_eq!(found.len(), 300);
    for row in &found {
        assert_eq!(row.get::<&str, _>(0), Some(long.as_str()));
    }
    run(&mut client, "DROP TABLE t").await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_have_to_agree() {
    use EncryptionLevel::{NotSupported, Off, Required};
    for (mode, level, trusts, expected) in [
        (TlsMode::Off, NotSupported, false, true),
        (TlsMode::Off, Required, true, false),
        (TlsMode::On, NotSupported, false, true),
        (TlsMode::On, Off, true, true),
        (TlsMode::On, Required, true, true),
        (TlsMode::On, Required, false, false),
        (TlsMode::Required, NotSupported, false, false),
        (TlsMode::Required, Off, true, true),
        (TlsMode::Required, Required, true, true),
        (TlsMode::Required, Required, false, false),
    ] {
        let fixture = Fixture::start(mode).await;
        let outcome = connect_and_read(&fixture, level, trusts).await;
        assert_eq!(
            outcome.is_ok(),
            expected,
            "server {mode:?}, client {level:?}, trusted certificate {trusts}: {outcome:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pytds_gets_in_encrypted() {
    for mode in [TlsMode::On, TlsMode::Required] {
        let fixture = Fixture::start(mode).await;
        let ca = fixture.certificates.path().join("ca.pem");
        let query = vec![json!("SELECT N'geheim' AS a")];
        for login_only in [false, true] {
            let settings = json!({"ca": ca, "login_only": login_only});
            let answers = external::pytds(fixture.port(), settings, query.clone()).await;
            assert_eq!(
                answers,
                [json!({}), json!({"rows": [["geheim"]]})],
                "server {mode:?}, only the login encrypted: {login_only}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tsql_gets_in_encrypted() {
    let fixture = Fixture::start(TlsMode::Required).await;
    let settings = fixture.certificates.path().join("freetds.conf");
    let ca = fixture.certificates.path().join("ca.pem");
    let text = format!(
        "[global]\nencryption = require\nca file = {}\n",
        ca.display()
    );
    std::fs::write(&settings, text).unwrap();
    let printed = external::tsql_with(fixture.port(), &settings, "SELECT 41 + 1 AS a").await;
    assert_eq!(printed.trim(), "42");
}
