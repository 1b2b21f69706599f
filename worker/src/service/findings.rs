//! Publishes differing rows and repair statements while the comparison runs.

use serde::Serialize;
use shared::message::EventBody;
use shared::transport::TransportError;
use tokio::sync::mpsc;

use super::resources::Reporter;
use crate::engine::FindingBatch;

/// Maximum size of the rows in one message, in bytes of JSON. A larger row has
/// a message of its own.
const MESSAGE_LIMIT: usize = 256 * 1024;

/// Publishes every batch in order, numbered from 0, until the comparison ends;
/// returns how many there were. Stops at the first that cannot be published.
pub(super) async fn publish(
    reporter: &Reporter,
    mut batches: mpsc::Receiver<FindingBatch>,
) -> Result<u32, TransportError> {
    let mut batch = 0;
    while let Some(findings) = batches.recv().await {
        match findings {
            FindingBatch::Rows(rows) => {
                for rows in split(rows, MESSAGE_LIMIT) {
                    let body = EventBody::Differences { batch, rows };
                    reporter.publish(body).await?;
                    batch += 1;
                }
            }
            FindingBatch::Repair(statements) => {
                for statements in split(statements, MESSAGE_LIMIT) {
                    let body = EventBody::Repair { batch, statements };
                    reporter.publish(body).await?;
                    batch += 1;
                }
            }
        }
    }
    Ok(batch)
}

/// The same rows in the same order, in pieces of at most `limit` bytes or one row.
fn split<T: Serialize>(rows: Vec<T>, limit: usize) -> Vec<Vec<T>> {
    let mut pieces = Vec::new();
    let mut piece = Vec::new();
    let mut filled = 0;
    for row in rows {
        let encoded = serde_json::to_vec(&row);
        // With the comma after it.
        let size = encoded.expect("findings have string keys").len() + 1;
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
