//! Which types can be compared with each other, in which form and after which
//! conversion. For every pair there is a rule that cannot be wrong, or an error
//! that says which option helps.

#[cfg(test)]
mod tests;

use shared::options::{ColumnRule, Encoding, Rounding, Tolerance};

use crate::engine::values::column::{Column, ColumnType};
use crate::engine::values::conversion::Conversion;
use crate::engine::values::folding::Folding;
use crate::engine::values::kind::{Kind, Resolution};
use crate::engine::values::tolerance::parse_tolerance;

/// How a pair of columns is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pairing {
    /// The form that both are brought into.
    pub kind: Kind,
    /// What is done to the source's values first.
    pub source: Option<Conversion>,
    /// What is done to the target's values first.
    pub target: Option<Conversion>,
}

/// A pair of columns cannot be compared, or not as its rule says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Incomparable {
    /// There is no rule for the two types.
    #[error(
        "column `{column}` cannot be compared: {source_type} on the source and {target_type} on the target have no common form; {}leave it out (columns.exclude = [\"{column}\"]), or convert it in a view and compare the view",
        .advice.iter().map(|advice| format!("{advice}; or ")).collect::<String>()
    )]
    NoForm {
        /// The column on the source.
        column: String,
        /// Its type there.
        source_type: String,
        /// Its type on the target.
        target_type: String,
        /// Options that would give one, as they are written, and when.
        advice: Vec<String>,
    },
    /// An option that makes no sense for the two types.
    #[error(
        "column `{column}`: {option} does not fit {source_type} on the source and {target_type} on the target: {reason}"
    )]
    Unfit {
        /// The column on the source.
        column: String,
        /// The option, as it is written.
        option: String,
        /// The column's type on the source.
        source_type: String,
        /// Its type on the target.
        target_type: String,
        /// What the option is for, and which ones fit.
        reason: String,
    },
}

/// The encodings, as they are written.
pub(crate) const ENCODINGS: [(Encoding, &str); 15] = [
    (Encoding::EpochDays, "epoch-days"),
    (Encoding::EpochSeconds, "epoch-seconds"),
    (Encoding::EpochMillis, "epoch-millis"),
    (Encoding::EpochMicros, "epoch-micros"),
    (Encoding::EpochNanos, "epoch-nanos"),
    (Encoding::MidnightMillis, "midnight-millis"),
    (Encoding::MidnightMicros, "midnight-micros"),
    (Encoding::MidnightNanos, "midnight-nanos"),
    (Encoding::Iso8601, "iso-8601"),
    (Encoding::DecimalText, "decimal-text"),
    (Encoding::DecimalBytes, "decimal-bytes"),
    (Encoding::Base64, "base64"),
    (Encoding::Hex, "hex"),
    (Encoding::Json, "json"),
    (Encoding::Utc, "utc"),
];

/// An encoding as it is written.
#[must_use]
pub(crate) fn encoding_name(encoding: Encoding) -> &'static str {
    ENCODINGS
        .iter()
        .find(|(other, _)| *other == encoding)
        .map_or("", |(_, name)| name)
}

/// How a pair of columns is compared under `rule`. A column paired with itself
/// under the default rule has its own exact form.
///
/// # Errors
///
/// When their types have nothing in common, or an option of `rule` does not fit them.
pub(crate) fn pairing(
    source: &Column,
    target: &Column,
    rule: &ColumnRule,
) -> Result<Pairing, Incomparable> {
    let unfit = |option: &str, reason: String| Incomparable::Unfit {
        column: source.name.clone(),
        option: option.to_owned(),
        source_type: source.declared.clone(),
        target_type: target.declared.clone(),
        reason,
    };
    let mut pairing = if rule.as_text {
        if let Some(encoding) = rule.encoding {
            return Err(unfit(
                "as_text = true",
                format!(
                    "with as = \"{}\" the column is not compared as text; choose one of them",
                    encoding_name(encoding)
                ),
            ));
        }
        same(
            Kind::Text,
            Some(Conversion::DatabaseText(Folding::of(rule))),
        )
    } else if let Some(encoding) = rule.encoding {
        let scale = rule.scale.unwrap_or_default();
        encoded(encoding, scale, &source.kind, &target.kind).ok_or_else(|| {
            unfit(
                &format!("as = \"{}\"", encoding_name(encoding)),
                fitting(&source.kind, &target.kind),
            )
        })?
    } else {
        plain(&source.kind, &target.kind).ok_or_else(|| Incomparable::NoForm {
            column: source.name.clone(),
            source_type: source.declared.clone(),
            target_type: target.declared.clone(),
            advice: advice(&source.name, &source.kind, &target.kind),
        })?
    };

    match (rule.encoding, rule.scale) {
        (Some(Encoding::DecimalBytes), None) => {
            return Err(unfit(
                "as = \"decimal-bytes\"",
                "it needs the digits after the point: scale = N".to_owned(),
            ));
        }
        (Some(Encoding::DecimalBytes), Some(_)) | (_, None) => {}
        (_, Some(scale)) => {
            return Err(unfit(
                &format!("scale = {scale}"),
                "it says how many digits after the point as = \"decimal-bytes\" has, and nothing else; for numbers that may differ by a little use tolerance = { absolute = \"0.01\" }".to_owned(),
            ));
        }
    }
    pairing.kind =
        with_precision(pairing.kind, rule).map_err(|(option, reason)| unfit(&option, reason))?;
    pairing.kind = as_stored(pairing.kind, source, target);
    let folding = Folding::of(rule);
    if !folding.is_none() && !rule.as_text {
        if pairing.kind != Kind::Text || pairing.source.is_some() || pairing.target.is_some() {
            let option = match folding {
                Folding { trim: Some(_), .. } => "trim",
                Folding {
                    case_insensitive: true,
                    ..
                } => "case_insensitive",
                _ => "unicode",
            };
            return Err(unfit(
                option,
                "it is for columns that are compared as text; as_text = true compares any as text"
                    .to_owned(),
            ));
        }
        pairing = same(Kind::Text, Some(Conversion::Text(folding)));
    }
    if let Some(tolerance) = &rule.tolerance {
        fits_tolerance(pairing.kind, tolerance).map_err(|reason| unfit("tolerance", reason))?;
    }
    Ok(pairing)
}

fn same(kind: Kind, conversion: Option<Conversion>) -> Pairing {
    Pairing {
        kind,
        source: conversion,
        target: conversion,
    }
}

/// The rule for two types as they are.
fn plain(source: &ColumnType, target: &ColumnType) -> Option<Pairing> {
    use ColumnType::{
        Bool, Bytes, Date, DateTime, Decimal, Float32, Float64, Instant, Int, Json, Money, Text,
        Time, Timestamp, Uuid, Xml,
    };
    let numbers = |kind: &ColumnType| match kind {
        Bool | Float32 | Float64 => Some(Conversion::Number),
        _ => None,
    };
    let json = |kind: &ColumnType| match kind {
        Json | Text { .. } => Some(Conversion::Json),
        _ => None,
    };
    let days = |kind: &ColumnType| (*kind == Date).then_some(Conversion::StartOfDay);
    let kind = match (source, target) {
        (Bool, Bool | Int) | (Int, Bool) => Kind::Bool,
        (Int, Int) => Kind::Int,
        (Decimal | Money | Int, Decimal | Money) | (Decimal | Money, Int) => Kind::Decimal,
        // A float stands for one number and no other float does, so this is
        // exact: a whole number beyond 2^53 that a float has lost differs.
        (Bool, Decimal | Money)
        | (Decimal | Money, Bool)
        | (Float32 | Float64, Int | Decimal | Money)
        | (Int | Decimal | Money, Float32 | Float64) => Kind::Decimal,
        (Float64, Float64) => Kind::Float64,
        (Float32, Float32 | Float64) | (Float64, Float32) => Kind::Float32,
        (Text { .. } | Xml, Text { .. } | Xml) => Kind::Text,
        (Bytes, Bytes) => Kind::Bytes,
        (Date, Date) => Kind::Date,
        (Time(a), Time(b)) => Kind::Time(Resolution::coarser(*a, *b)),
        (Timestamp(a), Timestamp(b)) => Kind::Timestamp(Resolution::coarser(*a, *b)),
        (DateTime, Timestamp(digits)) | (Timestamp(digits), DateTime) => {
            Kind::Timestamp(Resolution::milliseconds(*digits))
        }
        // A day equals the timestamp of its beginning and no other. The
        // resolution is the timestamp's: a time of day is not cut away.
        (DateTime, DateTime | Date) | (Date, DateTime) => {
            Kind::Timestamp(Resolution::milliseconds(3))
        }
        (Date, Timestamp(digits)) | (Timestamp(digits), Date) => {
            Kind::Timestamp(Resolution::coarser(*digits, 7))
        }
        (Instant(a), Instant(b)) => Kind::Instant(Resolution::coarser(*a, *b)),
        (Uuid, Uuid | Text { .. }) | (Text { .. }, Uuid) => Kind::Uuid,
        (Json, Json | Text { .. }) | (Text { .. }, Json) => Kind::Json,
        _ => return None,
    };
    let convert = |side: &ColumnType| match kind {
        Kind::Decimal => numbers(side),
        Kind::Json => json(side),
        Kind::Timestamp(_) => days(side),
        _ => None,
    };
    Some(Pairing {
        kind,
        source: convert(source),
        target: convert(target),
    })
}

/// The rule for two types of which one holds `encoding`.
fn encoded(
    encoding: Encoding,
    scale: u8,
    source: &ColumnType,
    target: &ColumnType,
) -> Option<Pairing> {
    if let Some((kind, first, second)) = decoded(encoding, scale, source, target) {
        return Some(Pairing {
            kind,
            source: first,
            target: second,
        });
    }
    decoded(encoding, scale, target, source).map(|(kind, first, second)| Pairing {
        kind,
        source: second,
        target: first,
    })
}

/// The form, and the conversions of the side that holds `encoding` and of the
/// other one, if it can be so.
fn decoded(
    encoding: Encoding,
    scale: u8,
    holder: &ColumnType,
    other: &ColumnType,
) -> Option<(Kind, Option<Conversion>, Option<Conversion>)> {
    use ColumnType::{
        Bytes, Date, DateTime, Decimal, Float32, Float64, Instant, Int, Json, Money, Text, Time,
        Timestamp,
    };
    let counts = matches!(holder, Int | Decimal | Text { .. });
    let text = matches!(holder, Text { .. });
    let moment = |digits: u8| {
        Some(match other {
            Timestamp(other) => (Kind::Timestamp(Resolution::coarser(*other, digits)), None),
            DateTime => (Kind::Timestamp(Resolution::milliseconds(digits)), None),
            Instant(other) => (Kind::Instant(Resolution::coarser(*other, digits)), None),
            Date => (
                Kind::Timestamp(Resolution::coarser(7, digits)),
                Some(Conversion::StartOfDay),
            ),
            _ => return None,
        })
    };
    let epoch = |digits: u8| {
        let (kind, second) = moment(digits).filter(|_| counts)?;
        Some((kind, Some(Conversion::Epoch(digits)), second))
    };
    let midnight = |digits: u8| match other {
        Time(other) if counts => Some((
            Kind::Time(Resolution::coarser(*other, digits)),
            Some(Conversion::SinceMidnight(digits)),
            None,
        )),
        _ => None,
    };
    let of_text = |conversion: Conversion| text.then_some(Some(conversion));
    match encoding {
        Encoding::EpochDays => {
            (counts && *other == Date).then_some((Kind::Date, Some(Conversion::EpochDays), None))
        }
        Encoding::EpochSeconds => epoch(0),
        Encoding::EpochMillis => epoch(3),
        Encoding::EpochMicros => epoch(6),
        Encoding::EpochNanos => epoch(9),
        Encoding::MidnightMillis => midnight(3),
        Encoding::MidnightMicros => midnight(6),
        Encoding::MidnightNanos => midnight(9),
        Encoding::Iso8601 => {
            let kind = match other {
                Date => Kind::Date,
                Time(digits) => Kind::Time(Resolution::coarser(*digits, 7)),
                _ => moment(7)?.0,
            };
            Some((kind, of_text(Conversion::Iso8601)?, None))
        }
        Encoding::DecimalText => {
            let second = match other {
                Int | Decimal | Money => None,
                Float32 | Float64 => Some(Conversion::Number),
                Text { .. } => Some(Conversion::DecimalText),
                _ => return None,
            };
            Some((Kind::Decimal, of_text(Conversion::DecimalText)?, second))
        }
        Encoding::DecimalBytes => match (holder, other) {
            (Bytes, Int | Decimal | Money) => Some((
                Kind::Decimal,
                Some(Conversion::DecimalBytes { scale }),
                None,
            )),
            _ => None,
        },
        Encoding::Base64 | Encoding::Hex => {
            let conversion = if encoding == Encoding::Hex {
                Conversion::Hex
            } else {
                Conversion::Base64
            };
            let second = match other {
                Bytes => None,
                Text { .. } => Some(conversion),
                _ => return None,
            };
            Some((Kind::Bytes, of_text(conversion)?, second))
        }
        Encoding::Json => match (holder, other) {
            (Text { .. } | Json, Text { .. } | Json) => {
                Some((Kind::Json, Some(Conversion::Json), Some(Conversion::Json)))
            }
            _ => None,
        },
        Encoding::Utc => utc(holder, other),
    }
}

/// A time without a zone is UTC. It is read as an instant as it is; a date
/// begins at midnight.
fn utc(
    holder: &ColumnType,
    other: &ColumnType,
) -> Option<(Kind, Option<Conversion>, Option<Conversion>)> {
    use ColumnType::{Date, DateTime, Instant, Timestamp};
    let Instant(other) = other else {
        return None;
    };
    let resolution = match holder {
        Timestamp(digits) => Resolution::coarser(*digits, *other),
        DateTime => Resolution::milliseconds(*other),
        Date => Resolution::coarser(7, *other),
        _ => return None,
    };
    let conversion = (*holder == Date).then_some(Conversion::StartOfDay);
    Some((Kind::Instant(resolution), conversion, None))
}

/// `kind` at the precision and rounding of `rule`, or the option that does not
/// fit it and why.
fn with_precision(kind: Kind, rule: &ColumnRule) -> Result<Kind, (String, String)> {
    let change = |resolution: Resolution| {
        let digits = resolution.digits.min(rule.precision.unwrap_or(u8::MAX));
        let rounding: Rounding = rule.rounding.unwrap_or(resolution.rounding);
        Resolution {
            digits,
            rounding,
            ..resolution
        }
    };
    if let Some(precision) = rule.precision
        && precision > 7
    {
        return Err((
            format!("precision = {precision}"),
            "a second has at most 7 digits in these databases".to_owned(),
        ));
    }
    Ok(match kind {
        Kind::Time(resolution) => Kind::Time(change(resolution)),
        Kind::Timestamp(resolution) => Kind::Timestamp(change(resolution)),
        Kind::Instant(resolution) => Kind::Instant(change(resolution)),
        other => {
            let option = match (rule.precision, rule.rounding) {
                (Some(precision), _) => format!("precision = {precision}"),
                (None, Some(_)) => "rounding".to_owned(),
                (None, None) => return Ok(other),
            };
            return Err((
                option,
                "it is for the digits of a second of times; numbers that may differ by a little have tolerance = { absolute = \"0.01\" }"
                    .to_owned(),
            ));
        }
    })
}

/// `kind` with the rounding of PostgreSQL, where that keeps no more digits than
/// are compared: it has rounded when it stored them. A seventh digit it rounds
/// when it reads the text, as on the clock.
fn as_stored(kind: Kind, source: &Column, target: &Column) -> Kind {
    let stored = |resolution: Resolution| Resolution {
        from_2000: [source, target]
            .iter()
            .any(|column| column.postgres_digits() == Some(resolution.digits))
            && resolution.digits < 6,
        ..resolution
    };
    match kind {
        Kind::Timestamp(resolution) => Kind::Timestamp(stored(resolution)),
        Kind::Instant(resolution) => Kind::Instant(stored(resolution)),
        other => other,
    }
}

fn fits_tolerance(kind: Kind, tolerance: &Tolerance) -> Result<(), String> {
    let relative = matches!(tolerance, Tolerance::Relative(_));
    match kind {
        Kind::Int | Kind::Decimal | Kind::Float32 | Kind::Float64 => {}
        Kind::Date | Kind::Time(_) | Kind::Timestamp(_) | Kind::Instant(_) if !relative => {}
        Kind::Date | Kind::Time(_) | Kind::Timestamp(_) | Kind::Instant(_) => {
            return Err(
                "times have no magnitude; use tolerance = { absolute = \"SECONDS\" }".to_owned(),
            );
        }
        _ => return Err("only numbers and times can be near each other".to_owned()),
    }
    parse_tolerance(tolerance).map(drop)
}

/// The encodings under which two types can be compared.
#[must_use]
pub(crate) fn fitting_encodings(source: &ColumnType, target: &ColumnType) -> Vec<Encoding> {
    ENCODINGS
        .iter()
        .map(|(encoding, _)| *encoding)
        .filter(|encoding| encoded(*encoding, 0, source, target).is_some())
        .collect()
}

fn fitting(source: &ColumnType, target: &ColumnType) -> String {
    let names: Vec<String> = fitting_encodings(source, target)
        .into_iter()
        .map(|encoding| format!("as = \"{}\"", encoding_name(encoding)))
        .collect();
    match (names.as_slice(), plain(source, target)) {
        ([], Some(_)) => "they are compared as they are; leave `as` out".to_owned(),
        ([], None) => "no encoding fits them; as_text = true compares them as text".to_owned(),
        (names, _) => format!("what fits is {}", names.join(" or ")),
    }
}

/// Options under which two types without a rule can be compared, the likeliest first.
fn advice(column: &str, source: &ColumnType, target: &ColumnType) -> Vec<String> {
    let rule = rule_key(column);
    let mut encodings = fitting_encodings(source, target);
    encodings.sort_by_key(|encoding| !likely(*encoding, source, target));
    let mut advice: Vec<String> = encodings
        .iter()
        .map(|encoding| {
            let scale = if *encoding == Encoding::DecimalBytes {
                format!(" and {rule}.scale = N")
            } else {
                String::new()
            };
            format!(
                "if {}, write {rule}.as = \"{}\"{scale}",
                meaning(*encoding),
                encoding_name(*encoding)
            )
        })
        .collect();
    if advice.is_empty() {
        advice.push(format!(
            "if both databases write it as the same text, write {rule}.as_text = true"
        ));
    }
    advice
}

/// Whether Debezium writes a column of one of these types in this encoding.
fn likely(encoding: Encoding, source: &ColumnType, target: &ColumnType) -> bool {
    let digits = [source, target].into_iter().find_map(|side| match side {
        ColumnType::Time(digits) | ColumnType::Timestamp(digits) => Some(*digits),
        ColumnType::DateTime => Some(3),
        _ => None,
    });
    match encoding {
        Encoding::EpochMillis | Encoding::MidnightMillis => digits.is_some_and(|d| d <= 3),
        Encoding::EpochMicros | Encoding::MidnightMicros => {
            digits.is_some_and(|d| (4..=6).contains(&d))
        }
        Encoding::EpochNanos | Encoding::MidnightNanos => digits == Some(7),
        Encoding::EpochDays | Encoding::Iso8601 | Encoding::Base64 => true,
        _ => false,
    }
}

/// What an encoding says about a value.
#[must_use]
pub(crate) fn meaning(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::EpochDays => "the number counts days since 1970-01-01",
        Encoding::EpochSeconds => "the number counts seconds since 1970-01-01 UTC",
        Encoding::EpochMillis => "the number counts milliseconds since 1970-01-01 UTC",
        Encoding::EpochMicros => "the number counts microseconds since 1970-01-01 UTC",
        Encoding::EpochNanos => "the number counts nanoseconds since 1970-01-01 UTC",
        Encoding::MidnightMillis => "the number counts milliseconds since midnight",
        Encoding::MidnightMicros => "the number counts microseconds since midnight",
        Encoding::MidnightNanos => "the number counts nanoseconds since midnight",
        Encoding::Iso8601 => "the text is an ISO 8601 time",
        Encoding::DecimalText => "the text is a number",
        Encoding::DecimalBytes => "the bytes are a decimal's unscaled value",
        Encoding::Base64 => "the text is Base64",
        Encoding::Hex => "the text is hexadecimal",
        Encoding::Json => "the text is JSON",
        Encoding::Utc => "the time without a zone is UTC",
    }
}

/// `rules.COLUMN` as TOML wants it.
fn rule_key(column: &str) -> String {
    let bare = !column.is_empty()
        && column
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    if bare {
        format!("rules.{column}")
    } else {
        format!("rules.{}", serde_json::Value::from(column))
    }
}
