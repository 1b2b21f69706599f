//! Tests of the export to a Jaeger agent.

use std::net::UdpSocket;

use tracing_subscriber::layer::SubscriberExt as _;

use super::{Destination, Identity, Tracing, context};
use crate::failure::FailureKind;

/// The first byte of a message in Thrift's compact protocol.
const COMPACT: u8 = 0x82;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_arrive_at_a_jaeger_agent_as_thrift() {
    let agent = UdpSocket::bind("127.0.0.1:0").unwrap();
    agent
        .set_read_timeout(Some(std::time::Duration::from_secs(20)))
        .unwrap();
    let address = agent.local_addr().unwrap().to_string();
    let destination = Destination::JaegerAgent(address.clone());
    assert_eq!(destination.to_string(), format!("udp://{address}"));
    let identity = Identity {
        service: "reconcile-worker",
        instance: "w1".to_owned(),
    };
    let (tracing, layer) = Tracing::start(&destination, &identity).unwrap();
    let subscriber = tracing_subscriber::registry().with(layer);
    tracing::subscriber::with_default(subscriber, || {
        let run = tracing::info_span!("parallel_reconcile_tables", table_count = 17);
        let _entered = run.enter();
        let table = tracing::info_span!("parallel_reconcile_single_table", table = "dbo.orders");
        context::fail(
            &table,
            &FailureKind::TableNotFound,
            "there is no such table",
        );
    });
    tracing.shutdown().await;

    let mut datagram = vec![0; 65_536];
    let length = agent.recv(&mut datagram).unwrap();
    let datagram = &datagram[..length];
    assert_eq!(datagram[0], COMPACT);
    let holds = |text: &str| {
        datagram
            .windows(text.len())
            .any(|window| window == text.as_bytes())
    };
    for text in [
        "emitBatch",
        "reconcile-worker",
        "service.instance.id",
        "parallel_reconcile_tables",
        "parallel_reconcile_single_table",
        "dbo.orders",
        "exception.type",
        "TableNotFound",
    ] {
        assert!(holds(text), "{text}: {}", String::from_utf8_lossy(datagram));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_without_a_port_is_refused() {
    let identity = Identity {
        service: "reconcile-worker",
        instance: "w1".to_owned(),
    };
    let destination = Destination::JaegerAgent("localhost".to_owned());
    let error = Tracing::start(&destination, &identity).err().unwrap();
    assert!(error.to_string().contains("--jaeger-agent"), "{error}");
}
