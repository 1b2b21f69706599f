//! The faults, and how they are injected.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use harness::poll::poll;
use tests::scene::LEASE;

use crate::rig::Rig;

/// How long a fault waits for a statement that it can hit. After that another fault is drawn.
const VICTIM: Duration = Duration::from_secs(20);

/// How often it is checked meanwhile whether lasting faults are over.
const VICTIM_POLL: Duration = Duration::from_millis(500);

/// How long a lasting fault lasts: longer than a lease.
const LASTING: Duration = LEASE.saturating_add(Duration::from_millis(1500));

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// kill -9 of a worker; a new one takes its place.
    KillWorker,
    /// SIGSTOP of a worker for longer than its lease, then SIGCONT.
    PauseWorker,
    /// The connections of a worker to the broker are cut.
    CutWorker,
    /// The connection between a worker and the broker is stalled for longer than a lease.
    StallWorker,
    /// kill -9 of the coordinator; `reconcile resume` goes on with its run.
    KillCoordinator,
    /// The connections of the coordinator are cut.
    CutCoordinator,
    /// The connection between the coordinator and the broker is stalled for longer than a lease.
    StallCoordinator,
    /// All connections of all processes are cut at once.
    CutEverybody,
    /// A database ends the session of a running table.
    EndSession,
    /// The broker's application is stopped and started.
    StopBroker,
    /// kill -9 of the broker; it is started again.
    KillBroker,
}

/// How often each fault comes in a round.
const ROUND: [(Fault, usize); 11] = [
    (Fault::KillWorker, 6),
    (Fault::PauseWorker, 4),
    (Fault::CutWorker, 4),
    (Fault::StallWorker, 3),
    (Fault::KillCoordinator, 3),
    (Fault::CutCoordinator, 3),
    (Fault::StallCoordinator, 2),
    (Fault::CutEverybody, 2),
    (Fault::EndSession, 3),
    (Fault::StopBroker, 2),
    (Fault::KillBroker, 1),
];

impl Fault {
    /// `count` faults in the order in which they are injected. Every kind comes
    /// once before one comes again.
    pub(crate) fn budget(count: u32, rng: &mut fastrand::Rng) -> Vec<Self> {
        let count = count as usize;
        let mut budget: Vec<Self> = ROUND.iter().map(|&(fault, _)| fault).collect();
        rng.shuffle(&mut budget);
        // The first of each kind was taken out of the first round.
        let mut taken = 1;
        while budget.len() < count {
            let mut round: Vec<Self> = ROUND
                .iter()
                .flat_map(|&(fault, times)| std::iter::repeat_n(fault, times - taken))
                .collect();
            rng.shuffle(&mut round);
            budget.append(&mut round);
            taken = 0;
        }
        budget.truncate(count);
        rng.shuffle(&mut budget);
        budget
    }

    /// A fault in place of one that finds nothing to hit: of those that always do.
    fn redraw(rng: &mut fastrand::Rng) -> Self {
        let weighted: Vec<Self> = ROUND
            .iter()
            .filter(|(fault, _)| *fault != Self::EndSession)
            .flat_map(|&(fault, times)| std::iter::repeat_n(fault, times))
            .collect();
        weighted[rng.usize(..weighted.len())]
    }
}

/// Injects faults, counts them, and ends those that last.
#[derive(Debug, Default)]
pub(crate) struct Injector {
    counts: BTreeMap<Fault, usize>,
    lasting: Vec<Lasting>,
}

/// A fault that goes on while others are injected.
#[derive(Debug, Clone, Copy)]
struct Lasting {
    what: Held,
    until: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    Paused(usize),
    Stalled(usize),
    CoordinatorStalled,
}

impl Injector {
    /// Injects one fault and describes it. If it finds nothing to hit, another one is injected
    /// in its place, so that the number of faults stays.
    pub(crate) fn inject(
        &mut self,
        fault: Fault,
        rig: &mut Rig,
        rng: &mut fastrand::Rng,
    ) -> anyhow::Result<String> {
        self.end_due(rig)?;
        if fault == Fault::EndSession {
            if let Some(told) = self.end_session(rig, rng)? {
                *self.counts.entry(fault).or_default() += 1;
                return Ok(told);
            }
            let other = Fault::redraw(rng);
            let told = self.inject(other, rig, rng)?;
            return Ok(format!(
                "{told}, since no statement ran that could be ended"
            ));
        }
        let told = match fault {
            Fault::KillWorker => {
                let victim = self.free_worker(rig, rng)?;
                rig.workers[victim].process.kill();
                rig.replace_worker(victim)?;
                format!("killed worker {victim}")
            }
            Fault::PauseWorker => {
                let victim = self.free_worker(rig, rng)?;
                rig.workers[victim].process.signal("STOP");
                self.hold(Held::Paused(victim));
                format!("paused worker {victim}")
            }
            Fault::CutWorker => {
                let victim = rng.usize(..rig.workers.len());
                rig.workers[victim].proxy.cut();
                format!("cut worker {victim} off")
            }
            Fault::StallWorker => {
                let victim = self.free_worker(rig, rng)?;
                rig.workers[victim].proxy.stall();
                self.hold(Held::Stalled(victim));
                format!("stalled worker {victim}")
            }
            Fault::KillCoordinator => {
                rig.replace_coordinator()?;
                "killed the coordinator".to_owned()
            }
            Fault::CutCoordinator => {
                rig.coordinator()?.proxy.cut();
                "cut the coordinator off".to_owned()
            }
            Fault::StallCoordinator => {
                self.end_kind(rig, |held| held == Held::CoordinatorStalled)?;
                rig.coordinator()?.proxy.stall();
                self.hold(Held::CoordinatorStalled);
                "stalled the coordinator".to_owned()
            }
            Fault::CutEverybody => {
                for worker in &rig.workers {
                    worker.proxy.cut();
                }
                rig.coordinator()?.proxy.cut();
                "cut every process off".to_owned()
            }
            Fault::EndSession => bail!("it is injected above"),
            Fault::StopBroker => {
                rig.broker.stop_app()?;
                rig.broker.start_app()?;
                "stopped and started the broker".to_owned()
            }
            Fault::KillBroker => {
                rig.broker.kill()?;
                rig.broker.restart()?;
                "killed and started the broker".to_owned()
            }
        };
        *self.counts.entry(fault).or_default() += 1;
        Ok(told)
    }

    fn hold(&mut self, what: Held) {
        self.lasting.push(Lasting {
            what,
            until: Instant::now() + LASTING,
        });
    }

    /// A worker without a lasting fault; if all have one, the first whose fault ends.
    fn free_worker(&mut self, rig: &mut Rig, rng: &mut fastrand::Rng) -> anyhow::Result<usize> {
        loop {
            let free: Vec<usize> = (0..rig.workers.len())
                .filter(|&worker| {
                    !self.lasting.iter().any(|lasting| {
                        matches!(lasting.what, Held::Paused(held) | Held::Stalled(held) if held == worker)
                    })
                })
                .collect();
            // One worker goes on, so that the run does.
            if free.len() > 1 {
                return rng.choice(free).context("there are workers");
            }
            self.end_first(rig)?;
        }
    }

    /// Ends the faults whose time is over.
    fn end_due(&mut self, rig: &mut Rig) -> anyhow::Result<()> {
        let now = Instant::now();
        while self.lasting.first().is_some_and(|first| first.until <= now) {
            self.end_first(rig)?;
        }
        Ok(())
    }

    fn end_kind(&mut self, rig: &mut Rig, kind: impl Fn(Held) -> bool) -> anyhow::Result<()> {
        while self.lasting.iter().any(|lasting| kind(lasting.what)) {
            self.end_first(rig)?;
        }
        Ok(())
    }

    /// Ends all faults, each after its time.
    pub(crate) fn end_all(&mut self, rig: &mut Rig) -> anyhow::Result<()> {
        while !self.lasting.is_empty() {
            self.end_first(rig)?;
        }
        Ok(())
    }

    /// Waits until the time of the oldest fault is over, and ends it.
    fn end_first(&mut self, rig: &mut Rig) -> anyhow::Result<()> {
        if self.lasting.is_empty() {
            return Ok(());
        }
        let Lasting { what, until } = self.lasting.remove(0);
        poll(LASTING * 2, || (Instant::now() >= until).then_some(()));
        match what {
            Held::Paused(worker) => rig.workers[worker].process.signal("CONT"),
            Held::Stalled(worker) => rig.workers[worker].proxy.resume(),
            Held::CoordinatorStalled => rig.coordinator()?.proxy.resume(),
        }
        Ok(())
    }

    /// Ends the session of a running statement; `None` if none runs for a while. Lasting faults
    /// end when their time is over: one of them may be why nothing runs.
    fn end_session(
        &mut self,
        rig: &mut Rig,
        rng: &mut fastrand::Rng,
    ) -> anyhow::Result<Option<String>> {
        let start = Instant::now();
        while start.elapsed() < VICTIM {
            self.end_due(rig)?;
            let found = poll(VICTIM_POLL, || match rig.watch.running() {
                Ok(running) if running.is_empty() => None,
                found => Some(found),
            });
            if let Some(running) = found.transpose()?
                && let Some(victim) = rng.choice(&running)
            {
                rig.watch.terminate(victim)?;
                return Ok(Some(format!("ended the session of {}", victim.application)));
            }
        }
        Ok(None)
    }

    /// "7 KillWorker, 3 CutWorker"
    pub(crate) fn summary(&self) -> String {
        let mut text = String::new();
        for (fault, count) in &self.counts {
            let comma = if text.is_empty() { "" } else { ", " };
            write!(text, "{comma}{count} {fault:?}").expect("writing to a String cannot fail");
        }
        text
    }
}
