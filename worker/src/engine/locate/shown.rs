//! Renders the two values of a difference for a report: short ones whole, long ones as a
//! window around the first difference, with length and hash. What is rendered does not
//! grow with the values.

use std::borrow::Cow;

use aws_lc_rs::hmac;
use serde_json::Value as Json;

use crate::engine::values::value::{Content, to_json};

/// Bytes of the hash that are rendered: enough to distinguish the values of a report.
pub(crate) const HASH_BYTES: usize = 8;

/// How much of a value is rendered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    /// The longest text, in bytes, that is rendered whole.
    whole: usize,
    /// Bytes rendered before the first difference.
    before: usize,
    /// Bytes rendered from the first difference on.
    after: usize,
}

/// What is rendered of a value.
pub(crate) const USUAL: Extent = Extent {
    whole: 600,
    before: 60,
    after: 240,
};

/// What is rendered of the values of a row that has very many.
pub(crate) const LITTLE: Extent = Extent {
    whole: 64,
    before: 0,
    after: 16,
};

/// The values of both sides as JSON, null where a side has none. A text of more than 600
/// bytes, bytes that have more than 600 digits, and a value that is compared with such a
/// one, are cut to a window around the first difference, with `…` where something is
/// omitted, the position of the window, the length of the value in characters or bytes,
/// and its hash under `key`: `…abc… (characters 941 to 1240 of 10485760, hash
/// 0123456789abcdef)`. The hashes of equal values are equal, and those of others are not.
pub(crate) fn shown(
    (source, target): (Option<&[u8]>, Option<&[u8]>),
    key: &hmac::Key,
    extent: Extent,
) -> (Json, Json) {
    let (left, right) = (source.map(Rendered::of), target.map(Rendered::of));
    let digits = |side: &Option<Rendered<'_>>| side.as_ref().map_or(0, Rendered::digits);
    let is_whole = digits(&left).max(digits(&right)) <= extent.whole;
    let first = match (&left, &right) {
        _ if is_whole => 0,
        (Some(left), Some(right)) => left.first_difference(right),
        // There is no value to compare with: a long one is rendered from its beginning.
        _ => 0,
    };
    let json = |value: Option<&[u8]>, side: Option<Rendered<'_>>| match (value, side) {
        (Some(_), Some(side)) if is_whole => side.whole(),
        (Some(value), Some(side)) => side.window(first, extent, || hash(key, value)),
        _ => Json::Null,
    };
    (json(source, left), json(target, right))
}

fn hash(key: &hmac::Key, value: &[u8]) -> String {
    hex::encode(&hmac::sign(key, value).as_ref()[..HASH_BYTES])
}

/// A value before it is cut.
enum Rendered<'a> {
    Text(Cow<'a, str>),
    Bytes(&'a [u8]),
    /// Short, and not cut.
    Other(Json),
}

impl<'a> Rendered<'a> {
    fn of(value: &'a [u8]) -> Self {
        match Content::of(value) {
            Some(Content::Text(text)) => Self::Text(Cow::Borrowed(text)),
            Some(Content::Bytes(bytes)) => Self::Bytes(bytes),
            None => match to_json(value) {
                Json::String(text) => Self::Text(Cow::Owned(text)),
                other => Self::Other(other),
            },
        }
    }

    /// The length of the text that would render all of it, without `0x`.
    fn digits(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Bytes(bytes) => 2 * bytes.len(),
            Self::Other(_) => 0,
        }
    }

    fn whole(self) -> Json {
        match self {
            Self::Text(text) => Json::String(text.into_owned()),
            Self::Bytes(bytes) => Json::String(format!("0x{}", hex::encode(bytes))),
            Self::Other(json) => json,
        }
    }

    /// The first byte in which two values of one kind differ.
    fn first_difference(&self, other: &Self) -> usize {
        match (self, other) {
            // Both are equal up to there, so a boundary in one is a boundary in the other.
            (Self::Text(left), Self::Text(right)) => {
                floor(left, common_prefix(left.as_bytes(), right.as_bytes()))
            }
            (Self::Bytes(left), Self::Bytes(right)) => common_prefix(left, right),
            _ => 0,
        }
    }

    fn window(self, first: usize, extent: Extent, hash: impl FnOnce() -> String) -> Json {
        let (before, after) = (extent.before, extent.after);
        match self {
            Self::Text(text) => {
                let start = floor(&text, first.saturating_sub(before));
                let end = floor(&text, first + after);
                if (start, end) == (0, text.len()) {
                    return Json::String(text.into_owned());
                }
                let characters = |part: &str| part.chars().count();
                let (omitted, part) = (characters(&text[..start]), characters(&text[start..end]));
                let window = Window {
                    unit: "characters",
                    from: omitted,
                    to: omitted + part,
                    of: omitted + part + characters(&text[end..]),
                };
                window.render("", &text[start..end], &hash())
            }
            Self::Bytes(bytes) => {
                let start = first.saturating_sub(before / 2).min(bytes.len());
                let end = (first + after / 2).min(bytes.len());
                if (start, end) == (0, bytes.len()) {
                    return Self::Bytes(bytes).whole();
                }
                let window = Window {
                    unit: "bytes",
                    from: start,
                    to: end,
                    of: bytes.len(),
                };
                window.render("0x", &hex::encode(&bytes[start..end]), &hash())
            }
            Self::Other(json) => json,
        }
    }
}

/// How many bytes both begin with.
fn common_prefix(left: &[u8], right: &[u8]) -> usize {
    const BLOCK: usize = 4096;
    let blocks = left.chunks(BLOCK).zip(right.chunks(BLOCK));
    let equal = BLOCK * blocks.take_while(|(a, b)| a == b).count();
    let equal = equal.min(left.len());
    let rest = left[equal..].iter().zip(&right[equal..]);
    equal + rest.take_while(|(a, b)| a == b).count()
}

/// The boundary of a character at `at` or before.
fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// The place of a window in a value.
struct Window {
    unit: &'static str,
    /// What is omitted before it.
    from: usize,
    to: usize,
    of: usize,
}

impl Window {
    fn render(&self, prefix: &str, part: &str, hash: &str) -> Json {
        let Self { unit, from, to, of } = self;
        let open = if *from > 0 { "…" } else { "" };
        let close = if to < of { "…" } else { "" };
        Json::String(format!(
            "{prefix}{open}{part}{close} ({unit} {} to {to} of {of}, hash {hash})",
            from + 1
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::values::canonical::RowEncoder;
    use proptest::prelude::*;

    fn encoded(write: impl FnOnce(&mut RowEncoder)) -> Vec<u8> {
        let mut encoder = RowEncoder::default();
        encoder.start_row();
        write(&mut encoder);
        encoder.row().to_vec()
    }

    fn text(text: &str) -> Vec<u8> {
        encoded(|to| to.text(text.as_bytes()))
    }

    fn bytes(bytes: &[u8]) -> Vec<u8> {
        encoded(|to| to.bytes(bytes))
    }

    fn pair(source: Option<&[u8]>, target: Option<&[u8]>) -> (Json, Json) {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"key");
        shown((source, target), &key, USUAL)
    }

    /// A rendered value without its hash, which has 16 digits.
    fn without_hash(value: &Json) -> String {
        let (before, hash) = value.as_str().unwrap().rsplit_once(", hash ").unwrap();
        assert_eq!(hash.len(), 17, "{hash}");
        format!("{before})")
    }

    #[test]
    fn short_values_are_whole_and_nothing_is_null() {
        assert_eq!(
            pair(Some(&text("a")), None),
            (Json::String("a".to_owned()), Json::Null)
        );
        assert_eq!(pair(Some(&bytes(b"\x01\xAB")), None).0, "0x01ab");
        assert_eq!(pair(Some(&encoded(|to| to.int(7))), None).0, 7);
    }

    #[test]
    fn long_texts_are_cut_around_the_first_difference() {
        let (a, b) = ("é".repeat(5_000), format!("{}x", "é".repeat(4_999)));
        let (source, target) = pair(Some(&text(&a)), Some(&text(&b)));
        assert_eq!(
            without_hash(&source),
            format!("…{} (characters 4970 to 5000 of 5000)", "é".repeat(31))
        );
        assert_eq!(
            without_hash(&target),
            format!("…{}x (characters 4970 to 5000 of 5000)", "é".repeat(30))
        );
        let (source, target) = pair(Some(&text(&a)), Some(&text("éé")));
        let source = without_hash(&source);
        assert!(
            source.starts_with("éé") && source.ends_with("… (characters 1 to 122 of 5000)"),
            "{source}"
        );
        assert_eq!(target, "éé");
        // Both windows begin at the same character.
        let (source, target) = pair(Some(&text(&a)), Some(&text(&a[..200])));
        for side in [source, target] {
            let side = side.as_str().unwrap().to_owned();
            assert!(side.contains("(characters 71 to "), "{side}");
        }
        let (source, target) = pair(None, Some(&text(&a)));
        assert_eq!(source, Json::Null);
        assert!(target.as_str().unwrap().len() < 1_000);
    }

    #[test]
    fn long_bytes_are_cut_around_the_first_difference() {
        let (mut a, b) = (vec![0; 1000], vec![0; 1001]);
        a[500] = 1;
        let (source, target) = pair(Some(&bytes(&a)), Some(&bytes(&b)));
        let zeros = "00".repeat(30);
        assert_eq!(
            without_hash(&source),
            format!(
                "0x…{zeros}01{}… (bytes 471 to 620 of 1000)",
                "00".repeat(119)
            )
        );
        assert!(without_hash(&target).ends_with("… (bytes 471 to 620 of 1001)"));
    }

    #[test]
    fn two_long_values_look_equal_only_if_they_are() {
        // The differences of a key with many rows have no value to be compared with.
        let one = |value: &[u8]| pair(Some(value), None).0;
        let (a, b) = ("a".repeat(10_000) + "b", "a".repeat(10_000) + "c");
        assert_ne!(one(&text(&a)), one(&text(&b)));
        assert_eq!(one(&text(&a)), one(&text(&a)));
        let mut long = RowEncoder::keeping(100);
        long.text(a.as_bytes());
        let shown = one(long.row());
        assert!(
            shown
                .as_str()
                .unwrap()
                .starts_with("(10001 characters, SHA-256 "),
            "{shown}"
        );
    }

    proptest! {
        #[test]
        fn what_is_rendered_does_not_grow(
            common in 0_usize..5_000,
            left in "\\PC{0,700}",
            right in "\\PC{0,700}",
        ) {
            let common = "x".repeat(common);
            let (left, right) = (common.clone() + &left, common + &right);
            for (a, b) in [
                (text(&left), text(&right)),
                (bytes(left.as_bytes()), bytes(right.as_bytes())),
                (text(&left), bytes(right.as_bytes())),
            ] {
                let (source, target) = pair(Some(&a), Some(&b));
                for side in [source, target] {
                    prop_assert!(side.as_str().unwrap().len() <= 700);
                }
            }
        }
    }
}
