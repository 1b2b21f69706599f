//! Generates the rows of a table in COPY's text format, and a random sample of them.

use std::fmt::{Display, Write};

use bytes::Bytes;
use fastrand::Rng;
use tokio::sync::mpsc;
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator,
    PartSuppGenerator, RegionGenerator, SupplierGenerator,
};

use super::{Rows, Table};

/// How much text is sent at once, in bytes.
const CHUNK: usize = 256 * 1024;

/// One row, as the texts of its values.
pub type Row = Vec<String>;

/// Rows chosen at random, each row of the table with the same probability.
#[derive(Debug)]
pub struct Sample {
    /// The chosen rows, in random order.
    pub rows: Vec<Row>,
    /// The number of rows in the table.
    pub total: u64,
}

/// Sends all rows of `table` in chunks of whole lines, values separated by `|`.
/// Ends early when the receiver is dropped.
pub(super) fn generate(
    table: Table,
    scale: f64,
    sample_size: usize,
    mut random: Rng,
    chunks: &mpsc::Sender<Bytes>,
) -> Sample {
    let mut stream = Stream {
        chunks,
        buffer: String::with_capacity(CHUNK + 1024),
        sample: Vec::new(),
        sample_size,
        total: 0,
        random: &mut random,
    };
    match table.rows {
        Rows::Region => stream.send(RegionGenerator::new(scale, 1, 1).iter(), no_more),
        Rows::Nation => stream.send(NationGenerator::new(scale, 1, 1).iter(), no_more),
        Rows::Supplier => stream.send(SupplierGenerator::new(scale, 1, 1).iter(), no_more),
        Rows::Part => stream.send(PartGenerator::new(scale, 1, 1).iter(), no_more),
        Rows::PartSupp => stream.send(PartSuppGenerator::new(scale, 1, 1).iter(), no_more),
        Rows::Customer => stream.send(CustomerGenerator::new(scale, 1, 1).iter(), no_more),
        Rows::Orders => stream.send(OrderGenerator::new(scale, 1, 1).iter(), |order, line| {
            write!(
                line,
                "|{}",
                last_update(order.o_orderkey, &order.o_orderdate)
            )
            .expect("writing to a String cannot fail");
        }),
        Rows::LineItem => stream.send(LineItemGenerator::new(scale, 1, 1).iter(), no_more),
    }
    let Stream {
        mut sample, total, ..
    } = stream;
    random.shuffle(&mut sample);
    let rows = sample
        .iter()
        .map(|line| line.split('|').map(str::to_owned).collect())
        .collect();
    Sample { rows, total }
}

fn no_more<R>(_: &R, _: &mut String) {}

/// A time on the order's day, different for every order, that uses all six decimals.
fn last_update(order: i64, day: &impl Display) -> String {
    // A multiplier coprime to the length of a day distributes the orders over it.
    let micros = order.unsigned_abs().wrapping_mul(7_919_000_003) % 86_400_000_000;
    let seconds = micros / 1_000_000;
    format!(
        "{day} {:02}:{:02}:{:02}.{:06}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        micros % 1_000_000
    )
}

struct Stream<'a> {
    chunks: &'a mpsc::Sender<Bytes>,
    buffer: String,
    sample: Vec<String>,
    sample_size: usize,
    total: u64,
    random: &'a mut Rng,
}

impl Stream<'_> {
    fn send<R: Display>(&mut self, rows: impl Iterator<Item = R>, more: impl Fn(&R, &mut String)) {
        for row in rows {
            let begin = self.buffer.len();
            write!(self.buffer, "{row}").expect("writing to a String cannot fail");
            // The benchmark's own format ends every value with the separator, also the last.
            self.buffer.pop();
            more(&row, &mut self.buffer);
            self.consider(begin);
            self.buffer.push('\n');
            if self.buffer.len() >= CHUNK && !self.flush() {
                return;
            }
        }
        self.flush();
    }

    /// Reservoir sampling: the n-th row enters with probability size/n.
    fn consider(&mut self, begin: usize) {
        let place = if self.sample.len() < self.sample_size {
            self.sample.push(String::new());
            self.sample.len() - 1
        } else {
            usize::try_from(self.random.u64(0..=self.total)).unwrap_or(usize::MAX)
        };
        if let Some(chosen) = self.sample.get_mut(place) {
            chosen.clear();
            chosen.push_str(&self.buffer[begin..]);
        }
        self.total += 1;
    }

    fn flush(&mut self) -> bool {
        let chunk = Bytes::copy_from_slice(self.buffer.as_bytes());
        self.buffer.clear();
        self.chunks.blocking_send(chunk).is_ok()
    }
}
