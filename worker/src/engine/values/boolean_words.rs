//! The words that stand for booleans in text.

use shared::options::ColumnRule;

/// The words that mean true, unless a rule names others.
const TRUE: [&str; 6] = ["true", "t", "1", "yes", "y", "on"];

/// The words that mean false, unless a rule names others.
const FALSE: [&str; 6] = ["false", "f", "0", "no", "n", "off"];

/// The words of a column, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BooleanWords {
    true_words: Vec<String>,
    false_words: Vec<String>,
}

impl Default for BooleanWords {
    fn default() -> Self {
        let owned = |words: [&str; 6]| words.map(str::to_owned).to_vec();
        Self {
            true_words: owned(TRUE),
            false_words: owned(FALSE),
        }
    }
}

impl BooleanWords {
    /// The words of `rule`, and the usual ones where it names none.
    pub(crate) fn of(rule: &ColumnRule) -> Self {
        let mut words = Self::default();
        // Columns of a fixed length are read without their trailing blanks.
        let lower = |words: &[String]| {
            let mut all: Vec<String> = words.iter().map(|word| word.to_lowercase()).collect();
            let trimmed = |word: &String| word.trim_end_matches(' ').to_owned();
            all.extend(all.iter().map(trimmed).collect::<Vec<_>>());
            all
        };
        if !rule.true_words.is_empty() {
            words.true_words = lower(&rule.true_words);
        }
        if !rule.false_words.is_empty() {
            words.false_words = lower(&rule.false_words);
        }
        words
    }

    /// A word that would mean both.
    pub(crate) fn contradiction(&self) -> Option<&str> {
        let both = |word: &&String| self.false_words.contains(word);
        self.true_words.iter().find(both).map(String::as_str)
    }

    /// The boolean that `text` means, whatever its case; `None` if it means none.
    pub(crate) fn truth(&self, text: &[u8]) -> Option<bool> {
        let lower;
        let text = match std::str::from_utf8(text).ok()? {
            text if text.is_ascii() => text,
            text => {
                lower = text.to_lowercase();
                &lower
            }
        };
        let is = |words: &[String]| words.iter().any(|word| word.eq_ignore_ascii_case(text));
        match (is(&self.true_words), is(&self.false_words)) {
            (true, _) => Some(true),
            (_, true) => Some(false),
            _ => None,
        }
    }
}

/// The word that is written for `value` to a column of at most `longest` characters:
/// the first that the rule names, else `true`, `false`, or `Y`, `N` where these do not fit.
pub(crate) fn word(rule: &ColumnRule, value: bool, longest: Option<usize>) -> String {
    let (named, long, short) = if value {
        (&rule.true_words, "true", "Y")
    } else {
        (&rule.false_words, "false", "N")
    };
    let fits = longest.is_none_or(|longest| longest >= "false".len());
    match named.first() {
        Some(word) => word.clone(),
        None => if fits { long } else { short }.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rule(true_words: &[&str], false_words: &[&str]) -> ColumnRule {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        ColumnRule {
            true_words: owned(true_words),
            false_words: owned(false_words),
            ..ColumnRule::default()
        }
    }

    #[test]
    fn words_mean_what_the_rule_says() {
        let usual = BooleanWords::default();
        for (text, truth) in [
            ("Y", Some(true)),
            ("TRUE", Some(true)),
            ("1", Some(true)),
            ("n", Some(false)),
            ("False", Some(false)),
            ("0", Some(false)),
            ("", None),
            ("J", None),
            ("2", None),
        ] {
            assert_eq!(usual.truth(text.as_bytes()), truth, "{text}");
        }
        let german = BooleanWords::of(&rule(&["Ja", "Ü"], &["Nein", " "]));
        for (text, truth) in [
            ("JA", Some(true)),
            ("ü", Some(true)),
            ("nein", Some(false)),
            ("", Some(false)),
            (" ", Some(false)),
            ("Y", None),
        ] {
            assert_eq!(german.truth(text.as_bytes()), truth, "{text}");
        }
        assert_eq!(german.contradiction(), None);
        let wrong = BooleanWords::of(&rule(&["N"], &[]));
        assert_eq!(wrong.contradiction(), Some("n"));
    }

    proptest! {
        #[test]
        fn the_word_that_is_written_means_the_value(value: bool, longest in 1_usize..8, named: bool) {
            let rule = if named { rule(&["Ja"], &["Nein"]) } else { rule(&[], &[]) };
            let word = word(&rule, value, Some(longest));
            prop_assert_eq!(BooleanWords::of(&rule).truth(word.as_bytes()), Some(value));
            prop_assert!(named || word.len() <= longest);
        }
    }
}
