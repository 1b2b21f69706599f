//! The server's side of NTLMv2 (MS-NLMP): a challenge, and the check of the answer to it.

use hmac::{Hmac, KeyInit as _, Mac as _};
use md4::{Digest as _, Md4};
use md5::Md5;

use super::wire::{Reader, utf16};
use crate::error::SqlError;

const SIGNATURE: &[u8; 8] = b"NTLMSSP\0";

/// Unicode, the kind of the target is a domain, NTLM, NTLMv2's session security, target
/// information, keys of 128 bits.
const FLAGS: u32 = 0x1 | 0x1_0000 | 0x200 | 0x8_0000 | 0x80_0000 | 0x2000_0000;

/// A login that was challenged.
#[derive(Debug)]
pub(crate) struct Challenged {
    nonce: [u8; 8],
    negotiate: Vec<u8>,
    /// The CHALLENGE message.
    pub(crate) message: Vec<u8>,
}

/// The user whose answers are right.
#[derive(Debug)]
pub(crate) struct Account<'a> {
    pub(crate) domain: &'a str,
    pub(crate) user: &'a str,
    pub(crate) password: &'a str,
}

/// Answers a NEGOTIATE message. `nonce` is random, `now` is in 100 ns since 1601.
///
/// # Errors
/// 17806 when it is none.
pub(crate) fn challenge(
    negotiate: &[u8],
    domain: &str,
    nonce: [u8; 8],
    now: u64,
) -> Result<Challenged, SqlError> {
    if !negotiate.starts_with(SIGNATURE) || negotiate.get(8) != Some(&1) {
        return Err(handshake_failed());
    }
    let name = units(domain);
    let mut information = Vec::new();
    for (kind, value) in [
        (2_u16, &name[..]),
        (1, &units("STANDIN")),
        (7, &now.to_le_bytes()),
        (0, &[]),
    ] {
        information.extend_from_slice(&kind.to_le_bytes());
        information.extend_from_slice(&length(value));
        information.extend_from_slice(value);
    }
    let mut message = SIGNATURE.to_vec();
    message.extend_from_slice(&2_u32.to_le_bytes());
    message.extend_from_slice(&field(&name, 56));
    message.extend_from_slice(&FLAGS.to_le_bytes());
    message.extend_from_slice(&nonce);
    message.extend_from_slice(&[0; 8]);
    message.extend_from_slice(&field(&information, 56 + name.len()));
    // The version of the server.
    message.extend_from_slice(&[10, 0, 0, 0, 0, 0, 0, 15]);
    message.extend_from_slice(&name);
    message.append(&mut information);
    Ok(Challenged {
        nonce,
        negotiate: negotiate.to_vec(),
        message,
    })
}

impl Challenged {
    /// Checks an AUTHENTICATE message. Returns the name that the client gave, and whether it
    /// belongs to `account` and the client knows its password.
    ///
    /// # Errors
    /// 17806 when it is no such message, 4002 when it is incomplete.
    pub(crate) fn check(
        &self,
        answer: &[u8],
        account: &Account<'_>,
    ) -> Result<(String, bool), SqlError> {
        if !answer.starts_with(SIGNATURE) || answer.get(8) != Some(&3) {
            return Err(handshake_failed());
        }
        let at = |at: usize| Reader::new(answer.get(at..).unwrap_or_default());
        let value = |field: usize| -> Result<&[u8], SqlError> {
            let mut reader = at(field);
            let (length, _, begin) = (reader.u16()?, reader.u16()?, reader.u32()?);
            at(begin as usize).bytes(length.into())
        };
        let (domain, user) = (utf16(value(28)?), utf16(value(36)?));
        let name = format!("{domain}\\{user}");
        let is_known =
            domain.eq_ignore_ascii_case(account.domain) && user.eq_ignore_ascii_case(account.user);
        let response = value(20)?;
        let Some((proof, blob)) = response.split_first_chunk::<16>() else {
            return Ok((name, false));
        };
        let names = units(&(user.to_uppercase() + &domain));
        let hash = Md4::digest(units(account.password));
        let key = hmac(&hash, &[&names]);
        let is_proven = *proof == hmac(&key, &[&self.nonce, blob]);
        let has_code = announces_code(blob.get(28..).unwrap_or_default());
        let is_whole = !has_code || self.has_right_code(answer, &hmac(&key, &[proof]));
        Ok((name, is_known && is_proven && is_whole))
    }

    /// Whether the message integrity code of all three messages is right.
    fn has_right_code(&self, answer: &[u8], session_key: &[u8; 16]) -> bool {
        const CODE: std::ops::Range<usize> = 72..88;
        let Some(code) = answer.get(CODE) else {
            return false;
        };
        let mut without = answer.to_vec();
        without[CODE].fill(0);
        hmac(session_key, &[&self.negotiate, &self.message, &without]) == code
    }
}

/// Whether the client's information says that there is a message integrity code.
fn announces_code(mut information: &[u8]) -> bool {
    while let [kind, 0, low, high, rest @ ..] = information {
        let length = usize::from(u16::from_le_bytes([*low, *high]));
        let Some((value, rest)) = rest.split_at_checked(length) else {
            return false;
        };
        if *kind == 6 {
            return value.first().is_some_and(|flags| flags & 2 != 0);
        }
        information = rest;
    }
    false
}

fn handshake_failed() -> SqlError {
    let message = "SSPI handshake failed while establishing a connection with integrated security; the connection has been closed.";
    SqlError::new(17806, message).with_severity(20)
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 16] {
    let mut hmac = Hmac::<Md5>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        hmac.update(part);
    }
    hmac.finalize().into_bytes().into()
}

fn units(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn length(value: &[u8]) -> [u8; 2] {
    u16::try_from(value.len()).unwrap_or(0).to_le_bytes()
}

/// The length, twice, and the position of a value.
fn field(value: &[u8], at: usize) -> Vec<u8> {
    let at = u32::try_from(at).unwrap_or(0).to_le_bytes();
    [&length(value)[..], &length(value), &at].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn any_answer_is_checked_or_an_error(
            mut answer in proptest::collection::vec(proptest::num::u8::ANY, 12..200),
        ) {
            answer[..8].copy_from_slice(SIGNATURE);
            answer[8] = 3;
            let negotiate = [&SIGNATURE[..], &[1, 0, 0, 0]].concat();
            let challenged = challenge(&negotiate, "CORP", [7; 8], 0).unwrap();
            let account = Account { domain: "CORP", user: "sa", password: "secret" };
            if let Ok((_, is_right)) = challenged.check(&answer, &account) {
                assert!(!is_right);
            }
        }
    }
}
