//! Renders the two values of a difference for a report: short texts whole, long
//! ones as a window around the first difference.

use serde_json::Value as Json;

use crate::engine::values::value::to_json;

/// The longest text, in bytes, that is rendered whole.
const WHOLE: usize = 600;

/// Bytes rendered before the first difference.
const BEFORE: usize = 60;

/// Bytes rendered from the first difference on.
const AFTER: usize = 240;

/// The values of both sides as JSON, null where a side has none. A text of more
/// than 600 bytes, and one that is compared with such a text, is cut to a window
/// around the first difference, with `…` where
/// text is omitted, and the position of the window and the length of the text in
/// characters: `…abc… (characters 941 to 1240 of 10485760)`.
pub(crate) fn shown(source: Option<&[u8]>, target: Option<&[u8]>) -> (Json, Json) {
    let json = |value: Option<&[u8]>| value.map_or(Json::Null, to_json);
    let (source, target) = (json(source), json(target));
    let (Some(left), Some(right)) = (source.as_str(), target.as_str()) else {
        // There is no text to compare with: a long one is rendered from its beginning.
        return (cut(source), cut(target));
    };
    if left.len().max(right.len()) <= WHOLE {
        return (source, target);
    }
    let mut first = left
        .bytes()
        .zip(right.bytes())
        .take_while(|(a, b)| a == b)
        .count();
    // Both are equal up to there, so a boundary in one is a boundary in the other.
    while !left.is_char_boundary(first) {
        first -= 1;
    }
    (window(source, first), window(target, first))
}

/// The start of a value that is compared with no other text.
fn cut(value: Json) -> Json {
    match value {
        Json::String(text) if text.len() > WHOLE => window(Json::String(text), 0),
        other => other,
    }
}

fn window(value: Json, first: usize) -> Json {
    let Json::String(text) = value else {
        return value;
    };
    let floor = |mut at: usize| {
        at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let (start, end) = (floor(first.saturating_sub(BEFORE)), floor(first + AFTER));
    if (start, end) == (0, text.len()) {
        return Json::String(text);
    }
    let characters = |part: &str| part.chars().count();
    let before = characters(&text[..start]);
    let part = &text[start..end];
    let place = before + characters(part);
    let all = place + characters(&text[end..]);
    let (open, close) = (
        if start > 0 { "…" } else { "" },
        if end < text.len() { "…" } else { "" },
    );
    Json::String(format!(
        "{open}{part}{close} (characters {} to {place} of {all})",
        before + 1
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::values::canonical::RowEncoder;

    fn text(text: &str) -> Vec<u8> {
        let mut encoder = RowEncoder::default();
        encoder.start_row();
        encoder.text(text.as_bytes());
        encoder.row().to_vec()
    }

    #[test]
    fn short_values_are_whole_and_nothing_is_null() {
        assert_eq!(
            shown(Some(&text("a")), None),
            (Json::String("a".to_owned()), Json::Null)
        );
    }

    #[test]
    fn long_texts_are_cut_around_the_first_difference() {
        let (a, b) = ("é".repeat(5_000), format!("{}x", "é".repeat(4_999)));
        let (source, target) = shown(Some(&text(&a)), Some(&text(&b)));
        assert_eq!(
            source,
            format!("…{} (characters 4970 to 5000 of 5000)", "é".repeat(31))
        );
        assert_eq!(
            target,
            format!("…{}x (characters 4970 to 5000 of 5000)", "é".repeat(30))
        );
        let (source, target) = shown(Some(&text(&a)), Some(&text("éé")));
        let source = source.as_str().unwrap().to_owned();
        assert!(
            source.starts_with("éé") && source.ends_with("… (characters 1 to 122 of 5000)"),
            "{source}"
        );
        assert_eq!(target, "éé");
        // Both windows begin at the same character.
        let (source, target) = shown(Some(&text(&a)), Some(&text(&a[..200])));
        for side in [source, target] {
            let side = side.as_str().unwrap().to_owned();
            assert!(side.contains("(characters 71 to "), "{side}");
        }
        let (source, target) = shown(None, Some(&text(&a)));
        assert_eq!(source, Json::Null);
        assert!(target.as_str().unwrap().len() < 1_000);
    }
}
