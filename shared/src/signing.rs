//! Signatures on messages.
//!
//! A client with write permission on the work queue can make workers read any table of their
//! endpoints, and one that can write events can forge results and repair statements. With a key
//! that coordinators and workers share, and that the broker does not know, a process acts only on
//! messages that carry the HMAC-SHA256 (RFC 2104, FIPS 198-1) of their kind and their bytes. The
//! bytes contain the sender's role, the time of issue, the run and the attempt.

use std::fmt;
use std::path::Path;

use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use crate::envelope::Kind;

/// The fewest bytes of a key: the length of the hash.
const SHORTEST_KEY: usize = 32;

/// A key that signs and verifies messages. `Debug` does not print it.
#[derive(Clone)]
pub struct SigningKey(hmac::Key);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(***)")
    }
}

/// Why a signing key could not be read from a file.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SigningKeyError(String);

impl SigningKey {
    /// Reads the key in `file`, without white space at its ends.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or has fewer than 32 bytes.
    pub fn read(file: &Path) -> Result<Self, SigningKeyError> {
        let bytes = std::fs::read(file).map(Zeroizing::new).map_err(|error| {
            let file = file.display();
            SigningKeyError(format!("cannot read the signing key {file}: {error}"))
        })?;
        Self::from_secret(bytes.trim_ascii()).map_err(|length| {
            SigningKeyError(format!(
                "the signing key {} has {length} bytes; it needs at least {SHORTEST_KEY}, made for example by `openssl rand -hex 32`",
                file.display()
            ))
        })
    }

    /// A key made of a secret. The error is the length of a secret that is too short.
    pub(crate) fn from_secret(secret: &[u8]) -> Result<Self, usize> {
        if secret.len() < SHORTEST_KEY {
            return Err(secret.len());
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, secret)))
    }

    /// The signature of an encoded message, in lower-case hexadecimal digits.
    #[must_use]
    pub(crate) fn sign(&self, kind: Kind, encoded: &[u8]) -> String {
        hex::encode(hmac::sign(&self.0, &signed(kind, encoded)))
    }

    /// The bytes of `signature` if it is the signature of `encoded`. The comparison takes constant
    /// time.
    #[must_use]
    pub(crate) fn verify(&self, kind: Kind, encoded: &[u8], signature: &str) -> Option<[u8; 32]> {
        let mut tag = [0; 32];
        hex::decode_to_slice(signature, &mut tag).ok()?;
        hmac::verify(&self.0, &signed(kind, encoded), &tag).ok()?;
        Some(tag)
    }
}

/// The signed bytes. The kind is a part of them, so that a message that was signed as one kind is
/// not valid as another.
fn signed(kind: Kind, encoded: &[u8]) -> Vec<u8> {
    [b"reconcile ", kind.as_str().as_bytes(), b"\0", encoded].concat()
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
        assert_eq!(hex::decode(expected).unwrap(), tag.as_ref());
    }

    proptest! {
        #[test]
        fn only_the_same_key_kind_and_body_verify(
            body in proptest::collection::vec(any::<u8>(), 0..64),
            at in any::<proptest::sample::Index>(),
            change in 1_u8..,
        ) {
            let (ours, other) = (key(&[1; 32]), key(&[2; 32]));
            let signature = ours.sign(Kind::Task, &body);
            prop_assert!(ours.verify(Kind::Task, &body, &signature).is_some());
            prop_assert!(ours.verify(Kind::Control, &body, &signature).is_none());
            prop_assert!(other.verify(Kind::Task, &body, &signature).is_none());
            let mut changed = body.clone();
            changed.push(change);
            prop_assert!(ours.verify(Kind::Task, &changed, &signature).is_none());
            let mut forged = hex::decode(&signature).unwrap();
            let position = at.index(forged.len());
            forged[position] ^= change;
            prop_assert!(ours.verify(Kind::Task, &body, &hex::encode(forged)).is_none());
        }

        #[test]
        fn any_text_for_a_signature_is_only_wrong(text in "\\PC{0,80}") {
            prop_assert!(key(&[1; 32]).verify(Kind::Task, b"body", &text).is_none());
        }
    }

    #[test]
    fn a_short_key_is_refused_with_advice() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "  short\n").unwrap();
        let error = SigningKey::read(file.path()).unwrap_err().to_string();
        assert!(
            error.contains("5 bytes") && error.contains("openssl rand"),
            "{error}"
        );
    }
}
