//! Damages of text.

use std::collections::BTreeSet;

use icu_casemap::CaseMapper;
use icu_normalizer::{ComposingNormalizerBorrowed, DecomposingNormalizerBorrowed};
use shared::options::{Normalization, Trim};

use crate::engine::locate::cause::damage::{Case, Damage, Folds, Limit, Page};
use crate::engine::locate::cause::{number, time};
use crate::engine::values::canonical::canonical_xml;
use crate::engine::values::folding::Folding;

/// The longest text, in bytes, for which all damages are tested. Other tests than
/// those of trimming and cutting copy the text.
const LONGEST: usize = 256 * 1024;

pub(crate) fn damages(original: &str, damaged: &str, found: &mut impl FnMut(Damage)) {
    trims(original, damaged, found);
    cuts(original, damaged, found);
    if original.len().max(damaged.len()) > LONGEST {
        return;
    }
    rewritten(original, damaged, found);
    if !original.is_ascii() || !damaged.is_ascii() {
        unicode(original, damaged, found);
    }
    folded(original, damaged, found);
    notations(original, damaged, found);
}

/// The fewest options under which the texts are equal.
fn folded(original: &str, damaged: &str, found: &mut impl FnMut(Damage)) {
    let trims = [None, Some(Trim::End), Some(Trim::Start), Some(Trim::Both)];
    let forms = [None, Some(Normalization::Nfc), Some(Normalization::Nfkc)];
    let is_equal = |Folds { trim, case, form }: Folds| {
        let folding = Folding {
            trim,
            case_insensitive: case,
            unicode: form,
        };
        folding.apply(original.as_bytes()) == folding.apply(damaged.as_bytes())
    };
    let all = Folds {
        trim: Some(Trim::Both),
        case: true,
        form: Some(Normalization::Nfkc),
    };
    if !is_equal(all) {
        return;
    }
    let mut folds: Vec<Folds> = Vec::new();
    for form in forms {
        for case in [false, true] {
            folds.extend(trims.map(|trim| Folds { trim, case, form }));
        }
    }
    folds.sort_by_key(|it| {
        u8::from(it.trim.is_some()) + u8::from(it.case) + u8::from(it.form.is_some())
    });
    if let Some(fewest) = folds.into_iter().find(|it| is_equal(*it)) {
        found(Damage::Folded(fewest));
    }
}

fn trims(original: &str, damaged: &str, found: &mut impl FnMut(Damage)) {
    let starts = damaged.len() < original.len() && original.starts_with(damaged);
    let ends = damaged.len() < original.len() && original.ends_with(damaged);
    if starts && original.trim_end_matches(' ') == damaged {
        found(Damage::BlanksTrimmed(Trim::End));
    } else if starts && original.trim_end() == damaged {
        found(Damage::SpaceTrimmed(Trim::End));
    }
    if ends && original.trim_start_matches(' ') == damaged {
        found(Damage::BlanksTrimmed(Trim::Start));
    } else if ends && original.trim_start() == damaged {
        found(Damage::SpaceTrimmed(Trim::Start));
    }
    if !starts && !ends && damaged.len() < original.len() {
        if original.trim_matches(' ') == damaged {
            found(Damage::BlanksTrimmed(Trim::Both));
        } else if original.trim() == damaged {
            found(Damage::SpaceTrimmed(Trim::Both));
        }
    }
}

/// A beginning of the text, with every limit on its length that fits.
fn cuts(original: &str, damaged: &str, found: &mut impl FnMut(Damage)) {
    let units = |text: &str| text.chars().map(char::len_utf16).sum::<usize>();
    let whole = original.strip_prefix(damaged);
    // The text was cut within a character.
    let broken = damaged
        .strip_suffix('\u{FFFD}')
        .and_then(|kept| Some((kept, original.strip_prefix(kept)?)));
    if let Some(next) = whole.and_then(|lost| lost.chars().next())
        && !damaged.is_empty()
    {
        found(Damage::TextCut(Limit::Characters(damaged.chars().count())));
        for more in 0..next.len_utf16() {
            found(Damage::TextCut(Limit::Units(units(damaged) + more)));
        }
        for more in 0..next.len_utf8() {
            found(Damage::TextCut(Limit::Bytes(damaged.len() + more)));
        }
    } else if let Some((kept, lost)) = broken
        && let Some(next) = lost.chars().next()
    {
        for more in 1..next.len_utf16() {
            found(Damage::TextCut(Limit::Units(units(kept) + more)));
        }
        for more in 1..next.len_utf8() {
            found(Damage::TextCut(Limit::Bytes(kept.len() + more)));
        }
    }
}

fn rewritten(original: &str, damaged: &str, found: &mut impl FnMut(Damage)) {
    if original.contains('\0') && original.chars().filter(|c| *c != '\0').eq(damaged.chars()) {
        found(Damage::NulDropped);
    }
    if original.contains("\r\n") && original.replace("\r\n", "\n") == damaged {
        found(Damage::LineEnds);
    }
    if original.to_lowercase() == damaged {
        found(Damage::CaseFolded(Case::Lower));
    } else if original.to_uppercase() == damaged {
        found(Damage::CaseFolded(Case::Upper));
    } else if damaged.to_lowercase() != original && damaged.to_uppercase() != original {
        let mapper = CaseMapper::new();
        if mapper.fold_string(original) == mapper.fold_string(damaged) {
            found(Damage::CaseFolded(Case::Mixed));
        }
    }
}

fn unicode(original: &str, damaged: &str, found: &mut impl FnMut(Damage)) {
    let nfd = DecomposingNormalizerBorrowed::new_nfd();
    let forms = [
        (
            Normalization::Nfc,
            ComposingNormalizerBorrowed::new_nfc().normalize(original),
        ),
        (Normalization::Nfd, nfd.normalize(original)),
        (
            Normalization::Nfkc,
            ComposingNormalizerBorrowed::new_nfkc().normalize(original),
        ),
        (
            Normalization::Nfkd,
            DecomposingNormalizerBorrowed::new_nfkd().normalize(original),
        ),
    ];
    for (form, normalized) in &forms {
        if normalized == damaged {
            found(Damage::Normalized(*form));
        }
    }
    let plain = forms[1]
        .1
        .chars()
        .filter(|c| !('\u{300}'..='\u{36F}').contains(c));
    if plain.eq(damaged.chars()) && !original.is_ascii() {
        found(Damage::AccentsRemoved);
    }
    for page in [Page::Windows1252, Page::Latin1] {
        let mut read = original.to_owned();
        for times in 1..=2 {
            read = misread(&read, page);
            if read == damaged && read != original {
                found(Damage::CodePage(page, times));
            }
        }
    }
    for mark in ['?', '\u{FFFD}', '\u{1A}'] {
        if [false, true]
            .iter()
            .any(|twice| is_replaced(original, damaged, mark, *twice))
        {
            found(Damage::Replaced(mark));
        }
    }
}

/// The bytes of UTF-8, each decoded as a character of the code page.
pub(crate) fn misread(text: &str, page: Page) -> String {
    /// The characters 80 to 9F of Windows-1252.
    const HIGH: [char; 32] = [
        '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8D}', 'Ž',
        '\u{8F}', '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9D}',
        'ž', 'Ÿ',
    ];
    text.bytes()
        .map(|byte| match (page, byte) {
            (Page::Windows1252, 0x80..=0x9F) => HIGH[usize::from(byte - 0x80)],
            _ => char::from(byte),
        })
        .collect()
}

/// Whether some characters outside ASCII were replaced by `mark` wherever they
/// occur; with `twice`, each surrogate pair by two marks.
fn is_replaced(original: &str, damaged: &str, mark: char, twice: bool) -> bool {
    let (mut kept, mut lost) = (BTreeSet::new(), BTreeSet::new());
    let mut rest = damaged.chars();
    for character in original.chars() {
        match rest.next() {
            Some(same) if same == character => {
                kept.insert(character);
            }
            Some(other) if other == mark && !character.is_ascii() => {
                lost.insert(character);
                if twice && character.len_utf16() == 2 && rest.next() != Some(mark) {
                    return false;
                }
            }
            _ => return false,
        }
    }
    rest.next().is_none() && !lost.is_empty() && kept.is_disjoint(&lost)
}

/// The same boolean, number or time in another notation.
fn notations(original: &str, damaged: &str, found: &mut impl FnMut(Damage)) {
    if let (Some(a), Some(b)) = (truth(original), truth(damaged))
        && a == b
        && !original.eq_ignore_ascii_case(damaged)
    {
        found(Damage::BooleanAsText);
    }
    let significant = original.trim_start_matches('0');
    if original.bytes().all(|byte| byte.is_ascii_digit())
        && original.starts_with('0')
        && !damaged.is_empty()
        && (significant == damaged || (significant.is_empty() && damaged == "0"))
        && original != damaged
    {
        found(Damage::LeadingZeros);
    } else if original.len().max(damaged.len()) <= number::LONGEST
        && let (Some(a), Some(b)) = (number::plain(original), number::plain(damaged))
        && a == b
    {
        found(Damage::NumberAsText);
    }
    time::undecoded_text(original, damaged, found);
    if original.contains('<')
        && damaged.contains('<')
        && let Some(xml) = canonical_xml(original.as_bytes())
        && Some(xml) == canonical_xml(damaged.as_bytes())
    {
        found(Damage::XmlNotation);
    }
}

/// The boolean that a word means, if it means one.
pub(crate) fn truth(word: &str) -> Option<bool> {
    const TRUE: [&str; 6] = ["true", "t", "1", "yes", "y", "on"];
    const FALSE: [&str; 6] = ["false", "f", "0", "no", "n", "off"];
    let is = |words: [&str; 6]| words.iter().any(|it| it.eq_ignore_ascii_case(word));
    if is(TRUE) {
        Some(true)
    } else if is(FALSE) {
        Some(false)
    } else {
        None
    }
}
