//! The secret of a run under which the engine hashes rows.

use aws_lc_rs::hmac;
use serde::{Deserialize, Serialize};

/// Bytes of a key.
const KEY_BYTES: usize = 32;

/// Bytes of the fingerprint: enough to distinguish the keys of some runs.
const FINGERPRINT_BYTES: usize = 4;

/// The secret key of a run under which the engine hashes rows. A row whose writer does not know
/// the key cannot be made to have the hash of another row.
///
/// All tables of a run have one key. It travels in the tasks and is stored with the tables, so that
/// a resumed run continues with it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HashKey(String);

impl HashKey {
    /// A new random key.
    ///
    /// # Panics
    ///
    /// When the operating system has no random numbers.
    #[must_use]
    pub fn generate() -> Self {
        let mut bytes = [0_u8; KEY_BYTES];
        aws_lc_rs::rand::fill(&mut bytes).expect("the system gives random numbers");
        Self(hex::encode(bytes))
    }

    /// The key for one purpose. Keys for different purposes do not reveal each other: each is the
    /// HMAC-SHA256 of the purpose under this key.
    #[must_use]
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.0.as_bytes());
        let mut derived = [0; 32];
        derived.copy_from_slice(hmac::sign(&key, purpose.as_bytes()).as_ref());
        derived
    }

    /// Eight hexadecimal digits that identify the key without revealing it. Checksums can be
    /// compared only if they were calculated under the same key.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        hex::encode(&self.derive("fingerprint")[..FINGERPRINT_BYTES])
    }
}

impl std::fmt::Debug for HashKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HashKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_random_and_survives_its_serialised_form() {
        let key = HashKey::generate();
        assert_ne!(key, HashKey::generate());
        let json = serde_json::to_string(&key).unwrap();
        assert_eq!(json.len(), 2 + 2 * KEY_BYTES);
        let read: HashKey = serde_json::from_str(&json).unwrap();
        assert_eq!(read.derive("a"), key.derive("a"));
        assert_ne!(key.derive("a"), key.derive("b"));
    }

    #[test]
    fn tables_of_earlier_runs_have_no_key() {
        let options: crate::options::TableOptions = serde_json::from_str("{}").unwrap();
        assert_eq!(options.hash_key, None);
        let sums = r#"{"source": "00", "target": "01"}"#;
        let sums: crate::outcome::Checksums = serde_json::from_str(sums).unwrap();
        assert_eq!(sums.checksum_key, None);
    }

    #[test]
    fn a_fingerprint_belongs_to_one_key_and_does_not_show_it() {
        let key = HashKey::generate();
        let fingerprint = key.fingerprint();
        assert_eq!(fingerprint.len(), 8);
        assert_eq!(fingerprint, key.clone().fingerprint());
        assert_ne!(fingerprint, HashKey::generate().fingerprint());
        assert!(!key.0.contains(&fingerprint));
        assert_eq!(format!("{key:?}"), "HashKey(…)");
    }
}
