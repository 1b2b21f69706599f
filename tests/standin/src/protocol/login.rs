//! PRELOGIN and LOGIN7 (MS-TDS 2.2.6.4 and 2.2.6.5): the messages before the first request.

use super::packet::DEFAULT_SIZE;
use super::wire::{Reader, utf16};
use crate::error::SqlError;
use crate::options::TlsMode;

/// The encryption that both sides have agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encryption {
    /// Nothing is encrypted.
    None,
    /// The login message only.
    Login,
    /// Everything.
    All,
}

const OFF: u8 = 0;
const ON: u8 = 1;
const NOT_SUPPORTED: u8 = 2;
const REQUIRED: u8 = 3;

/// The answer to a PRELOGIN message, and the agreed encryption.
///
/// # Errors
/// 4002 when the message is incomplete.
pub(crate) fn answer_prelogin(
    body: &[u8],
    mode: TlsMode,
) -> Result<(Vec<u8>, Encryption), SqlError> {
    let wanted = option(body, 1)?.map_or(NOT_SUPPORTED, |value| value & 0x0F);
    // The same answer as the client's: it echoes that in its login.
    let with_token = option(body, 6)?;
    let token: Vec<u8> = with_token.into_iter().collect();
    let (answer, encryption) = match (mode, wanted) {
        (TlsMode::Strict, _) => (NOT_SUPPORTED, Encryption::All),
        (TlsMode::Off, _) | (TlsMode::On, NOT_SUPPORTED) => (NOT_SUPPORTED, Encryption::None),
        (TlsMode::On, OFF) => (OFF, Encryption::Login),
        (TlsMode::On, _) | (TlsMode::Required, ON) => (ON, Encryption::All),
        (TlsMode::Required, _) => (REQUIRED, Encryption::All),
    };
    // Version 15.0.2000, encryption, no instance check, no thread, no MARS.
    let options: [(u8, &[u8]); 6] = [
        (0, &[15, 0, 0x07, 0xD0, 0, 0]),
        (1, &[answer]),
        (2, &[0]),
        (3, &[]),
        (4, &[0]),
        (6, &token),
    ];
    let options = &options[..if with_token.is_some() { 6 } else { 5 }];
    let mut offset = options.len() * 5 + 1;
    let (mut table, mut data) = (Vec::new(), Vec::new());
    for (token, value) in options {
        let (at, length) = (
            u16::try_from(offset).expect("the options are a few bytes"),
            u16::try_from(value.len()).expect("the options are a few bytes"),
        );
        table.push(*token);
        table.extend_from_slice(&at.to_be_bytes());
        table.extend_from_slice(&length.to_be_bytes());
        data.extend_from_slice(value);
        offset += value.len();
    }
    table.push(0xFF);
    table.append(&mut data);
    Ok((table, encryption))
}

/// The first byte of an option of the client, if it has that option. In that of ENCRYPTION, the
/// upper bits request a client certificate.
fn option(body: &[u8], wanted: u8) -> Result<Option<u8>, SqlError> {
    let mut reader = Reader::new(body);
    loop {
        let token = reader.u8()?;
        if token == 0xFF {
            return Ok(None);
        }
        let (offset, _length) = (reader.array().map(u16::from_be_bytes)?, reader.u16()?);
        if token == wanted {
            return Ok(body.get(usize::from(offset)).copied());
        }
    }
}

/// A LOGIN7 message.
#[derive(Debug, Default)]
pub(crate) struct Login {
    pub(crate) host: String,
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) application: String,
    pub(crate) database: String,
    /// Whether the client may be routed to a read-only replica.
    pub(crate) read_only: bool,
    /// The requested packet size in bytes, limited to the range of the protocol.
    pub(crate) packet_size: usize,
    /// The first message of the client's security library, if the login has one.
    pub(crate) sspi: Option<Vec<u8>>,
    /// `None` without a list of features.
    pub(crate) features: Option<Features>,
}

/// The features that a login requests.
#[derive(Debug, Default)]
pub(crate) struct Features {
    pub(crate) utf8: bool,
    /// The access token.
    pub(crate) token: Option<String>,
}

/// Parses a LOGIN7 message.
///
/// # Errors
/// 4002 when it is incomplete.
pub(crate) fn parse(body: &[u8]) -> Result<Login, SqlError> {
    let mut reader = Reader::new(body);
    reader.bytes(8)?;
    let packet_size = match reader.u32()? as usize {
        0 => DEFAULT_SIZE,
        requested => requested.clamp(512, 32_767),
    };
    reader.bytes(12)?;
    let [_, flags2, type_flags, flags3] = reader.array()?;
    let field = |at: usize| -> Result<&[u8], SqlError> {
        let mut pair = Reader::new(body.get(at..).unwrap_or_default());
        let (offset, units) = (usize::from(pair.u16()?), usize::from(pair.u16()?));
        Reader::new(body.get(offset..).unwrap_or_default()).bytes(units * 2)
    };
    let password: Vec<u8> = field(44)?
        .iter()
        .map(|byte| (byte ^ 0xA5).rotate_left(4))
        .collect();
    let features = if flags3 & 0x10 == 0 {
        None
    } else {
        Some(requested_features(body)?)
    };
    let sspi = if flags2 & 0x80 == 0 {
        None
    } else {
        Some(sspi_field(body)?)
    };
    Ok(Login {
        host: utf16(field(36)?),
        user: utf16(field(40)?),
        password: utf16(&password),
        application: utf16(field(48)?),
        database: utf16(field(68)?),
        read_only: type_flags & 0x20 != 0,
        packet_size,
        sspi,
        features,
    })
}

/// The SSPI field, whose length is in another place if 16 bits cannot hold it.
fn sspi_field(body: &[u8]) -> Result<Vec<u8>, SqlError> {
    let at = |at: usize| Reader::new(body.get(at..).unwrap_or_default());
    let mut pair = at(78);
    let (offset, length) = (usize::from(pair.u16()?), pair.u16()?);
    let length = match (length, at(90).u32()?) {
        (u16::MAX, long @ 1..) => long as usize,
        _ => usize::from(length),
    };
    Ok(at(offset).bytes(length)?.to_vec())
}

/// The list of features that the extension field refers to.
fn requested_features(body: &[u8]) -> Result<Features, SqlError> {
    const TOKEN: u8 = 0x02;
    const UTF8_SUPPORT: u8 = 0x0A;
    let from = |at: usize| Reader::new(body.get(at..).unwrap_or_default());
    let pointer = usize::from(from(56).u16()?);
    let mut list = from(from(pointer).u32()? as usize);
    let mut features = Features::default();
    loop {
        let feature = list.u8()?;
        if feature == 0xFF {
            return Ok(features);
        }
        let length = list.u32()? as usize;
        let data = list.bytes(length)?;
        match feature {
            UTF8_SUPPORT => features.utf8 = true,
            TOKEN => features.token = Some(token_of(data)?),
            _ => {}
        }
    }
}

/// The token of a FEDAUTH feature with the library "Security Token" (MS-TDS 2.2.6.4).
fn token_of(data: &[u8]) -> Result<String, SqlError> {
    let mut reader = Reader::new(data);
    if reader.u8()? >> 1 != 1 {
        return Err(SqlError::new(
            4002,
            "The library of the token is not supported.",
        ));
    }
    let length = reader.u32()? as usize;
    Ok(utf16(reader.bytes(length)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prelogin(encryption: u8) -> Vec<u8> {
        vec![1, 0, 6, 0, 1, 0xFF, encryption]
    }

    #[test]
    fn both_sides_agree_on_encryption() {
        for (mode, wanted, agreed) in [
            (TlsMode::Off, ON, Encryption::None),
            (TlsMode::On, OFF, Encryption::Login),
            (TlsMode::On, ON, Encryption::All),
            (TlsMode::On, REQUIRED, Encryption::All),
            (TlsMode::On, NOT_SUPPORTED, Encryption::None),
            (TlsMode::Required, OFF, Encryption::All),
            (TlsMode::Required, NOT_SUPPORTED, Encryption::All),
        ] {
            assert_eq!(
                answer_prelogin(&prelogin(wanted), mode).unwrap().1,
                agreed,
                "{mode:?} {wanted}"
            );
        }
    }

    #[test]
    fn cut_messages_are_errors() {
        assert!(answer_prelogin(&[1, 0], TlsMode::On).is_err());
        assert!(parse(&[0; 60]).is_err());
    }

    /// A LOGIN7 message with a user and a list of features.
    fn login7() -> Vec<u8> {
        let mut body = vec![0; 94];
        body[27] = 0x10;
        for (field, text) in [(40, "sa"), (68, "shop")] {
            let (at, units) = (body.len(), text.len());
            body[field..field + 2].copy_from_slice(&u16::try_from(at).unwrap().to_le_bytes());
            body[field + 2] = u8::try_from(units).unwrap();
            body.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
        }
        let at = u16::try_from(body.len()).unwrap();
        body[56..58].copy_from_slice(&at.to_le_bytes());
        body.extend_from_slice(&u32::from(at + 4).to_le_bytes());
        body.extend_from_slice(&[4, 1, 0, 0, 0, 1, 0x0A, 1, 0, 0, 0, 1, 0xFF]);
        body
    }

    #[test]
    fn a_whole_message_is_read() {
        let login = parse(&login7()).unwrap();
        assert_eq!(
            (login.user.as_str(), login.database.as_str()),
            ("sa", "shop")
        );
        assert!(login.features.unwrap().utf8);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_a_message_or_an_error(body in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            if let Ok((answer, _)) = answer_prelogin(&body, TlsMode::On) {
                assert!(!answer.is_empty());
            }
            if let Ok(login) = parse(&body) {
                assert!((512..=32_767).contains(&login.packet_size));
            }
        }

        #[test]
        fn a_mutated_message_is_a_message_or_an_error(
            changes in proptest::collection::vec((0_usize..120, proptest::num::u8::ANY), 1..6)
        ) {
            let mut body = login7();
            for (at, byte) in changes {
                if let Some(place) = body.get_mut(at) {
                    *place = byte;
                }
            }
            if let Ok(login) = parse(&body) {
                assert!((512..=32_767).contains(&login.packet_size));
            }
        }
    }
}
