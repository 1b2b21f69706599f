//! How long an access token is used.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// How long before its end a token is replaced.
const MARGIN: Duration = Duration::from_secs(120);

/// How long `secret`, which was printed at `now`, is used if it is a JSON Web Token that says when
/// it expires (RFC 7519, section 4.1.4); `None` otherwise.
pub(super) fn life(secret: &str, now: SystemTime) -> Option<Duration> {
    let claims = URL_SAFE_NO_PAD.decode(secret.split('.').nth(1)?).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&claims).ok()?;
    let end = Duration::from_secs(claims.get("exp")?.as_u64()?);
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    Some(end.saturating_sub(now).saturating_sub(MARGIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_replaced_before_it_expires() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000_000);
        let token = |claims: &str| format!("e30.{}.signature", URL_SAFE_NO_PAD.encode(claims));
        for (token, seconds) in [
            (token(r#"{"exp": 1003600}"#), Some(3600 - 120)),
            (token(r#"{"exp": 1000060}"#), Some(0)),
            (token(r#"{"exp": 999999}"#), Some(0)),
            (token(r#"{"exp": "soon"}"#), None),
            (token("{}"), None),
            ("opaque".to_owned(), None),
            ("a.b.c".to_owned(), None),
        ] {
            assert_eq!(
                life(&token, now),
                seconds.map(Duration::from_secs),
                "{token}"
            );
        }
    }
}
