//! Sends differing rows and repairs on while the comparison still runs.

use serde::Serialize;
use shared::message::EventBody;
use shared::transport::TransportError;
use tokio::sync::mpsc;

use super::attempt::Reporter;
use crate::engine::Found;

/// How large the rows of one message may be together, in bytes of JSON. One
/// larger row travels alone.
const MESSAGE_LIMIT: usize = 256 * 1024;

/// Publishes every batch in order, numbered from 0, until the comparison ends;
/// gives their number. Ends early when one cannot be published.
pub(super) async fn forward(
    reporter: &Reporter,
    mut batches: mpsc::Receiver<Found>,
) -> Result<u32, TransportError> {
    let mut number = 0;
    while let Some(findings) = batches.recv().await {
        let next = &mut number;
        match findings {
            Found::Rows(rows) => {
                for rows in split(rows, MESSAGE_LIMIT) {
                    let batch = take_number(next);
                    reporter
                        .publish(EventBody::Differences { batch, rows })
                        .await?;
                }
            }
            Found::Repair(statements) => {
                for statements in split(statements, MESSAGE_LIMIT) {
                    let batch = take_number(next);
                    reporter
                        .publish(EventBody::Repair { batch, statements })
                        .await?;
                }
            }
        }
    }
    Ok(number)
}

fn take_number(next: &mut u32) -> u32 {
    *next += 1;
    *next - 1
}

/// The same rows in the same order, in pieces of at most `limit` bytes or one row.
fn split<T: Serialize>(rows: Vec<T>, limit: usize) -> Vec<Vec<T>> {
    let mut pieces = Vec::new();
    let mut piece = Vec::new();
    let mut filled = 0;
    for row in rows {
        let size = encoded_len(&row);
        if filled + size > limit && !piece.is_empty() {
            pieces.push(std::mem::take(&mut piece));
            filled = 0;
        }
        filled += size;
        piece.push(row);
    }
    if !piece.is_empty() {
        pieces.push(piece);
    }
    pieces
}

/// How long the row is in a message, with the comma behind it.
fn encoded_len(row: &impl Serialize) -> usize {
    let mut counter = Counter(1);
    serde_json::to_writer(&mut counter, row)
        .expect("findings have string keys and no failing serializers, and counting cannot fail");
    counter.0
}

/// Counts what is written.
struct Counter(usize);

impl std::io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use shared::outcome::{Difference, DifferenceKind};

    use super::*;

    fn row(text: &str) -> Difference {
        let key = serde_json::Map::from_iter([("id".to_owned(), text.into())]);
        Difference {
            kind: DifferenceKind::Extra,
            key,
            columns: Vec::new(),
        }
    }

    proptest! {
        #[test]
        fn pieces_are_the_whole_in_order_and_small(texts in proptest::collection::vec("\\PC{0,40}", 0..40), limit in 1_usize..400) {
            let rows: Vec<_> = texts.iter().map(|text| row(text)).collect();
            let pieces = split(rows.clone(), limit);
            for piece in &pieces {
                prop_assert!(!piece.is_empty());
                prop_assert!(piece.len() == 1 || serde_json::to_vec(piece).unwrap().len() <= limit + 1);
            }
            prop_assert_eq!(pieces.concat(), rows);
        }
    }
}
