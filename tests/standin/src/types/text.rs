//! Conversion of text: UTF-16, code page 1252 and UTF-8 on the wire, UTF-8 in PostgreSQL.
//!
//! PostgreSQL's `text` allows neither U+0000 nor an unpaired surrogate; `nvarchar` allows both. They
//! are stored as substitutes from the private use area of plane 16: U+10E7FF for U+0000 and
//! U+10E800 + n for the surrogate U+D800 + n. Text that itself contains one of the substitutes is
//! refused, so that stored text is always read back unchanged.

use crate::error::SqlError;

const NUL_SUBSTITUTE: u32 = 0x10_E7FF;
const SURROGATE_SUBSTITUTES: u32 = 0x10_E800;
const SURROGATES: std::ops::Range<u32> = 0xD800..0xE000;

/// The character that is stored for U+0000 or an unpaired surrogate.
fn substitute(unit: u32) -> char {
    let code = if unit == 0 {
        NUL_SUBSTITUTE
    } else {
        SURROGATE_SUBSTITUTES + (unit - SURROGATES.start)
    };
    char::from_u32(code).expect("plane 16 has only characters")
}

/// The UTF-16 unit that a stored character is the substitute for.
fn substituted_unit(stored: char) -> Option<u16> {
    match u32::from(stored) {
        NUL_SUBSTITUTE => Some(0),
        code if (SURROGATE_SUBSTITUTES..SURROGATE_SUBSTITUTES + 0x800).contains(&code) => {
            u16::try_from(code - SURROGATE_SUBSTITUTES + SURROGATES.start).ok()
        }
        _ => None,
    }
}

/// The stored form of UTF-16LE.
///
/// # Errors
/// 102 when the text contains a substitute.
pub(crate) fn from_utf16le(bytes: &[u8]) -> Result<String, SqlError> {
    let units = bytes
        .chunks_exact(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    let mut text = String::with_capacity(bytes.len() / 2);
    for character in char::decode_utf16(units) {
        text.push(match character {
            Ok(character) => stored(character)?,
            Err(unpaired) => substitute(u32::from(unpaired.unpaired_surrogate())),
        });
    }
    Ok(text)
}

fn stored(character: char) -> Result<char, SqlError> {
    if character == '\0' {
        return Ok(substitute(0));
    }
    match substituted_unit(character) {
        None => Ok(character),
        Some(_) => Err(SqlError::unsupported(format!(
            "U+{:06X}, which the stand-in cannot store",
            u32::from(character)
        ))),
    }
}

/// The stored form of decoded text.
///
/// # Errors
/// As [`from_utf16le`].
pub(crate) fn from_str(text: &str) -> Result<String, SqlError> {
    text.chars().map(stored).collect()
}

/// The stored form of bytes of code page 1252.
///
/// # Errors
/// As [`from_utf16le`].
pub(crate) fn from_cp1252(bytes: &[u8]) -> Result<String, SqlError> {
    from_str(
        &encoding_rs::WINDOWS_1252
            .decode_without_bom_handling(bytes)
            .0,
    )
}

fn utf8(stored: &[u8]) -> Result<&str, SqlError> {
    std::str::from_utf8(stored)
        .map_err(|_| SqlError::new(50000, "PostgreSQL sent text that is not UTF-8"))
}

/// Appends stored text as UTF-16LE.
///
/// # Errors
/// 50000 when `stored` is not UTF-8.
pub(crate) fn push_utf16le(out: &mut Vec<u8>, stored: &[u8]) -> Result<(), SqlError> {
    let ascii = stored.iter().take_while(|b| b.is_ascii()).count();
    out.reserve(stored.len() * 2);
    out.extend(stored[..ascii].iter().flat_map(|&b| [b, 0]));
    let mut pair = [0; 2];
    for character in utf8(&stored[ascii..])?.chars() {
        match substituted_unit(character) {
            Some(unit) => out.extend_from_slice(&unit.to_le_bytes()),
            None => out.extend(
                character
                    .encode_utf16(&mut pair)
                    .iter()
                    .flat_map(|unit| unit.to_le_bytes()),
            ),
        }
    }
    Ok(())
}

/// Appends stored text as code page 1252. A character that the code page does not have becomes
/// `?`, as in SQL Server.
///
/// # Errors
/// 50000 when `stored` is not UTF-8.
pub(crate) fn push_cp1252(out: &mut Vec<u8>, stored: &[u8]) -> Result<(), SqlError> {
    if stored.is_ascii() {
        out.extend_from_slice(stored);
        return Ok(());
    }
    let mut encoded = [0; 4];
    for character in utf8(stored)?.chars() {
        if u32::from(character) == NUL_SUBSTITUTE {
            out.push(0);
            continue;
        }
        let (bytes, _, unmappable) =
            encoding_rs::WINDOWS_1252.encode(character.encode_utf8(&mut encoded));
        if unmappable {
            out.push(b'?');
        } else {
            out.extend_from_slice(&bytes);
        }
    }
    Ok(())
}

/// Appends stored text as UTF-8. An unpaired surrogate becomes U+FFFD, because UTF-8 has no form
/// for it.
///
/// # Errors
/// 50000 when `stored` is not UTF-8.
pub(crate) fn push_utf8(out: &mut Vec<u8>, stored: &[u8]) -> Result<(), SqlError> {
    // 0xF4 is the first byte of every character of plane 16.
    if !stored.contains(&0xF4) {
        out.extend_from_slice(stored);
        return Ok(());
    }
    let mut encoded = [0; 4];
    for character in utf8(stored)?.chars() {
        let character = match substituted_unit(character) {
            Some(0) => '\0',
            Some(_) => char::REPLACEMENT_CHARACTER,
            None => character,
        };
        out.extend_from_slice(character.encode_utf8(&mut encoded).as_bytes());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(units: &[u16]) -> Vec<u16> {
        let bytes: Vec<u8> = units.iter().flat_map(|u| u.to_le_bytes()).collect();
        let stored = from_utf16le(&bytes).unwrap();
        assert!(!stored.contains('\0'));
        let mut out = Vec::new();
        push_utf16le(&mut out, stored.as_bytes()).unwrap();
        out.chunks(2)
            .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
            .collect()
    }

    #[test]
    fn every_utf16_unit_survives() {
        for first in (0..=u16::MAX).step_by(97) {
            for second in [0, 0x41, 0xD800, 0xDBFF, 0xDC00, 0xDFFF, 0xE000] {
                // U+10E7FF to U+10EFFF are refused; they begin with DBF9..=DBFB.
                if !(0xDBF9..=0xDBFB).contains(&first) {
                    assert_eq!(round_trip(&[first, second]), [first, second]);
                }
            }
        }
    }

    #[test]
    fn a_character_that_stands_for_another_is_refused() {
        assert_eq!(from_str("\u{10E800}").unwrap_err().number, 102);
    }

    #[test]
    fn code_page_1252_has_the_euro_and_no_greek() {
        let mut out = Vec::new();
        push_cp1252(&mut out, "€ä\u{81}α".as_bytes()).unwrap();
        assert_eq!(out, [0x80, 0xE4, 0x81, b'?']);
        assert_eq!(from_cp1252(&[0x80, 0xE4, 0x81]).unwrap(), "€ä\u{81}");
    }
}
