//! Redaction: the values of redacted columns never leave the worker; keyed hashes
//! replace them.

use aws_lc_rs::hmac;
use serde_json::Value as Json;
use shared::hash_key::HashKey;
use shared::options::{RedactionKey, TableOptions};

use crate::engine::locate::shown::{Extent, HASH_BYTES, USUAL, shown};
use crate::engine::plan::PlannedColumn;
use crate::engine::values::canonical::{LongValue, Tag};
use crate::engine::values::value::{Content, Value, try_decode};

/// Renders values, redacted ones as hashes.
///
/// A redacted value is the text `redacted:hash=0123456789abcdef,length=12`,
/// with `,first_difference=5` where the other side has a text or bytes too.
/// The hash is an HMAC-SHA256 under the run's key over the canonical value:
/// equal values of a run have equal hashes, in whatever column they are. Length
/// and position are given for texts, in characters, and for bytes; the first
/// position is 1. NULL remains null.
pub(crate) struct Redactor {
    key: Option<hmac::Key>,
    /// The key of the hashes of long values that are not redacted.
    long: hmac::Key,
    /// By position of the column.
    hidden: Vec<bool>,
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redactor")
            .field("hidden", &self.hidden)
            .finish_non_exhaustive()
    }
}

impl Redactor {
    /// Redacts the columns that `options` and the rules of `columns` name.
    pub(crate) fn new(options: &TableOptions, columns: &[PlannedColumn]) -> Self {
        let all = options.redaction.as_ref().is_some_and(|it| it.all);
        let hidden: Vec<bool> = columns
            .iter()
            .map(|column| all || column.rule.redact)
            .collect();
        let key = hidden.contains(&true).then(|| {
            let key = options.redaction.as_ref().map(|it| it.key.clone());
            // Without a key of the run, hashes can be compared within the table only.
            let key = key.unwrap_or_else(RedactionKey::generate);
            hmac::Key::new(hmac::HMAC_SHA256, key.bytes())
        });
        // Without a key of the run, hashes can be compared within the table only.
        let of_run = options.hash_key.clone().unwrap_or_else(HashKey::generate);
        let long = hmac::Key::new(hmac::HMAC_SHA256, &of_run.derive("long values"));
        Self { key, long, hidden }
    }

    /// The key of the hashes, if the column at `at` is redacted.
    fn key_of(&self, at: usize) -> Option<&hmac::Key> {
        self.key
            .as_ref()
            .filter(|_| self.hidden.get(at).is_some_and(|hidden| *hidden))
    }

    /// Whether values are redacted, by position of the column.
    pub(crate) fn hidden(&self) -> &[bool] {
        &self.hidden
    }

    /// A value of the key column at `at`, as a report renders it.
    pub(crate) fn key_value(&self, at: usize, value: &[u8]) -> Json {
        match self.key_of(at) {
            Some(key) => redacted(key, value, None),
            None => shown((Some(value), None), &self.long, USUAL).0,
        }
    }

    /// The values of both sides in the column at `at`, as a report renders them;
    /// null where a side has none.
    pub(crate) fn pair(
        &self,
        at: usize,
        source: Option<&[u8]>,
        target: Option<&[u8]>,
    ) -> (Json, Json) {
        self.pair_within(USUAL, at, source, target)
    }

    /// The same, with as much of each value as `extent` says.
    pub(crate) fn pair_within(
        &self,
        extent: Extent,
        at: usize,
        source: Option<&[u8]>,
        target: Option<&[u8]>,
    ) -> (Json, Json) {
        let Some(key) = self.key_of(at) else {
            return shown((source, target), &self.long, extent);
        };
        let place = source
            .zip(target)
            .and_then(|(left, right)| first_difference(left, right));
        let one = |value: Option<&[u8]>| value.map_or(Json::Null, |it| redacted(key, it, place));
        (one(source), one(target))
    }
}

fn redacted(key: &hmac::Key, value: &[u8], first_difference: Option<usize>) -> Json {
    let length = match Content::of(value) {
        Some(Content::Text(text)) if value[0] == Tag::Text as u8 => Some(text.chars().count()),
        Some(Content::Text(_)) => None,
        Some(Content::Bytes(bytes)) => Some(bytes.len()),
        None => match try_decode(value) {
            Some(Value::Null) => return Json::Null,
            Some(Value::UnpairedSurrogates(bytes)) => Some(bytes.len()),
            Some(Value::Long(LongValue { tag, length, .. })) if tag != Tag::Json => {
                usize::try_from(length).ok()
            }
            _ => None,
        },
    };
    let hash = hmac::sign(key, value);
    let mut text = format!(
        "redacted:hash={}",
        hex::encode(&hash.as_ref()[..HASH_BYTES])
    );
    for (name, number) in [("length", length), ("first_difference", first_difference)] {
        if let Some(number) = number {
            text += &format!(",{name}={number}");
        }
    }
    Json::from(text)
}

/// The position, from 1, at which two texts or the bytes of two values begin to differ.
fn first_difference(left: &[u8], right: &[u8]) -> Option<usize> {
    let equal_bytes = |a: &[u8], b: &[u8]| a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let equal = match (Content::of(left), Content::of(right)) {
        (Some(Content::Text(a)), Some(Content::Text(b))) if left[0] == right[0] => {
            let (a, b) = (a.chars(), b.chars());
            a.zip(b).take_while(|(a, b)| a == b).count()
        }
        (Some(Content::Bytes(a)), Some(Content::Bytes(b))) => equal_bytes(a, b),
        (None, None) => match (try_decode(left)?, try_decode(right)?) {
            (Value::UnpairedSurrogates(a), Value::UnpairedSurrogates(b)) => equal_bytes(&a, &b),
            _ => return None,
        },
        _ => return None,
    };
    Some(equal + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::values::canonical::RowEncoder;
    use crate::engine::values::column::Column;
    use crate::engine::values::column::ColumnType;
    use crate::engine::values::kind::Kind;
    use shared::options::{ColumnRule, Redaction};

    fn column(redact: bool) -> PlannedColumn {
        let column = Column::new("c", ColumnType::Text { padded: false }, "text");
        PlannedColumn {
            source: column.clone(),
            target: column,
            kind: Kind::Text,
            conversions: crate::engine::values::pair::Pair::default(),
            rule: ColumnRule {
                redact,
                ..ColumnRule::default()
            },
        }
    }

    fn options(all: bool) -> TableOptions {
        TableOptions {
            redaction: Some(Redaction {
                key: RedactionKey::generate(),
                all,
            }),
            ..TableOptions::default()
        }
    }

    fn encoded(write: impl FnOnce(&mut RowEncoder)) -> Vec<u8> {
        let mut encoder = RowEncoder::default();
        write(&mut encoder);
        encoder.row().to_vec()
    }

    fn text(value: &str) -> Vec<u8> {
        encoded(|to| to.text(value.as_bytes()))
    }

    /// Hash and the rest of a redacted value.
    fn parts(value: &Json) -> (String, String) {
        let text = value.as_str().unwrap();
        let text = text.strip_prefix("redacted:hash=").unwrap();
        let (hash, rest) = text.split_at(16);
        assert!(hash.bytes().all(|byte| byte.is_ascii_hexdigit()), "{text}");
        (hash.to_owned(), rest.to_owned())
    }

    #[test]
    fn equal_values_hash_alike_within_a_run_only() {
        let columns = [column(false), column(false)];
        let redactor = Redactor::new(&options(true), &columns);
        let (source, target) = redactor.pair(0, Some(&text("Größe")), Some(&text("Grösse")));
        let ((a, rest_a), (b, rest_b)) = (parts(&source), parts(&target));
        assert_ne!(a, b);
        assert_eq!(rest_a, ",length=5,first_difference=4");
        assert_eq!(rest_b, ",length=6,first_difference=4");
        assert_eq!(
            parts(&redactor.key_value(1, &text("Größe"))),
            (a.clone(), ",length=5".to_owned())
        );
        let other = Redactor::new(&options(true), &columns);
        assert_ne!(parts(&other.key_value(0, &text("Größe"))).0, a);
    }

    #[test]
    fn only_what_is_asked_for_is_hidden() {
        let redactor = Redactor::new(&options(false), &[column(true), column(false)]);
        let number = encoded(|to| to.int(42));
        assert_eq!(
            parts(&redactor.key_value(0, &number)).1,
            "",
            "a number has no length"
        );
        assert_eq!(redactor.key_value(1, &number), Json::from(42));
        let null = encoded(RowEncoder::null);
        let (source, target) = redactor.pair(0, Some(&null), None);
        assert_eq!((source, target), (Json::Null, Json::Null));
        let (source, target) = redactor.pair(1, Some(&text("a")), Some(&null));
        assert_eq!((source, target), (Json::from("a"), Json::Null));
    }

    #[test]
    fn a_rule_hides_also_without_a_key_of_the_run() {
        let redactor = Redactor::new(&TableOptions::default(), &[column(true)]);
        parts(&redactor.key_value(0, &text("secret")));
    }
}
