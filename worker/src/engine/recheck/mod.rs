//! Reads differing rows again, because a copy may lag behind. A difference that is
//! no longer found has settled. All other differences are confirmed.

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

/// The least number of polls. On a busy database, the time limit alone could end
/// the polling before the first read has finished.
const FEWEST_POLLS: u32 = 16;

/// Returns the differences that are confirmed. All pending keys are observed at
/// fixed times after `since`, the end of the survey. Each observation uses new
/// transactions.
///
/// Keys whose rows did not change are confirmed after the last of these times.
/// Keys whose rows changed are polled at short intervals, for as long as the first
/// delay. A row that changes all the time never equals its lagging copy at the same
/// moment. But the copy equals an earlier state of the row, which a poll has read.
///
/// Rows agree if they differ only within the tolerances of their columns.
pub(crate) async fn recheck(
    step: &mut StepContext<'_>,
    differing: Differing,
    since: Instant,
) -> Result<Differing, Stop> {
    let recheck = step.spec.options.recheck;
    let nearness = Arc::new(Nearness::of(step.planned));
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

/// Observes changing keys until all have settled. Stops earlier when `limit` has
/// passed and at least `FEWEST_POLLS` polls were made.
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

/// Reads the rows of the pending keys on both sides.
struct Observer {
    nearness: Arc<Nearness>,
    /// The full keys of the elements that contain only a hash of the key; `None`
    /// before they were read. If a key is missing here, neither side had rows with it
    /// when the keys were read.
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

    /// Looks the pending keys up on both sides. A look-up may miss some keys. If such
    /// a key is found on neither side, all rows are scanned.
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
                match read_hashed_keys(step, Pair::of(|_| wanted.clone())).await? {
                    Some(hashed) => hashed,
                    None => return self.scan(step, pending).await,
                }
            }
        };
        let mut sinks = Pair::of(|_| SeenSink {
            hasher: planned.hasher,
            nearness: Arc::clone(&self.nearness),
            wanted: WantedKeys::Exact(KeySet::default()),
            seen: SeenRows::new(pending),
        });
        let mut may_miss_rows = false;
        for partition in 0..pending.partitions() {
            // If a hashed key was read on neither side, both sides have deleted its rows.
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
            // Either the look-up missed the key, or both sides have deleted its rows and
            // the difference has settled. A scan shows which.
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
        let hasher = step.planned.hasher;
        let sinks = Pair::of(|_| SeenSink {
            hasher,
            nearness: Arc::clone(&self.nearness),
            wanted: WantedKeys::Approximate(Arc::clone(&filter)),
            seen: SeenRows::new(pending),
        });
        let queries = step.planned.statements.as_ref().map(SideStatements::scan);
        let sinks = step.sides.scan(queries, sinks).await?;
        Ok(sinks.map(|sink| sink.seen))
    }
}

/// Returns the keys that a look-up may miss on at least one side.
fn uncertain_keys(statements: &Pair<SideStatements>, keys: &[(u128, Vec<u8>)]) -> Vec<u128> {
    keys.iter()
        .filter(|(_, bytes)| !(statements.source.finds(bytes) && statements.target.finds(bytes)))
        .map(|(key, _)| *key)
        .collect()
}

/// Records the rows that `queries` find. A row counts only if the query asked for
/// exactly its key: a database may consider two different keys equal, and the other
/// key may belong to another query.
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
