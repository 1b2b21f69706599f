//! Folds text as a column's rule asks: trims blanks, folds case, normalizes Unicode.

use std::borrow::Cow;

use icu_casemap::CaseMapper;
use icu_normalizer::{ComposingNormalizer, DecomposingNormalizer};
use shared::options::{ColumnRule, Normalization, Trim};

/// How a text is folded before it is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Folding {
    /// Where blanks (U+0020) are trimmed.
    pub trim: Option<Trim>,
    /// Whether case is ignored, by Unicode's full case folding: `ß` is `ss`.
    pub case_insensitive: bool,
    pub unicode: Option<Normalization>,
}

impl Folding {
    pub(crate) fn of(rule: &ColumnRule) -> Self {
        Self {
            trim: rule.trim,
            case_insensitive: rule.case_insensitive,
            unicode: rule.unicode,
        }
    }

    /// Whether texts remain as they are.
    pub(crate) fn is_none(self) -> bool {
        self == Self::default()
    }

    /// The folded text. Text with unpaired surrogates, which only SQL Server
    /// stores, is trimmed only.
    pub(crate) fn apply(self, text: &[u8]) -> Cow<'_, [u8]> {
        let text = match std::str::from_utf8(text) {
            // ASCII is in all four normalization forms.
            Ok(_) if text.is_ascii() => {
                if self.case_insensitive && text.iter().any(u8::is_ascii_uppercase) {
                    Cow::Owned(text.to_ascii_lowercase())
                } else {
                    Cow::Borrowed(text)
                }
            }
            Ok(text) => Cow::Owned(self.folded(text).into_bytes()),
            Err(_) => Cow::Borrowed(text),
        };
        match text {
            Cow::Borrowed(text) => Cow::Borrowed(self.trimmed(text)),
            Cow::Owned(text) => Cow::Owned(self.trimmed(&text).to_vec()),
        }
    }

    fn folded(self, text: &str) -> String {
        let normal = self.normalize(text);
        if !self.case_insensitive {
            return normal.into_owned();
        }
        let folded = CaseMapper::new().fold_string(&normal);
        // The folded text may no longer be normalized.
        self.normalize(&folded).into_owned()
    }

    fn normalize(self, text: &str) -> Cow<'_, str> {
        match self.unicode {
            None => Cow::Borrowed(text),
            Some(Normalization::Nfc) => ComposingNormalizer::new_nfc().normalize(text),
            Some(Normalization::Nfkc) => ComposingNormalizer::new_nfkc().normalize(text),
            Some(Normalization::Nfd) => DecomposingNormalizer::new_nfd().normalize(text),
            Some(Normalization::Nfkd) => DecomposingNormalizer::new_nfkd().normalize(text),
        }
    }

    fn trimmed(self, mut text: &[u8]) -> &[u8] {
        if matches!(self.trim, Some(Trim::Start | Trim::Both)) {
            while let [b' ', rest @ ..] = text {
                text = rest;
            }
        }
        if matches!(self.trim, Some(Trim::End | Trim::Both)) {
            while let [rest @ .., b' '] = text {
                text = rest;
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fold(folding: Folding, text: &str) -> String {
        String::from_utf8(folding.apply(text.as_bytes()).into_owned()).unwrap()
    }

    #[test]
    fn each_option_folds_what_it_names() {
        let none = Folding::default();
        let trim = |trim| Folding {
            trim: Some(trim),
            ..none
        };
        let case = Folding {
            case_insensitive: true,
            ..none
        };
        let unicode = |form| Folding {
            unicode: Some(form),
            ..none
        };
        assert_eq!(fold(none, " Straße "), " Straße ");
        assert_eq!(fold(trim(Trim::Start), "  a "), "a ");
        assert_eq!(fold(trim(Trim::End), " a \u{a0} "), " a \u{a0}");
        assert_eq!(fold(trim(Trim::Both), "   "), "");
        assert_eq!(fold(case, "STRASSE ÄΣ"), fold(case, "Straße äς"));
        assert_ne!(fold(case, "e\u{301}"), fold(case, "\u{e9}"));
        for form in [Normalization::Nfc, Normalization::Nfd] {
            assert_eq!(
                fold(unicode(form), "e\u{301}"),
                fold(unicode(form), "\u{e9}")
            );
            assert_ne!(fold(unicode(form), "ﬁ"), fold(unicode(form), "fi"));
        }
        for form in [Normalization::Nfkc, Normalization::Nfkd] {
            assert_eq!(fold(unicode(form), "ﬁ"), "fi");
        }
    }

    #[test]
    fn an_unpaired_surrogate_stays() {
        let all = Folding {
            trim: Some(Trim::Both),
            case_insensitive: true,
            unicode: Some(Normalization::Nfc),
        };
        assert_eq!(&*all.apply(b" A\xED\xA0\x80 "), b"A\xED\xA0\x80");
    }

    proptest! {
        #[test]
        fn folding_twice_is_folding_once(
            text in "\\PC{0,12}",
            trim in proptest::option::of(prop_oneof![Just(Trim::Start), Just(Trim::End), Just(Trim::Both)]),
            case_insensitive: bool,
            unicode in proptest::option::of(prop_oneof![
                Just(Normalization::Nfc), Just(Normalization::Nfd), Just(Normalization::Nfkc), Just(Normalization::Nfkd),
            ]),
        ) {
            let folding = Folding { trim, case_insensitive, unicode };
            let once = fold(folding, &text);
            // Compatibility forms may bring new capitals: one more round is stable for all but these.
            if !(case_insensitive && matches!(unicode, Some(Normalization::Nfkc | Normalization::Nfkd))) {
                prop_assert_eq!(fold(folding, &once), once);
            }
        }
    }
}
