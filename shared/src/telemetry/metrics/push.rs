//! Gives metrics to a Prometheus Pushgateway, for processes that end before
//! anybody scrapes them.

use std::error::Error;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::CONTENT_TYPE;
use url::Url;

use crate::endpoint::mask_password;

/// The job under which metrics are kept.
const JOB: &str = "reconcile";

/// A Pushgateway.
#[derive(Clone, PartialEq, Eq)]
pub struct PushGateway {
    url: Url,
}

// By hand: the URL may hold a password.
impl std::fmt::Debug for PushGateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("PushGateway")
            .field(&mask_password(self.url.as_str()))
            .finish()
    }
}

/// The name under which a gateway keeps metrics: what comes later under the same
/// one takes their place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushInstance(String);

/// How long a name may be.
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
        // A Pushgateway cannot find a name with a slash in a path.
        let is_taken = |c: char| c != '/' && !c.is_control();
        if text.is_empty() || text.len() > LONGEST_INSTANCE || !text.chars().all(is_taken) {
            return Err(format!(
                "`{}` is no name of an instance; write 1 to {LONGEST_INSTANCE} characters without `/`, such as nightly",
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

/// Why metrics were not taken.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The URL is none.
    #[error("the Pushgateway's URL is not understood; write http://HOST:9091 or https://HOST")]
    Url,
    /// It could not be reached.
    #[error("the Pushgateway at {gateway} did not take the metrics: {reason}")]
    Unreachable {
        /// Where, without a password.
        gateway: String,
        /// Why.
        reason: String,
    },
    /// It answered with an error.
    #[error("the Pushgateway at {gateway} refused the metrics with {status}: {answer}")]
    Refused {
        /// Where, without a password.
        gateway: String,
        /// The HTTP status.
        status: u16,
        /// The beginning of what it said.
        answer: String,
    },
}

impl PushGateway {
    /// The gateway at `url`, `http://…` or `https://…`.
    ///
    /// # Errors
    ///
    /// When that is no such URL.
    pub fn new(url: &str) -> Result<Self, PushError> {
        let url = Url::parse(url).map_err(|_| PushError::Url)?;
        let known = matches!(url.scheme(), "http" | "https") && url.has_host();
        if known {
            Ok(Self { url })
        } else {
            Err(PushError::Url)
        }
    }

    /// Puts `text` in place of what the gateway has of this job and `instance`.
    ///
    /// # Errors
    ///
    /// When it cannot be reached within `limit`, or does not take the metrics.
    pub async fn push(
        &self,
        instance: &PushInstance,
        text: String,
        limit: Duration,
    ) -> Result<(), PushError> {
        let gateway = mask_password(self.url.as_str());
        let unreachable = |error: reqwest::Error| PushError::Unreachable {
            gateway: gateway.clone(),
            reason: chain(&error.without_url()),
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
        Err(PushError::Refused {
            gateway,
            status: status.as_u16(),
            answer: answer.trim().chars().take(200).collect(),
        })
    }

    fn address(&self, instance: &PushInstance) -> String {
        format!(
            "{}/metrics/job/{JOB}/instance/{}",
            self.url.as_str().trim_end_matches('/'),
            utf8_percent_encode(&instance.0, NON_ALPHANUMERIC)
        )
    }
}

/// An error with everything that caused it: reqwest's own text says only which
/// step failed.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
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
