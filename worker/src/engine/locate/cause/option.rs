//! What to write into the configuration so that a cause passes as equal.

use shared::options::{ColumnRule, Encoding, Rounding, Tolerance};

use crate::engine::locate::cause::{Cause, Damage, Level};
use crate::engine::plan::PlannedColumn;
use crate::engine::values::column::ColumnType;

impl Cause {
    /// The rule for `column` under which the values pass as equal, together
    /// with what its rule says already: `rules.Total = { precision = 3 }`.
    /// `None` where no rule does that, or another one is in its place.
    #[must_use]
    pub(crate) fn option(&self, column: &PlannedColumn) -> Option<String> {
        let rule = self.absorbing(column)?;
        Some(format!(
            "rules.{} = {{ {} }}",
            toml_key(&column.source.name),
            fields(&rule).join(", ")
        ))
    }

    fn absorbing(&self, column: &PlannedColumn) -> Option<ColumnRule> {
        let mut rule = column.rule.clone();
        match self.damage {
            Damage::TimeCut(Level::Digits(digits), rounding) => {
                rule.precision = Some(digits);
                rule.rounding = match rounding {
                    // `datetime` is rounded unless it is told otherwise.
                    Rounding::Truncate => holds_datetime(column).then_some(Rounding::Truncate),
                    other => Some(other),
                };
            }
            Damage::TimeCut(Level::Minutes, _) => absolute(&mut rule, "60")?,
            Damage::DatetimeSteps => absolute(&mut rule, "0.002")?,
            Damage::ScaleCut(digits, rounding) => {
                // The last digit that is left, or half of it.
                let last = match (digits, rounding) {
                    (0, Rounding::Truncate) => "1".to_owned(),
                    (digits, Rounding::Truncate) => {
                        format!("0.{}1", "0".repeat(usize::from(digits) - 1))
                    }
                    (digits, _) => format!("0.{}5", "0".repeat(usize::from(digits))),
                };
                absolute(&mut rule, &last)?;
            }
            // Half of the last binary or decimal digit.
            Damage::Narrowed(32) => relative(&mut rule, 6e-8)?,
            Damage::Narrowed(_) => relative(&mut rule, 1.2e-16)?,
            Damage::DigitsCut(digits) => {
                relative(&mut rule, 5.0 * 10_f64.powi(-i32::from(digits)))?;
            }
            Damage::BlanksTrimmed(which) => {
                if rule.trim.is_some() {
                    return None;
                }
                rule.trim = Some(which);
            }
            Damage::CaseFolded(_) => rule.case_insensitive = true,
            Damage::Normalized(form) => {
                if rule.unicode.is_some() {
                    return None;
                }
                rule.unicode = Some(form);
            }
            Damage::NotDecoded(encoding) => {
                if rule.encoding.is_some() || !decodes(column, encoding) {
                    return None;
                }
                rule.as_text = false;
                rule.encoding = Some(encoding);
            }
            _ => return None,
        }
        // A rule that is there already does not do it.
        (rule != column.rule).then_some(rule)
    }
}

fn holds_datetime(column: &PlannedColumn) -> bool {
    [&column.source, &column.target]
        .iter()
        .any(|it| it.kind == ColumnType::DateTime)
}

/// Whether one side holds a time and the other one integers, which is what these encodings are for.
fn decodes(column: &PlannedColumn, encoding: Encoding) -> bool {
    let is_time = |kind: &ColumnType| {
        matches!(
            kind,
            ColumnType::Date
                | ColumnType::Time(_)
                | ColumnType::Timestamp(_)
                | ColumnType::DateTime
                | ColumnType::Instant(_)
        )
    };
    let sides = (&column.source.kind, &column.target.kind);
    match encoding {
        Encoding::Hex | Encoding::Base64 => matches!(
            sides,
            (ColumnType::Bytes, ColumnType::Text { .. })
                | (ColumnType::Text { .. }, ColumnType::Bytes)
        ),
        _ => {
            (is_time(sides.0) && *sides.1 == ColumnType::Int)
                || (is_time(sides.1) && *sides.0 == ColumnType::Int)
        }
    }
}

fn absolute(rule: &mut ColumnRule, distance: &str) -> Option<()> {
    rule.tolerance
        .is_none()
        .then(|| rule.tolerance = Some(Tolerance::Absolute(distance.to_owned())))
}

fn relative(rule: &mut ColumnRule, share: f64) -> Option<()> {
    rule.tolerance
        .is_none()
        .then(|| rule.tolerance = Some(Tolerance::Relative(share)))
}

/// What differs from the default rule, as TOML.
fn fields(rule: &ColumnRule) -> Vec<String> {
    // Every enum of a rule is written as its word.
    fn word(value: &impl serde::Serialize) -> String {
        serde_json::to_string(value).unwrap_or_default()
    }
    let ColumnRule {
        ignore,
        precision,
        rounding,
        encoding,
        scale,
        trim,
        case_insensitive,
        unicode,
        tolerance,
        as_text,
        redact,
    } = rule;
    let flag = |name: &str, set: bool| set.then(|| format!("{name} = true"));
    [
        flag("ignore", *ignore),
        precision.map(|digits| format!("precision = {digits}")),
        rounding.map(|rounding| format!("rounding = {}", word(&rounding))),
        encoding.map(|encoding| format!("as = {}", word(&encoding))),
        scale.map(|digits| format!("scale = {digits}")),
        trim.map(|which| format!("trim = {}", word(&which))),
        flag("case_insensitive", *case_insensitive),
        unicode.map(|form| format!("unicode = {}", word(&form))),
        tolerance.as_ref().map(|tolerance| match tolerance {
            Tolerance::Absolute(distance) => {
                format!("tolerance = {{ absolute = {} }}", word(distance))
            }
            Tolerance::Relative(share) => format!("tolerance = {{ relative = {share:e} }}"),
        }),
        flag("as_text", *as_text),
        flag("redact", *redact),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A key as TOML has it: bare where it may be.
fn toml_key(name: &str) -> String {
    let bare = !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if bare {
        return name.to_owned();
    }
    let mut quoted = String::from('"');
    for character in name.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            control if control.is_control() => {
                quoted.push_str(&format!("\\u{:04X}", u32::from(control)));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}
