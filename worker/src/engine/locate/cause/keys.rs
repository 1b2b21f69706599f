//! Pairs missing rows with extra rows whose keys are the same but for a known
//! damage: letter case, blanks, leading zeros, a time zone, a Unicode form, a code
//! page.
//!
//! Keys that may belong together share a block: the hash of a form in which case,
//! blanks and the like do not count. Of the keys in a block, two are a pair if a
//! cause turns each different column of one into that of the other, and if neither
//! has another partner. Times that a time zone shifted have no such form. They are
//! paired by the shift that pairs nearly all keys.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde_json::{Map, Value as Json};
use shared::options::Normalization;
use shared::outcome::{CauseGroup, DifferenceKind};

use crate::engine::locate::cause::damage::{Damage, Folds, Level, Page};
use crate::engine::locate::cause::evidence::{Fit, Weight};
use crate::engine::locate::cause::grouping::{Explained, Seen, example, grouped};
use crate::engine::locate::cause::swapped;
use crate::engine::locate::cause::tally::weighed;
use crate::engine::locate::cause::text::misread;
use crate::engine::plan::PlannedColumn;
use crate::engine::values::canonical::{RowEncoder, TimeUnit};
use crate::engine::values::folding::Folding;
use crate::engine::values::moment::{Moment, SECONDS_OF_DAY};
use crate::engine::values::pair::Pair;
use crate::engine::values::value::{Value, try_decode};

/// The largest number of keys of each side that are kept.
const MOST_KEYS: usize = 10_000;

/// The longest value, in bytes, by which keys are paired.
const LONGEST: usize = 2048;

/// The most keys of a block that are tested. With more of them, none is certain.
const MOST_CANDIDATES: usize = 8;

/// Quarters of an hour by which time zones shift a time.
const SHIFTS: std::ops::RangeInclusive<i64> = -56..=56;

/// The keys of missing and extra rows.
#[derive(Debug)]
pub(crate) struct KeyPairs<'a> {
    /// Those of the key.
    columns: &'a [PlannedColumn],
    missing: Vec<Key>,
    extra: Vec<Key>,
    /// How many keys each side has, also those that were not kept.
    counts: Pair<u64>,
}

/// The key of a row on one side.
#[derive(Debug)]
struct Key {
    order: u128,
    rendered: Map<String, Json>,
    /// The encoded values.
    values: Vec<Vec<u8>>,
}

/// Two keys that belong together, and the causes by the position of the column.
struct Paired {
    missing: usize,
    extra: usize,
    fits: Vec<(usize, Vec<Fit>)>,
}

impl<'a> KeyPairs<'a> {
    /// Of a table whose key has these columns.
    pub(crate) fn new(columns: &'a [PlannedColumn]) -> Self {
        Self {
            columns,
            missing: Vec::new(),
            extra: Vec::new(),
            counts: Pair::default(),
        }
    }

    /// Adds the key of a row on one side, rendered and as encoded values.
    pub(crate) fn add(
        &mut self,
        kind: DifferenceKind,
        order: u128,
        rendered: &Map<String, Json>,
        values: Vec<Vec<u8>>,
    ) {
        let (keys, count) = match kind {
            DifferenceKind::Missing => (&mut self.missing, &mut self.counts.source),
            DifferenceKind::Extra => (&mut self.extra, &mut self.counts.target),
            DifferenceKind::Modified => return,
        };
        *count += 1;
        if keys.len() == MOST_KEYS
            || values.len() != self.columns.len()
            || values.iter().any(|it| it.len() > LONGEST)
        {
            return;
        }
        keys.push(Key {
            order,
            rendered: rendered.clone(),
            values,
        });
    }

    /// The groups of pairs, the most frequent first.
    pub(crate) fn finish(self) -> Vec<CauseGroup> {
        let possible = self.missing.len().min(self.extra.len());
        if possible == 0 || self.columns.is_empty() {
            return Vec::new();
        }
        let mut pairs = self.by_blocks();
        pairs.extend(self.by_shift(&pairs));
        let mut by_column: BTreeMap<usize, Vec<(Vec<Fit>, Seen)>> = BTreeMap::new();
        for pair in pairs {
            let (missing, extra) = (&self.missing[pair.missing], &self.extra[pair.extra]);
            for (at, fits) in pair.fits {
                let name = &self.columns[at].source.name;
                let shown = [missing, extra].map(|key| key.rendered.get(name).cloned());
                let [source, target] = shown.map(Option::unwrap_or_default);
                let mut seen =
                    Seen::none(missing.order, example(&missing.rendered, (source, target)));
                seen.rows = 1;
                by_column.entry(at).or_default().push((fits, seen));
            }
        }
        let mut groups: Vec<CauseGroup> = Vec::new();
        for (at, sets) in by_column {
            let explained = grouped(sets, possible as u64);
            groups.extend(self.groups_of(&self.columns[at], explained));
        }
        groups.sort_by_key(|group| Reverse(group.rows));
        for group in &mut groups {
            group.examined = possible as u64;
            group.pairs_keys = true;
        }
        groups
    }

    /// The groups of a column. What one rule can ignore together is one group.
    fn groups_of(&self, column: &PlannedColumn, explained: Vec<Explained>) -> Vec<CauseGroup> {
        let (foldable, mut explained): (Vec<_>, Vec<_>) =
            explained.into_iter().partition(|it| it.folds().is_some());
        explained.extend(foldable.into_iter().reduce(Explained::folded_with));
        let group = |it: Explained| {
            let folds = it.folds();
            let group = it.into_group(column)?;
            let why = folds.map_or_else(|| group.explanation.clone(), Folds::words);
            let of = |all: u64| format!("{} of {all}", group.rows);
            let explanation = format!(
                "{} missing and {} extra rows have the same key but for {why}",
                of(self.counts.source),
                of(self.counts.target)
            );
            Some(CauseGroup {
                explanation,
                ..group
            })
        };
        explained.into_iter().filter_map(group).collect()
    }

    /// Pairs of keys that share a block.
    fn by_blocks(&self) -> Vec<Paired> {
        let mut blocks: HashMap<u64, Vec<usize>> = HashMap::new();
        for (at, key) in self.extra.iter().enumerate() {
            for block in blocks_of(&key.values, &[0]) {
                blocks.entry(block).or_default().push(at);
            }
        }
        let mut pairs: Vec<Paired> = Vec::new();
        // How many missing keys an extra one may belong to.
        let mut partners: HashMap<usize, u32> = HashMap::new();
        for (missing, key) in self.missing.iter().enumerate() {
            // A time that was rounded up may be in the next second.
            let mut candidates: Vec<usize> = blocks_of(&key.values, &[-1, 0, 1])
                .iter()
                .filter_map(|block| blocks.get(block))
                .filter(|block| block.len() <= MOST_CANDIDATES)
                .flatten()
                .copied()
                .collect();
            candidates.sort_unstable();
            candidates.dedup();
            let fitting = candidates.into_iter().filter_map(|extra| {
                let fits = self.fits(key, &self.extra[extra])?;
                *partners.entry(extra).or_default() += 1;
                Some(Paired {
                    missing,
                    extra,
                    fits,
                })
            });
            let fitting: Vec<Paired> = fitting.collect();
            if fitting.len() == 1 {
                pairs.extend(fitting);
            }
        }
        pairs.retain(|pair| partners.get(&pair.extra) == Some(&1));
        pairs
    }

    /// The causes for which two keys differ, by the position of the column; `None` if a
    /// column has none.
    fn fits(&self, missing: &Key, extra: &Key) -> Option<Vec<(usize, Vec<Fit>)>> {
        let values = missing.values.iter().zip(&extra.values).enumerate();
        let mut found = Vec::new();
        for (at, (source, target)) in values {
            if source == target {
                continue;
            }
            let (source, target) = (source.as_slice(), target.as_slice());
            let fits: Vec<Fit> = weighed(&Pair { source, target }, &self.columns[at])
                .into_iter()
                .filter(|fit| fit.weight > Weight::Nothing && is_of_keys(fit.cause.damage))
                .collect();
            if fits.is_empty() {
                return None;
            }
            found.push((at, fits));
        }
        Some(found)
    }

    /// Pairs of keys that are equal but for the time in one column, which is shifted
    /// in nearly all of them alike.
    fn by_shift(&self, pairs: &[Paired]) -> Vec<Paired> {
        let mut paired = [
            vec![false; self.missing.len()],
            vec![false; self.extra.len()],
        ];
        for pair in pairs {
            paired[0][pair.missing] = true;
            paired[1][pair.extra] = true;
        }
        let open = |at: usize| paired[at].iter().filter(|paired| !**paired).count();
        let possible = open(0).min(open(1));
        let extra: HashMap<&[Vec<u8>], usize> = (0..self.extra.len())
            .filter(|at| !paired[1][*at])
            .map(|at| (self.extra[at].values.as_slice(), at))
            .collect();
        let mut best: Vec<Paired> = Vec::new();
        for column in 0..self.columns.len() {
            let mut by_shift: BTreeMap<i64, Vec<Paired>> = BTreeMap::new();
            let missing = self.missing.iter().enumerate();
            for (at, key) in missing.filter(|(at, _)| !paired[0][*at]) {
                let mut shifted = key.values.clone();
                for (quarters, value) in shifts(&key.values[column]) {
                    shifted[column] = value;
                    let Some(other) = extra.get(shifted.as_slice()) else {
                        continue;
                    };
                    if let Some(fits) = self.fits(key, &self.extra[*other]) {
                        by_shift.entry(quarters).or_default().push(Paired {
                            missing: at,
                            extra: *other,
                            fits,
                        });
                    }
                }
            }
            let most = by_shift.into_values().max_by_key(Vec::len);
            if let Some(most) = most.filter(|most| most.len() > best.len()) {
                best = most;
            }
        }
        // A shift that pairs fewer keys may be a coincidence.
        if 100 * best.len() < 90 * possible {
            return Vec::new();
        }
        best
    }
}

/// Whether a damage can be why rows have no partner. Shorter keys and the like
/// would pair keys that are near each other only.
fn is_of_keys(damage: Damage) -> bool {
    matches!(
        damage,
        Damage::BlanksTrimmed(_)
            | Damage::SpaceTrimmed(_)
            | Damage::CaseFolded(_)
            | Damage::Folded(_)
            | Damage::Normalized(_)
            | Damage::AccentsRemoved
            | Damage::LineEnds
            | Damage::NulDropped
            | Damage::CodePage(..)
            | Damage::Replaced(_)
            | Damage::LeadingZeros
            | Damage::BooleanAsText
            | Damage::NumberAsText
            | Damage::TimeAsText(_)
            | Damage::UuidSwapped
            | Damage::TimeCut(Level::Digits(_), _)
            | Damage::DatetimeSteps
            | Damage::ZoneShifted(_)
            | Damage::DayShifted(_)
    )
}

/// The blocks of a key, with times in the seconds that are `steps` from their own.
fn blocks_of(values: &[Vec<u8>], steps: &[i64]) -> Vec<u64> {
    let decoded: Vec<Option<Value>> = values.iter().map(|value| try_decode(value)).collect();
    let mut blocks = Vec::new();
    for form in [
        Form::Folded(None),
        Form::Folded(Some(Page::Windows1252)),
        Form::Folded(Some(Page::Latin1)),
        Form::Masked,
    ] {
        for step in steps {
            let mut hasher = DefaultHasher::new();
            for (value, bytes) in decoded.iter().zip(values) {
                hash(value.as_ref(), bytes, (form, *step), &mut hasher);
            }
            blocks.push(hasher.finish());
        }
    }
    blocks.sort_unstable();
    blocks.dedup();
    blocks
}

/// How a text is brought into a form that damaged and undamaged keys share.
#[derive(Debug, Clone, Copy)]
enum Form {
    /// Without case, blanks, accents and leading zeros; decoded in a code page before.
    Folded(Option<Page>),
    /// With `?` in place of each character outside ASCII.
    Masked,
}

fn hash(value: Option<&Value>, bytes: &[u8], (form, step): (Form, i64), to: &mut DefaultHasher) {
    match value {
        Some(Value::Text(text)) => match form {
            Form::Folded(None) => folded(text).hash(to),
            Form::Folded(Some(page)) => folded(&misread(text, page)).hash(to),
            Form::Masked => {
                let mask = |c: char| if c.is_ascii() { c } else { '?' };
                text.chars().map(mask).collect::<String>().hash(to);
            }
        },
        Some(Value::Time(at) | Value::Timestamp(at) | Value::Instant(at)) => {
            (at.split().0 + step).hash(to);
        }
        Some(Value::Uuid(uuid)) => uuid.min(&swapped(uuid)).hash(to),
        _ => bytes.hash(to),
    }
}

fn folded(text: &str) -> String {
    let folding = Folding {
        trim: None,
        case_insensitive: true,
        unicode: Some(Normalization::Nfkd),
    };
    let folded = folding.apply(text.as_bytes());
    let plain: String = String::from_utf8_lossy(&folded)
        .chars()
        .filter(|c| !matches!(c, '\0' | '\r' | '\u{300}'..='\u{36F}'))
        .collect();
    let plain = plain.trim();
    if plain.bytes().all(|byte| byte.is_ascii_digit()) {
        plain.trim_start_matches('0').to_owned()
    } else {
        plain.to_owned()
    }
}

/// An encoded time shifted by each number of quarters of an hour that time zones
/// have; a day shifted by one day.
fn shifts(value: &[u8]) -> Vec<(i64, Vec<u8>)> {
    const DAY: i64 = 96;
    let Some(value) = try_decode(value) else {
        return Vec::new();
    };
    let encoded = |write: &dyn Fn(&mut RowEncoder)| {
        let mut encoder = RowEncoder::default();
        write(&mut encoder);
        encoder.row().to_vec()
    };
    let unit = |at: Moment| {
        if at.digits > 6 {
            TimeUnit::Ticks
        } else {
            TimeUnit::Micros
        }
    };
    let shifted = |at: Moment, quarters: i64| {
        at.units
            .checked_add(quarters * SECONDS_OF_DAY / DAY * at.per_second())
    };
    let is_midnight = |at: Moment| at.units % (SECONDS_OF_DAY * at.per_second()) == 0;
    let quarters = SHIFTS.filter(|quarters| *quarters != 0);
    match value {
        Value::Date(days) => [-1, 1]
            .into_iter()
            .filter_map(|day| Some((day, days.checked_add(day)?)))
            .map(|(day, days)| (DAY * i64::from(day), encoded(&|to| to.date(days))))
            .collect(),
        Value::Timestamp(at) | Value::Instant(at) if !at.is_infinite() => quarters
            .chain([-DAY, DAY].into_iter().filter(|_| is_midnight(at)))
            .filter_map(|quarters| Some((quarters, shifted(at, quarters)?)))
            .map(|(quarters, units)| {
                let write = |to: &mut RowEncoder| match value {
                    Value::Instant(_) => to.instant(unit(at), units),
                    _ => to.timestamp(unit(at), units),
                };
                (quarters, encoded(&write))
            })
            .collect(),
        _ => Vec::new(),
    }
}
