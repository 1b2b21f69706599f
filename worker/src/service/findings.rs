//! Publishes differing rows and repair statements while the comparison runs.
//!
//! No message grows with a value. Rows and statements are sent in batches. A statement that is
//! larger than a message is sent in parts. A row that is larger, because a thousand of its columns
//! differ, is listed with its first columns.

use serde::Serialize;
use shared::message::{EventBody, StatementPart};
use shared::outcome::{Difference, RepairStatement};
use shared::transport::TransportError;
use tokio::sync::mpsc;

use super::resources::Reporter;
use crate::engine::FindingBatch;

/// Bytes of the rows or statements in one message, if a message may be so large. A larger row or
/// statement has a message of its own.
const BATCH_SIZE: usize = 256 * 1024;

/// What was published.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Published {
    /// The number of batches.
    pub(super) batches: u32,
    /// Rows of which not all differing columns were sent.
    pub(super) cut_rows: u64,
}

/// Publishes every batch in order, numbered from 0, until the comparison ends. Stops at the first
/// that cannot be published.
pub(super) async fn publish(
    reporter: &Reporter,
    mut batches: mpsc::Receiver<FindingBatch>,
) -> Result<Published, TransportError> {
    let mut publisher = Publisher {
        reporter,
        room: reporter.room(),
        published: Published::default(),
    };
    while let Some(findings) = batches.recv().await {
        match findings {
            FindingBatch::Rows(rows) => publisher.send_rows(rows).await?,
            FindingBatch::Repair(statements) => publisher.send_statements(statements).await?,
        }
    }
    Ok(publisher.published)
}

struct Publisher<'a> {
    reporter: &'a Reporter,
    /// Bytes of the rows or statements in the largest message.
    room: usize,
    published: Published,
}

impl Publisher<'_> {
    async fn send_rows(&mut self, rows: Vec<Difference>) -> Result<(), TransportError> {
        for mut rows in split(rows, self.room.min(BATCH_SIZE)) {
            if let [row] = rows.as_mut_slice()
                && cut_columns(row, self.room)?
            {
                self.published.cut_rows += 1;
            }
            self.send(|batch| EventBody::Differences { batch, rows })
                .await?;
        }
        Ok(())
    }

    async fn send_statements(
        &mut self,
        statements: Vec<RepairStatement>,
    ) -> Result<(), TransportError> {
        for statements in split(statements, self.room.min(BATCH_SIZE)) {
            if let [statement] = statements.as_slice()
                && size(statement) > self.room
            {
                let encoded = serde_json::to_string(statement).expect(SERIALIZES);
                drop(statements);
                self.send_parts(&encoded).await?;
            } else {
                self.send(|batch| EventBody::Repair { batch, statements })
                    .await?;
            }
        }
        Ok(())
    }

    async fn send_parts(&mut self, statement: &str) -> Result<(), TransportError> {
        let first = self.published.batches;
        let mut rest = statement;
        while !rest.is_empty() {
            let (text, after) = rest.split_at(fitting(rest, self.room));
            let part = StatementPart {
                first,
                offset: (statement.len() - rest.len()) as u64,
                total: statement.len() as u64,
                text: text.to_owned(),
            };
            self.send(|batch| EventBody::RepairPart { batch, part })
                .await?;
            rest = after;
        }
        Ok(())
    }

    async fn send(&mut self, body: impl FnOnce(u32) -> EventBody) -> Result<(), TransportError> {
        self.reporter.publish(body(self.published.batches)).await?;
        self.published.batches += 1;
        Ok(())
    }
}

const SERIALIZES: &str = "findings have string keys and no failing serializers";

/// Bytes of an item in JSON, with the comma after it.
fn size(item: &impl Serialize) -> usize {
    serde_json::to_vec(item).expect(SERIALIZES).len() + 1
}

/// The same items in the same order, in pieces of at most `limit` bytes or one item.
fn split<T: Serialize>(items: Vec<T>, limit: usize) -> Vec<Vec<T>> {
    let mut pieces = Vec::new();
    let mut piece = Vec::new();
    let mut filled = 0;
    for item in items {
        let size = size(&item);
        if filled + size > limit && !piece.is_empty() {
            pieces.push(std::mem::take(&mut piece));
            filled = 0;
        }
        filled += size;
        piece.push(item);
    }
    if !piece.is_empty() {
        pieces.push(piece);
    }
    pieces
}

/// Removes the last columns of a row that has more than `room` bytes. Returns whether it did.
fn cut_columns(row: &mut Difference, room: usize) -> Result<bool, TransportError> {
    if size(row) <= room {
        return Ok(false);
    }
    let columns = std::mem::take(&mut row.columns);
    let mut filled = size(row);
    if filled > room {
        return Err(TransportError::TooLarge(format!(
            "the key of a differing row has {filled} bytes, which exceeds max_message_size under [broker]"
        )));
    }
    for column in columns {
        filled += size(&column);
        if filled > room {
            break;
        }
        row.columns.push(column);
    }
    Ok(true)
}

/// How many bytes of a JSON text, up to a character boundary, take at most `room` bytes as a string
/// in JSON; at least one character. Such a text contains no control characters.
fn fitting(text: &str, room: usize) -> usize {
    let mut filled = 0;
    for (at, character) in text.char_indices() {
        filled += match character {
            '"' | '\\' => 2,
            other => other.len_utf8(),
        };
        if filled > room && at > 0 {
            return at;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use shared::outcome::{ColumnDifference, DifferenceKind};

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

        #[test]
        fn a_row_is_cut_to_its_first_columns(texts in proptest::collection::vec("\\PC{0,40}", 0..40), room in 40_usize..2_000) {
            let column = |text: &String| ColumnDifference {
                name: "c".to_owned(),
                source: text.as_str().into(),
                target: serde_json::Value::Null,
            };
            let whole = Difference { columns: texts.iter().map(column).collect(), ..row("1") };
            let mut cut = whole.clone();
            match cut_columns(&mut cut, room) {
                Ok(was_cut) => {
                    prop_assert!(size(&cut) <= room);
                    prop_assert_eq!(was_cut, cut != whole);
                    prop_assert_eq!(&cut.key, &whole.key);
                    prop_assert!(whole.columns.starts_with(&cut.columns));
                }
                Err(error) => prop_assert!(size(&row("1")) > room, "{}", error),
            }
        }

        #[test]
        fn a_part_fits_as_a_json_string(text in "[a-zäß\"\\\\]{1,60}", room in 4_usize..60) {
            let at = fitting(&text, room);
            let part = text.split_at(at).0;
            // Without the quotes around it.
            prop_assert!(serde_json::to_string(part).unwrap().len() - 2 <= room);
            prop_assert!(at > 0);
        }
    }
}
