//! Characters: UTF-16 and code page 1252 on the wire, UTF-8 in PostgreSQL.
//!
//! PostgreSQL's `text` holds neither U+0000 nor a lone surrogate, `nvarchar` may hold both. They
//! are kept as private-use characters of plane 16: U+10E7FF for U+0000 and U+10E800 + n for the
//! surrogate U+D800 + n. Text that holds one of these characters itself is refused, so nothing
//! that was stored reads back as something else.

use crate::error::SqlError;

const NUL_STAND_IN: u32 = 0x10_E7FF;
const SURROGATE_STAND_INS: u32 = 0x10_E800;
const SURROGATES: std::ops::Range<u32> = 0xD800..0xE000;

fn stand_in(unit: u32) -> char {
    let code = if unit == 0 {
        NUL_STAND_IN
    } else {
        SURROGATE_STAND_INS + (unit - SURROGATES.start)
    };
    char::from_u32(code).expect("plane 16 holds only characters")
}

fn unit_of(stand_in: u32) -> Option<u16> {
    match stand_in {
        NUL_STAND_IN => Some(0),
        code if (SURROGATE_STAND_INS..SURROGATE_STAND_INS + 0x800).contains(&code) => {
            u16::try_from(code - SURROGATE_STAND_INS + SURROGATES.start).ok()
        }
        _ => None,
    }
}

/// UTF-16LE as it is stored.
///
/// # Errors
/// 102 when the text holds a character that stands for something else in the store.
pub(crate) fn from_utf16le(bytes: &[u8]) -> Result<String, SqlError> {
    let units = bytes
        .chunks_exact(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    let mut text = String::with_capacity(bytes.len() / 2);
    for character in char::decode_utf16(units) {
        text.push(match character {
            Ok('\0') => stand_in(0),
            Ok(other) => storable(other)?,
            Err(lone) => stand_in(u32::from(lone.unpaired_surrogate())),
        });
    }
    Ok(text)
}

fn storable(character: char) -> Result<char, SqlError> {
    match unit_of(u32::from(character)) {
        None => Ok(character),
        Some(_) => Err(SqlError::unsupported(format!(
            "U+{:06X}, which the stand-in cannot store",
            u32::from(character)
        ))),
    }
}

/// Decoded text as it is stored.
///
/// # Errors
/// As [`from_utf16le`].
pub(crate) fn from_str(text: &str) -> Result<String, SqlError> {
    text.chars()
        .map(|c| {
            if c == '\0' {
                Ok(stand_in(0))
            } else {
                storable(c)
            }
        })
        .collect()
}

/// Bytes of code page 1252 as they are stored.
pub(crate) fn from_cp1252(bytes: &[u8]) -> Result<String, SqlError> {
    from_str(
        &encoding_rs::WINDOWS_1252
            .decode_without_bom_handling(bytes)
            .0,
    )
}

/// Appends stored text as UTF-16LE.
pub(crate) fn push_utf16le(out: &mut Vec<u8>, stored: &[u8]) -> Result<(), SqlError> {
    let ascii = stored.iter().take_while(|b| b.is_ascii()).count();
    out.reserve(stored.len() * 2);
    out.extend(stored[..ascii].iter().flat_map(|&b| [b, 0]));
    if ascii == stored.len() {
        return Ok(());
    }
    let rest = std::str::from_utf8(&stored[ascii..])
        .map_err(|_| SqlError::new(50000, "PostgreSQL sent text that is not UTF-8"))?;
    let mut pair = [0; 2];
    for character in rest.chars() {
        match unit_of(u32::from(character)) {
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

/// Appends stored text as code page 1252; what it does not hold becomes `?`, as SQL Server does.
pub(crate) fn push_cp1252(out: &mut Vec<u8>, stored: &[u8]) -> Result<(), SqlError> {
    if stored.is_ascii() {
        out.extend_from_slice(stored);
        return Ok(());
    }
    let text = std::str::from_utf8(stored)
        .map_err(|_| SqlError::new(50000, "PostgreSQL sent text that is not UTF-8"))?;
    let mut utf8 = [0; 4];
    for character in text.chars() {
        if u32::from(character) == NUL_STAND_IN {
            out.push(0);
            continue;
        }
        let (bytes, _, unmappable) =
            encoding_rs::WINDOWS_1252.encode(character.encode_utf8(&mut utf8));
        if unmappable {
            out.push(b'?');
        } else {
            out.extend_from_slice(&bytes);
        }
    }
    Ok(())
}

/// Appends stored text as UTF-8; a lone surrogate becomes U+FFFD, as UTF-8 has none.
pub(crate) fn push_utf8(out: &mut Vec<u8>, stored: &[u8]) -> Result<(), SqlError> {
    if !stored.contains(&0xF4) {
        out.extend_from_slice(stored);
        return Ok(());
    }
    let text = std::str::from_utf8(stored)
        .map_err(|_| SqlError::new(50000, "PostgreSQL sent text that is not UTF-8"))?;
    let mut utf8 = [0; 4];
    for character in text.chars() {
        let character = match unit_of(u32::from(character)) {
            Some(0) => '\0',
            Some(_) => char::REPLACEMENT_CHARACTER,
            None => character,
        };
        out.extend_from_slice(character.encode_utf8(&mut utf8).as_bytes());
    }
    Ok(())
}

/// A PostgreSQL string literal of stored text.
pub(crate) fn literal(stored: &str) -> String {
    format!("'{}'", stored.replace('\'', "''"))
}

/// A PostgreSQL `bytea` literal.
pub(crate) fn bytes_literal(bytes: &[u8]) -> String {
    format!("'\\x{}'::bytea", hex(bytes))
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// The bytes of hexadecimal digits, or `None` when they are none.
pub(crate) fn unhex(digits: &str) -> Option<Vec<u8>> {
    if !digits.len().is_multiple_of(2) || !digits.is_ascii() {
        return None;
    }
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).ok())
        .collect()
}

/// A PostgreSQL identifier.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
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
