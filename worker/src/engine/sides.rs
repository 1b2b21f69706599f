//! The two sides of a running comparison as one value.

use std::time::Instant;

use shared::message::TableSpec;
use shared::outcome::Reads;
use tokio_util::sync::CancellationToken;

use crate::engine::database::filter::condition;
use crate::engine::database::side::{OpenSide, both};
use crate::engine::database::statement;
use crate::engine::plan::Plan;
use crate::engine::task::Stop;
use crate::engine::values::canonical::RowSink;
use crate::engine::values::column::Table;

/// The two sides of a running comparison.
pub(crate) struct Sides {
    pub(crate) source: OpenSide,
    pub(crate) target: OpenSide,
    pub(crate) stop: CancellationToken,
}

impl Sides {
    /// How and when both were read so far.
    pub(crate) fn reads(&self) -> Box<Reads> {
        Box::new(Reads {
            source: self.source.read(),
            target: self.target.read(),
        })
    }

    pub(crate) async fn close(self) {
        tokio::join!(self.source.close(), self.target.close());
    }
}

/// The tables and what is compared of them.
pub(crate) struct Planned {
    pub(crate) source: Table,
    pub(crate) target: Table,
    pub(crate) plan: Plan,
    /// Rows of both sides together, once they have been read.
    pub(crate) rows: u64,
}

pub(crate) async fn describe(
    sides: Sides,
    spec: &TableSpec,
) -> Result<(Sides, Table, Table), Stop> {
    let Sides {
        source,
        target,
        stop,
    } = sides;
    let (left, right) = (spec.source.table.clone(), spec.target.table.clone());
    let described = both(
        async move { source.describe(&left).await },
        async move { target.describe(&right).await },
        &stop,
    );
    let ((source, mut left), (target, mut right)) = described.await?;
    let options = &spec.options;
    let filters = &options.filters;
    left.condition = condition(source.engine(), &left, filters.source.as_deref(), None)?;
    right.condition = condition(
        target.engine(),
        &right,
        filters.target.as_deref(),
        options.soft_delete.as_ref(),
    )?;
    Ok((
        Sides {
            source,
            target,
            stop,
        },
        left,
        right,
    ))
}

pub(crate) async fn count(
    sides: Sides,
    source_table: &Table,
    target_table: &Table,
) -> Result<(Sides, u64, u64), Stop> {
    let Sides {
        source,
        target,
        stop,
    } = sides;
    let left = statement::count(source.engine(), source_table);
    let right = statement::count(target.engine(), target_table);
    let counted = both(source.count(left), target.count(right), &stop);
    let ((source, left), (target, right)) = counted.await?;
    Ok((
        Sides {
            source,
            target,
            stop,
        },
        left,
        right,
    ))
}

/// Reads all rows of both sides at the same time, each into its sink.
pub(crate) async fn scan_both<S: RowSink + 'static>(
    sides: Sides,
    planned: &Planned,
    (left, right): (S, S),
) -> Result<(Sides, S, S), Stop> {
    let Sides {
        source,
        target,
        stop,
    } = sides;
    let of_source = source.statements(&planned.source, &planned.plan).scan();
    let of_target = target.statements(&planned.target, &planned.plan).scan();
    let scanned = both(
        async move { source.scan(&of_source, left).await },
        async move { target.scan(&of_target, right).await },
        &stop,
    );
    let ((source, left), (target, right)) = scanned.await?;
    let sides = Sides {
        source,
        target,
        stop,
    };
    Ok((sides, left, right))
}

/// Ends both transactions, waits until `due`, and begins new ones.
pub(crate) async fn wait(sides: Sides, due: Instant) -> Result<Sides, Stop> {
    let Sides {
        source,
        target,
        stop,
    } = sides;
    let (source, target) = both(source.pause(), target.pause(), &stop).await?;
    tokio::select! {
        () = tokio::time::sleep_until(due.into()) => {}
        () = stop.cancelled() => return Err(Stop::Cancelled),
    }
    let (source, target) = both(source.resume(), target.resume(), &stop).await?;
    Ok(Sides {
        source,
        target,
        stop,
    })
}
