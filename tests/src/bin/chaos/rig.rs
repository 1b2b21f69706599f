//! The target of the faults: a run over a private broker, a fleet of workers, and
//! a proxy in front of the broker for each of these processes.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use harness::poll::poll;
use harness::process::Process;
use harness::services::RabbitMq;
use serde_json::Value as Json;
use tests::proxy::Proxy;
use tests::scene::{Gates, Scene, Watch};

use crate::tables;

/// Worker processes, and tables that each runs at once.
const WORKERS: usize = 4;
const CONCURRENCY: u32 = 2;

/// How long to wait for finished tables before the next fault: after a fault the
/// next table may have to wait for the end of a lease.
const PORTION: Duration = Duration::from_secs(3);

/// How long a run may take from the last fault to its end, and more for each table.
const END: Duration = Duration::from_secs(180);
const END_OF_TABLE: Duration = Duration::from_millis(300);

/// How long statements and queues may remain after a run.
const CLEAN_UP: Duration = Duration::from_secs(30);

/// A process and its way to the broker.
#[derive(Debug)]
pub(crate) struct Party {
    pub(crate) process: Process,
    pub(crate) proxy: Proxy,
}

/// A report and the exit code that came with it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: Option<i32>,
    pub(crate) report: Json,
}

/// Everything that a fault can hit. Fields are dropped in this order: processes end before the services that they use.
#[derive(Debug)]
pub(crate) struct Rig {
    pub(crate) workers: Vec<Party>,
    coordinator: Option<Party>,
    gates: Option<Gates>,
    pub(crate) watch: Watch,
    pub(crate) broker: RabbitMq,
    scene: Scene,
    table_list: String,
    portions: u32,
    /// How long a run may take to its end once nothing disturbs it.
    end: Duration,
    /// Workers started so far; no two have the same name.
    started: u32,
}

impl Rig {
    /// Starts the services and the workers.
    pub(crate) fn build(tables: u32, portions: u32) -> anyhow::Result<Self> {
        let scene = Scene::new("", "")?.with_short_leases();
        for batch in tables::source(tables, portions) {
            scene.source.execute(&batch)?;
        }
        for batch in tables::target(tables) {
            scene.target.execute(&batch)?;
        }
        let broker = RabbitMq::start()?;
        let mut rig = Self {
            watch: scene.watch()?,
            workers: Vec::new(),
            coordinator: None,
            gates: None,
            broker,
            scene,
            table_list: (0..tables).map(tables::name).collect::<Vec<_>>().join(","),
            portions,
            end: END + END_OF_TABLE * tables,
            started: 0,
        };
        for _ in 0..WORKERS {
            let proxy = Proxy::to(rig.broker.port())?;
            let process = rig.new_worker(&proxy.through(&rig.broker.amqp_url()))?;
            rig.workers.push(Party { process, proxy });
        }
        Ok(rig)
    }

    fn new_worker(&mut self, broker: &str) -> anyhow::Result<Process> {
        self.started += 1;
        let name = format!("worker-{}", self.started);
        Ok(self.scene.start_worker(broker, &name, CONCURRENCY)?)
    }

    /// Puts a new worker in the place of one that was killed.
    pub(crate) fn replace_worker(&mut self, at: usize) -> anyhow::Result<()> {
        let url = self.workers[at].proxy.through(&self.broker.amqp_url());
        self.workers[at].process = self.new_worker(&url)?;
        Ok(())
    }

    fn start_run(&self, broker: &str) -> anyhow::Result<Process> {
        // Many attempts: by chance, several faults may hit the same table.
        let arguments = [
            "--tables",
            &self.table_list,
            "--pk-columns",
            "id",
            "--max-attempts",
            "60",
            "--parallel-timeout",
            "900",
        ];
        Ok(self.scene.start_run(broker, &arguments)?)
    }

    /// The run without any fault.
    pub(crate) fn undisturbed_run(&self) -> anyhow::Result<Answer> {
        let mut run = self.start_run(&self.broker.amqp_url())?;
        let status = run.wait(self.end)?;
        answer(status.code(), &run)
    }

    /// Starts the run that is to be disturbed, behind closed gates.
    pub(crate) fn begin_run(&mut self) -> anyhow::Result<()> {
        self.gates = Some(Gates::closed(&self.scene.source, self.portions)?);
        let proxy = Proxy::to(self.broker.port())?;
        let process = self.start_run(&proxy.through(&self.broker.amqp_url()))?;
        self.coordinator = Some(Party { process, proxy });
        // From here on the queue has a leader and survives faults of the broker.
        let claimed = poll(PORTION * 10, || match self.watch.running() {
            Ok(running) if running.is_empty() => None,
            found => Some(found),
        });
        claimed.context("no table was claimed")??;
        Ok(())
    }

    /// Lets the tables of one portion go on.
    pub(crate) fn open_portion(&self, portion: u32) -> anyhow::Result<()> {
        let gates = self.gates.as_ref().context("the run has not begun")?;
        Ok(gates.open(portion)?)
    }

    /// Waits until some more tables have finished, or a while.
    pub(crate) fn let_tables_finish(&mut self, count: u32) -> anyhow::Result<()> {
        let goal = self.finished()? + count as usize;
        let start = Instant::now();
        while start.elapsed() < PORTION {
            let rest = PORTION.saturating_sub(start.elapsed());
            let done = poll(rest, || match self.finished() {
                Ok(finished) if finished < goal => None,
                done => Some(done),
            });
            if let Some(done) = done {
                done?;
                break;
            }
        }
        Ok(())
    }

    /// Tables that the coordinator has reported as finished.
    fn finished(&self) -> anyhow::Result<usize> {
        let lines = self.coordinator()?.process.stderr();
        let ended = |line: &&str| line.starts_with("matched ") || line.starts_with("mismatched ");
        Ok(lines.lines().filter(ended).count())
    }

    /// The coordinator of the run.
    pub(crate) fn coordinator(&self) -> anyhow::Result<&Party> {
        self.coordinator.as_ref().context("the run has not begun")
    }

    /// Kills the coordinator as a crash would; another one goes on with its run.
    pub(crate) fn replace_coordinator(&mut self) -> anyhow::Result<()> {
        let coordinator = self.coordinator.as_mut().context("the run has not begun")?;
        coordinator.process.kill();
        let broker = coordinator.proxy.through(&self.broker.amqp_url());
        coordinator.process = self.scene.resume_run(&broker)?;
        Ok(())
    }

    /// Waits for the end of the disturbed run.
    pub(crate) fn finish_run(&mut self) -> anyhow::Result<Answer> {
        let coordinator = self.coordinator.as_mut().context("the run has not begun")?;
        let status = coordinator.process.wait(self.end)?;
        answer(status.code(), &coordinator.process)
    }

    /// Statements, messages and queues that remain after the run.
    pub(crate) fn left_over(&mut self) -> anyhow::Result<Vec<String>> {
        self.gates = None;
        let mut last = Vec::new();
        let clean = poll(CLEAN_UP, || {
            last = match self.look_for_rest() {
                Ok(rest) => rest,
                Err(error) => vec![format!("{error:#}")],
            };
            last.is_empty().then_some(())
        });
        if clean.is_some() {
            return Ok(Vec::new());
        }
        Ok(last)
    }

    fn look_for_rest(&self) -> anyhow::Result<Vec<String>> {
        let mut rest: Vec<String> = self
            .watch
            .running()?
            .iter()
            .map(|running| format!("a statement still runs: {}", running.application))
            .collect();
        let queues = self.broker.ctl(&["list_queues", "name", "messages"])?;
        for line in queues.lines().skip_while(|line| line.starts_with("name")) {
            let Some((name, messages)) = line.split_once('\t') else {
                continue;
            };
            if name.contains(".run.") {
                rest.push(format!("the run's queue {name} is still there"));
            } else if name.starts_with("reconcile.") && messages.trim() != "0" {
                rest.push(format!("queue {name} holds {messages} messages"));
            }
        }
        Ok(rest)
    }
}

fn answer(code: Option<i32>, run: &Process) -> anyhow::Result<Answer> {
    let text = run.stdout();
    let Ok(report) = serde_json::from_str::<Json>(&text) else {
        bail!(
            "a run ended with code {code:?} and without a report:\n{}",
            run.stderr()
        );
    };
    ensure!(report["results"].is_array(), "a report without results");
    Ok(Answer { code, report })
}
