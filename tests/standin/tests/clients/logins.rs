//! Logins beside user and password: NTLM, of which FreeTDS has its own implementation, and tokens.

use standin::{LoginOptions, TlsMode};
use tiberius::AuthMethod;

use crate::external;
use crate::fixture::{Fixture, PASSWORD, connect, rows};

#[tokio::test(flavor = "multi_thread")]
async fn tsql_logs_in_with_ntlm() {
    let log = tempfile::NamedTempFile::new().unwrap();
    let login = LoginOptions {
        domain: Some("CORP".to_owned()),
        login_log: Some(log.path().to_owned()),
        ..LoginOptions::default()
    };
    let fixture = Fixture::start_with(TlsMode::Off, login).await;
    for (user, password, is_right) in [
        ("CORP\\sa", PASSWORD, true),
        ("CORP\\sa", "wrong", false),
        ("OTHER\\sa", PASSWORD, false),
        ("CORP\\other", PASSWORD, false),
    ] {
        let logged_in = external::tsql_logs_in((user, password), fixture.port()).await;
        assert_eq!(logged_in, is_right, "{user} {password}");
    }
    let log = std::fs::read_to_string(log.path()).unwrap();
    let outcomes: Vec<&str> = log.lines().collect();
    assert_eq!(
        outcomes,
        [
            "accepted ntlm CORP\\sa read-write",
            "refused ntlm CORP\\sa read-write",
            "refused ntlm OTHER\\sa read-write",
            "refused ntlm CORP\\other read-write",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn tiberius_logs_in_with_a_token() {
    let tokens = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(tokens.path(), "first\nsecond").unwrap();
    let login = LoginOptions {
        token_file: Some(tokens.path().to_owned()),
        ..LoginOptions::default()
    };
    let fixture = Fixture::start_with(TlsMode::Off, login).await;
    for (token, is_right) in [("second", true), ("third", false)] {
        let mut config = fixture.config();
        config.authentication(AuthMethod::aad_token(token));
        match connect(config).await {
            Ok(mut client) => {
                assert!(is_right, "{token}");
                let found = rows(&mut client, "SELECT 1 AS a").await.unwrap();
                assert_eq!(found.len(), 1);
            }
            Err(error) => {
                assert!(!is_right, "{token}: {error}");
                assert!(error.to_string().contains("18456"), "{error}");
            }
        }
    }
}
