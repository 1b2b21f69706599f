//! Signatures on what workers act on.
//!
//! Whoever may publish to the work queue can make workers read any table of
//! their endpoints. With a key, shared by coordinators and workers and unknown
//! to the broker, a worker acts only on tasks and control messages that carry
//! the HMAC-SHA256 (RFC 2104, FIPS 198-1) of their body.

use std::fmt;
use std::path::Path;

use aws_lc_rs::hmac;

/// The fewest bytes of a key: as many as the hash gives.
const SHORTEST_KEY: usize = 32;

/// What a signature is for. It is part of what is signed, so that a signed
/// message of one kind cannot be passed off as one of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A task.
    Task,
    /// A control message.
    Control,
}

/// A key that signs and checks. Never printed.
#[derive(Clone)]
pub struct SigningKey(hmac::Key);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(***)")
    }
}

/// Why a file holds no key.
#[derive(Debug, thiserror::Error)]
pub enum SigningKeyError {
    /// It cannot be read.
    #[error("cannot read the signing key {file}: {error}")]
    Unreadable {
        /// The file.
        file: String,
        /// What the system says.
        error: std::io::Error,
    },
    /// It is too short to be a secret.
    #[error(
        "the signing key {file} has {length} bytes; it needs at least {SHORTEST_KEY}, made for example by `openssl rand -hex 32`"
    )]
    TooShort {
        /// The file.
        file: String,
        /// Its length without white space at the ends.
        length: usize,
    },
}

impl SigningKey {
    /// The key in `file`, without white space at its ends.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or has fewer than 32 bytes.
    pub fn read(file: &Path) -> Result<Self, SigningKeyError> {
        let name = || file.display().to_string();
        let bytes = std::fs::read(file).map_err(|error| SigningKeyError::Unreadable {
            file: name(),
            error,
        })?;
        Self::from_secret(bytes.trim_ascii()).map_err(|length| SigningKeyError::TooShort {
            file: name(),
            length,
        })
    }

    /// A key out of a secret; the secret's length is the error when it is too short.
    fn from_secret(secret: &[u8]) -> Result<Self, usize> {
        if secret.len() < SHORTEST_KEY {
            return Err(secret.len());
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, secret)))
    }

    /// The signature of a message body, in hexadecimal digits.
    #[must_use]
    pub fn sign(&self, purpose: Purpose, body: &[u8]) -> String {
        let tag = hmac::sign(&self.0, &signed(purpose, body));
        tag.as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// Whether `signature` is that of `body`, compared in constant time.
    #[must_use]
    pub fn verify(&self, purpose: Purpose, body: &[u8], signature: &str) -> bool {
        let Some(tag) = unhex(signature) else {
            return false;
        };
        hmac::verify(&self.0, &signed(purpose, body), &tag).is_ok()
    }
}

fn signed(purpose: Purpose, body: &[u8]) -> Vec<u8> {
    let label: &[u8] = match purpose {
        Purpose::Task => b"reconcile task\0",
        Purpose::Control => b"reconcile control\0",
    };
    [label, body].concat()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let byte = |[high, low]: &[u8; 2]| Some(digit(*high)? << 4 | digit(*low)?);
    rest.is_empty()
        .then(|| pairs.iter().map(byte).collect())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(secret: &[u8]) -> SigningKey {
        SigningKey::from_secret(secret).unwrap()
    }

    #[test]
    fn the_signature_is_hmac_sha256() {
        // RFC 4231, test case 7: a key longer than a block. The label is part
        // of the message here, so the primitive itself is what is compared.
        let key = key(&[0xaa; 131]);
        let message = b"This is a test using a larger than block-size key and a larger than block-size data. The key needs to be hashed before being used by the HMAC algorithm.";
        let tag = hmac::sign(&key.0, message);
        let expected = "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2";
        assert_eq!(unhex(expected).unwrap(), tag.as_ref());
    }

    proptest! {
        #[test]
        fn only_the_same_key_purpose_and_body_verify(
            body in proptest::collection::vec(any::<u8>(), 0..64),
            at in any::<proptest::sample::Index>(),
            change in 1_u8..,
        ) {
            let (ours, other) = (key(&[1; 32]), key(&[2; 32]));
            let signature = ours.sign(Purpose::Task, &body);
            prop_assert!(ours.verify(Purpose::Task, &body, &signature));
            prop_assert!(!ours.verify(Purpose::Control, &body, &signature));
            prop_assert!(!other.verify(Purpose::Task, &body, &signature));
            let mut changed = body.clone();
            changed.push(change);
            prop_assert!(!ours.verify(Purpose::Task, &changed, &signature));
            let mut forged = unhex(&signature).unwrap();
            let position = at.index(forged.len());
            forged[position] ^= change;
            let forged: String = forged.iter().map(|byte| format!("{byte:02x}")).collect();
            prop_assert!(!ours.verify(Purpose::Task, &body, &forged));
        }

        #[test]
        fn any_text_for_a_signature_is_only_wrong(text in "\\PC{0,80}") {
            prop_assert!(!key(&[1; 32]).verify(Purpose::Task, b"body", &text));
        }
    }

    #[test]
    fn a_short_key_is_refused_with_advice() {
        let file = std::env::temp_dir().join(format!("reconcile-key-{}", std::process::id()));
        std::fs::write(&file, "  short\n").unwrap();
        let error = SigningKey::read(&file).unwrap_err().to_string();
        std::fs::remove_file(&file).unwrap();
        assert!(
            error.contains("5 bytes") && error.contains("openssl rand"),
            "{error}"
        );
    }
}
