//! How a table is compared, beyond which columns: rules of columns, filters,
//! soft deletes, rechecks, limits, discretion.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Everything about a comparison that has a usual answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TableOptions {
    /// Rules of single columns, by source name (by target name for a column that only the target has).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub rules: BTreeMap<String, ColumnRule>,
    /// Which rows take part.
    #[serde(rename = "where")]
    pub filters: Filters,
    /// What marks a row as deleted though it is there.
    pub soft_delete: Option<SoftDelete>,
    /// Whether and when differing rows are looked at again.
    pub recheck: Recheck,
    /// Whether statements that would repair the target are made.
    pub repair: bool,
    /// Which values leave the worker as hashes only.
    pub redaction: Option<Redaction>,
    /// What one comparison may take.
    pub limits: EngineLimits,
    /// Read SQL Server under READ UNCOMMITTED: no locks, and no consistency.
    pub read_uncommitted: bool,
}

/// How one column is compared.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ColumnRule {
    /// The column takes no part.
    pub ignore: bool,
    /// Times are compared with this many digits of a second, 0 to 7, and no more.
    pub precision: Option<u8>,
    /// What happens to further digits; absent: they are cut, and `datetime` is rounded.
    pub rounding: Option<Rounding>,
    /// What the side that holds numbers or text means by them.
    #[serde(rename = "as")]
    pub encoding: Option<Encoding>,
    /// With `as = "decimal-bytes"`: digits after the point.
    pub scale: Option<u8>,
    /// Blanks that mean nothing.
    pub trim: Option<Trim>,
    /// Letters are the same in upper and lower case.
    pub case_insensitive: bool,
    /// Text is brought to this normalisation form first.
    pub unicode: Option<Normalization>,
    /// How far numbers and times may be apart.
    pub tolerance: Option<Tolerance>,
    /// Both sides are converted to text by their databases: for types without a rule.
    pub as_text: bool,
    /// Its values never leave the worker.
    pub redact: bool,
}

/// What happens to digits that are not compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rounding {
    /// They are dropped.
    Truncate,
    /// Half a step and more goes to the later one.
    HalfUp,
    /// Half a step goes to the even one: what PostgreSQL does with a seventh digit.
    HalfEven,
}

/// What numbers, text or bytes stand for: the encodings that Debezium writes, and JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// Days since 1970-01-01 in an integer, for a date.
    EpochDays,
    /// Seconds since 1970-01-01 UTC in an integer, for a timestamp or instant.
    EpochSeconds,
    /// Milliseconds since 1970-01-01 UTC in an integer, for a timestamp, instant or date.
    EpochMillis,
    /// Microseconds, as above.
    EpochMicros,
    /// Nanoseconds, as above.
    EpochNanos,
    /// Milliseconds since midnight in an integer, for a time of day.
    MidnightMillis,
    /// Microseconds since midnight.
    MidnightMicros,
    /// Nanoseconds since midnight.
    MidnightNanos,
    /// ISO 8601 text, for a date, time, timestamp or instant.
    #[serde(rename = "iso-8601")]
    Iso8601,
    /// A decimal written as text.
    DecimalText,
    /// A decimal's unscaled value as big-endian two's complement; needs `scale`.
    DecimalBytes,
    /// Bytes as Base64 text.
    Base64,
    /// Bytes as hexadecimal text.
    Hex,
    /// Text holds JSON and is compared as such.
    Json,
    /// A timestamp without a zone is UTC, for comparison with an instant.
    Utc,
}

/// Which blanks mean nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trim {
    /// Those at the end.
    End,
    /// Those at the beginning.
    Start,
    /// Both.
    Both,
}

/// A Unicode normalisation form (UAX #15).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Normalization {
    /// Canonical composition.
    Nfc,
    /// Canonical decomposition.
    Nfd,
    /// Compatibility composition.
    Nfkc,
    /// Compatibility decomposition.
    Nfkd,
}

/// How far two values may be apart and still count as equal. NULL is near nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tolerance {
    /// At most this far, a decimal such as `0.005`; for times in seconds.
    Absolute(String),
    /// At most this fraction of the larger magnitude, 0 to 1.
    Relative(f64),
}

/// Conditions that rows must meet to take part, each in its database's SQL.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filters {
    /// On the source.
    pub source: Option<String>,
    /// On the target.
    pub target: Option<String>,
}

/// Rows of the target that count as absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SoftDelete {
    /// The target's column that says so.
    pub column: String,
    /// The value that says so, as text. Absent: true, 1, `true`, or for a time any value but NULL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// Whether differing rows are looked at again, because copies lag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recheck {
    /// How often at most; 0: never.
    pub times: u32,
    /// Milliseconds before the first time; it doubles.
    pub delay_ms: u64,
}

impl Recheck {
    /// How long to wait before look `number`, from 0.
    #[must_use]
    pub fn delay(&self, number: u32) -> Duration {
        Duration::from_millis(self.delay_ms).saturating_mul(1 << number.min(20))
    }
}

impl Default for Recheck {
    fn default() -> Self {
        Self {
            times: 0,
            delay_ms: 5000,
        }
    }
}

/// Values that do not leave the worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redaction {
    /// What leaves instead are hashes under this key.
    pub key: RedactionKey,
    /// Those of all columns and keys; else those of columns whose rule says so.
    pub all: bool,
}

/// The key of a run under which redacted values are hashed: equal values of
/// one run have equal hashes, and those of two runs cannot be linked.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RedactionKey(String);

impl RedactionKey {
    /// A new one, from the system's random numbers.
    ///
    /// # Panics
    ///
    /// When the system has none.
    #[must_use]
    pub fn generate() -> Self {
        let mut bytes = [0_u8; 32];
        aws_lc_rs::rand::fill(&mut bytes).expect("the system gives random numbers");
        Self(hex::encode(bytes))
    }

    /// The key's bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl std::fmt::Debug for RedactionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RedactionKey(…)")
    }
}

/// What one comparison may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineLimits {
    /// Bytes of memory for sketches, spill buffers and rows that are looked at.
    pub memory_bytes: u64,
    /// Bytes on disk for the exact comparison, both sides together.
    pub spill_bytes: u64,
}

impl Default for EngineLimits {
    fn default() -> Self {
        Self {
            memory_bytes: 64 << 20,
            spill_bytes: 16 << 30,
        }
    }
}
