//! Names the differing columns of the rows that are listed, and sends them on.

pub(crate) mod cause;
pub(crate) mod redact;
pub(crate) mod shown;

use serde_json::Map;
use shared::outcome::{CauseGroup, ColumnDifference, Difference, DifferenceKind};

use crate::engine::disk::Room;
use crate::engine::error::{disk, malformed};
use crate::engine::fetch::located::{LocatedRow, values};
use crate::engine::fetch::{Projection, Rows};
use crate::engine::locate::cause::tally::CauseTally;
use crate::engine::locate::redact::Redactor;
use crate::engine::rows::difference::RowDifference;
use crate::engine::rows::differing::Differing;
use crate::engine::sides::{Planned, Sides};
use crate::engine::task::{Found, Stop, TaskContext};
use crate::engine::tolerate::nearness::counts_as_equal;
use crate::engine::values::canonical::Values;

/// Differences sent at once.
const BATCH: usize = 200;

/// Reads the rows of `listed`, at most `chunk` at once, and sends what differs
/// in them. Rows come from the databases, are described and are forgotten a
/// chunk at a time. Differences are sent in the order of their keys, but for
/// very many that are found in a pass over the table. Values leave as
/// `redactor` shows them. Returns what explains the rows.
pub(crate) async fn locate(
    sides: Sides,
    planned: &Planned,
    listed: Vec<RowDifference>,
    chunk: usize,
    room: &Room,
    redactor: &Redactor,
    context: &TaskContext,
) -> Result<(Sides, Vec<CauseGroup>), Stop> {
    let plan = &planned.plan;
    // Of a row on one side only the key is told, which most elements carry.
    let is_known = |difference: &RowDifference| {
        difference.kind() != DifferenceKind::Modified
            && plan.key_columns > 0
            && plan.key_form.carried(difference.key).is_some()
    };
    let mut unknown = Differing::all(0, room);
    let mut known = Vec::new();
    for difference in listed {
        if is_known(&difference) {
            known.push(difference);
        } else {
            unknown.push(difference).map_err(disk)?;
        }
    }
    let mut known = known.into_iter().peekable();
    let by_key = |difference: RowDifference| LocatedRow {
        difference,
        key: plan.key_form.carried(difference.key).unwrap_or_default(),
        source: None,
        target: None,
    };
    let mut outbox = Outbox {
        planned,
        context,
        redactor,
        tally: CauseTally::new(&plan.columns).hiding(redactor.hidden()),
        batch: Vec::new(),
    };
    let mut sides = sides;
    if !unknown.is_empty() {
        let projection = Projection::Compared;
        let mut rows;
        (sides, rows) = Rows::open(sides, planned, &projection, &unknown, chunk, room).await?;
        loop {
            let chunk;
            (sides, chunk) = rows.next(sides).await?;
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
    outbox.send().await?;
    Ok((sides, outbox.tally.finish()))
}

/// Described rows that have not been sent.
struct Outbox<'a> {
    planned: &'a Planned,
    context: &'a TaskContext,
    redactor: &'a Redactor,
    tally: CauseTally<'a>,
    batch: Vec<Difference>,
}

impl Outbox<'_> {
    async fn put(&mut self, row: &LocatedRow) -> Result<(), Stop> {
        let difference = self.describe(row)?;
        self.batch.push(difference);
        if self.batch.len() == BATCH {
            self.send().await?;
        }
        Ok(())
    }

    fn describe(&mut self, row: &LocatedRow) -> Result<Difference, Stop> {
        let (plan, redactor) = (&self.planned.plan, self.redactor);
        let mut key = Map::new();
        let key_columns = plan.columns[..plan.key_columns].iter().enumerate();
        for (value, (at, column)) in Values::new(&row.key).zip(key_columns) {
            let value = value.map_err(|error| malformed(&error))?;
            key.insert(column.source.name.clone(), redactor.key_value(at, value));
        }
        let left = row.source.as_deref().map(values).transpose()?;
        let right = row.target.as_deref().map(values).transpose()?;
        let mut columns = Vec::new();
        for (at, column) in plan.columns.iter().enumerate() {
            let differs = match (&left, &right) {
                (Some(left), Some(right)) => {
                    !counts_as_equal(left.get(at).copied(), right.get(at).copied(), column)
                }
                // A row without a key is shown whole; of a missing or extra row the key is enough.
                (Some(_), None) | (None, Some(_)) => plan.key_columns == 0,
                (None, None) => false,
            };
            if differs {
                let (source, target) = redactor.pair(at, value_at(&left, at), value_at(&right, at));
                columns.push(ColumnDifference {
                    name: column.source.name.clone(),
                    source,
                    target,
                });
            }
        }
        if let (DifferenceKind::Modified, Some(left), Some(right)) =
            (row.difference.kind(), &left, &right)
        {
            self.tally
                .observe(row.difference.key, &key, left, right, |at| {
                    redactor.pair(at, left.get(at).copied(), right.get(at).copied())
                });
        }
        Ok(Difference {
            kind: row.difference.kind(),
            key,
            columns,
        })
    }

    async fn send(&mut self) -> Result<(), Stop> {
        if self.batch.is_empty() {
            return Ok(());
        }
        // Nobody listens any more: the work is not wanted.
        self.context
            .findings
            .send(Found::Rows(std::mem::take(&mut self.batch)))
            .await
            .map_err(|_| Stop::Cancelled)
    }
}

fn value_at<'a>(values: &Option<Vec<&'a [u8]>>, at: usize) -> Option<&'a [u8]> {
    values.as_ref()?.get(at).copied()
}
