//! How much of a run is done, how fast it reads rows, and when it will probably end.
//!
//! Shares are by rows: those that were compared, those that are read, and the estimates of the
//! databases. A table without an estimate counts as one of the average size.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::message::WorkPhase;

use crate::run_state::{Activity, RunState, TableRecord, Time, Verdict, table_ids};

/// The time over which the speed is measured.
const WINDOW: Duration = Duration::from_secs(10);

/// The shortest time between two samples.
const SPACING: Duration = Duration::from_millis(500);

/// How long a run or a table must have been going on before its end is estimated.
const EARLIEST: Duration = Duration::from_secs(5);

/// The share of a table that is shown at most before it has ended.
const ALMOST: f64 = 0.99;

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overview {
    /// The share of the work that is done, in percent, by rows.
    pub percent: u8,
    /// Rows that were read from the source in a second, lately.
    pub source_rows_per_second: Option<u64>,
    /// Rows that were read from the target in a second, lately.
    pub target_rows_per_second: Option<u64>,
    /// Seconds until the end of the run, if it goes on like this.
    pub seconds_left: Option<u64>,
}

/// Measures a run. It is told the state from time to time.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// When it was told the state first, and the share that was done then.
    begin: Option<(Time, f64)>,
    /// Rows read from the source and from the target, oldest first.
    samples: VecDeque<(Time, (u64, u64))>,
}

impl Pace {
    /// How far the run is now.
    pub(crate) fn observe(&mut self, state: &RunState) -> Overview {
        let now = state.now();
        let done = share_done(state);
        let (since, before) = *self.begin.get_or_insert((now, done));
        self.sample(now, rows_read(state));
        Overview {
            percent: percent(done),
            source_rows_per_second: self.speed(|rows| rows.0),
            target_rows_per_second: self.speed(|rows| rows.1),
            seconds_left: time_left(done, done - before, now.since(since))
                .map(|left| left.as_secs()),
        }
    }

    fn sample(&mut self, now: Time, rows: (u64, u64)) {
        let is_due = |&(last, _): &(Time, _)| now.since(last) >= SPACING;
        if self.samples.back().is_none_or(is_due) {
            self.samples.push_back((now, rows));
        }
        while self.samples.len() > 2
            && self
                .samples
                .get(1)
                .is_some_and(|&(at, _)| now.since(at) >= WINDOW)
        {
            self.samples.pop_front();
        }
    }

    /// Rows in a second of one side.
    fn speed(&self, of: impl Fn((u64, u64)) -> u64) -> Option<u64> {
        let (&(from, first), &(to, last)) = (self.samples.front()?, self.samples.back()?);
        let milliseconds = u64::try_from(to.since(from).as_millis()).unwrap_or(u64::MAX);
        // What a failed attempt had read no longer counts, so the sum may have become smaller.
        let rows = of(last).saturating_sub(of(first));
        (milliseconds > 0).then(|| rows.saturating_mul(1_000) / milliseconds)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share is between 0 and 1"
)]
fn percent(share: f64) -> u8 {
    (share.clamp(0.0, 1.0) * 100.0) as u8
}

/// The time until everything is done, if `gained` of it was done within `elapsed`.
fn time_left(done: f64, gained: f64, elapsed: Duration) -> Option<Duration> {
    if elapsed < EARLIEST || gained <= 0.0 {
        return None;
    }
    let seconds = elapsed.as_secs_f64() * (1.0 - done).max(0.0) / gained;
    Duration::try_from_secs_f64(seconds).ok()
}

/// Rows of both sides that were read of the tables that have ended or are running.
fn rows_read(state: &RunState) -> (u64, u64) {
    let ended = table_ids().take(state.table_count());
    let ended = ended
        .filter_map(|table| state.record(table))
        .filter_map(counts);
    let running = state
        .activities()
        .map(|activity| (activity.source_rows, activity.target_rows));
    ended
        .chain(running)
        .fold((0, 0), |(source, target), rows: (u64, u64)| {
            (source.saturating_add(rows.0), target.saturating_add(rows.1))
        })
}

fn counts(record: &TableRecord) -> Option<(u64, u64)> {
    match &record.verdict {
        Verdict::Compared { comparison, .. } => {
            Some((comparison.source_count, comparison.target_count))
        }
        _ => None,
    }
}

/// The share of the work of a run that is done.
fn share_done(state: &RunState) -> f64 {
    let count = state.table_count();
    // The size of each table if it is known, and the share of it that is done.
    let mut tables: Vec<(Option<f64>, f64)> = table_ids()
        .take(count)
        .map(|table| {
            let estimate = state.estimated_rows(table).map(|rows| rows as f64);
            match state.record(table) {
                None => (estimate, 0.0),
                Some(record) => {
                    let rows = counts(record).map(|(source, target)| source.max(target) as f64);
                    (rows.or(estimate), 1.0)
                }
            }
        })
        .collect();
    for activity in state.activities() {
        let (size, done) = &mut tables[activity.table.index()];
        let estimate = state.estimated_rows(activity.table);
        let expected = activity.expected_rows.or(estimate);
        *size = expected.map(|rows| rows as f64);
        *done = share_of_table(&activity, expected).unwrap_or(0.0);
    }
    let known: Vec<f64> = tables.iter().filter_map(|(size, _)| *size).collect();
    let average = if known.is_empty() {
        1.0
    } else {
        known.iter().sum::<f64>() / known.len() as f64
    };
    let (total, done) = tables
        .into_iter()
        // An empty table is some work too.
        .map(|(size, done)| (size.unwrap_or(average) + 1.0, done))
        .fold((0.0, 0.0), |(total, sum), (size, done)| {
            (total + size, sum + size * done)
        });
    if total > 0.0 { done / total } else { 1.0 }
}

/// The share of a running table that is done; unknown without its size.
fn share_of_table(activity: &Activity<'_>, expected: Option<u64>) -> Option<f64> {
    let read = activity.source_rows.max(activity.target_rows);
    share_of(read, expected, activity.phase)
}

/// The share of a table that is done when so many rows of its larger side were read.
pub(crate) fn share_of(read: u64, expected: Option<u64>, phase: Option<WorkPhase>) -> Option<f64> {
    match phase {
        None | Some(WorkPhase::Describing | WorkPhase::Scanning) => {
            let expected = expected.filter(|&rows| rows > 0)?;
            Some((read as f64 / expected as f64).min(ALMOST))
        }
        // All rows were read. How many differ is not known here.
        Some(_) => Some(ALMOST),
    }
}

/// The same in percent.
pub(crate) fn percent_of(read: u64, expected: Option<u64>, phase: Option<WorkPhase>) -> Option<u8> {
    share_of(read, expected, phase).map(percent)
}

/// The time until a table has been read that is being read for `elapsed`.
pub(crate) fn table_left(
    read: u64,
    expected: Option<u64>,
    phase: Option<WorkPhase>,
    elapsed: Duration,
) -> Option<Duration> {
    match phase {
        None | Some(WorkPhase::Describing | WorkPhase::Scanning) => {
            let done = share_of(read, expected, phase)?;
            time_left(done, done, elapsed)
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use shared::ids::{Attempt, RunId, TableId, WorkerId};
    use shared::message::{Event, EventBody, Heartbeat, OwnedWork, WorkId};

    use super::*;
    use crate::run_state::testing::{compared, limits, spec};
    use crate::run_state::{Input, PlannedTable, RunPlan};

    const SECOND: Duration = Duration::from_secs(1);

    /// A run of three tables of 10, 30 and an unknown number of rows.
    fn run() -> RunState {
        let table = |rows| PlannedTable {
            estimated_rows: rows,
            ..PlannedTable::new(spec("t"))
        };
        let mut state = RunState::new(RunPlan {
            run: RunId::generate(),
            tables: vec![table(Some(10)), table(Some(30)), table(None)],
            limits: limits(3),
            task_queue: "q".to_owned(),
            seed: 1,
        });
        drop(state.apply(Input::Begin, Time::START));
        state
    }

    fn tell(state: &mut RunState, at: Duration, table: u32, body: EventBody) {
        let work = WorkId {
            run: state.run(),
            table: TableId(table),
            attempt: Attempt::FIRST,
        };
        let worker = WorkerId::named("w");
        let event = Event {
            work,
            worker,
            body,
            databases: Vec::new(),
        };
        drop(state.apply(Input::Event(event), Time::START.after(at)));
    }

    fn beat(state: &mut RunState, at: Duration, rows: u64) {
        let work = WorkId {
            run: state.run(),
            table: TableId(1),
            attempt: Attempt::FIRST,
        };
        let heartbeat = Heartbeat {
            checked: None,
            worker: WorkerId::named("w"),
            host: "h".to_owned(),
            pid: 1,
            version: "0".to_owned(),
            capacity: 4,
            draining: false,
            period_ms: 5_000,
            owned: vec![OwnedWork {
                work,
                source_rows: rows,
                target_rows: rows / 2,
                phase: Some(WorkPhase::Scanning),
                expected_rows: Some(300),
            }],
            endpoints: None,
            unavailable: Vec::new(),
        };
        drop(state.apply(Input::Heartbeat(heartbeat), Time::START.after(at)));
    }

    #[test]
    fn the_share_and_the_speed_are_by_rows() {
        let mut state = run();
        let mut pace = Pace::default();
        assert_eq!(pace.observe(&state).percent, 0);
        let finished = EventBody::Finished {
            outcome: Box::new(compared(0)),
            batches: 0,
            duration_ms: 1,
            unconfirmed: Vec::new(),
        };
        tell(&mut state, SECOND, 0, finished);
        tell(&mut state, SECOND, 1, EventBody::Claimed);
        // 10 of 10, 150 of 300, 0 of the average of 155.
        beat(&mut state, SECOND * 10, 150);
        let overview = pace.observe(&state);
        assert_eq!(overview.percent, 34, "{overview:?}");
        assert_eq!(overview.source_rows_per_second, Some(16));
        assert_eq!(overview.target_rows_per_second, Some(8));
        let left = overview.seconds_left.unwrap();
        assert!((18..=20).contains(&left), "{left}");
        beat(&mut state, SECOND * 25, 150);
        assert_eq!(pace.observe(&state).source_rows_per_second, Some(0));
    }

    #[test]
    fn a_table_has_no_end_that_nothing_is_known_of() {
        let scanning = Some(WorkPhase::Scanning);
        assert_eq!(table_left(5, None, scanning, SECOND * 60), None);
        assert_eq!(table_left(0, Some(10), scanning, SECOND * 60), None);
        assert_eq!(table_left(5, Some(10), scanning, SECOND), None);
        assert_eq!(
            table_left(5, Some(10), scanning, SECOND * 60),
            Some(SECOND * 60)
        );
        assert_eq!(percent_of(20, Some(10), scanning), Some(99));
        assert_eq!(percent_of(1, None, Some(WorkPhase::Locating)), Some(99));
        assert_eq!(percent_of(1, None, scanning), None);
    }
}
