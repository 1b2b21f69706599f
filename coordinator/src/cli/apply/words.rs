//! Numbers and nouns of the messages of `reconcile apply`.

use crate::repair::StatementCounts;

/// "1 row", "4,012 rows"
pub(super) fn counted(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", grouped(count))
}

/// "2 deletions, 1 change, 3 additions"
pub(super) fn kinds(counts: &StatementCounts) -> String {
    format!(
        "{}, {}, {}",
        counted(counts.delete, "deletion"),
        counted(counts.update, "change"),
        counted(counts.insert, "addition")
    )
}

/// The number with a comma before every group of three digits.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_nouns_agree() {
        assert_eq!(counted(1, "row"), "1 row");
        assert_eq!(counted(0, "row"), "0 rows");
        assert_eq!(counted(999, "row"), "999 rows");
        assert_eq!(counted(4_012, "row"), "4,012 rows");
        assert_eq!(grouped(1_234_567), "1,234,567");
    }
}
