//! Reads differing rows again, because copies lag: differences that are gone
//! then have settled, and the others are confirmed.

pub(crate) mod confirmed;
pub(crate) mod history;
pub(crate) mod pending;
pub(crate) mod sink;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::engine::database::scan::Query;
use crate::engine::database::side::OpenSide;
use crate::engine::database::statement::SideStatements;
use crate::engine::fetch::{is_looked_up, key_bytes, look_ups, read_hashed_keys};
use crate::engine::recheck::confirmed::Confirmed;
use crate::engine::recheck::pending::{PendingKeys, SeenRows};
use crate::engine::recheck::sink::{SeenSink, WantedKeys};
use crate::engine::rows::differing::Differing;
use crate::engine::rows::keys::{KeyFilter, KeyMap, KeySet};
use crate::engine::step::{StepContext, blocking};
use crate::engine::task::Stop;
use crate::engine::tolerate::nearness::Nearness;
use crate::engine::values::pair::Pair;

/// Average time between two polls of keys whose rows change.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// The fewest polls, however long they take: on a busy database the time limit
/// alone would end polling before anything was read.
const FEWEST_POLLS: u32 = 16;

/// The differences that are confirmed. All pending keys are observed at fixed
/// times after `since`, the end of the survey, each time in new transactions.
///
/// Keys whose rows did not change are confirmed after the last of these times.
/// Keys whose rows changed are polled at short intervals for as long as the
/// first delay, since a row that changes all the time never agrees with its
/// lagging copy, but the copy agrees with what the row was.
///
/// Rows that differ within the tolerances of their columns agree.
pub(crate) async fn recheck(
    step: &mut StepContext<'_>,
    differing: Differing,
    since: Instant,
) -> Result<Differing, Stop> {
    let recheck = step.spec.options.recheck;
    let nearness = Arc::new(Nearness::of(&step.planned.plan));
    let stop = step.sides.stop_token();
    let mut confirmed = Confirmed::new(differing.like(), Arc::clone(&nearness), stop);
    let (is_unique, budget) = (step.planned.is_unique(), step.budget.clone());
    let mut pending = blocking(move || PendingKeys::new(&differing, is_unique, &budget)).await?;
    let mut observer = Observer {
        nearness,
        hashed: None,
    };
    let mut due = since;
    for number in 0..recheck.times {
        if pending.len() == 0 {
            break;
        }
        due += recheck.delay(number);
        step.sides.pause_until(due).await?;
        pending = observer.observe(step, pending).await?;
    }
    (pending, confirmed) = blocking(move || {
        let changing = pending.revise(|_, histories| {
            for (key, history) in histories.extract_if(|_, history| !history.has_changed()) {
                confirmed.take(key, &history)?;
            }
            Ok(())
        })?;
        Ok((changing, confirmed))
    })
    .await?;
    pending = poll(step, &mut observer, pending, recheck.delay(0)).await?;
    blocking(move || {
        pending.revise(|_, histories| {
            for (key, history) in histories.drain() {
                confirmed.take(key, &history)?;
            }
            Ok(())
        })?;
        confirmed.finish()
    })
    .await
}

/// Observes changing keys until they have settled, or until `limit` has passed
/// and they were polled often enough.
async fn poll(
    step: &mut StepContext<'_>,
    observer: &mut Observer,
    mut pending: PendingKeys,
    limit: Duration,
) -> Result<PendingKeys, Stop> {
    let end = Instant::now() + limit;
    let (mut number, mut polls) = (0, 0);
    while pending.len() > 0 && (polls < FEWEST_POLLS || Instant::now() < end) {
        polls += 1;
        // Uneven steps, so that polls do not coincide with periodic changes.
        number = (number + 7) % 11;
        let due = Instant::now() + POLL_INTERVAL * (number + 5) / 10;
        step.sides.pause_until(due).await?;
        pending = observer.observe(step, pending).await?;
    }
    Ok(pending)
}

/// Reads what both sides have under the pending keys.
struct Observer {
    nearness: Arc<Nearness>,
    /// The keys that are carried as hashes, once they have been read. The rows of
    /// a key that neither side had then are gone on both.
    hashed: Option<KeyMap<Vec<u8>>>,
}

impl Observer {
    /// Observes all pending keys once. Returns those that have not settled.
    async fn observe(
        &mut self,
        step: &mut StepContext<'_>,
        pending: PendingKeys,
    ) -> Result<PendingKeys, Stop> {
        let form = step.planned.plan.key_form;
        let has_unread_keys = || {
            if self.hashed.is_some() {
                return Ok(false);
            }
            pending.any(|key| form.carried(key).is_none())
        };
        let seen = if is_looked_up(step, pending.len(), has_unread_keys)? {
            self.look_up(step, &pending).await?
        } else {
            self.scan(step, &pending).await?
        };
        let (nearness, stop) = (Arc::clone(&self.nearness), step.sides.stop_token().clone());
        blocking(move || {
            pending.revise(|slice, histories| {
                let mut versions = seen
                    .as_ref()
                    .map(|seen| seen.versions(slice, histories))
                    .transpose()?;
                let mut settled = Vec::new();
                for (key, history) in &mut *histories {
                    let source = versions.source.remove(key).unwrap_or_default();
                    let target = versions.target.remove(key).unwrap_or_default();
                    if history.observe(source, target, &nearness, &stop)? {
                        settled.push(*key);
                    }
                }
                for key in settled {
                    histories.remove(&key);
                }
                Ok(())
            })
        })
        .await
    }

    /// Looks the pending keys up on both sides. Where a key is on neither side
    /// although a look-up may have missed it, all rows are scanned.
    async fn look_up(
        &mut self,
        step: &mut StepContext<'_>,
        pending: &PendingKeys,
    ) -> Result<Pair<SeenRows>, Stop> {
        let planned = step.planned;
        let form = planned.plan.key_form;
        let hashed = match self.hashed.take() {
            Some(hashed) => hashed,
            None => {
                let mut wanted = KeySet::default();
                for partition in 0..pending.partitions() {
                    let keys = pending.keys(partition)?.into_iter();
                    wanted.extend(keys.filter(|key| form.carried(*key).is_none()));
                }
                read_hashed_keys(step, Pair::of(|_| wanted.clone())).await?
            }
        };
        let mut sinks = Pair::of(|_| SeenSink {
            form,
            nearness: Arc::clone(&self.nearness),
            wanted: WantedKeys::Exact(KeySet::default()),
            seen: SeenRows::new(pending),
        });
        let mut may_miss_rows = false;
        for partition in 0..pending.partitions() {
            // The rows of a hashed key that neither side has any more are gone on both.
            let keys: Vec<(u128, Vec<u8>)> = pending
                .keys(partition)?
                .into_iter()
                .filter_map(|key| Some((key, key_bytes(form, key, &hashed)?)))
                .collect();
            let queries = planned.statements.as_ref().map(|of| look_ups(of, &keys));
            sinks = step
                .sides
                .on_both(queries.zip(sinks), |side, (queries, sink)| {
                    Box::pin(see(side, queries, sink))
                })
                .await?;
            let uncertain = uncertain_keys(&planned.statements, &keys);
            if !uncertain.is_empty() {
                let seen = sinks.as_ref().map(|sink| sink.seen.keys(partition));
                let Pair { source, target } = seen.transpose()?;
                may_miss_rows |= uncertain
                    .iter()
                    .any(|key| !source.contains(key) && !target.contains(key));
            }
        }
        self.hashed = Some(hashed);
        if may_miss_rows {
            // Rows that both sides have deleted are one way in which a difference ends.
            return self.scan(step, pending).await;
        }
        Ok(sinks.map(|sink| sink.seen))
    }

    /// Finds the rows of the pending keys in one pass over both sides.
    async fn scan(
        &self,
        step: &mut StepContext<'_>,
        pending: &PendingKeys,
    ) -> Result<Pair<SeenRows>, Stop> {
        let mut filter = KeyFilter::new(pending.len(), step.budget.memory / 8);
        for partition in 0..pending.partitions() {
            for key in pending.keys(partition)? {
                filter.insert(key);
            }
        }
        let filter = Arc::new(filter);
        let form = step.planned.plan.key_form;
        let sinks = Pair::of(|_| SeenSink {
            form,
            nearness: Arc::clone(&self.nearness),
            wanted: WantedKeys::Approximate(Arc::clone(&filter)),
            seen: SeenRows::new(pending),
        });
        let queries = step.planned.statements.as_ref().map(SideStatements::scan);
        let sinks = step.sides.scan(queries, sinks).await?;
        Ok(sinks.map(|sink| sink.seen))
    }
}

/// The keys that a look-up on one of the sides may miss.
fn uncertain_keys(statements: &Pair<SideStatements>, keys: &[(u128, Vec<u8>)]) -> Vec<u128> {
    keys.iter()
        .filter(|(_, bytes)| !(statements.source.finds(bytes) && statements.target.finds(bytes)))
        .map(|(key, _)| *key)
        .collect()
}

/// Records what `queries` find, each of them under its own keys only: a key that
/// a database takes for the same may be another one, with a query of its own.
async fn see(
    side: &mut OpenSide,
    queries: Vec<(Query, KeySet)>,
    mut sink: SeenSink,
) -> Result<SeenSink, Stop> {
    for (query, keys) in queries {
        sink.wanted = WantedKeys::Exact(keys);
        side.scan(&query, &mut sink).await?;
    }
    Ok(sink)
}
