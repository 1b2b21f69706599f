//! A metric whose values are read from the state when it is asked for.

use prometheus::core::{Collector, Desc, Describer as _};
use prometheus::proto::MetricFamily;
use prometheus::{CounterVec, GaugeVec, Opts};

use super::{Described, Reading};

/// What a value means.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// Makes the metric anew for every scrape, so that nothing is left of values
/// that are gone.
pub(super) struct ReadAtScrape<F> {
    kind: Kind,
    described: Described,
    desc: Desc,
    read: F,
}

impl<F: Fn() -> Vec<Reading>> ReadAtScrape<F> {
    pub(super) fn new(kind: Kind, described: Described, read: F) -> Self {
        let desc = options(described)
            .variable_labels(described.label.iter().map(ToString::to_string).collect())
            .describe()
            .expect("names, labels and helps are constants that tests have seen");
        Self {
            kind,
            described,
            desc,
            read,
        }
    }
}

fn options(described: Described) -> Opts {
    Opts::new(described.name, described.help)
}

impl<F: Fn() -> Vec<Reading> + Send + Sync> Collector for ReadAtScrape<F> {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        const KNOWN: &str = "the same description was made before";
        let labels: Vec<&str> = self.described.label.into_iter().collect();
        let values = (self.read)();
        let of = |label: &str| -> Vec<String> { labels.iter().map(|_| label.to_owned()).collect() };
        match self.kind {
            Kind::Counter => {
                let metric = CounterVec::new(options(self.described), &labels).expect(KNOWN);
                for (label, value) in values {
                    metric.with_label_values(&of(&label)).inc_by(value);
                }
                metric.collect()
            }
            Kind::Gauge => {
                let metric = GaugeVec::new(options(self.described), &labels).expect(KNOWN);
                for (label, value) in values {
                    metric.with_label_values(&of(&label)).set(value);
                }
                metric.collect()
            }
        }
    }
}
