//! Counts the causes of the differing rows of a table, and groups them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value as Json};
use shared::outcome::CauseGroup;

use crate::engine::locate::cause::causes;
use crate::engine::locate::cause::damage::Damaged;
use crate::engine::locate::cause::evidence::{Fit, Support, Weight, weigh};
use crate::engine::locate::cause::grouping::{MOST_GROUPS, Seen, count, example, grouped};
use crate::engine::plan::PlannedColumn;
use crate::engine::values::canonical::Tag;
use crate::engine::values::pair::Pair;
use crate::engine::values::value::{Value, to_json, try_decode};

/// The largest number of sets of causes that are kept. Each has an example.
const MOST_SETS: usize = 4096;

/// The largest number of different values of a column that are counted where the
/// other side has NULL, and the longest of them, in bytes.
const MOST_CONSTANTS: usize = 16;
const LONGEST_CONSTANT: usize = 256;

/// The causes that explain the differing rows of a table.
///
/// The tally keeps sets: the causes that fit a pair of values, and the number of
/// rows that have this set. In the end, rows are assigned to the cause that fits
/// most rows of the column, then to the one that fits most of the rest, and so
/// on. So a column that was rounded to milliseconds is one group, although half
/// of its values would also fit a cut, and some two digits.
#[derive(Debug)]
pub(crate) struct CauseTally<'a> {
    columns: &'a [PlannedColumn],
    /// By position of the column: whether it is redacted.
    hidden: &'a [bool],
    sets: HashMap<(usize, Vec<Fit>), Seen>,
    /// By position of the column.
    counts: Vec<ColumnCounts>,
    /// Values in rows where the side that is damaged has them, and the other side NULL.
    constants: HashMap<(usize, Filled, Vec<u8>), Seen>,
    /// Rows that are newer on one side, by the column that shows it and the older side.
    newer: HashMap<(usize, Damaged), Seen>,
    /// Rows that were observed.
    rows: u64,
    /// Whether every row of the table differs, so that the examined rows stand for it.
    every_row: bool,
}

/// What was seen of a column.
#[derive(Debug, Clone, Default)]
struct ColumnCounts {
    /// Rows in which it differs.
    differing: u64,
    /// Those of them that another version of the row explains.
    newer: u64,
    /// Rows in which the value of a side is NULL, whether it differs or not.
    null: Pair<u64>,
    /// The first row in which NULL replaces a value, by the side that has the NULL.
    lost: Pair<Option<Seen>>,
    /// Rows in which only the source is NULL, and only the target.
    filled: [u64; 2],
}

/// Which side has a value where the other one has NULL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Filled {
    Target,
    Source,
}

/// The two values of a column in a row that is on both sides.
#[derive(Debug, Clone)]
pub(crate) struct Observed<'v> {
    /// As they are compared.
    pub compared: Pair<&'v [u8]>,
    /// In other forms that show more than what is compared.
    pub stored: Vec<Pair<&'v [u8]>>,
    /// Whether the difference counts.
    pub differs: bool,
}

impl<'a> CauseTally<'a> {
    pub(crate) fn new(columns: &'a [PlannedColumn]) -> Self {
        Self {
            columns,
            hidden: &[],
            sets: HashMap::new(),
            counts: vec![ColumnCounts::default(); columns.len()],
            constants: HashMap::new(),
            newer: HashMap::new(),
            rows: 0,
            every_row: false,
        }
    }

    /// With the redacted columns, by position: their causes must reveal no value.
    pub(crate) fn hiding(self, hidden: &'a [bool]) -> Self {
        Self { hidden, ..self }
    }

    /// Of a table in which every row differs, if `every_row` is true.
    pub(crate) fn of_whole_table(self, every_row: bool) -> Self {
        Self { every_row, ..self }
    }

    fn is_hidden(&self, at: usize) -> bool {
        self.hidden.get(at).is_some_and(|hidden| *hidden)
    }

    /// Adds one modified row: its rendered key, and its values in the order of the
    /// columns. `show` renders the values of a column for an example. The row that
    /// is first by `order` is the example of its group, in whatever order rows are
    /// added.
    pub(crate) fn observe(
        &mut self,
        order: u128,
        key: &Map<String, Json>,
        values: &[Observed<'_>],
        show: impl Fn(usize) -> (Json, Json),
    ) {
        self.rows += 1;
        let mut unexplained = Vec::new();
        for (at, value) in values.iter().enumerate().take(self.columns.len()) {
            let example = || example(key, show(at));
            self.count_nulls(at, value, order, &example);
            if !value.differs {
                continue;
            }
            self.counts[at].differing += 1;
            let mut fits = fits(value, &self.columns[at]);
            if self.is_hidden(at) {
                let redacted = |fit: Fit| Fit {
                    cause: fit.cause.redacted(),
                    ..fit
                };
                fits = fits.into_iter().map(redacted).collect();
            }
            if fits.is_empty() {
                unexplained.push(at);
                self.count_constant(at, value.compared, order, &example);
                continue;
            }
            let key = (at, fits);
            if self.sets.len() < MOST_SETS || self.sets.contains_key(&key) {
                let seen = count(&mut self.sets, key, order, example);
                if let Some(magnitude) = magnitude(value.compared) {
                    *seen.magnitudes.entry(magnitude).or_default() += 1;
                }
            }
        }
        // Of a row of another version not every column has a cause.
        if let Some((at, side)) = self.newer_by(&unexplained, values) {
            for at in unexplained {
                self.counts[at].newer += 1;
            }
            count(&mut self.newer, (at, side), order, || {
                example(key, show(at))
            });
        }
    }

    fn count_nulls(
        &mut self,
        at: usize,
        value: &Observed<'_>,
        order: u128,
        example: &impl Fn() -> shared::outcome::CauseExample,
    ) {
        let is_null = value.compared.map(is_null);
        let counts = &mut self.counts[at];
        counts.null.source += u64::from(is_null.source);
        counts.null.target += u64::from(is_null.target);
        let lost = match (is_null.source, is_null.target) {
            (true, false) => &mut counts.lost.source,
            (false, true) => &mut counts.lost.target,
            _ => return,
        };
        counts.filled[usize::from(is_null.target)] += 1;
        let mut one = Seen::none(order, example());
        one.rows = 1;
        *lost = Some(match lost.take() {
            Some(seen) => seen.merged(one),
            None => one,
        });
    }

    /// Counts the value that a side has where the other one has NULL.
    fn count_constant(
        &mut self,
        at: usize,
        compared: Pair<&[u8]>,
        order: u128,
        example: &impl Fn() -> shared::outcome::CauseExample,
    ) {
        let Pair { source, target } = compared;
        let (filled, value) = match (is_null(source), is_null(target)) {
            (true, false) => (Filled::Target, target),
            (false, true) => (Filled::Source, source),
            _ => return,
        };
        let of_column =
            |(other, side, _): &&(usize, Filled, Vec<u8>)| (*other, *side) == (at, filled);
        if value.len() > LONGEST_CONSTANT {
            return;
        }
        let key = (at, filled, value.to_vec());
        if self.constants.contains_key(&key)
            || self.constants.keys().filter(of_column).count() < MOST_CONSTANTS
        {
            count(&mut self.constants, key, order, example);
        }
    }

    /// The column by which the row is newer on one side, and the older side, unless
    /// another column contradicts it.
    fn newer_by(&self, unexplained: &[usize], values: &[Observed<'_>]) -> Option<(usize, Damaged)> {
        let mut older_sides = unexplained
            .iter()
            .filter(|at| is_version(&self.columns[**at].source.name))
            .filter_map(|&at| {
                let Pair { source, target } = values[at].compared;
                Some((at, older(source, target)?))
            });
        let first = older_sides.next()?;
        older_sides
            .all(|(_, side)| side == first.1)
            .then_some(first)
    }

    /// The groups, the most frequent first, at most [`MOST_GROUPS`] and one more for the rest.
    pub(crate) fn finish(mut self) -> Vec<CauseGroup> {
        let mut by_column: BTreeMap<usize, Vec<(Vec<Fit>, Seen)>> = BTreeMap::new();
        for ((at, fits), seen) in std::mem::take(&mut self.sets) {
            by_column.entry(at).or_default().push((fits, seen));
        }
        // With the position of the column and of the first row, which order groups of equal size.
        let mut groups: Vec<(usize, u128, CauseGroup)> = Vec::new();
        for at in 0..self.columns.len() {
            let sets = by_column.remove(&at).unwrap_or_default();
            groups.extend(self.groups_of(at, sets));
        }
        for (at, _, group) in &mut groups {
            group.examined = self.counts[*at].differing;
        }
        let newer = std::mem::take(&mut self.newer);
        groups.extend(newer.into_iter().map(|((at, older), seen)| {
            let explanation = format!(
                "the row is newer in the {} according to {}",
                older.other().word(),
                self.columns[at].source.name
            );
            let first = seen.first;
            let group = CauseGroup {
                examined: self.rows,
                ..seen.group("row-newer", explanation)
            };
            (at, first, group)
        }));
        listed(groups)
    }

    fn groups_of(&self, at: usize, sets: Vec<(Vec<Fit>, Seen)>) -> Vec<(usize, u128, CauseGroup)> {
        if self.every_row
            && let Some(lost) = self.lost_values(at, true)
        {
            return vec![lost];
        }
        let counts = &self.counts[at];
        let column = &self.columns[at];
        let mut groups = self.constants_of(at);
        for explained in grouped(sets, counts.differing - counts.newer) {
            let first = explained.seen.first;
            groups.extend(explained.into_group(column).map(|group| (at, first, group)));
        }
        if groups.is_empty() {
            groups.extend(self.lost_values(at, false));
        }
        groups
    }

    /// The group of a column that one side has no values of: in all rows of the table
    /// with `everywhere`, otherwise in nearly all rows in which it differs.
    fn lost_values(&self, at: usize, everywhere: bool) -> Option<(usize, u128, CauseGroup)> {
        let counts = &self.counts[at];
        let sides = [
            (Damaged::Target, counts.null.target, &counts.lost.target),
            (Damaged::Source, counts.null.source, &counts.lost.source),
        ];
        sides.into_iter().find_map(|(side, null, lost)| {
            let seen = lost.clone()?;
            let mut support = Support::default();
            support.add(Weight::Much, seen.rows);
            if !support.suffices(counts.differing) || (everywhere && null < self.rows) {
                return None;
            }
            let word = side.word();
            let column = &self.columns[at];
            let (has_values, is_computed) = match side {
                Damaged::Target => ("source", column.source.computed),
                Damaged::Source => ("target", column.target.computed),
            };
            let mut explanation = if everywhere {
                format!("every {word} value is NULL")
            } else {
                format!("NULL in the {word} where the {has_values} has a value")
            };
            if is_computed {
                explanation += &format!("; it is computed in the {has_values}");
            }
            let cause = match side {
                Damaged::Target => "null-in-target",
                Damaged::Source => "null-in-source",
            };
            let first = seen.first;
            let group = CauseGroup {
                column: Some(column.source.name.clone()),
                ..seen.group(cause, explanation)
            };
            Some((at, first, group))
        })
    }

    /// The group of a column in which NULL and one value stand for each other.
    fn constants_of(&self, at: usize) -> Vec<(usize, u128, CauseGroup)> {
        let mut groups = Vec::new();
        for (filled, name) in [
            (Filled::Target, "null-became-value"),
            (Filled::Source, "value-became-null"),
        ] {
            let of_column = self
                .constants
                .iter()
                .filter(|((other, side, _), _)| (*other, *side) == (at, filled));
            let most = of_column.max_by_key(|((_, _, value), seen)| (seen.rows, Reverse(value)));
            let Some(((_, _, value), seen)) = most else {
                continue;
            };
            let json = to_json(value);
            let text = json.to_string();
            // That a number of one digit or a boolean recurs is likely.
            let weight = if text.trim_matches('"').len() >= 3 && !json.is_boolean() {
                Weight::Most
            } else {
                Weight::Much
            };
            let mut support = Support::default();
            support.add(weight, seen.rows);
            let all = self.counts[at].filled[usize::from(filled == Filled::Source)];
            if !support.suffices(all) {
                continue;
            }
            let what = if self.is_hidden(at) {
                "one and the same value".to_owned()
            } else {
                text
            };
            let explanation = match filled {
                Filled::Target => format!("NULL in the source is {what} in the target"),
                Filled::Source => format!("{what} in the source is NULL in the target"),
            };
            let group = CauseGroup {
                column: Some(self.columns[at].source.name.clone()),
                ..seen.clone().group(name, explanation)
            };
            groups.push((at, seen.first, group));
        }
        groups
    }
}

/// The groups in order, and the rest as one more.
fn listed(mut groups: Vec<(usize, u128, CauseGroup)>) -> Vec<CauseGroup> {
    groups.sort_by(|(a, first_a, left), (b, first_b, right)| {
        (Reverse(left.rows), a, first_a, &left.cause).cmp(&(
            Reverse(right.rows),
            b,
            first_b,
            &right.cause,
        ))
    });
    let mut groups = groups.into_iter().map(|(_, _, group)| group);
    let mut listed: Vec<CauseGroup> = groups.by_ref().take(MOST_GROUPS).collect();
    let rest = groups.map(|group| {
        let mut seen = Seen::none(0, group.example);
        seen.rows = group.rows;
        seen
    });
    listed.extend(rest.reduce(Seen::merged).map(|seen| {
        let explanation = "explained by further causes, each of few rows".to_owned();
        seen.group("others", explanation)
    }));
    listed
}

/// Every cause that fits two values in one of their forms, the most specific first.
fn fits(value: &Observed<'_>, column: &PlannedColumn) -> Vec<Fit> {
    let mut fits: Vec<Fit> = Vec::new();
    for pair in std::iter::once(&value.compared).chain(&value.stored) {
        if pair.source == pair.target {
            continue;
        }
        fits.extend(weighed(pair, column));
    }
    fits.sort_by_key(|fit| (fit.cause.rank(), Reverse(fit.weight)));
    fits.dedup_by_key(|fit| fit.cause);
    fits
}

/// Every cause that fits two values, with its weight.
pub(crate) fn weighed(pair: &Pair<&[u8]>, column: &PlannedColumn) -> Vec<Fit> {
    let (Some(source), Some(target)) = (try_decode(pair.source), try_decode(pair.target)) else {
        return Vec::new();
    };
    let found = causes(&source, &target).into_iter();
    found
        .map(|cause| Fit {
            cause,
            weight: weigh(cause, &source, &target, column),
        })
        .collect()
}

fn is_null(value: &[u8]) -> bool {
    value == [Tag::Null as u8]
}

/// The power of ten of the larger of two numbers.
fn magnitude(compared: Pair<&[u8]>) -> Option<i32> {
    let of = |value: &[u8]| match try_decode(value)? {
        value @ (Value::Int(_) | Value::Decimal(_) | Value::Float64(_) | Value::Float32(_)) => {
            let number: f64 = value.into_text().parse().ok()?;
            number.is_finite().then_some(number.abs())
        }
        _ => None,
    };
    let larger = of(compared.source)?.max(of(compared.target)?);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the exponent of a float has at most 3 digits"
    )]
    Some(if larger == 0.0 {
        i32::MIN
    } else {
        larger.log10().floor() as i32
    })
}

/// Whether a column of this name stores the time or number of changes of its row.
fn is_version(name: &str) -> bool {
    const PARTS: [&str; 9] = [
        "updated",
        "modified",
        "changed",
        "lastupd",
        "lastmod",
        "lastchange",
        "lastwrite",
        "rowversion",
        "rowver",
    ];
    const WHOLE: [&str; 7] = [
        "version",
        "versionno",
        "versionnumber",
        "recordversion",
        "lockversion",
        "revision",
        "rev",
    ];
    let plain: String = name
        .chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect();
    PARTS.iter().any(|part| plain.contains(part)) || WHOLE.contains(&plain.as_str())
}

/// The side with the smaller value, if values of this type can be versions.
fn older(source: &[u8], target: &[u8]) -> Option<Damaged> {
    let order = match (try_decode(source)?, try_decode(target)?) {
        (Value::Int(a), Value::Int(b)) => a.cmp(&b),
        (Value::Date(a), Value::Date(b)) => a.cmp(&b),
        (Value::Timestamp(a), Value::Timestamp(b)) | (Value::Instant(a), Value::Instant(b)) => {
            a.units.cmp(&b.units)
        }
        // `rowversion`: eight bytes, big-endian.
        (Value::Bytes(a), Value::Bytes(b)) if a.len() == 8 && b.len() == 8 => a.cmp(&b),
        _ => return None,
    };
    match order {
        std::cmp::Ordering::Less => Some(Damaged::Source),
        std::cmp::Ordering::Greater => Some(Damaged::Target),
        std::cmp::Ordering::Equal => None,
    }
}
