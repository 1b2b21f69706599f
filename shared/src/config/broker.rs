//! `[broker]`: where the broker is and how messages are signed.

use std::path::PathBuf;
use std::time::Duration;

use super::endpoint::read_secret;
use super::error::ConfigError;
use super::keys::DeclaredKey;
use super::section::{Section, Sources};
use super::units::ByteSize;
use crate::endpoint::Secret;
use crate::signing::{SigningKey, SigningKeyError};
use crate::transport::rabbit::DEFAULT_MAX_MESSAGE_SIZE;
use crate::verification::{DEFAULT_MAX_AGE, LARGEST_MESSAGE};

/// The smallest value of `max_message_size`: a claim with the databases of both sides fits in.
const SMALLEST_MESSAGE: usize = 64 << 10;

/// The keys of `[broker]`.
#[rustfmt::skip]
pub const KEYS: [DeclaredKey; 7] = [
    DeclaredKey { key: "url", default: "`RECONCILE_BROKER`, which like `--broker` overrides it", meaning: "`amqp://…` or `amqps://…`" },
    DeclaredKey { key: "url_file", default: "none", meaning: "File that contains the URL alone" },
    DeclaredKey { key: "prefix", default: "reconcile", meaning: "Prefix of the names of queues and exchanges" },
    DeclaredKey { key: "ca_file", default: "none", meaning: "PEM file of authorities that are trusted in addition to those of the system" },
    DeclaredKey { key: "signing_key_file", default: "messages are not signed", meaning: "File with the key that signs all messages" },
    DeclaredKey { key: "signing_max_age", default: "7days", meaning: "How old a signed task or event may be that is accepted" },
    DeclaredKey { key: "max_message_size", default: "1MiB", meaning: "Size of the largest message that is published, from 64KiB to 16MiB" },
];

/// `[broker]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerConfig {
    /// `amqp://…` or `amqps://…`; absent if only a flag names it.
    pub url: Option<Secret>,
    /// The prefix of the names of queues and exchanges.
    pub prefix: String,
    /// A PEM file of authorities that are trusted in addition to the system's.
    pub ca_file: Option<PathBuf>,
    /// The file with the key that signs all messages.
    pub signing_key_file: Option<PathBuf>,
    /// How old a signed task or event may be that is accepted.
    pub signing_max_age: Duration,
    /// Bytes of the largest message that is published.
    pub max_message_size: ByteSize,
}

impl Default for BrokerConfig {
    fn default() -> Self {
        Self {
            url: None,
            prefix: "reconcile".to_owned(),
            ca_file: None,
            signing_key_file: None,
            signing_max_age: DEFAULT_MAX_AGE,
            max_message_size: ByteSize(DEFAULT_MAX_MESSAGE_SIZE as u64),
        }
    }
}

impl BrokerConfig {
    /// The key in `signing_key_file`, if there is one.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or its key is too short.
    pub fn signing_key(&self) -> Result<Option<SigningKey>, SigningKeyError> {
        self.signing_key_file
            .as_deref()
            .map(SigningKey::read)
            .transpose()
    }

    /// `max_message_size` as a number of bytes in memory.
    #[must_use]
    pub fn message_limit(&self) -> usize {
        usize::try_from(self.max_message_size.0).unwrap_or(LARGEST_MESSAGE)
    }
}

/// Reads the section; absent when nothing in it is set.
pub(super) fn read(
    mut section: Section,
    sources: &mut Sources<'_>,
) -> Result<Option<BrokerConfig>, ConfigError> {
    let url: Option<Secret> = section.take(sources, "url")?;
    let url_file: Option<PathBuf> = section.take(sources, "url_file")?;
    let prefix: Option<String> = section.take(sources, "prefix")?;
    let ca_file: Option<PathBuf> = section.take(sources, "ca_file")?;
    let signing_key_file: Option<PathBuf> = section.take(sources, "signing_key_file")?;
    let signing_max_age: Option<Duration> = section.take(sources, "signing_max_age")?;
    let max_message_size: Option<ByteSize> = section.take(sources, "max_message_size")?;
    section.finish(sources)?;
    let url = match (url, url_file) {
        (Some(_), Some(_)) => {
            return Err(section.error(sources, "has a url and a url_file; keep one of the two"));
        }
        (None, Some(file)) => Some(
            read_secret(&file)
                .map_err(|reason| section.error(sources, format!("url_file: {reason}")))?,
        ),
        (url, None) => url,
    };
    if prefix.as_ref().is_some_and(String::is_empty) {
        return Err(section.error(sources, "has an empty prefix; leave it out for `reconcile`"));
    }
    let allowed = SMALLEST_MESSAGE as u64..=LARGEST_MESSAGE as u64;
    if let Some(size) = max_message_size.filter(|size| !allowed.contains(&size.0)) {
        let reason = format!(
            "has max_message_size = \"{size}\"; it must be from {} to {}",
            ByteSize(*allowed.start()),
            ByteSize(*allowed.end())
        );
        return Err(section.error(sources, reason));
    }
    let default = BrokerConfig::default();
    let broker = BrokerConfig {
        url,
        prefix: prefix.unwrap_or_else(|| default.prefix.clone()),
        ca_file,
        signing_key_file,
        signing_max_age: signing_max_age.unwrap_or(default.signing_max_age),
        max_message_size: max_message_size.unwrap_or(default.max_message_size),
    };
    Ok((broker != default).then_some(broker))
}
