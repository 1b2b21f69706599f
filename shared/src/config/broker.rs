//! `[broker]`: where the broker is and how messages are signed.

use std::path::PathBuf;

use super::endpoint::read_secret;
use super::error::ConfigError;
use super::section::{Section, Sources};
use crate::endpoint::Secret;
use crate::signing::{SigningKey, SigningKeyError};

/// `[broker]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerConfig {
    /// `amqp://…` or `amqps://…`; absent if only a flag names it.
    pub url: Option<Secret>,
    /// The prefix of the names of queues and exchanges.
    pub prefix: String,
    /// A PEM file of authorities that are trusted in addition to the system's.
    pub ca_file: Option<PathBuf>,
    /// The file with the key that signs tasks and control messages.
    pub signing_key_file: Option<PathBuf>,
}

impl Default for BrokerConfig {
    fn default() -> Self {
        Self {
            url: None,
            prefix: "reconcile".to_owned(),
            ca_file: None,
            signing_key_file: None,
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
    if url.is_none() && prefix.is_none() && ca_file.is_none() && signing_key_file.is_none() {
        return Ok(None);
    }
    let prefix = prefix.unwrap_or(BrokerConfig::default().prefix);
    Ok(Some(BrokerConfig {
        url,
        prefix,
        ca_file,
        signing_key_file,
    }))
}
