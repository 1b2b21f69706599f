//! Values and names on one line, so that a reader sees what differs: long values are cut to a
//! window around the first difference, and characters that cannot be seen or that look alike are
//! shown by their code.

use icu_normalizer::ComposingNormalizerBorrowed;
use serde_json::Value;

/// Characters of the longest value that is shown in full, and of a window.
const WIDTH: usize = 40;

/// Characters of a window before the first difference.
const BEFORE: usize = 12;

/// What a blank is shown as where only blanks differ.
pub(super) const BLANK: char = '␣';

/// The start of a redacted value, which is short and always shown in full.
const REDACTED: &str = "redacted:";

/// A value of which there is no other to compare it with.
pub(super) fn value(value: &Value) -> String {
    let Some(text) = value.as_str() else {
        return value.to_string();
    };
    let characters: Vec<char> = text.chars().collect();
    quoted(&characters, &Shown::whole(&characters, 0))
}

/// The values of both sides.
pub(super) fn values(source: &Value, target: &Value) -> (String, String) {
    let (Some(left), Some(right)) = (source.as_str(), target.as_str()) else {
        return (value(source), value(target));
    };
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let difference = Difference::between(&left, &right);
    // The window does not begin later than its end needs.
    let latest = left.len().max(right.len()).saturating_sub(WIDTH);
    let start = difference.start.saturating_sub(BEFORE).min(latest);
    let shown = |side: &[char], end: usize| Shown {
        difference: (difference.start, end),
        manner: difference.manner,
        ..Shown::whole(side, start)
    };
    (
        quoted(&left, &shown(&left, difference.end_left)),
        quoted(&right, &shown(&right, difference.end_right)),
    )
}

/// A name, without quotes unless it begins or ends with a blank.
pub(super) fn name(text: &str) -> String {
    let shown = printable(text);
    if text.starts_with(' ') || text.ends_with(' ') || text.is_empty() {
        format!("'{shown}'")
    } else {
        shown
    }
}

/// Two names that are similar.
pub(super) fn names(one: &str, other: &str) -> (String, String) {
    let (left, right): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let difference = Difference::between(&left, &right);
    if difference.manner == Manner::Plain {
        return (name(one), name(other));
    }
    let shown = |side: &[char], end: usize| {
        (side.iter().enumerate())
            .map(|(at, &character)| {
                if (difference.start..end).contains(&at) {
                    difference.manner.render(character)
                } else {
                    escape_within(character)
                }
            })
            .collect()
    };
    (
        shown(&left, difference.end_left),
        shown(&right, difference.end_right),
    )
}

/// A text whose control and invisible characters are shown by their codes.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(escape_within).collect()
}

/// How the differing part of two values is rendered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// As the rest, but combining characters by their codes.
    Plain,
    /// Only blanks differ: blanks are visible.
    Blanks,
    /// The parts look alike: every character beyond ASCII by its code.
    Codes,
}

impl Manner {
    fn render(self, character: char) -> String {
        match self {
            Self::Blanks if character == ' ' => BLANK.to_string(),
            Self::Codes if !character.is_ascii() => character.escape_unicode().to_string(),
            _ if matches!(character, '"') => character.to_string(),
            _ => character.escape_debug().to_string(),
        }
    }
}

/// The part in which two texts differ, in characters.
#[derive(Debug)]
struct Difference {
    start: usize,
    end_left: usize,
    end_right: usize,
    manner: Manner,
}

impl Difference {
    fn between(left: &[char], right: &[char]) -> Self {
        let same = |(a, b): &(&char, &char)| a == b;
        let mut start = left.iter().zip(right).take_while(same).count();
        // A base character belongs to the combining character that differs after it.
        let combines =
            |side: &[char], at: usize| side.get(at).is_some_and(|&character| is_mark(character));
        while start > 0 && (combines(left, start) || combines(right, start)) {
            start -= 1;
        }
        let rest = left.len().min(right.len()) - start;
        let backwards = left.iter().rev().zip(right.iter().rev());
        let mut after = backwards.take(rest).take_while(same).count();
        while after > 0 && is_mark(left[left.len() - after]) {
            after -= 1;
        }
        let (end_left, end_right) = (left.len() - after, right.len() - after);
        Self {
            start,
            end_left,
            end_right,
            manner: manner(&left[start..end_left], &right[start..end_right]),
        }
    }
}

fn manner(left: &[char], right: &[char]) -> Manner {
    let without_blanks = |side: &[char]| -> Vec<char> {
        let characters = side.iter().copied();
        characters.filter(|it| !it.is_whitespace()).collect()
    };
    if left == right {
        return Manner::Plain;
    }
    if without_blanks(left) == without_blanks(right) {
        return Manner::Blanks;
    }
    let normal = |side: &[char]| {
        let text: String = side.iter().collect();
        ComposingNormalizerBorrowed::new_nfkc()
            .normalize(&text)
            .into_owned()
    };
    if normal(left) == normal(right) || look_alike(left, right) {
        return Manner::Codes;
    }
    Manner::Plain
}

/// Whether a few ASCII characters are opposite letters of another script, such as the Cyrillic а.
fn look_alike(left: &[char], right: &[char]) -> bool {
    const LAST_LATIN: char = '\u{24f}';
    let is_ascii = |side: &[char]| side.iter().all(char::is_ascii);
    let is_foreign = |side: &[char]| {
        side.iter()
            .any(|&it| it > LAST_LATIN && it.is_alphanumeric())
    };
    left.len() == right.len()
        && left.len() <= 3
        && (is_ascii(left) && is_foreign(right) || is_foreign(left) && is_ascii(right))
}

/// Which part of a value is shown, and how.
#[derive(Debug)]
struct Shown {
    start: usize,
    end: usize,
    difference: (usize, usize),
    manner: Manner,
}

impl Shown {
    /// The part from `start` on, as far as it fits.
    fn whole(text: &[char], start: usize) -> Self {
        let is_redacted = text
            .iter()
            .copied()
            .take(REDACTED.len())
            .eq(REDACTED.chars());
        let (start, width) = if is_redacted {
            (0, text.len())
        } else {
            (start.min(text.len()), WIDTH)
        };
        Self {
            start,
            end: text.len().min(start + width),
            difference: (0, 0),
            manner: Manner::Plain,
        }
    }
}

fn quoted(text: &[char], shown: &Shown) -> String {
    let mut line = String::from("'");
    if shown.start > 0 {
        line.push('…');
    }
    let (first, last) = shown.difference;
    for (at, &character) in text.iter().enumerate().take(shown.end).skip(shown.start) {
        line += &if (first..last).contains(&at) {
            shown.manner.render(character)
        } else if at == shown.start {
            // A combining character would change the quotation mark before it.
            Manner::Plain.render(character)
        } else {
            escape_quoted(character)
        };
    }
    if shown.end < text.len() {
        line.push('…');
    }
    line.push('\'');
    line
}

/// Whether the character combines with the one before it.
fn is_mark(character: char) -> bool {
    character.escape_debug().len() > 1 && !is_escaped_within(character)
}

/// Whether the character is escaped also after another one: a control character, an invisible one,
/// a quotation mark or a backslash.
fn is_escaped_within(character: char) -> bool {
    let text: String = ['x', character].iter().collect();
    text.escape_debug().count() > 2
}

fn escape_within(character: char) -> String {
    if matches!(character, '\'' | '\\') {
        return character.to_string();
    }
    escape_quoted(character)
}

fn escape_quoted(character: char) -> String {
    if character != '"' && is_escaped_within(character) {
        character.escape_debug().to_string()
    } else {
        character.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn shown(source: &str, target: &str) -> String {
        let (source, target) = values(&json!(source), &json!(target));
        format!("{source} → {target}")
    }

    #[test]
    fn long_values_are_cut_around_the_first_difference() {
        let remark = "A long remark about an employee, of more than forty characters: ";
        assert_eq!(
            shown(&format!("{remark}red."), &format!("{remark}blue.")),
            "'…ee, of more than forty characters: red.' → '…ee, of more than forty characters: blue.'"
        );
        let long = "x".repeat(100);
        assert_eq!(
            shown(&format!("a{long}"), &format!("b{long}")),
            format!("'a{0}…' → 'b{0}…'", "x".repeat(39))
        );
        assert_eq!(
            value(&json!(long)),
            format!("'{}…'", "x".repeat(40)),
            "the quotation is closed"
        );
        let (source, target) = values(&json!(long), &Value::Null);
        assert!(source.ends_with("…'") && target == "null", "{source}");
        assert_eq!(shown(&long, ""), format!("'{}…' → ''", "x".repeat(40)));
    }

    #[test]
    fn characters_that_cannot_be_seen_are_visible() {
        for (source, target, expected) in [
            ("a b", "a\u{a0}b", "'a␣b' → 'a\\u{a0}b'"),
            ("ab", "a\u{200b}b", "'ab' → 'a\\u{200b}b'"),
            ("a", "a ", "'a' → 'a␣'"),
            ("a  b c", "a b c", "'a ␣b c' → 'a b c'"),
            ("caf\u{e9}", "cafe\u{301}", "'caf\\u{e9}' → 'cafe\\u{301}'"),
            ("e\u{301}", "e\u{300}", "'e\\u{301}' → 'e\\u{300}'"),
            (
                "\u{212b}ngstr\u{f6}m",
                "\u{c5}ngstr\u{f6}m",
                "'\\u{212b}ngström' → '\\u{c5}ngström'",
            ),
            ("pay", "p\u{430}y", "'pay' → 'p\\u{430}y'"),
            ("red car", "blue bus", "'red car' → 'blue bus'"),
            ("Müller", "Muller", "'Müller' → 'Muller'"),
            ("a\tb", "a\nb", "'a\\tb' → 'a\\nb'"),
            ("say \"x\"", "say 'x'", "'say \"x\"' → 'say \\'x\\''"),
        ] {
            assert_eq!(shown(source, target), expected, "{source:?} {target:?}");
        }
    }

    #[test]
    fn names_show_what_cannot_be_seen() {
        assert_eq!(name("Order Details"), "Order Details");
        assert_eq!(name("a "), "'a '");
        assert_eq!(name("a\u{200b}\u{1b}[31m"), "a\\u{200b}\\u{1b}[31m");
        let (one, other) = names("caf\u{e9}", "cafe\u{301}");
        assert_eq!(format!("{one} {other}"), "caf\\u{e9} cafe\\u{301}");
        let (one, other) = names("Currency", "currency_code");
        assert_eq!(format!("{one} {other}"), "Currency currency_code");
    }

    #[test]
    fn redacted_values_are_whole() {
        let redacted = "redacted:hash=0123456789abcdef,length=12,first_difference=3";
        assert_eq!(value(&json!(redacted)), format!("'{redacted}'"));
    }

    proptest! {
        #[test]
        fn different_values_are_shown_differently(
            before in "[a-zé ]{0,80}",
            one in "[a-f \u{a0}\u{200b}\u{301}éа]{0,3}",
            other in "[a-f \u{a0}\u{200b}\u{301}éа]{0,3}",
            after in "[a-z ]{0,80}",
        ) {
            let (left, right) = (format!("{before}{one}{after}"), format!("{before}{other}{after}"));
            prop_assume!(left != right);
            let (source, target) = values(&json!(left), &json!(right));
            prop_assert_ne!(&source, &target);
            for line in [source, target] {
                prop_assert!(line.starts_with('\'') && line.ends_with('\''), "{}", line);
                prop_assert!(!line.contains(['\u{a0}', '\u{200b}']), "{}", line);
            }
        }
    }
}
