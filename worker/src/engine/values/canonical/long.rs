//! Values that are longer than `--max-value-size`: their length and SHA-256 stand in
//! their place, which are calculated while the value is read.
//!
//! Whether a value is kept whole depends on nothing but the length of its canonical
//! form. So equal values have equal encodings on both sides. The hash needs no key: rows
//! are hashed under the key of the run, and no two texts with the same SHA-256 are known.

use std::str::Utf8Chunk;

use aws_lc_rs::digest::{Context, SHA256, SHA256_OUTPUT_LEN};

use crate::engine::values::canonical::tag::Tag;

/// What is known of a value that is not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LongValue {
    /// [`Tag::Text`], [`Tag::Bytes`] or [`Tag::Json`].
    pub(crate) tag: Tag,
    /// Characters of a text, bytes of others.
    pub(crate) length: u64,
    pub(crate) sha256: [u8; SHA256_OUTPUT_LEN],
}

impl LongValue {
    /// Bytes of its encoding.
    pub(crate) const ENCODED: usize = 1 + 8 + SHA256_OUTPUT_LEN;

    /// What its length counts.
    pub(crate) fn unit(&self) -> &'static str {
        match self.tag {
            Tag::Text => "characters",
            _ => "bytes",
        }
    }

    /// Whether an encoded value is one of these.
    pub(crate) fn is_at(value: &[u8]) -> bool {
        let tag = value.first().and_then(|first| Tag::parse(*first));
        matches!(
            tag,
            Some((Tag::LongText | Tag::LongBytes | Tag::LongJson, _))
        )
    }

    /// Decodes what follows the first byte.
    pub(crate) fn decode(tag: Tag, body: &[u8]) -> Option<Self> {
        let (length, hash) = body.split_first_chunk::<8>()?;
        Some(Self {
            tag,
            length: u64::from_le_bytes(*length),
            sha256: hash.try_into().ok()?,
        })
    }
}

/// The characters that begin in a part of a text, which may begin or end within one.
fn characters(chunk: Utf8Chunk<'_>) -> usize {
    let begins = |byte: &&u8| **byte & 0xC0 != 0x80;
    chunk.valid().chars().count() + chunk.invalid().iter().filter(begins).count()
}

/// Hashes a value whose content is read in parts.
pub(crate) struct LongHasher {
    tag: Tag,
    length: u64,
    hash: Context,
}

impl std::fmt::Debug for LongHasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LongHasher")
            .field("tag", &self.tag)
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

impl LongHasher {
    pub(crate) fn new(tag: Tag) -> Self {
        Self {
            tag,
            length: 0,
            hash: Context::new(&SHA256),
        }
    }

    pub(crate) fn add(&mut self, part: &[u8]) {
        self.hash.update(part);
        let counted = match self.tag {
            Tag::Text => part.utf8_chunks().map(characters).sum(),
            _ => part.len(),
        };
        self.length += counted as u64;
    }

    /// Appends the value to a row.
    pub(crate) fn encode(self, row: &mut Vec<u8>) {
        let tag = match self.tag {
            Tag::Text => Tag::LongText,
            Tag::Json => Tag::LongJson,
            _ => Tag::LongBytes,
        };
        row.push(tag as u8);
        row.extend_from_slice(&self.length.to_le_bytes());
        row.extend_from_slice(self.hash.finish().as_ref());
    }
}
