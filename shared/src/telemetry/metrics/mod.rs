//! The metrics of a process: a registry that is passed to the code that measures, and two
//! ways to export it: HTTP ([`server`]) and a Pushgateway ([`push`]).
//!
//! A gauge is read from the state at every scrape, see [`Metrics::read_gauge`]. A gauge that is
//! counted up and down becomes wrong as soon as one code path forgets one of the two.

pub mod push;
mod read;
pub mod server;

use std::sync::Arc;

use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{Registry, TextEncoder};

pub use self::read::{Described, Reading};
use self::read::{Kind, ReadAtScrape};
use crate::transport::Transport;

/// How long a gauge is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// Also after the end of the process: it describes the work that was done.
    Work,
    /// While the process runs.
    Life,
}

/// The metrics of this process.
#[derive(Debug)]
pub struct Metrics {
    /// Metrics of the work that was done.
    work: Registry,
    /// Metrics that are valid only while the process runs. They are not written to files and not
    /// pushed, where they would outlive the process and collide with those of the collector's own
    /// process, which have the same names.
    life: Registry,
}

impl Metrics {
    /// The metrics of a process of this `version`, without metrics of its work.
    #[must_use]
    pub fn new(version: &'static str) -> Self {
        let metrics = Self {
            work: Registry::new(),
            life: Registry::new(),
        };
        #[cfg(target_os = "linux")]
        register(
            &metrics.life,
            Box::new(prometheus::process_collector::ProcessCollector::for_self()),
        );
        metrics.read_gauge(
            Validity::Work,
            Described {
                name: "reconcile_build_info",
                help: "Always 1; the label is the version of the program.",
                label: Some("version"),
            },
            move || vec![(version.to_owned(), 1.0)],
        );
        metrics
    }

    /// Adds the metrics of `collector`.
    ///
    /// # Panics
    ///
    /// When a name is registered already or invalid.
    pub fn register(&self, collector: Box<dyn Collector>) {
        register(&self.work, collector);
    }

    /// Adds a gauge that `read` returns at every scrape.
    ///
    /// # Panics
    ///
    /// Like [`Metrics::register`].
    pub fn read_gauge(
        &self,
        validity: Validity,
        described: Described,
        read: impl Fn() -> Vec<Reading> + Send + Sync + 'static,
    ) {
        let registry = match validity {
            Validity::Work => &self.work,
            Validity::Life => &self.life,
        };
        let gauge = ReadAtScrape::new(Kind::Gauge, described, read);
        register(registry, Box::new(gauge));
    }

    /// Adds a counter that `read` returns at every scrape. It must not decrease.
    ///
    /// # Panics
    ///
    /// Like [`Metrics::register`].
    pub fn read_counter(
        &self,
        described: Described,
        read: impl Fn() -> Vec<Reading> + Send + Sync + 'static,
    ) {
        self.register(Box::new(ReadAtScrape::new(Kind::Counter, described, read)));
    }

    /// Adds the metrics of the connection to the broker.
    ///
    /// # Panics
    ///
    /// When it is called twice.
    pub fn watch_transport(&self, transport: &Arc<dyn Transport>) {
        let read = |read: fn(crate::transport::Health) -> f64| {
            let transport = Arc::clone(transport);
            move || vec![(String::new(), read(transport.health()))]
        };
        let described = |name, help| Described {
            name,
            help,
            label: None,
        };
        self.read_gauge(
            Validity::Life,
            described(
                "reconcile_broker_connected",
                "1 while the process is connected to the broker, else 0.",
            ),
            read(|health| f64::from(u8::from(health.connected))),
        );
        self.read_counter(
            described(
                "reconcile_broker_reconnects_total",
                "Connections to the broker that were lost and made again.",
            ),
            read(|health| health.reconnects as f64),
        );
        self.read_counter(
            described(
                "reconcile_dead_lettered_total",
                "Messages that this process did not understand or trust and moved to the dead-letter queue.",
            ),
            read(|health| health.dead_lettered as f64),
        );
    }

    /// All metrics, in the text format 0.0.4.
    #[must_use]
    pub fn scrape(&self) -> String {
        let mut families = self.work.gather();
        families.extend(self.life.gather());
        encode(&families)
    }

    /// The metrics of the work alone, in the text format 0.0.4, for files and pushes.
    #[must_use]
    pub fn of_the_work(&self) -> String {
        encode(&self.work.gather())
    }
}

fn register(registry: &Registry, collector: Box<dyn Collector>) {
    registry
        .register(collector)
        .expect("every metric has a valid name of its own; tests register all of them");
}

fn encode(families: &[MetricFamily]) -> String {
    TextEncoder::new().encode_to_string(families).expect(
        "a registry contains no family without metrics, the only one that cannot be encoded",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::local::LocalTransport;

    #[test]
    fn a_scrape_has_the_process_and_a_file_only_the_work() {
        let metrics = Metrics::new("1.2.3");
        let scraped = metrics.scrape();
        assert!(
            scraped.contains("reconcile_build_info{version=\"1.2.3\"} 1\n"),
            "{scraped}"
        );
        assert!(
            scraped.contains("\nprocess_resident_memory_bytes "),
            "{scraped}"
        );
        let work = metrics.of_the_work();
        assert!(
            work.contains("reconcile_build_info") && !work.contains("process_"),
            "{work}"
        );
    }

    #[tokio::test]
    async fn the_connection_is_read_at_every_scrape() {
        let metrics = Metrics::new("0");
        let transport: Arc<dyn Transport> = LocalTransport::new();
        metrics.watch_transport(&transport);
        let connected = |value: u8| {
            let text = metrics.scrape();
            assert!(
                text.contains(&format!("\nreconcile_broker_connected {value}\n")),
                "{text}"
            );
        };
        connected(1);
        transport.close().await;
        connected(0);
    }
}
