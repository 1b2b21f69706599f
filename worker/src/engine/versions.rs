//! Which rows both sides have now under keys that are known.

use super::Stop;
use super::fetch::look_ups;
use super::reconcile::{Planned, Sides};
use super::scan::Query;
use super::side::{OpenSide, both};
use super::sinks::{KeySet, VersionSink};
use super::watched::Versions;

/// What both sides have under these keys, each with its encoded columns; at most
/// `at_once` are looked up at once. A key that is on neither side although a
/// look-up could have missed it is looked for in a pass over all rows: that both
/// have lost a row is how a difference may have ended.
pub(super) async fn look_up_versions(
    sides: Sides,
    planned: &Planned,
    keys: &[(u128, Vec<u8>)],
    at_once: usize,
) -> Result<(Sides, Versions, Versions), Stop> {
    let queries = |side: &OpenSide, table| -> Vec<(Query, KeySet)> {
        let statements = side.statements(table, &planned.plan);
        keys.chunks(at_once)
            .flat_map(|keys| look_ups(&statements, keys))
            .collect()
    };
    let left = queries(&sides.source, &planned.source);
    let right = queries(&sides.target, &planned.target);
    let (sides, left, right) = read_both(sides, planned, left, right).await?;
    let source = sides.source.statements(&planned.source, &planned.plan);
    let target = sides.target.statements(&planned.target, &planned.plan);
    let is_in_doubt = keys.iter().any(|(key, bytes)| {
        let is_gone = !left.contains_key(key) && !right.contains_key(key);
        is_gone && !(source.finds(bytes) && target.finds(bytes))
    });
    if is_in_doubt {
        let keys = keys.iter().map(|(key, _)| *key).collect();
        return find_versions(sides, planned, &keys).await;
    }
    Ok((sides, left, right))
}

/// The same in one pass over all rows.
pub(super) async fn find_versions(
    sides: Sides,
    planned: &Planned,
    keys: &KeySet,
) -> Result<(Sides, Versions, Versions), Stop> {
    let query = |side: &OpenSide, table| {
        let statements = side.statements(table, &planned.plan);
        vec![(statements.scan(), keys.clone())]
    };
    let left = query(&sides.source, &planned.source);
    let right = query(&sides.target, &planned.target);
    read_both(sides, planned, left, right).await
}

async fn read_both(
    sides: Sides,
    planned: &Planned,
    left: Vec<(Query, KeySet)>,
    right: Vec<(Query, KeySet)>,
) -> Result<(Sides, Versions, Versions), Stop> {
    let form = planned.plan.key_form;
    let read = |side: OpenSide, queries: Vec<(Query, KeySet)>| async move {
        let mut side = side;
        let mut all = Versions::default();
        for (query, wanted) in queries {
            let sink;
            (side, sink) = side.scan(&query, VersionSink::new(form, wanted)).await?;
            all.extend(sink.into_versions());
        }
        Ok((side, all))
    };
    let Sides {
        source,
        target,
        stop,
    } = sides;
    let read = both(read(source, left), read(target, right), &stop);
    let ((source, left), (target, right)) = read.await?;
    let sides = Sides {
        source,
        target,
        stop,
    };
    Ok((sides, left, right))
}
