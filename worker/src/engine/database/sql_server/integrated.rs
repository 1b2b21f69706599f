//! Logins of a Windows domain, which take several messages of a security protocol: the first one is
//! in LOGIN7, the others are SSPI messages (MS-TDS 2.2.6.4, 2.2.6.8 and 2.2.7.22). Nothing weaker
//! is tried when one is refused.

use shared::endpoint::Endpoint;

use crate::engine::database::session::label::{APPLICATION, Access};
use crate::engine::database::sql_server::channel::Bytes;
use crate::engine::database::sql_server::ntlm::Ntlm;
use crate::engine::database::sql_server::packet::{message_type, packets, read_answer};
use crate::engine::error::DatabaseError;

/// TDS 7.4.
const TDS_VERSION: u32 = 0x7400_0004;

/// Flags of LOGIN7, those of the driver: the login fails if the database or the language cannot be
/// set, the settings are those of ODBC, and collations are understood.
const OPTIONS_1: u8 = 0x60;
const OPTIONS_2: u8 = 0x03;
const OPTIONS_3: u8 = 0x08;
/// The flag of `OPTIONS_2` for logins of this kind.
const INTEGRATED: u8 = 0x80;
/// The flag of a login that may be routed to a read-only replica.
const READ_ONLY_INTENT: u8 = 0x20;

/// Bytes of LOGIN7 before its texts.
const FIXED: usize = 94;

/// How many messages a login may take.
const MESSAGES: u32 = 8;

/// Tokens of an answer.
const ERROR: u8 = 0xAA;
const INFORMATION: u8 = 0xAB;
const LOGIN_ACKNOWLEDGED: u8 = 0xAD;
const ENVIRONMENT_CHANGE: u8 = 0xE3;
const SSPI: u8 = 0xED;

/// What a login of this kind says beside its proof.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) endpoint: &'a Endpoint,
    pub(super) host: &'a str,
    pub(super) access: Access,
    /// The requested size of a packet in bytes.
    pub(super) packet_size: u32,
}

/// Logs in. Returns the packets of the server's last answer, which acknowledges the login or has
/// the error.
pub(super) async fn log_in(
    bytes: &mut Bytes,
    request: &Request<'_>,
    ntlm: &Ntlm,
) -> Result<Vec<u8>, DatabaseError> {
    let login = packets(message_type::LOGIN7, &login7(request, &ntlm.begin()));
    bytes.send(&login).await?;
    for _ in 0..MESSAGES {
        let answer = read_answer(bytes).await?;
        let Some(of_server) = sspi_token(&answer.body) else {
            return Ok(answer.packets);
        };
        let next = ntlm.answer(of_server)?;
        bytes.send(&packets(message_type::SSPI, &next)).await?;
    }
    let reason = format!("it did not end the login after {MESSAGES} messages");
    Err(DatabaseError::Malformed(reason))
}

/// The server's message in an answer; `None` if it has none.
fn sspi_token(mut tokens: &[u8]) -> Option<&[u8]> {
    loop {
        let [token, low, high, rest @ ..] = tokens else {
            return None;
        };
        let length = usize::from(u16::from_le_bytes([*low, *high]));
        let (value, after) = rest.split_at_checked(length)?;
        match *token {
            SSPI => return Some(value),
            ERROR | INFORMATION | LOGIN_ACKNOWLEDGED | ENVIRONMENT_CHANGE => tokens = after,
            _ => return None,
        }
    }
}

/// The content of a LOGIN7 message with `proof` as its SSPI field.
fn login7(request: &Request<'_>, proof: &[u8]) -> Vec<u8> {
    let client = gethostname::gethostname();
    let read_only = if request.access == Access::Read {
        READ_ONLY_INTENT
    } else {
        0
    };
    let mut fixed = TDS_VERSION.to_le_bytes().to_vec();
    fixed.extend(request.packet_size.to_le_bytes());
    // The client's version, process and connection.
    fixed.extend([0; 12]);
    fixed.extend([OPTIONS_1, OPTIONS_2 | INTEGRATED, read_only, OPTIONS_3]);
    // Time zone and language.
    fixed.extend([0; 8]);
    let mut texts = Vec::new();
    let mut place = |fixed: &mut Vec<u8>, value: &[u8], units: usize| {
        fixed.extend(short(FIXED + texts.len()));
        fixed.extend(short(units));
        texts.extend_from_slice(value);
    };
    let mut text = |fixed: &mut Vec<u8>, text: &str| {
        let units: Vec<u16> = text.encode_utf16().take(128).collect();
        let bytes: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        place(fixed, &bytes, units.len());
    };
    text(&mut fixed, &client.to_string_lossy());
    // User and password.
    text(&mut fixed, "");
    text(&mut fixed, "");
    text(&mut fixed, APPLICATION);
    text(&mut fixed, request.host);
    // Extensions, the name of the library, and the language.
    text(&mut fixed, "");
    text(&mut fixed, "");
    text(&mut fixed, "");
    text(&mut fixed, &request.endpoint.database);
    // The client's number.
    fixed.extend([0; 6]);
    place(&mut fixed, proof, proof.len());
    // A file to attach, and a new password.
    place(&mut fixed, &[], 0);
    place(&mut fixed, &[], 0);
    // The length of a proof that `short` cannot hold.
    let long = u32::try_from(proof.len()).unwrap_or_default();
    let long = if long >= u32::from(u16::MAX) { long } else { 0 };
    fixed.extend(long.to_le_bytes());
    let length = u32::try_from(4 + fixed.len() + texts.len()).unwrap_or_default();
    [&length.to_le_bytes()[..], &fixed, &texts].concat()
}

/// A length or a position. The greatest number stands for a longer proof.
fn short(number: usize) -> [u8; 2] {
    u16::try_from(number).unwrap_or(u16::MAX).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_login_has_its_texts_and_its_proof_where_it_says() {
        let url = "mssql://D%5Cu:p@h/shop?auth=ntlm";
        let endpoint = Endpoint::from_url("erp", url).unwrap();
        let request = Request {
            endpoint: &endpoint,
            host: "sql1",
            access: Access::Read,
            packet_size: 16384,
        };
        for length in [3, 70_000] {
            let proof = vec![7; length];
            let login = login7(&request, &proof);
            let number = |at: usize| u32::from_le_bytes(*login[at..].first_chunk().unwrap());
            let short = |at: usize| usize::from(u16::from_le_bytes([login[at], login[at + 1]]));
            let text = |at: usize| {
                let bytes = &login[short(at)..][..2 * short(at + 2)];
                let units = bytes
                    .chunks(2)
                    .map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
                String::from_utf16(&units.collect::<Vec<_>>()).unwrap()
            };
            assert_eq!(usize::try_from(number(0)).unwrap(), login.len());
            assert_eq!((number(4), number(8)), (TDS_VERSION, 16384));
            assert_eq!(login[24..28], [0x60, 0x83, 0x20, 0x08]);
            assert_eq!((text(40), text(44)), (String::new(), String::new()));
            assert_eq!((text(52), text(68)), ("sql1".to_owned(), "shop".to_owned()));
            let (at, written, long) = (short(78), short(80), number(90));
            let written = if written == usize::from(u16::MAX) {
                usize::try_from(long).unwrap()
            } else {
                written
            };
            assert_eq!(login[at..][..written], proof);
        }
    }

    #[test]
    fn the_servers_message_is_found_behind_others() {
        let token = |kind: u8, value: &[u8]| {
            let length = u16::try_from(value.len()).unwrap().to_le_bytes();
            [&[kind][..], &length, value].concat()
        };
        let behind = [token(INFORMATION, b"text"), token(SSPI, b"challenge")].concat();
        assert_eq!(sspi_token(&behind), Some(&b"challenge"[..]));
        let refused = [token(ERROR, b"18456"), vec![0xFD; 13]].concat();
        assert_eq!(sspi_token(&refused), None);
        assert_eq!(sspi_token(&behind[..12]), None, "cut");
    }

    proptest! {
        #[test]
        fn any_answer_has_a_message_or_none(
            tokens in proptest::collection::vec(prop_oneof![0_u8..6, 0xAA_u8..0xFF], 0..60),
        ) {
            if let Some(message) = sspi_token(&tokens) {
                prop_assert!(message.len() + 3 <= tokens.len());
            }
        }
    }
}
