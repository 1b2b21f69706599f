//! Counts the causes of the differing rows of a table, and groups them.

use std::cmp::Reverse;
use std::collections::HashMap;

use serde_json::{Map, Value as Json};
use shared::outcome::{CauseExample, CauseGroup};

use crate::engine::locate::cause::causes;
use crate::engine::locate::cause::damage::{Cause, Damaged};
use crate::engine::plan::PlannedColumn;
use crate::engine::values::value::{Value, try_decode};

/// The largest number of groups; the rest is one more group.
pub(crate) const MOST_GROUPS: usize = 100;

/// The largest number of sets of causes that are kept. Each has an example.
const MOST_SETS: usize = 4096;

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
    sets: HashMap<(usize, Vec<Cause>), Seen>,
    /// Rows that are newer on one side, by the column that shows it and the older side.
    newer: HashMap<(usize, Damaged), Seen>,
    /// Rows whose set was not kept.
    beyond: Option<Seen>,
}

#[derive(Debug)]
struct Seen {
    rows: u64,
    /// The position of the example in the order of the rows.
    first: u128,
    example: CauseExample,
}

impl<'a> CauseTally<'a> {
    pub(crate) fn new(columns: &'a [PlannedColumn]) -> Self {
        Self {
            columns,
            hidden: &[],
            sets: HashMap::new(),
            newer: HashMap::new(),
            beyond: None,
        }
    }

    /// With the redacted columns, by position: their causes must reveal no value.
    pub(crate) fn hiding(self, hidden: &'a [bool]) -> Self {
        Self { hidden, ..self }
    }

    /// Adds one modified row: its rendered key, and both versions as encoded values
    /// in the order of the columns. `show` renders the values of a column for an
    /// example. The row that is first by `order` is the example of its group, in
    /// whatever order rows are added.
    pub(crate) fn observe<V: AsRef<[u8]>>(
        &mut self,
        order: u128,
        key: &Map<String, Json>,
        source: &[V],
        target: &[V],
        show: impl Fn(usize) -> (Json, Json),
    ) {
        let example = |at: usize| {
            let (source, target) = show(at);
            CauseExample {
                key: key.clone(),
                source,
                target,
            }
        };
        let mut unexplained = Vec::new();
        for (at, (left, right)) in source.iter().zip(target).enumerate() {
            let (left, right) = (left.as_ref(), right.as_ref());
            if left == right {
                continue;
            }
            let mut fitting = causes(left, right);
            if self.hidden.get(at).is_some_and(|hidden| *hidden) {
                fitting = fitting.into_iter().map(Cause::redacted).collect();
            }
            if fitting.is_empty() {
                unexplained.push(at);
                continue;
            }
            let key = (at, fitting);
            if self.sets.len() < MOST_SETS || self.sets.contains_key(&key) {
                count(&mut self.sets, key, order, || example(at));
            } else {
                let none = || Seen::none(order, example(at));
                self.beyond.get_or_insert_with(none).rows += 1;
            }
        }
        // Of a row of another version not every column has a cause.
        if let Some((at, side)) = self.newer_by(&unexplained, source, target) {
            count(&mut self.newer, (at, side), order, || example(at));
        }
    }

    /// The column by which the row is newer on one side, and the older side, unless
    /// another column contradicts it.
    fn newer_by<V: AsRef<[u8]>>(
        &self,
        unexplained: &[usize],
        source: &[V],
        target: &[V],
    ) -> Option<(usize, Damaged)> {
        let mut older_sides = unexplained
            .iter()
            .filter(|at| is_version(&self.columns[**at].source.name))
            .filter_map(|&at| {
                let older = older(source[at].as_ref(), target[at].as_ref())?;
                Some((at, older))
            });
        let first = older_sides.next()?;
        older_sides
            .all(|(_, side)| side == first.1)
            .then_some(first)
    }

    /// The groups, the most frequent first, at most [`MOST_GROUPS`] and one more for the rest.
    pub(crate) fn finish(self) -> Vec<CauseGroup> {
        let mut by_column: HashMap<usize, Vec<(Vec<Cause>, Seen)>> = HashMap::new();
        for ((at, fitting), seen) in self.sets {
            by_column.entry(at).or_default().push((fitting, seen));
        }
        // With the position of the column and of the first row, which order groups of equal size.
        let mut groups: Vec<(usize, u128, CauseGroup)> = Vec::new();
        for (at, sets) in by_column {
            let column = &self.columns[at];
            groups.extend(cover(sets).into_iter().map(|(cause, seen)| {
                let first = seen.first;
                let group = CauseGroup {
                    column: Some(column.source.name.clone()),
                    option: cause.option(column),
                    ..seen.group(cause.name(), cause.explanation())
                };
                (at, first, group)
            }));
        }
        groups.extend(self.newer.into_iter().map(|((at, older), seen)| {
            let explanation = format!(
                "the row is newer in the {} according to {}",
                older.other().word(),
                self.columns[at].source.name
            );
            (at, seen.first, seen.group("row-newer", explanation))
        }));
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
        let rest = groups.map(|group| Seen {
            rows: group.rows,
            first: 0,
            example: group.example,
        });
        listed.extend(rest.chain(self.beyond).reduce(Seen::merged).map(|seen| {
            let explanation = "explained by further causes, each of few rows".to_owned();
            seen.group("others", explanation)
        }));
        listed
    }
}

impl Seen {
    fn none(first: u128, example: CauseExample) -> Self {
        let rows = 0;
        Self {
            rows,
            first,
            example,
        }
    }

    fn group(self, cause: &str, explanation: String) -> CauseGroup {
        CauseGroup {
            column: None,
            cause: cause.to_owned(),
            explanation,
            rows: self.rows,
            example: self.example,
            option: None,
        }
    }

    /// Both together, with the first example; the own one, if both are equally early.
    fn merged(self, other: Self) -> Self {
        let rows = self.rows + other.rows;
        let earlier = if self.first <= other.first {
            self
        } else {
            other
        };
        Self { rows, ..earlier }
    }
}

fn count<K: std::hash::Hash + Eq>(
    seen: &mut HashMap<K, Seen>,
    key: K,
    order: u128,
    example: impl Fn() -> CauseExample,
) {
    let none = || Seen::none(order, example());
    let seen = seen.entry(key).or_insert_with(none);
    seen.rows += 1;
    if order < seen.first {
        seen.first = order;
        seen.example = example();
    }
}

/// Assigns every set to one cause: repeatedly to the cause that fits most of the
/// remaining rows, the most specific one of several.
fn cover(mut sets: Vec<(Vec<Cause>, Seen)>) -> Vec<(Cause, Seen)> {
    let mut groups = Vec::new();
    while !sets.is_empty() && groups.len() <= MOST_GROUPS {
        let mut rows: HashMap<Cause, u64> = HashMap::new();
        for (fitting, seen) in &sets {
            for cause in fitting {
                *rows.entry(*cause).or_default() += seen.rows;
            }
        }
        let Some((best, _)) = rows
            .into_iter()
            .min_by_key(|(cause, rows)| (Reverse(*rows), cause.rank()))
        else {
            break;
        };
        let (taken, left): (Vec<_>, Vec<_>) = sets
            .into_iter()
            .partition(|(fitting, _)| fitting.contains(&best));
        sets = left;
        let seen = taken.into_iter().map(|(_, seen)| seen);
        groups.extend(seen.reduce(Seen::merged).map(|seen| (best, seen)));
    }
    // The remaining sets become part of the last group.
    groups.extend(sets.into_iter().map(|(fitting, seen)| (fitting[0], seen)));
    groups
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
