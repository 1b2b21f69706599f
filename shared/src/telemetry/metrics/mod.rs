//! The metrics of a process: a registry that is passed to the code that measures, and two
//! ways to export it: HTTP ([`server`]) and a Pushgateway ([`push`]).
//!
//! A gauge is never counted up and down, which drifts with the first path that
//! forgets one of the two: it is read from the state when somebody asks, see
//! [`Metrics::read_gauge`].

pub mod push;
mod read;
pub mod server;

use std::sync::Arc;

use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{Registry, TextEncoder};

use self::read::{Kind, ReadAtScrape};
use crate::transport::Transport;

/// One value of a metric that is read: the value of its label (empty where it
/// has none), and the number.
pub type Reading = (String, f64);

/// A metric that does not change its meaning: its name, what it says, and its
/// one label, where it has one.
#[derive(Debug, Clone, Copy)]
pub struct Described {
    /// Its name.
    pub name: &'static str,
    /// What it says.
    pub help: &'static str,
    /// The label that tells its values apart.
    pub label: Option<&'static str>,
}

/// How long a gauge means something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// Also when the process has ended: it is about what it did.
    Work,
    /// While the process lives.
    Life,
}

/// The metrics of this process.
#[derive(Debug)]
pub struct Metrics {
    /// What was done.
    work: Registry,
    /// What means something only while the process lives. Not for files and
    /// pushes: there it would look as if it still held, and who collects those
    /// has metrics of its own process by the same names.
    life: Registry,
}

impl Metrics {
    /// The metrics of a process of this `version`, none of its work yet.
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
            Span::Work,
            Described {
                name: "reconcile_build_info",
                help: "Always 1; the label is the version of the program.",
                label: Some("version"),
            },
            move || vec![(version.to_owned(), 1.0)],
        );
        metrics
    }

    /// Adds what `collector` measures.
    ///
    /// # Panics
    ///
    /// When its name is taken or is no name: both are defects.
    pub fn register(&self, collector: Box<dyn Collector>) {
        register(&self.work, collector);
    }

    /// Adds a gauge that is read from the state whenever somebody asks.
    ///
    /// # Panics
    ///
    /// As [`Metrics::register`].
    pub fn read_gauge(
        &self,
        span: Span,
        described: Described,
        read: impl Fn() -> Vec<Reading> + Send + Sync + 'static,
    ) {
        let registry = match span {
            Span::Work => &self.work,
            Span::Life => &self.life,
        };
        let gauge = ReadAtScrape::new(Kind::Gauge, described, read);
        register(registry, Box::new(gauge));
    }

    /// Adds a counter that is read from the state whenever somebody asks. It
    /// must never go back.
    ///
    /// # Panics
    ///
    /// As [`Metrics::register`].
    pub fn read_counter(
        &self,
        described: Described,
        read: impl Fn() -> Vec<Reading> + Send + Sync + 'static,
    ) {
        self.register(Box::new(ReadAtScrape::new(Kind::Counter, described, read)));
    }

    /// Adds how the connection to the broker stands.
    ///
    /// # Panics
    ///
    /// The second time.
    pub fn watch_transport(&self, transport: &Arc<dyn Transport>) {
        let read = |read: fn(crate::transport::Health) -> f64| {
            let transport = Arc::clone(transport);
            move || vec![(String::new(), read(transport.health()))]
        };
        self.read_gauge(
            Span::Life,
            Described {
                name: "reconcile_broker_connected",
                help: "1 while the process is connected to the broker, else 0.",
                label: None,
            },
            read(|health| f64::from(u8::from(health.connected))),
        );
        self.read_counter(
            Described {
                name: "reconcile_broker_reconnects_total",
                help: "Connections to the broker that were lost and made again.",
                label: None,
            },
            read(|health| health.reconnects as f64),
        );
        self.read_counter(
            Described {
                name: "reconcile_dead_lettered_total",
                help: "Messages that this process did not understand or trust and moved to the dead-letter queue.",
                label: None,
            },
            read(|health| health.dead_lettered as f64),
        );
    }

    /// What a scrape gets, in the text format 0.0.4.
    #[must_use]
    pub fn scrape(&self) -> String {
        let mut families = self.work.gather();
        families.extend(self.life.gather());
        encode(&families)
    }

    /// What was measured of the work alone, in the text format 0.0.4: for files
    /// and pushes.
    #[must_use]
    pub fn of_the_work(&self) -> String {
        encode(&self.work.gather())
    }
}

fn register(registry: &Registry, collector: Box<dyn Collector>) {
    registry
        .register(collector)
        .expect("every metric has a name of its own, which its tests have seen");
}

fn encode(families: &[MetricFamily]) -> String {
    TextEncoder::new()
        .encode_to_string(families)
        .expect("a registry holds no family without metrics, the one thing that has no text")
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
    async fn the_connection_is_read_when_somebody_asks() {
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
