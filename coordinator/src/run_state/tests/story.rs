//! A run with scripted inputs, for tests of single decisions.

use std::time::Duration;

use shared::outcome::Failure;

use super::super::testing::databases;
use super::*;

/// A run, its collected effects, and functions for its inputs.
pub(super) struct Story {
    pub(super) state: RunState,
    pub(super) now: Time,
    pub(super) effects: Vec<Effect>,
}

impl Story {
    pub(super) fn new(tables: usize, limits: Limits) -> Self {
        let tables = (0..tables)
            .map(|n| PlannedTable::new(spec(&format!("t{n}"))))
            .collect();
        Self::of(tables, limits)
    }

    pub(super) fn of(tables: Vec<PlannedTable>, limits: Limits) -> Self {
        let plan = RunPlan {
            run: RunId::generate(),
            tables,
            limits,
            task_queue: "queue q".to_owned(),
            seed: 7,
        };
        let mut story = Self {
            state: RunState::new(plan),
            now: Time::START,
            effects: Vec::new(),
        };
        story.tell(Input::Begin);
        story
    }

    pub(super) fn tell(&mut self, input: Input) -> Vec<Effect> {
        let effects = self.state.apply(input, self.now);
        self.effects.extend(effects.iter().cloned());
        effects
    }

    pub(super) fn work(&self, table: u32, attempt: u32) -> WorkId {
        WorkId {
            run: self.state.run(),
            table: TableId(table),
            attempt: Attempt(attempt),
        }
    }

    pub(super) fn event(
        &mut self,
        table: u32,
        attempt: u32,
        worker: &str,
        body: EventBody,
    ) -> Vec<Effect> {
        let event = Event {
            work: self.work(table, attempt),
            worker: WorkerId::named(worker),
            body,
            databases: Vec::new(),
        };
        self.tell(Input::Event(event))
    }

    /// An event of a worker whose databases are source and `target`.
    pub(super) fn event_in(
        &mut self,
        (table, attempt): (u32, u32),
        worker: &str,
        target: &str,
        body: EventBody,
    ) -> Vec<Effect> {
        self.tell(Input::Event(Event {
            work: self.work(table, attempt),
            worker: WorkerId::named(worker),
            body,
            databases: databases(target),
        }))
    }

    /// A worker returns a task that it cannot run.
    pub(super) fn returns(
        &mut self,
        work: (u32, u32),
        worker: &str,
        kind: FailureKind,
    ) -> Vec<Effect> {
        let failure = Failure::new(kind, "it has another one").uncounted();
        let (table, attempt) = work;
        self.finish(table, attempt, worker, Outcome::Refused(failure), 0)
    }

    pub(super) fn beat_with(&mut self, worker: &str, endpoints: &[&str]) -> Vec<Effect> {
        let endpoints = endpoints.iter().map(|name| (*name).to_owned()).collect();
        self.tell(Input::Heartbeat(Heartbeat {
            worker: WorkerId::named(worker),
            host: "h".to_owned(),
            pid: 1,
            version: "0".to_owned(),
            capacity: 4,
            draining: false,
            period_ms: 5_000,
            owned: Vec::new(),
            endpoints: Some(endpoints),
            unavailable: Vec::new(),
            checked: None,
        }))
    }

    pub(super) fn claim(&mut self, table: u32, attempt: u32, worker: &str) -> Vec<Effect> {
        self.event(table, attempt, worker, EventBody::Claimed)
    }

    pub(super) fn finish(
        &mut self,
        table: u32,
        attempt: u32,
        worker: &str,
        outcome: Outcome,
        batches: u32,
    ) -> Vec<Effect> {
        self.event(
            table,
            attempt,
            worker,
            EventBody::Finished {
                outcome: Box::new(outcome),
                batches,
                duration_ms: 5,
                unconfirmed: Vec::new(),
            },
        )
    }

    pub(super) fn beat(
        &mut self,
        worker: &str,
        capacity: u32,
        owned: &[(u32, u32)],
    ) -> Vec<Effect> {
        let owned = owned
            .iter()
            .map(|&(table, attempt)| OwnedWork {
                work: self.work(table, attempt),
                source_rows: 3,
                target_rows: 2,
                phase: None,
                expected_rows: None,
            })
            .collect();
        self.tell(Input::Heartbeat(Heartbeat {
            worker: WorkerId::named(worker),
            host: "h".to_owned(),
            pid: 1,
            version: "0".to_owned(),
            capacity,
            draining: false,
            period_ms: 5_000,
            owned,
            endpoints: None,
            unavailable: Vec::new(),
            checked: None,
        }))
    }

    /// Lets time pass, with every timer that is due on the way; the broker
    /// takes what it is given.
    pub(super) fn wait(&mut self, duration: Duration) -> Vec<Effect> {
        let end = self.now.after(duration);
        let mut all = Vec::new();
        loop {
            let next = self.state.next_wakeup().filter(|&at| at <= end);
            self.now = next.unwrap_or(end).max(self.now);
            let effects = self.tell(Input::Tick);
            if effects.contains(&Effect::Control(Control::Announce)) {
                all.extend(self.tell(Input::Announced));
            }
            all.extend(effects);
            if next.is_none() {
                return all;
            }
        }
    }

    pub(super) fn confirm_all(&mut self) {
        let published: Vec<WorkId> = self
            .effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Publish(task) => Some(task.work()),
                _ => None,
            })
            .collect();
        for work in published {
            self.tell(Input::Published(work));
        }
    }

    pub(super) fn status(&self, table: u32) -> Option<TableStatus> {
        self.state.record(TableId(table)).map(TableRecord::status)
    }

    pub(super) fn record(&self, table: u32) -> &TableRecord {
        self.state
            .record(TableId(table))
            .expect("the table has ended")
    }
}

/// The tables and attempts that effects publish.
pub(super) fn published(effects: &[Effect]) -> Vec<(u32, u32)> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Publish(task) => Some((task.table.0, task.attempt.0)),
            _ => None,
        })
        .collect()
}

pub(super) fn cancels(effects: &[Effect]) -> Vec<(u32, u32)> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Control(Control::CancelAttempt { work }) => {
                Some((work.table.0, work.attempt.0))
            }
            _ => None,
        })
        .collect()
}
