//! Pushes metrics to a Prometheus Pushgateway, for processes that end before a scrape.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::CONTENT_TYPE;
use url::Url;

use crate::failure::with_causes;
use crate::masking::mask;

/// The value of the label `job` of pushed metrics.
const JOB: &str = "reconcile";

/// A Pushgateway.
#[derive(Clone, PartialEq, Eq)]
pub struct PushGateway {
    url: Url,
}

// Not derived, because the URL may contain a password.
impl std::fmt::Debug for PushGateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("PushGateway")
            .field(&mask(self.url.as_str()))
            .finish()
    }
}

/// The value of the label `instance` of pushed metrics. A push replaces the metrics of the same
/// instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushInstance(String);

/// The longest name of an instance, in bytes.
const LONGEST_INSTANCE: usize = 200;

impl PushInstance {
    /// The name of this host.
    #[must_use]
    pub fn host() -> Self {
        Self(gethostname::gethostname().to_string_lossy().into_owned())
    }
}

impl FromStr for PushInstance {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // A Pushgateway cannot decode a slash in the path.
        let is_allowed = |c: char| c != '/' && !c.is_control();
        if text.is_empty() || text.len() > LONGEST_INSTANCE || !text.chars().all(is_allowed) {
            return Err(format!(
                "`{}` is not a name of an instance; write 1 to {LONGEST_INSTANCE} characters without `/`, such as nightly",
                text.escape_debug()
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for PushInstance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why metrics were not pushed.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The URL is invalid.
    #[error("the Pushgateway's URL is invalid; write http://HOST:9091 or https://HOST")]
    Url,
    /// The gateway cannot be reached, or refused the metrics.
    #[error("{0}")]
    Failed(String),
}

impl PushGateway {
    /// The gateway at `url`, `http://…` or `https://…`.
    ///
    /// # Errors
    ///
    /// When `url` is not such a URL.
    pub fn new(url: &str) -> Result<Self, PushError> {
        let url = Url::parse(url).ok().filter(Url::has_host);
        url.filter(|url| matches!(url.scheme(), "http" | "https"))
            .map(|url| Self { url })
            .ok_or(PushError::Url)
    }

    /// Replaces the metrics of `instance` at the gateway by `text`.
    ///
    /// # Errors
    ///
    /// When the gateway does not answer within `limit`, or refuses the metrics.
    pub async fn push(
        &self,
        instance: &PushInstance,
        text: String,
        limit: Duration,
    ) -> Result<(), PushError> {
        let gateway = mask(self.url.as_str());
        let unreachable = |error: reqwest::Error| {
            // reqwest's own text names only the step that failed.
            let reason = with_causes(&error.without_url());
            PushError::Failed(format!(
                "cannot push metrics to the Pushgateway at {gateway}: {reason}"
            ))
        };
        let client = reqwest::Client::builder()
            .timeout(limit)
            .build()
            .map_err(unreachable)?;
        let response = client
            .put(self.address(instance))
            .header(CONTENT_TYPE, prometheus::TEXT_FORMAT)
            .body(text)
            .send()
            .await
            .map_err(unreachable)?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let answer = response.text().await.unwrap_or_default();
        let answer: String = answer.trim().chars().take(200).collect();
        Err(PushError::Failed(format!(
            "the Pushgateway at {gateway} refused the metrics with {}: {answer}",
            status.as_u16()
        )))
    }

    fn address(&self, instance: &PushInstance) -> String {
        format!(
            "{}/metrics/job/{JOB}/instance/{}",
            self.url.as_str().trim_end_matches('/'),
            utf8_percent_encode(&instance.0, NON_ALPHANUMERIC)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_a_name_that_fits_into_a_path() {
        for right in ["nightly", "nightly 2", "höchst.example:9091"] {
            let instance: PushInstance = right.parse().unwrap();
            assert_eq!(instance.to_string(), right);
        }
        for wrong in ["", "a/b", "a\nb", &"a".repeat(201)] {
            let error = wrong.parse::<PushInstance>().unwrap_err();
            assert!(error.contains("such as nightly"), "{error}");
        }
    }

    #[test]
    fn a_gateway_is_a_url_of_http() {
        for wrong in ["", "push:9091", "amqp://push", "9091"] {
            PushGateway::new(wrong).unwrap_err();
        }
        let gateway = PushGateway::new("http://u:secret@push:9091/base/").unwrap();
        assert_eq!(
            gateway.address(&"host.example-1".parse().unwrap()),
            "http://u:secret@push:9091/base/metrics/job/reconcile/instance/host%2Eexample%2D1"
        );
        let shown = format!("{gateway:?}");
        assert!(
            shown.contains("push:9091") && !shown.contains("secret"),
            "{shown}"
        );
    }
}
