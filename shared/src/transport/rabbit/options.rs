//! How a process connects to the broker.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use lapin::tcp::OwnedTLSConfig;
use lapin::uri::{AMQPScheme, AMQPUri};
use url::Url;

use crate::endpoint::Secret;
use crate::masking::mask;
use crate::signing::SigningKey;
use crate::transport::TransportError;
use crate::verification::DEFAULT_MAX_AGE;

/// The default prefix of the names of queues and exchanges.
pub const DEFAULT_PREFIX: &str = "reconcile";

/// The default of the size of the largest message, in bytes.
pub const DEFAULT_MAX_MESSAGE_SIZE: usize = 1 << 20;

/// Seconds between two AMQP heartbeats. After twice this time without one the connection is lost.
const HEARTBEAT_SECONDS: u16 = 15;

/// How to connect to the broker.
#[derive(Debug, Clone)]
pub struct RabbitOptions {
    /// `amqp://user:password@host:5672/vhost`, or `amqps://…:5671/…` for TLS.
    pub url: Secret,
    /// The start of the name of every queue and exchange, so that several installations can share a
    /// broker.
    pub prefix: String,
    /// Trusts the authorities in this PEM file in addition to those of the system.
    pub ca_file: Option<PathBuf>,
    /// Signs messages, and verifies those of other processes.
    pub signing_key: Option<SigningKey>,
    /// How old a signed task or event may be that is accepted.
    pub signing_max_age: Duration,
    /// Bytes of the largest message that is published.
    pub max_message_size: usize,
    /// How long the broker may take to carry out an operation, for a command that a user waits
    /// for. `None`: as long as it takes.
    pub patience: Option<Duration>,
    /// The name of the connection in the broker's management interface.
    pub connection_name: String,
}

impl RabbitOptions {
    /// Options for the broker at `url` with the default prefix, without a signing key.
    pub fn new(url: impl Into<String>, connection_name: impl Into<String>) -> Self {
        Self {
            url: Secret::new(url),
            prefix: DEFAULT_PREFIX.to_owned(),
            ca_file: None,
            signing_key: None,
            signing_max_age: DEFAULT_MAX_AGE,
            max_message_size: DEFAULT_MAX_MESSAGE_SIZE,
            patience: None,
            connection_name: connection_name.into(),
        }
    }
}

#[derive(Clone)]
pub(super) struct Address {
    pub(super) uri: AMQPUri,
    pub(super) tls: OwnedTLSConfig,
    pub(super) connection_name: String,
}

impl Address {
    pub(super) fn resolve(options: &RabbitOptions) -> Result<Self, TransportError> {
        let text = options.url.reveal();
        let unusable = |reason: &str| {
            TransportError::Broker(format!(
                "`{}` is not a broker URL ({reason}); write amqp://user:password@host:5672/vhost or amqps://… for TLS",
                mask(text)
            ))
        };
        let url = Url::parse(text).map_err(|error| unusable(&error.to_string()))?;
        if !matches!(url.scheme(), "amqp" | "amqps") {
            return Err(unusable("the scheme is neither amqp nor amqps"));
        }
        let host = url
            .host_str()
            .filter(|host| !host.is_empty())
            .ok_or_else(|| unusable("no host"))?;
        let mut uri: AMQPUri = text.parse().map_err(|error: String| unusable(&error))?;
        // lapin parses an IPv6 address as no host, and would connect to localhost.
        uri.authority.host = host.trim_matches(['[', ']']).to_owned();
        // A trailing slash names the virtual host ""; the default virtual host is meant.
        if uri.vhost.is_empty() {
            uri.vhost = "/".to_owned();
        }
        uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
        let mut tls = OwnedTLSConfig::default();
        if let Some(file) = &options.ca_file {
            let pem = std::fs::read_to_string(file).map_err(|error| {
                TransportError::Broker(format!(
                    "cannot read the broker's ca_file {}: {error}",
                    file.display()
                ))
            })?;
            tls.cert_chain = Some(pem);
        }
        Ok(Self {
            uri,
            tls,
            connection_name: options.connection_name.clone(),
        })
    }

    pub(super) fn user(&self) -> &str {
        &self.uri.authority.userinfo.username
    }

    pub(super) fn uses_tls(&self) -> bool {
        self.uri.scheme == AMQPScheme::AMQPS
    }
}

/// `host:port`, as in the broker URL of the configuration.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (host, port) = (&self.uri.authority.host, self.uri.authority.port);
        if host.contains(':') {
            write!(f, "[{host}]:{port}")
        } else {
            write!(f, "{host}:{port}")
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(url: &str) -> Result<Address, TransportError> {
        Address::resolve(&RabbitOptions::new(url, "test"))
    }

    #[test]
    fn a_url_gives_host_port_and_virtual_host() {
        for (url, shown, vhost) in [
            ("amqp://u:p@mq.example/shop", "mq.example:5672", "shop"),
            ("amqp://u:p@mq.example", "mq.example:5672", "/"),
            ("amqp://u:p@mq.example/", "mq.example:5672", "/"),
            ("amqp://u:p@mq.example:5673/%2f", "mq.example:5673", "/"),
            ("amqps://u:p@mq.example/", "mq.example:5671", "/"),
            ("amqp://u:p@[::1]:5673/", "[::1]:5673", "/"),
            ("amqp://u:p@127.0.0.1:5673/", "127.0.0.1:5673", "/"),
        ] {
            let address = resolve(url).unwrap();
            assert_eq!(
                (address.to_string().as_str(), address.uri.vhost.as_str()),
                (shown, vhost),
                "{url}"
            );
        }
    }

    #[test]
    fn a_bad_url_is_explained_without_its_password() {
        for url in [
            "http://u:hunter2@h/",
            "amqp://u:hunter2@:5672/",
            "u:hunter2@h",
            "amqp://u:hunter2@h:99999/",
            "amqp://u:hunter2@h/?heartbeat=x",
        ] {
            let message = resolve(url).unwrap_err().to_string();
            assert!(
                message.contains("is not a broker URL") && !message.contains("hunter2"),
                "{url}: {message}"
            );
        }
    }
}
