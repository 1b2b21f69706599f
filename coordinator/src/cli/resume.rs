//! `reconcile resume` and `reconcile cancel`: going on with a run that is kept,
//! or ending it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use shared::config::Config;
use shared::ids::RunId;
use shared::message::Control;
use shared::transport::Transport as _;
use shared::transport::rabbit::{RabbitOptions, RabbitTransport};

use super::execute::{Execution, Keeping, carry_out, deliver};
use super::exit::{self, CommandError};
use super::flags::{BrokerFlags, CancelFlags, ResumeFlags};
use super::kept::{report_of, store};
use super::place::{directory, mode_of};
use super::settings::{self, Mode};
use super::telemetry::{PUSH_LIMIT, RunTelemetry, TelemetrySettings};
use super::usage::UsageError;
use super::{kept, say};
use crate::report::{Output, RunReport};
use crate::run::RunRequest;
use crate::run_state::{CancelReason, Restored};
use crate::store::{RunLock, RunStore, StoreError, StoredRun, WorkerLocation};

/// How long the coordinator of a run may take to notice that it shall end it.
const NOTICE: Duration = Duration::from_secs(15);

/// How often it is looked whether it has, and asked again.
const LOOK: Duration = Duration::from_millis(200);
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// `reconcile resume RUN`
pub(super) async fn resume(
    flags: ResumeFlags,
    state_dir: Option<PathBuf>,
    config: Config,
) -> Result<u8, CommandError> {
    let store = store(&flags.run, state_dir, &config)?;
    let (run, lock) = take(&store, &flags.run)?;
    let output = flags.report.output.clone().or(config.run.output.clone());
    let output = output.as_deref().map(Output::prepare).transpose()?;
    let format = flags.report.format.or(config.run.format);
    let deliver = |report: RunReport| {
        deliver(&report, format.unwrap_or_default(), output)?;
        Ok(exit::of_report(&report))
    };
    if run.summary.is_some() {
        say(format!("run {} has ended; this is its report", run.id));
        return deliver(report_of(&store, &run)?);
    }
    let mode = mode_of(&run, &flags, &config)?;
    let telemetry =
        TelemetrySettings::resolve(flags.telemetry, &config.telemetry).map_err(UsageError::Push)?;
    let mut telemetry = RunTelemetry::start(telemetry, run.started_at).await?;
    let ended = go_on(&store, &run, lock, mode, None, &mut telemetry)
        .await
        .and_then(deliver);
    telemetry.finish(PUSH_LIMIT).await;
    ended
}

/// The run, and the lock that says that this process is its coordinator.
fn take(store: &RunStore, name: &str) -> Result<(StoredRun, RunLock), StoreError> {
    let found = store.run(name)?;
    let lock = RunLock::take(store.directory(), found.id)?;
    // Read again: until now its coordinator may have written.
    Ok((store.run(&found.id.to_string())?, lock))
}

/// Carries out what is left of a run; with a reason, ends it as cancelled.
async fn go_on(
    store: &RunStore,
    run: &StoredRun,
    lock: RunLock,
    mode: Mode,
    cancel: Option<CancelReason>,
    telemetry: &mut RunTelemetry,
) -> Result<RunReport, CommandError> {
    let (tables, stands) = store.tables(run)?.into_iter().unzip();
    let cancelling = run.cancelling.clone();
    let request = RunRequest {
        run: run.id,
        tables,
        limits: run.settings.limits.clone(),
        started_at: run.started_at,
        restored: Some(Restored {
            tables: stands,
            cancelling: cancelling
                .as_ref()
                .map(|cancelling| cancelling.reason)
                .or(cancel),
            root_cause: cancelling.and_then(|cancelling| cancelling.root_cause),
        }),
    };
    say(format!(
        "{} of {} tables had ended",
        run.counts.total(),
        run.tables
    ));
    let keeping = Keeping::start(store, lock, &request)?;
    let execution = Execution {
        mode,
        request,
        keeping: Some(keeping),
        output_dir: run.settings.output_dir.clone(),
        target: run.settings.target.database.clone(),
    };
    Box::pin(carry_out(execution, telemetry)).await
}

/// `reconcile cancel RUN`
pub(super) async fn cancel(
    flags: CancelFlags,
    state_dir: Option<PathBuf>,
    config: Config,
) -> Result<u8, CommandError> {
    let found = RunStore::find(&directory(state_dir.clone(), &config)?)?
        .map(|store| store.run(&flags.run).map(|run| (store, run)))
        .transpose();
    let (store, run) = match (found, flags.run.parse::<RunId>()) {
        (Ok(Some(found)), _) => found,
        // Somebody else's run: its coordinator hears it over the broker.
        (Ok(None) | Err(StoreError::UnknownRun { .. }), Ok(run)) => {
            let broker = broker(&flags.broker, &config)?.ok_or(UsageError::NoBroker)?;
            ask_over_broker(broker, run).await?;
            say(format!(
                "run {run} is not kept here; whoever coordinates it has been asked to end it"
            ));
            return Ok(exit::EQUAL);
        }
        (Err(error), _) => return Err(error.into()),
        (Ok(None), Err(_)) => {
            kept::store(&flags.run, state_dir, &config)?;
            return Ok(exit::EQUAL);
        }
    };
    if run.summary.is_some() {
        say(format!("run {} has ended already", run.id));
        return Ok(exit::EQUAL);
    }
    if run.is_alive {
        return ask_coordinator(&store, &run, &flags, &config).await;
    }
    // Nobody coordinates it any more, so this process does, to its end.
    let mode = match &run.settings.location {
        WorkerLocation::Broker { prefix } => {
            let flags = BrokerFlags {
                prefix: Some(prefix.clone()),
                ..flags.broker
            };
            Mode::Broker(Box::new(
                broker(&flags, &config)?.ok_or(UsageError::NoBroker)?,
            ))
        }
        WorkerLocation::Local { .. } => Mode::nowhere(),
    };
    let (run, lock) = take(&store, &run.id.to_string())?;
    let cancel = Some(CancelReason::Requested);
    let report = go_on(&store, &run, lock, mode, cancel, &mut RunTelemetry::off()).await?;
    say(format!(
        "run {} has ended: {} tables cancelled",
        run.id, report.cancelled
    ));
    Ok(exit::EQUAL)
}

fn broker(flags: &BrokerFlags, config: &Config) -> Result<Option<RabbitOptions>, UsageError> {
    settings::broker(flags, config.broker.as_ref(), "reconcile cancel")
}

async fn ask_over_broker(broker: RabbitOptions, run: RunId) -> Result<(), CommandError> {
    let transport = RabbitTransport::connect(broker).await?;
    transport.publish_control(&Control::StopRun { run }).await?;
    transport.close().await;
    Ok(())
}

/// Asks until it has been noticed.
async fn ask_coordinator(
    store: &RunStore,
    run: &StoredRun,
    flags: &CancelFlags,
    config: &Config,
) -> Result<u8, CommandError> {
    let id = run.id;
    let over_broker = match &run.settings.location {
        WorkerLocation::Broker { prefix } => {
            let flags = BrokerFlags {
                prefix: Some(prefix.clone()),
                ..flags.broker.clone()
            };
            broker(&flags, config)?
        }
        WorkerLocation::Local { .. } => None,
    };
    store.ask_to_stop(id)?;
    let begin = Instant::now();
    let mut asked: Option<Instant> = None;
    while begin.elapsed() < NOTICE {
        let now = store.run(&id.to_string())?;
        if now.summary.is_some() {
            say(format!("run {id} has ended"));
            return Ok(exit::EQUAL);
        }
        if now.cancelling.is_some() {
            say(format!("run {id} is being cancelled"));
            return Ok(exit::EQUAL);
        }
        if let Some(broker) = &over_broker
            && asked.is_none_or(|asked| asked.elapsed() >= ASK_AGAIN)
        {
            asked = Some(Instant::now());
            if let Err(error) = ask_over_broker(broker.clone(), id).await {
                tracing::debug!("the coordinator is asked through the store only: {error}");
            }
        }
        tokio::time::sleep(LOOK).await;
    }
    Err(CommandError::Fleet(format!(
        "run {id} goes on and has not noticed within {} s that it shall end; interrupt its coordinator with Ctrl-C, or end that process and use `reconcile cancel` again",
        NOTICE.as_secs()
    )))
}
