//! Metrics whose values are read from the state at every scrape.

use prometheus::core::{Collector, Desc, Describer as _};
use prometheus::proto::MetricFamily;
use prometheus::{CounterVec, GaugeVec, Opts};

/// One value of a metric: the value of its label (empty if it has none), and the number.
pub type Reading = (String, f64);

/// The description of a metric.
#[derive(Debug, Clone, Copy)]
pub struct Described {
    /// Its name.
    pub name: &'static str,
    /// Its help text.
    pub help: &'static str,
    /// The label that distinguishes its values, if there are several.
    pub label: Option<&'static str>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Counter,
    Gauge,
}

/// Creates the metric at every scrape, so that it contains no label whose value has gone.
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
            .expect("names, labels and help texts are constants; tests register all of them");
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
        const VALID: &str = "`new` has made the same description";
        let labels: Vec<&str> = self.described.label.into_iter().collect();
        let values = (self.read)();
        let labels_of = |label: String| vec![label; labels.len()];
        match self.kind {
            Kind::Counter => {
                let metric = CounterVec::new(options(self.described), &labels).expect(VALID);
                for (label, value) in values {
                    metric.with_label_values(&labels_of(label)).inc_by(value);
                }
                metric.collect()
            }
            Kind::Gauge => {
                let metric = GaugeVec::new(options(self.described), &labels).expect(VALID);
                for (label, value) in values {
                    metric.with_label_values(&labels_of(label)).set(value);
                }
                metric.collect()
            }
        }
    }
}
