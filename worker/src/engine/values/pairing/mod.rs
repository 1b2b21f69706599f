//! Which types can be compared with each other, in which canonical form and after
//! which conversions. For every pair there is an exact rule, or an error that
//! names the option to use.

pub(crate) mod encoding;
#[cfg(test)]
mod tests;

use shared::options::{ColumnRule, Encoding, Rounding, Tolerance};

use crate::engine::values::boolean_words::BooleanWords;
use crate::engine::values::column::{Column, ColumnType};
use crate::engine::values::conversion::Conversion;
use crate::engine::values::folding::Folding;
use crate::engine::values::kind::{Kind, Resolution};
use crate::engine::values::pairing::encoding::{
    Parameters, advice, encoded, encoding_name, fitting_encodings, zoned,
};
use crate::engine::values::tolerance::parse_tolerance;
use crate::engine::values::zone::Zone;

/// How a pair of columns is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pairing {
    pub kind: Kind,
    /// The conversion of the source's values.
    pub source: Option<Conversion>,
    /// The conversion of the target's values.
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
        column: String,
        source_type: String,
        target_type: String,
        /// Options under which they can be compared, and when to use them.
        advice: Vec<String>,
    },
    /// An option does not fit the two types.
    #[error(
        "column `{column}`: {option} does not fit {source_type} on the source and {target_type} on the target: {reason}"
    )]
    Unfit {
        column: String,
        /// The option, as in the configuration.
        option: String,
        source_type: String,
        target_type: String,
        /// Why it does not fit, and which options do.
        reason: String,
    },
}

/// An option that does not fit two types, and the reason.
type Misfit = (String, String);

/// How a pair of columns is compared under `rule`. A column paired with itself
/// under the default rule is compared in its own exact form.
pub(crate) fn pairing(
    source: &Column,
    target: &Column,
    rule: &ColumnRule,
) -> Result<Pairing, Incomparable> {
    let unfit = |(option, reason): Misfit| Incomparable::Unfit {
        column: source.name.clone(),
        option,
        source_type: source.declared.clone(),
        target_type: target.declared.clone(),
        reason,
    };
    check_alternatives(rule).map_err(unfit)?;
    let mut pairing = match (rule.as_text, rule.encoding) {
        (true, _) => same(
            Kind::Text,
            Some(Conversion::DatabaseText(Folding::of(rule))),
        ),
        (false, Some(encoding)) => {
            let parameters = Parameters::of(rule);
            let decoding = encoded(encoding, &parameters, &source.kind, &target.kind);
            let (kind, source, target) = decoding.ok_or_else(|| {
                let option = format!("as = \"{}\"", encoding_name(encoding));
                unfit((option, fitting(&source.kind, &target.kind)))
            })?;
            Pairing {
                kind,
                source,
                target,
            }
        }
        (false, None) if rule.zone.is_some() => in_zone(source, target, rule).map_err(unfit)?,
        (false, None) => plain(&source.kind, &target.kind).ok_or_else(|| Incomparable::NoForm {
            column: source.name.clone(),
            source_type: source.declared.clone(),
            target_type: target.declared.clone(),
            advice: advice(&source.name, &source.kind, &target.kind),
        })?,
    };
    check_scale(rule).map_err(unfit)?;
    check_words(rule).map_err(unfit)?;
    let kind = with_precision(pairing.kind, rule).map_err(unfit)?;
    pairing.kind = as_stored(kind, source, target);
    pairing = with_folding(pairing, rule).map_err(unfit)?;
    if let Some(tolerance) = &rule.tolerance {
        fits_tolerance(pairing.kind, tolerance)
            .map_err(|reason| unfit(("tolerance".to_owned(), reason)))?;
    }
    Ok(pairing)
}

/// Checks that of `as_text`, `as` and `zone` only one is given.
fn check_alternatives(rule: &ColumnRule) -> Result<(), Misfit> {
    let named = rule
        .encoding
        .map(|encoding| format!("as = \"{}\"", encoding_name(encoding)));
    let zone = rule.zone.as_ref().map(|zone| format!("zone = \"{zone}\""));
    let (option, other, why) = match (rule.as_text, named, zone) {
        (true, Some(other), _) | (true, None, Some(other)) => (
            "as_text = true".to_owned(),
            other,
            "the column is not compared as text",
        ),
        (false, Some(other), Some(zone)) => {
            (zone, other, "the column has no local times without a zone")
        }
        _ => return Ok(()),
    };
    Err((option, format!("with {other} {why}; choose one of the two")))
}

/// Local times and instants as local times of the zone that the rule names.
fn in_zone(source: &Column, target: &Column, rule: &ColumnRule) -> Result<Pairing, Misfit> {
    let name = rule.zone.as_deref().unwrap_or_default();
    let misfit = |reason: &str| (format!("zone = \"{name}\""), reason.to_owned());
    let zone = Zone::named(name).ok_or_else(|| {
        misfit(
            "the IANA time zone database has no zone of this name; write one such as Europe/Berlin",
        )
    })?;
    let resolution = zoned(&source.kind, &target.kind).ok_or_else(|| {
        misfit("it is for local times without a zone (datetime, datetime2, timestamp) that are compared with instants (datetimeoffset, timestamptz)")
    })?;
    Ok(same(
        Kind::Timestamp(resolution),
        Some(Conversion::LocalTime(zone)),
    ))
}

/// Checks that the words of booleans are given for text with booleans only, and that
/// none of them means both.
fn check_words(rule: &ColumnRule) -> Result<(), Misfit> {
    let option = || {
        let option = if rule.true_words.is_empty() {
            "false_words"
        } else {
            "true_words"
        };
        option.to_owned()
    };
    let are_given = !(rule.true_words.is_empty() && rule.false_words.is_empty());
    if are_given && rule.encoding != Some(Encoding::BooleanText) {
        let reason = "it is for as = \"boolean-text\" only";
        return Err((option(), reason.to_owned()));
    }
    match BooleanWords::of(rule).contradiction() {
        Some(word) => Err((
            option(),
            format!("`{word}` would mean both true and false; set true_words and false_words"),
        )),
        None => Ok(()),
    }
}

/// Checks that `scale` is given for decimals as bytes and for nothing else.
fn check_scale(rule: &ColumnRule) -> Result<(), Misfit> {
    match (rule.encoding, rule.scale) {
        (Some(Encoding::DecimalBytes), None) => Err((
            "as = \"decimal-bytes\"".to_owned(),
            "it needs the number of digits after the point: scale = N".to_owned(),
        )),
        (Some(Encoding::DecimalBytes), Some(_)) | (_, None) => Ok(()),
        (_, Some(scale)) => Err((
            format!("scale = {scale}"),
            "scale is for as = \"decimal-bytes\" only; to compare numbers that may differ slightly use tolerance = { absolute = \"0.01\" }".to_owned(),
        )),
    }
}

/// `pairing` with the options of text in `rule`.
fn with_folding(pairing: Pairing, rule: &ColumnRule) -> Result<Pairing, Misfit> {
    let folding = Folding::of(rule);
    if folding.is_none() || rule.as_text {
        return Ok(pairing);
    }
    if pairing == same(Kind::Text, None) {
        return Ok(same(Kind::Text, Some(Conversion::Text(folding))));
    }
    let option = match folding {
        Folding { trim: Some(_), .. } => "trim",
        Folding {
            case_insensitive: true,
            ..
        } => "case_insensitive",
        _ => "unicode",
    };
    let reason =
        "it is for columns that are compared as text; as_text = true compares any column as text";
    Err((option.to_owned(), reason.to_owned()))
}

fn same(kind: Kind, conversion: Option<Conversion>) -> Pairing {
    Pairing {
        kind,
        source: conversion.clone(),
        target: conversion,
    }
}

/// The rule for two types without an encoding.
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
        // Exact, since different floats are different numbers: an integer above
        // 2^53 that a float cannot represent differs.
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
        // A date equals its midnight only. The resolution is the timestamp's, so
        // that the time of day is not cut.
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

/// `kind` at the precision and rounding of `rule`.
fn with_precision(kind: Kind, rule: &ColumnRule) -> Result<Kind, Misfit> {
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
            "the databases store at most 7 digits of a second".to_owned(),
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
                "it is for the digits of a second of times; to compare numbers that may differ slightly use tolerance = { absolute = \"0.01\" }"
                    .to_owned(),
            ));
        }
    })
}

/// `kind` with the rounding that PostgreSQL applied when it stored the times, if
/// it stores as many digits as are compared. A seventh digit is rounded when
/// PostgreSQL parses the text, which does not depend on the epoch.
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
                "a relative tolerance is for numbers only; for times use tolerance = { absolute = \"SECONDS\" }".to_owned(),
            );
        }
        _ => return Err("it is for numbers and times only".to_owned()),
    }
    parse_tolerance(tolerance).map(drop)
}

fn fitting(source: &ColumnType, target: &ColumnType) -> String {
    let names: Vec<String> = fitting_encodings(source, target)
        .into_iter()
        .map(|encoding| format!("as = \"{}\"", encoding_name(encoding)))
        .collect();
    match (names.as_slice(), plain(source, target)) {
        ([], Some(_)) => "these types are compared without an encoding; remove `as`".to_owned(),
        ([], None) => {
            "no encoding fits these types; as_text = true compares them as text".to_owned()
        }
        (names, _) => format!("for these types use {}", names.join(" or ")),
    }
}
