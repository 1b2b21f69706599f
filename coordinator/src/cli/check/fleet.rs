//! Asks every live worker of a broker to check the endpoints of its own configuration.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt as _;
use shared::ids::WorkerId;
use shared::message::{Control, Heartbeat};
use shared::transport::rabbit::{RabbitOptions, RabbitTransport};
use shared::transport::{Messages, Transport, TransportError};
use tokio::time::{Instant, timeout_at};

use crate::check::EndpointsOf;
use crate::cli::workers::BROKER_PATIENCE;

/// How long workers may take to send a first heartbeat. They answer at once.
const ANNOUNCED: Duration = Duration::from_millis(1_500);

/// How long workers may take to check their endpoints: longer than connecting may take by default.
const CHECKED: Duration = Duration::from_secs(20);

/// The most workers that are listed.
const MOST_WORKERS: usize = 10_000;

/// The workers of a broker and what they found.
#[derive(Debug, Default)]
pub(super) struct FleetCheck {
    /// The workers that answered.
    pub(super) processes: Vec<EndpointsOf>,
    /// Workers that did not answer, with their versions.
    pub(super) silent: Vec<(WorkerId, String)>,
    /// Tables at the same time of all workers.
    pub(super) capacity: u32,
    /// Workers that take tables.
    pub(super) workers: u32,
    /// The work queue, for messages.
    pub(super) queue: String,
}

/// # Errors
///
/// When the broker cannot be reached or refuses an operation.
pub(super) async fn check_fleet(
    options: &RabbitOptions,
    endpoints: Vec<String>,
) -> Result<FleetCheck, TransportError> {
    let options = RabbitOptions {
        patience: Some(BROKER_PATIENCE),
        ..options.clone()
    };
    let transport = RabbitTransport::connect(options).await?;
    let mut heartbeats = transport.consume_heartbeats().await?;
    // A JSON number of at most 53 bits, which every reader keeps exactly.
    let request = fastrand::u64(..) >> 11;
    let ask = Control::CheckEndpoints { request, endpoints };
    transport.publish_control(&Control::Announce).await?;
    transport.publish_control(&ask).await?;
    let seen = collect(&mut heartbeats, request).await;
    let queue = transport.task_queue();
    transport.close().await;
    Ok(summary(seen, request, queue))
}

/// The last heartbeat of every worker; of one that has answered, its answer.
async fn collect(
    heartbeats: &mut Messages<Heartbeat>,
    request: u64,
) -> BTreeMap<WorkerId, Heartbeat> {
    let mut seen: BTreeMap<WorkerId, Heartbeat> = BTreeMap::new();
    let began = Instant::now();
    let (announced, latest) = (began + ANNOUNCED, began + CHECKED);
    loop {
        let awaited = seen
            .values()
            .any(|heartbeat| !heartbeat.draining && !is_answer(heartbeat, request));
        let until = if awaited { latest } else { announced };
        match timeout_at(until, heartbeats.next()).await {
            Ok(Some(heartbeat)) => {
                let is_kept = match seen.get(&heartbeat.worker) {
                    Some(before) => !is_answer(before, request),
                    None => seen.len() < MOST_WORKERS,
                };
                if is_kept {
                    seen.insert(heartbeat.worker.clone(), heartbeat);
                }
            }
            Ok(None) | Err(_) => return seen,
        }
    }
}

fn is_answer(heartbeat: &Heartbeat, request: u64) -> bool {
    let checked = heartbeat.checked.as_ref();
    checked.is_some_and(|checked| checked.request == request)
}

fn summary(seen: BTreeMap<WorkerId, Heartbeat>, request: u64, queue: String) -> FleetCheck {
    let mut fleet = FleetCheck {
        queue,
        ..FleetCheck::default()
    };
    for (worker, heartbeat) in seen {
        if heartbeat.draining {
            continue;
        }
        fleet.workers += 1;
        fleet.capacity = fleet.capacity.saturating_add(heartbeat.capacity);
        match heartbeat.checked {
            Some(checked) if checked.request == request => fleet.processes.push(EndpointsOf {
                process: format!("worker {worker}"),
                compares: true,
                endpoints: checked.endpoints,
            }),
            _ => fleet.silent.push((worker, heartbeat.version)),
        }
    }
    fleet
}
