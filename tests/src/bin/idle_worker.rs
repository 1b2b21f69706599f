//! `idle-worker`: a real worker on a real broker whose engine does nothing, so that
//! the time of a table is overhead.

use std::io::Write as _;
use std::sync::Arc;

use clap::Parser;
use shared::ids::WorkerId;
use shared::transport::Transport as _;
use shared::transport::rabbit::{DEFAULT_PREFIX, RabbitOptions, RabbitTransport};
use tests::idle::IdleEngine;
use tokio::signal::unix::{SignalKind, signal};
use worker::service::{self, WorkerOptions};

#[derive(Debug, Parser)]
#[command(name = "idle-worker")]
struct Flags {
    /// amqp://user:password@host:5672/vhost
    #[arg(long, env = "RECONCILE_BROKER", hide_env_values = true)]
    broker: String,
    /// Tables at once
    #[arg(long, default_value_t = 4)]
    concurrency: u16,
    /// Begins the name of every queue and exchange
    #[arg(long, default_value = DEFAULT_PREFIX)]
    prefix: String,
}

fn main() -> anyhow::Result<()> {
    let flags = Flags::parse();
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .expect("nothing was installed before");
    let runtime = || {
        tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .expect("the operating system gives threads and a reactor")
    };
    actix_rt::System::with_tokio_rt(runtime).block_on(run(flags))
}

async fn run(flags: Flags) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let id = WorkerId::generate();
    let broker = RabbitOptions {
        prefix: flags.prefix,
        ..RabbitOptions::new(flags.broker, format!("idle-worker {id}"))
    };
    let transport = RabbitTransport::connect(broker).await?;
    let options = WorkerOptions::new(id.clone(), flags.concurrency);
    let worker = service::start(options, transport.clone(), Arc::new(IdleEngine)).await?;
    writeln!(
        std::io::stderr(),
        "worker {id} ready: {} tables at once from {}",
        flags.concurrency,
        transport.task_queue()
    )?;
    terminate.recv().await;
    worker.drain().await;
    transport.close().await;
    Ok(())
}
