//! `reconcile resume` and `reconcile cancel`: continue a stored run, or cancel it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use shared::config::Config;
use shared::ids::RunId;
use shared::logging::{be_quiet, print_status};
use shared::message::Control;
use shared::transport::Transport as _;
use shared::transport::rabbit::{RabbitOptions, RabbitTransport};

use tokio::time::timeout;

use super::connections::{
    LOCAL_HEARTBEAT, Mode, broker, mode_of_stored, required_broker, with_prefix,
};
use super::delivery::Delivery;
use super::execute::{Continuation, carry_on, deliver_end};
use super::exit::{self, CommandError};
use super::flags::{CancelFlags, ResumeFlags};
use super::hint::Hint;
use super::report::report_of;
use super::run_end::Delivered;
use super::state_dir::{open_store, state_dir};
use super::telemetry::{PUSH_LIMIT, RunTelemetry, TelemetrySettings};
use super::usage::UsageError;
use super::workers::BROKER_PATIENCE;
use crate::run::RunEnd;
use crate::run_state::CancelReason;
use crate::store::{RunLock, RunStore, StoreError, StoredRun, WorkerLocation};

/// What the broker calls the connection of `reconcile cancel`.
const CONNECTION: &str = "reconcile cancel";

/// How long the coordinator of a run may take to react to a request to cancel it.
const NOTICE: Duration = Duration::from_secs(15);

/// How often the store is read for its reaction.
const POLL: Duration = Duration::from_millis(200);

/// How often the request is repeated over the broker.
const ASK_AGAIN: Duration = Duration::from_secs(2);

pub(super) async fn resume(flags: ResumeFlags, mut config: Config) -> Result<u8, CommandError> {
    let hint = Hint::new(&config);
    let store = open_store(&flags.run, &config)?;
    let (run, lock) = take(&store, &flags.run)?;
    let options = flags.report.clone().or(std::mem::take(&mut config.report));
    let delivery = Delivery::prepare(&options)?;
    if run.summary.is_some() {
        print_status(format!("run {} has ended; this is its report", run.id));
        let report = report_of(&store, &run)?;
        delivery.deliver(&report)?;
        return Ok(exit::of_report(&report));
    }
    let mode = mode_of_stored(&run, &flags, &config)?;
    let resume = hint.resume(run.id, &run.settings);
    let quiet = flags.progress.or(config.progress).quiet();
    if quiet {
        be_quiet();
    }
    let telemetry = TelemetrySettings::resolve(flags.metrics, &config.telemetry.metrics)
        .map_err(UsageError::Push)?;
    let mut telemetry = RunTelemetry::start(telemetry, run.started_at).await?;
    let continuation = Continuation {
        mode,
        cancel: None,
        survives_sigterm: false,
        resume: resume.clone(),
        quiet,
    };
    let ended = carry_on(&store, (&run, lock), continuation, &mut telemetry)
        .await
        .and_then(|end| deliver_end(end, run.id, resume, delivery));
    telemetry.finish(PUSH_LIMIT).await;
    ended.map(Delivered::exit_code)
}

/// The run, and the lock that makes this process its coordinator.
fn take(store: &RunStore, name: &str) -> Result<(StoredRun, RunLock), StoreError> {
    let found = store.run(name)?;
    let lock = RunLock::take(store.directory(), found.id)?;
    // Read again: before the lock was taken, another coordinator may have written.
    Ok((store.run(&found.id.to_string())?, lock))
}

pub(super) async fn cancel(flags: CancelFlags, config: Config) -> Result<u8, CommandError> {
    let found = RunStore::find(&state_dir(&config)?)?
        .map(|store| store.run(&flags.run).map(|run| (store, run)))
        .transpose();
    let (store, run) = match (found, flags.run.parse::<RunId>()) {
        (Ok(Some(found)), _) => found,
        // The run of another machine or user: its coordinator is reached over the broker.
        (Ok(None) | Err(StoreError::UnknownRun { .. }), Ok(run)) => {
            let broker = required_broker(&flags.broker, &config, CONNECTION)?;
            ask_over_broker(broker, run).await?;
            print_status(format!(
                "run {run} is not stored here; its coordinator has been asked to cancel it"
            ));
            return Ok(exit::SUCCESS);
        }
        (Err(error), _) => return Err(error.into()),
        (Ok(None), Err(_)) => {
            open_store(&flags.run, &config)?;
            return Ok(exit::SUCCESS);
        }
    };
    if run.summary.is_some() {
        print_status(format!("run {} has ended already", run.id));
        return Ok(exit::SUCCESS);
    }
    if run.is_alive {
        return ask_coordinator(&store, &run, &flags, &config).await;
    }
    // No process coordinates the run any more: this one does, to its end.
    let mode = match &run.settings.location {
        WorkerLocation::Broker { prefix } => {
            let flags = with_prefix(&flags.broker, prefix);
            Mode::Broker(Box::new(required_broker(&flags, &config, CONNECTION)?))
        }
        // The remaining tables are only cancelled.
        WorkerLocation::Local { .. } => Mode::Local {
            endpoints: BTreeMap::new(),
            concurrency: 1,
            heartbeat_period: LOCAL_HEARTBEAT,
            spill_dir: None,
        },
    };
    let (run, lock) = take(&store, &run.id.to_string())?;
    let continuation = Continuation {
        mode,
        cancel: Some(CancelReason::Requested),
        survives_sigterm: false,
        resume: Hint::new(&config).resume(run.id, &run.settings),
        quiet: true,
    };
    let mut telemetry = RunTelemetry::off();
    let end = carry_on(&store, (&run, lock), continuation, &mut telemetry).await?;
    if let RunEnd::Ended(report) = end {
        print_status(format!(
            "run {} has ended: {} tables cancelled",
            run.id, report.cancelled
        ));
    }
    Ok(exit::SUCCESS)
}

async fn ask_over_broker(broker: RabbitOptions, run: RunId) -> Result<(), CommandError> {
    let transport = RabbitTransport::connect(RabbitOptions {
        patience: Some(BROKER_PATIENCE),
        ..broker
    })
    .await?;
    transport.publish_control(&Control::StopRun { run }).await?;
    transport.close().await;
    Ok(())
}

/// Repeats the request until the coordinator reacts.
async fn ask_coordinator(
    store: &RunStore,
    run: &StoredRun,
    flags: &CancelFlags,
    config: &Config,
) -> Result<u8, CommandError> {
    let id = run.id;
    let over_broker = match &run.settings.location {
        WorkerLocation::Broker { prefix } => {
            broker(&with_prefix(&flags.broker, prefix), config, CONNECTION)?
        }
        WorkerLocation::Local { .. } => None,
    };
    store.ask_to_stop(id)?;
    let begin = Instant::now();
    let mut asked: Option<Instant> = None;
    let mut unreachable = String::new();
    while begin.elapsed() < NOTICE {
        let now = store.run(&id.to_string())?;
        if now.summary.is_some() {
            print_status(format!("run {id} has ended"));
            return Ok(exit::SUCCESS);
        }
        if now.cancelling.is_some() {
            print_status(format!("run {id} is being cancelled"));
            return Ok(exit::SUCCESS);
        }
        if let Some(broker) = &over_broker
            && asked.is_none_or(|asked| asked.elapsed() >= ASK_AGAIN)
        {
            asked = Some(Instant::now());
            let left = NOTICE.saturating_sub(begin.elapsed());
            // The request is in the store too, so that the broker's answer is not necessary.
            match timeout(left, ask_over_broker(broker.clone(), id)).await {
                Ok(Ok(())) => unreachable.clear(),
                Ok(Err(error)) => unreachable = format!(" (and over the broker: {error})"),
                Err(_) => unreachable = " (and the broker does not answer)".to_owned(),
            }
        }
        tokio::time::sleep(POLL).await;
    }
    Err(CommandError::Fleet(format!(
        "the coordinator of run {id} has not reacted within {} s{unreachable}; pause it with Ctrl-C and repeat `reconcile cancel`, which then ends it",
        NOTICE.as_secs()
    )))
}
