//! How a table is compared: rules of columns, filters, soft deletes, rechecks, redaction, limits.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::ValueEnum;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::hash_key::HashKey;
use crate::naming::Naming;
use crate::pattern::NamePattern;

/// The options of a comparison that have defaults.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TableOptions {
    /// Rules of columns by source name; by target name for a column that only the target has.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub rules: BTreeMap<String, ColumnRule>,
    /// Rules of columns that have none of their own, by conditions. Of several that a column meets
    /// the most specific one counts, and of equally specific ones the first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub general_rules: Vec<GeneralRule>,
    /// Which rows are compared.
    #[serde(rename = "where")]
    pub filters: Filters,
    /// Which rows of the target are marked as deleted.
    pub soft_delete: Option<SoftDelete>,
    /// Whether and when differing rows are read again.
    pub recheck: Recheck,
    /// Whether the worker creates statements that repair the target.
    pub repair: bool,
    /// Whether it also creates statements for a table without a key.
    pub repair_keyless: bool,
    /// Which values the worker replaces by hashes.
    pub redaction: Option<Redaction>,
    /// The run's key under which rows are hashed. `None`: the worker draws one for the table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash_key: Option<HashKey>,
    /// How much memory and disk one comparison may use.
    pub limits: EngineLimits,
    /// Reads SQL Server under READ UNCOMMITTED: without locks, and without consistency.
    pub read_uncommitted: bool,
    /// How far names of tables and columns may differ and still be paired.
    pub naming: Naming,
    /// What source columns without a partner in the target mean.
    pub missing_columns: MissingColumns,
    /// Compares a table with itself instead of failing.
    pub allow_same: bool,
}

/// A rule for all columns that meet its conditions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GeneralRule {
    /// The columns' names in the source, or in the target for columns that only the target has;
    /// `None`: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<NamePattern>,
    /// The type that the source declares, with or without its length; `None`: any.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub declared: Option<String>,
    /// How the columns are compared.
    pub rule: ColumnRule,
}

/// What a source column without a partner in the target means.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum MissingColumns {
    /// The structure differs, so the table does.
    #[default]
    Difference,
    /// It is noted.
    Note,
}

/// How one column is compared.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ColumnRule {
    /// The column is not compared.
    pub ignore: bool,
    /// How many fractional digits of a second are compared, 0 to 7.
    pub precision: Option<u8>,
    /// What happens to further digits. `None`: they are truncated, and those of `datetime` rounded.
    pub rounding: Option<Rounding>,
    /// What the numbers, texts or bytes of one side encode.
    #[serde(rename = "as")]
    pub encoding: Option<Encoding>,
    /// With `as = "decimal-bytes"`: the number of digits after the decimal point.
    pub scale: Option<u8>,
    /// With `as = "boolean-text"`: the words that mean true; empty: the usual ones.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub true_words: Vec<String>,
    /// With `as = "boolean-text"`: the words that mean false; empty: the usual ones.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub false_words: Vec<String>,
    /// The time zone of local times without a zone, by its name in the IANA database,
    /// for the comparison with instants.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Which blanks are ignored.
    pub trim: Option<Trim>,
    /// Upper and lower case are equal.
    pub case_insensitive: bool,
    /// The form to which text is normalised first.
    pub unicode: Option<Normalization>,
    /// How far apart numbers and times may be.
    pub tolerance: Option<Tolerance>,
    /// Both databases convert the values to text. For types that cannot be compared otherwise.
    pub as_text: bool,
    /// The worker replaces its values by hashes.
    pub redact: bool,
}

/// What happens to fractional digits that are not compared.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    ValueEnum,
    JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Rounding {
    /// They are truncated.
    Truncate,
    /// Half a unit and more is rounded up.
    HalfUp,
    /// Half a unit is rounded to the even neighbour, as PostgreSQL does with a seventh digit.
    HalfEven,
}

/// What numbers, texts or bytes encode: the encodings of Debezium, JSON, XML, booleans
/// in words, and times as SQL Server writes them.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    ValueEnum,
    JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// Days since 1970-01-01 in an integer, for a date.
    EpochDays,
    /// Seconds since 1970-01-01 UTC in an integer, for a timestamp or instant.
    EpochSeconds,
    /// Milliseconds since 1970-01-01 UTC in an integer, for a timestamp, instant or date.
    EpochMillis,
    /// Microseconds since 1970-01-01 UTC.
    EpochMicros,
    /// Nanoseconds since 1970-01-01 UTC.
    EpochNanos,
    /// Milliseconds since midnight in an integer, for a time of day.
    MidnightMillis,
    /// Microseconds since midnight.
    MidnightMicros,
    /// Nanoseconds since midnight.
    MidnightNanos,
    /// ISO 8601 text, for a date, time, timestamp or instant.
    #[serde(rename = "iso-8601")]
    #[value(name = "iso-8601")]
    Iso8601,
    /// A date, time, timestamp or instant as SQL Server's `CONVERT` writes it.
    SqlServerText,
    /// A decimal as text.
    DecimalText,
    /// A decimal's unscaled value as big-endian two's complement, in bytes or as Base64
    /// text; needs `scale`.
    DecimalBytes,
    /// Bytes as Base64 text.
    Base64,
    /// Bytes as hexadecimal text.
    Hex,
    /// Text is JSON and is compared as JSON.
    Json,
    /// Text is XML and is compared in its canonical form.
    Xml,
    /// A boolean as a word, such as `Y` and `N`.
    BooleanText,
    /// A timestamp without a time zone is in UTC, for the comparison with an instant.
    Utc,
}

/// Which blanks are ignored.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    ValueEnum,
    JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Trim {
    /// At the end.
    End,
    /// At the start.
    Start,
    /// At both ends.
    Both,
}

/// A Unicode normalisation form (UAX #15).
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    ValueEnum,
    JsonSchema,
)]
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

/// How far apart two values may be to count as equal. NULL is equal only to NULL.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Tolerance {
    /// At most this difference, a decimal such as `0.005`; in seconds for times.
    Absolute(String),
    /// At most this fraction of the larger magnitude, from 0 to 1.
    Relative(f64),
}

/// The conditions of the rows that are compared, each in the SQL of its database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filters {
    /// On the source.
    pub source: Option<String>,
    /// On the target.
    pub target: Option<String>,
}

/// Which rows of the target count as absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SoftDelete {
    /// The target's column that marks them.
    pub column: String,
    /// The value that marks them, as text. `None`: true, 1, `true`, or any time that is not NULL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// Whether and when differing rows are read again, because replication lags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recheck {
    /// The most rechecks; 0: none.
    pub times: u32,
    /// Milliseconds before the first recheck. The delay doubles for every further one.
    pub delay_ms: u64,
}

impl Recheck {
    /// The delay before recheck `number`, counted from 0.
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

/// Which values the worker replaces by hashes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redaction {
    /// The key of the hashes.
    pub key: RedactionKey,
    /// The values of all columns and keys; otherwise those of columns with `redact` in their rule.
    pub all: bool,
}

/// The key of a run with which redacted values are hashed. Equal values have equal hashes in one
/// run, and unrelated hashes in two runs.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RedactionKey(String);

impl RedactionKey {
    /// A new random key.
    ///
    /// # Panics
    ///
    /// When the operating system has no random numbers.
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

/// How much memory and disk one comparison may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineLimits {
    /// Bytes of memory for sketches, spill buffers and differing rows.
    pub memory_bytes: u64,
    /// Bytes on disk for the exact comparison, of both sides together.
    pub spill_bytes: u64,
    /// The most bytes of one value that are kept in memory.
    #[serde(default = "default_value_bytes")]
    pub value_bytes: u64,
}

impl EngineLimits {
    /// The smallest value that [`value_bytes`](Self::value_bytes) may have: 64 KiB.
    pub const SMALLEST_VALUE_BYTES: u64 = 64 << 10;
}

/// Also what a coordinator means that does not name the limit.
const fn default_value_bytes() -> u64 {
    16 << 20
}

impl Default for EngineLimits {
    fn default() -> Self {
        Self {
            memory_bytes: 64 << 20,
            spill_bytes: 16 << 30,
            value_bytes: default_value_bytes(),
        }
    }
}
