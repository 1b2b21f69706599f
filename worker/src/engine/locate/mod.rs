//! Finds the differing columns of the rows that are listed, and sends them.

pub(crate) mod cause;
pub(crate) mod redact;
pub(crate) mod shown;
pub(crate) mod stored;

use serde_json::{Map, Value as Json};
use shared::outcome::{CauseGroup, ColumnDifference, Difference, DifferenceKind, RowCounts};

use crate::engine::error::{disk, malformed};
use crate::engine::fetch::Rows;
use crate::engine::fetch::located::{LocatedRow, values};
use crate::engine::locate::cause::keys::KeyPairs;
use crate::engine::locate::cause::tally::CauseTally;
use crate::engine::locate::redact::Redactor;
use crate::engine::locate::shown::{LITTLE, USUAL};
use crate::engine::locate::stored::StoredForms;
use crate::engine::plan::Plan;
use crate::engine::rows::difference::RowDifference;
use crate::engine::rows::differing::Differing;
use crate::engine::step::StepContext;
use crate::engine::task::{FindingBatch, Stop, TaskContext};
use crate::engine::tolerate::nearness::counts_as_equal;
use crate::engine::values::canonical::Values;
use crate::engine::values::column::SideOf;
use crate::engine::values::pair::Pair;

/// Differences sent at once.
const BATCH: usize = 200;

/// Bytes of differences sent at once, unless one difference has more.
const BATCH_BYTES: usize = 256 * 1024;

/// Bytes of a difference from which on little of each further value is rendered. So a
/// difference of more than a thousand columns is smaller than a message may be.
const MUCH: usize = 128 * 1024;

/// Reads the rows of `listed` and sends their differences, a chunk at a time.
/// Differences are sent in the order of their keys, unless there are so many that
/// they are found in a pass over the table. Values leave as `redactor` renders
/// them. Returns the causes that explain the rows. `counts` has all differences,
/// also those that are not listed.
pub(crate) async fn locate(
    step: &mut StepContext<'_>,
    listed: Vec<RowDifference>,
    counts: RowCounts,
    redactor: &Redactor,
) -> Result<Vec<CauseGroup>, Stop> {
    let plan = &step.planned.plan;
    let forms = StoredForms::of(plan);
    let has_other_key = forms.has_any(plan.key_columns);
    // Of a row on one side only the key is reported, which most elements carry.
    let is_key_enough = |difference: &RowDifference| {
        difference.kind() != DifferenceKind::Modified
            && plan.key_columns > 0
            && !has_other_key
            && plan.key_form.carried(difference.key).is_some()
    };
    let mut to_read = Differing::all(0, step.budget);
    let mut known = Vec::new();
    for difference in listed {
        if is_key_enough(&difference) {
            known.push(difference);
        } else {
            to_read.push(difference).map_err(disk)?;
        }
    }
    let mut known = known.into_iter().peekable();
    let by_key = |difference: RowDifference| LocatedRow {
        difference,
        key: plan.key_form.carried(difference.key).unwrap_or_default(),
        source: None,
        target: None,
    };
    let mut outbox = Outbox::new(step, counts, redactor, &forms);
    if !to_read.is_empty() {
        let mut rows = Rows::open(step, &forms.projection(), &to_read).await?;
        loop {
            let chunk = rows.next(step).await?;
            if chunk.is_empty() {
                break;
            }
            for row in chunk {
                while let Some(before) = known.next_if(|known| *known < row.difference) {
                    outbox.put(&by_key(before)).await?;
                }
                outbox.put(&row).await?;
            }
        }
    }
    for difference in known {
        outbox.put(&by_key(difference)).await?;
    }
    outbox.finish().await
}

/// The same for all rows of `differing`, which may be more than fit in memory.
pub(crate) async fn locate_all(
    step: &mut StepContext<'_>,
    differing: &Differing,
    redactor: &Redactor,
) -> Result<Vec<CauseGroup>, Stop> {
    let forms = StoredForms::of(&step.planned.plan);
    let mut outbox = Outbox::new(step, differing.counts(), redactor, &forms);
    let mut rows = Rows::open(step, &forms.projection(), differing).await?;
    loop {
        let chunk = rows.next(step).await?;
        if chunk.is_empty() {
            break;
        }
        for row in chunk {
            outbox.put(&row).await?;
        }
    }
    outbox.finish().await
}

/// Described rows that have not been sent.
struct Outbox<'a> {
    plan: &'a Plan,
    context: &'a TaskContext,
    redactor: &'a Redactor,
    forms: &'a StoredForms,
    tally: CauseTally<'a>,
    keys: KeyPairs<'a>,
    batch: Vec<Difference>,
    /// About the bytes of `batch`.
    bytes: usize,
}

impl<'a> Outbox<'a> {
    fn new(
        step: &StepContext<'a>,
        counts: RowCounts,
        redactor: &'a Redactor,
        forms: &'a StoredForms,
    ) -> Self {
        let plan = &step.planned.plan;
        Self {
            plan,
            context: step.task,
            redactor,
            forms,
            tally: CauseTally::new(&plan.columns)
                .hiding(redactor.hidden())
                .of_whole_table(counts.total() + counts.modified == step.rows),
            keys: KeyPairs::new(&plan.columns[..plan.key_columns]),
            batch: Vec::new(),
            bytes: 0,
        }
    }

    /// Sends the last rows. Returns the causes that explain the rows.
    async fn finish(mut self) -> Result<Vec<CauseGroup>, Stop> {
        self.send().await?;
        let mut causes = self.keys.finish();
        causes.extend(self.tally.finish());
        Ok(causes)
    }

    async fn put(&mut self, row: &LocatedRow) -> Result<(), Stop> {
        let difference = self.describe(row)?;
        let bytes = size_of_difference(&difference);
        if self.bytes + bytes > BATCH_BYTES {
            self.send().await?;
        }
        self.bytes += bytes;
        self.batch.push(difference);
        if self.batch.len() == BATCH {
            self.send().await?;
        }
        Ok(())
    }

    fn describe(&mut self, row: &LocatedRow) -> Result<Difference, Stop> {
        let (plan, redactor) = (self.plan, self.redactor);
        let mut key = Map::new();
        let key_columns = plan.columns[..plan.key_columns].iter().enumerate();
        for (value, (at, column)) in Values::new(&row.key).zip(key_columns) {
            let value = value.map_err(malformed)?;
            key.insert(column.source.name.clone(), redactor.key_value(at, value));
        }
        let source = row.source.as_deref().map(values).transpose()?;
        let target = row.target.as_deref().map(values).transpose()?;
        let (mut columns, mut bytes) = (Vec::new(), 0);
        for (at, column) in plan.columns.iter().enumerate() {
            let differs = match (&source, &target) {
                (Some(source), Some(target)) => {
                    !counts_as_equal(source.get(at).copied(), target.get(at).copied(), column)
                }
                // Of a missing or extra row the key is enough; without a key, all columns are reported.
                (Some(_), None) | (None, Some(_)) => plan.key_columns == 0,
                (None, None) => false,
            };
            if differs {
                let extent = if bytes < MUCH { USUAL } else { LITTLE };
                let (source, target) = (value_at(&source, at), value_at(&target, at));
                let (source, target) = redactor.pair_within(extent, at, source, target);
                let difference = ColumnDifference {
                    name: column.source.name.clone(),
                    source,
                    target,
                };
                bytes += size_of_column(&difference);
                columns.push(difference);
            }
        }
        match (row.difference.kind(), &source, &target) {
            (DifferenceKind::Modified, Some(source), Some(target)) => {
                let sides: Pair<&[&[u8]]> = Pair { source, target };
                let observed = self.forms.observed(&plan.columns, sides);
                self.tally
                    .observe(row.difference.key, &key, &observed, |at| {
                        redactor.pair(at, source.get(at).copied(), target.get(at).copied())
                    });
            }
            (DifferenceKind::Modified, ..) => {}
            (kind, ..) => {
                let values = self.key_values(row, &source, &target)?;
                self.keys.add(kind, row.difference.key, &key, values);
            }
        }
        Ok(Difference {
            kind: row.difference.kind(),
            key,
            columns,
        })
    }

    /// The key's values as the side that has the row stores them.
    fn key_values(
        &self,
        row: &LocatedRow,
        source: &Option<Vec<&[u8]>>,
        target: &Option<Vec<&[u8]>>,
    ) -> Result<Vec<Vec<u8>>, Stop> {
        let stored = match (source, target) {
            (Some(values), _) => Some((SideOf::Source, values)),
            (_, Some(values)) => Some((SideOf::Target, values)),
            _ => None,
        };
        let Some((side, values)) = stored else {
            let values = Values::new(&row.key).map(|value| value.map(<[u8]>::to_vec));
            return values.collect::<Result<_, _>>().map_err(malformed);
        };
        let exact = |at| Some(self.forms.exact(side, at, values)?.to_vec());
        Ok((0..self.plan.key_columns).filter_map(exact).collect())
    }

    async fn send(&mut self) -> Result<(), Stop> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let batch = std::mem::take(&mut self.batch);
        self.bytes = 0;
        self.context.send(FindingBatch::Rows(batch)).await
    }
}

/// About the bytes of a difference in a message.
fn size_of_difference(difference: &Difference) -> usize {
    let key = difference.key.iter();
    let key: usize = key.map(|(name, value)| name.len() + size_of(value)).sum();
    key + difference.columns.iter().map(size_of_column).sum::<usize>()
}

fn size_of_column(column: &ColumnDifference) -> usize {
    column.name.len() + size_of(&column.source) + size_of(&column.target)
}

fn size_of(value: &Json) -> usize {
    // Quotation marks, and the names of fields.
    32 + value.as_str().map_or(0, str::len)
}

fn value_at<'a>(values: &Option<Vec<&'a [u8]>>, at: usize) -> Option<&'a [u8]> {
    values.as_ref()?.get(at).copied()
}
