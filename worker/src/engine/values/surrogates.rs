//! UTF-16 with unpaired surrogates, which SQL Server stores and UTF-8 cannot
//! encode, as generalized UTF-8 ("WTF-8", <https://simonsapin.github.io/wtf-8/>):
//! an unpaired surrogate has three bytes, which no valid UTF-8 contains.

/// Little-endian UTF-16 as generalized UTF-8; `None` if the last unit is incomplete.
pub(crate) fn from_utf16(bytes: &[u8]) -> Option<Vec<u8>> {
    if !bytes.len().is_multiple_of(2) {
        return None;
    }
    let units = bytes
        .chunks_exact(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    let mut text = Vec::with_capacity(bytes.len());
    let mut buffer = [0; 4];
    for character in char::decode_utf16(units) {
        match character {
            Ok(character) => {
                text.extend_from_slice(character.encode_utf8(&mut buffer).as_bytes());
            }
            Err(error) => {
                let [high, low] = error.unpaired_surrogate().to_be_bytes();
                text.extend_from_slice(&[
                    0xE0 | high >> 4,
                    0x80 | (high & 0x0F) << 2 | low >> 6,
                    0x80 | low & 0x3F,
                ]);
            }
        }
    }
    Some(text)
}

enum Part<'a> {
    Text(&'a str),
    Surrogate(u16),
    /// A byte that is part of neither.
    Invalid,
}

/// Splits generalized UTF-8 into its parts.
fn parts(mut text: &[u8]) -> impl Iterator<Item = Part<'_>> {
    std::iter::from_fn(move || {
        let valid = match std::str::from_utf8(text) {
            Ok("") => return None,
            Ok(all) => all,
            Err(error) => text
                .get(..error.valid_up_to())
                .and_then(|valid| std::str::from_utf8(valid).ok())
                .unwrap_or_default(),
        };
        let (part, length) = match text {
            _ if !valid.is_empty() => (Part::Text(valid), valid.len()),
            [0xED, second @ 0xA0..=0xBF, third @ 0x80..=0xBF, ..] => {
                let unit = 0xD000 | u16::from(second & 0x3F) << 6 | u16::from(third & 0x3F);
                (Part::Surrogate(unit), 3)
            }
            _ => (Part::Invalid, 1),
        };
        text = &text[length..];
        Some(part)
    })
}

/// The UTF-16 of generalized UTF-8.
pub(crate) fn to_utf16(text: &[u8]) -> Vec<u16> {
    let mut units = Vec::new();
    for part in parts(text) {
        match part {
            Part::Text(text) => units.extend(text.encode_utf16()),
            Part::Surrogate(unit) => units.push(unit),
            Part::Invalid => {}
        }
    }
    units
}

/// The text with unpaired surrogates escaped as in JSON, such as `\ud83d`.
pub(crate) fn escaped(text: &[u8]) -> String {
    let mut escaped = String::new();
    for part in parts(text) {
        match part {
            Part::Text(text) => escaped.push_str(text),
            Part::Surrogate(unit) => escaped.push_str(&format!("\\u{unit:04x}")),
            Part::Invalid => escaped.push(char::REPLACEMENT_CHARACTER),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn utf_16_comes_back(units in proptest::collection::vec(prop_oneof![any::<u16>(), 0xD800_u16..0xE000], 0..20)) {
            let bytes: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
            let text = from_utf16(&bytes).unwrap();
            prop_assert_eq!(to_utf16(&text), units.clone());
            let is_valid = String::from_utf16(&units).is_ok();
            prop_assert_eq!(std::str::from_utf8(&text).is_ok(), is_valid);
        }
    }
}
