//! The configuration under which damaged values are equal.

use shared::options::{ColumnRule, Encoding, Rounding, Tolerance};

use crate::engine::locate::cause::damage::{Cause, Damage, Folds, Level, Notation};
use crate::engine::plan::PlannedColumn;
use crate::engine::values::column::ColumnType;
use crate::engine::values::pairing::encoding::{fitting_encodings, rule_key};

impl Cause {
    /// The rule for `column` under which the values are equal, together with the
    /// options that it has already: `rules.Total = { precision = 3 }`. `None` if
    /// there is no such rule, or if an option is already set to another value.
    pub(crate) fn option(&self, column: &PlannedColumn) -> Option<String> {
        let rule = self.absorbing(column)?;
        Some(format!(
            "{} = {{ {} }}",
            rule_key(&column.source.name),
            fields(&rule).join(", ")
        ))
    }

    /// The distance of the tolerance that the rule has, if it is one of numbers.
    pub(crate) fn tolerance(&self, column: &PlannedColumn) -> Option<f64> {
        match (self.damage, self.absorbing(column)?.tolerance?) {
            (Damage::ScaleCut(..), Tolerance::Absolute(distance)) => distance.parse().ok(),
            _ => None,
        }
    }

    /// What else the rule ignores; `None` if it only decodes values.
    pub(crate) fn also_ignores(&self, column: &PlannedColumn) -> Option<String> {
        let rule = self.absorbing(column)?;
        if let Some(folds) = Folds::of(self.damage) {
            return Some(format!("every difference in {}", folds.words()));
        }
        if rule.precision != column.rule.precision || rule.rounding != column.rule.rounding {
            return Some("every difference in further digits of a second".to_owned());
        }
        let seconds = if column.source.kind.is_time() {
            " s"
        } else {
            ""
        };
        match rule.tolerance? {
            Tolerance::Absolute(distance) => {
                Some(format!("every difference of at most {distance}{seconds}"))
            }
            Tolerance::Relative(share) => Some(format!(
                "every difference of at most {share:e} of the value"
            )),
        }
    }

    fn absorbing(&self, column: &PlannedColumn) -> Option<ColumnRule> {
        let mut rule = column.rule.clone();
        match self.damage {
            Damage::TimeCut(Level::Digits(digits), rounding) => {
                rule.precision = Some(digits);
                rule.rounding = match rounding {
                    // The default of `datetime` is to round.
                    Rounding::Truncate => holds_datetime(column).then_some(Rounding::Truncate),
                    other => Some(other),
                };
            }
            Damage::TimeCut(Level::Minutes, _) => absolute(&mut rule, "60")?,
            Damage::DatetimeSteps => absolute(&mut rule, "0.002")?,
            Damage::ScaleCut(digits, rounding) => {
                // One unit of the last digit, or half of it.
                let last = match (digits, rounding) {
                    (0, Rounding::Truncate) => "1".to_owned(),
                    (digits, Rounding::Truncate) => {
                        format!("0.{}1", "0".repeat(usize::from(digits) - 1))
                    }
                    (digits, _) => format!("0.{}5", "0".repeat(usize::from(digits))),
                };
                absolute(&mut rule, &last)?;
            }
            // Half a unit of the last binary or decimal digit.
            Damage::Narrowed(32) => relative(&mut rule, 6e-8)?,
            Damage::Narrowed(_) => relative(&mut rule, 1.2e-16)?,
            Damage::DigitsCut(digits) => {
                relative(&mut rule, 5.0 * 10_f64.powi(-i32::from(digits)))?;
            }
            Damage::BlanksTrimmed(_)
            | Damage::CaseFolded(_)
            | Damage::Normalized(_)
            | Damage::Folded(_) => fold(&mut rule, Folds::of(self.damage)?)?,
            Damage::NotDecoded(encoding) => encode(&mut rule, encoding, column)?,
            Damage::BooleanAsText => encode(&mut rule, Encoding::BooleanText, column)?,
            Damage::XmlNotation => encode(&mut rule, Encoding::Xml, column)?,
            // Whatever is ISO 8601 is also a text of SQL Server.
            Damage::TimeAsText(Notation::SqlServer) if rule.encoding == Some(Encoding::Iso8601) => {
                rule.encoding = Some(Encoding::SqlServerText);
            }
            _ => return None,
        }
        // The values differ under the present rule.
        (rule != column.rule).then_some(rule)
    }
}

fn fold(rule: &mut ColumnRule, folds: Folds) -> Option<()> {
    // Another value of the option is already set.
    if rule.trim.and(folds.trim).is_some() || rule.unicode.and(folds.form).is_some() {
        return None;
    }
    rule.trim = folds.trim.or(rule.trim);
    rule.case_insensitive |= folds.case;
    rule.unicode = folds.form.or(rule.unicode);
    Some(())
}

fn encode(rule: &mut ColumnRule, encoding: Encoding, column: &PlannedColumn) -> Option<()> {
    let fitting = fitting_encodings(&column.source.kind, &column.target.kind);
    if rule.encoding.is_some() || rule.zone.is_some() || !fitting.contains(&encoding) {
        return None;
    }
    rule.as_text = false;
    rule.encoding = Some(encoding);
    Some(())
}

fn holds_datetime(column: &PlannedColumn) -> bool {
    [&column.source, &column.target]
        .iter()
        .any(|it| it.kind == ColumnType::DateTime)
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

/// The options that differ from the default, as TOML.
fn fields(rule: &ColumnRule) -> Vec<String> {
    // The enums of a rule are serialized as strings.
    fn word(value: &impl serde::Serialize) -> String {
        serde_json::to_string(value).unwrap_or_default()
    }
    let ColumnRule {
        ignore,
        precision,
        rounding,
        encoding,
        scale,
        true_words,
        false_words,
        zone,
        trim,
        case_insensitive,
        unicode,
        tolerance,
        as_text,
        redact,
    } = rule;
    let flag = |name: &str, set: bool| set.then(|| format!("{name} = true"));
    let words = |name: &str, words: &Vec<String>| {
        (!words.is_empty()).then(|| format!("{name} = {}", word(words)))
    };
    [
        flag("ignore", *ignore),
        precision.map(|digits| format!("precision = {digits}")),
        rounding.map(|rounding| format!("rounding = {}", word(&rounding))),
        encoding.map(|encoding| format!("as = {}", word(&encoding))),
        scale.map(|digits| format!("scale = {digits}")),
        words("true_words", true_words),
        words("false_words", false_words),
        zone.as_ref().map(|zone| format!("zone = {}", word(zone))),
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
