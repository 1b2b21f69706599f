//! NTLMv2, the login with user and password of a Windows domain (MS-NLMP). The password is not
//! sent. NTLMv1 and LM, which are weaker, are never used.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit as _, Mac as _};
use md4::{Digest as _, Md4};
use md5::Md5;
use shared::endpoint::Endpoint;

use crate::engine::error::DatabaseError;

const SIGNATURE: &[u8; 8] = b"NTLMSSP\0";
const NEGOTIATE: u32 = 1;
const CHALLENGE: u32 = 2;
const AUTHENTICATE: u32 = 3;

/// Flags (MS-NLMP 2.2.2.5): Unicode, the server's names, NTLM, signing, NTLMv2's session security,
/// target information, and keys of 128 and 56 bits.
const FLAGS: u32 = 0x1 | 0x4 | 0x200 | 0x8000 | 0x8_0000 | 0x80_0000 | 0x2000_0000 | 0x8000_0000;

/// Kinds of the server's information (MS-NLMP 2.2.2.1).
const END: u16 = 0;
const INFORMATION_FLAGS: u16 = 6;
const TIMESTAMP: u16 = 7;
const TARGET_NAME: u16 = 9;
const CHANNEL_BINDINGS: u16 = 10;

/// The bit of `INFORMATION_FLAGS` that announces a message integrity code.
const HAS_CODE: u32 = 0x2;

/// Where an AUTHENTICATE message has its message integrity code, and where its fields begin.
const CODE: std::ops::Range<usize> = 72..88;

/// From 1601 to 1970.
const FROM_1601: Duration = Duration::from_secs(11_644_473_600);

/// A login, message by message.
#[derive(Debug)]
pub(super) struct Ntlm {
    user: String,
    domain: String,
    /// The service principal name of the server.
    target: String,
    /// HMAC-MD5's key, which the password is only needed for.
    key: [u8; 16],
    negotiate: Vec<u8>,
}

/// What a login adds to the server's challenge.
#[derive(Debug)]
struct Nonce {
    /// Of the client.
    challenge: [u8; 8],
    /// 100 ns since 1601.
    time: u64,
}

/// A server's CHALLENGE message.
#[derive(Debug)]
struct Challenge {
    nonce: [u8; 8],
    /// Kind and value of the server's information.
    information: Vec<(u16, Vec<u8>)>,
}

impl Ntlm {
    /// `target`: the service principal name of the server.
    pub(super) fn new(endpoint: &Endpoint, target: &str) -> Self {
        let (domain, user) = match endpoint.user.split_once('\\') {
            Some((domain, user)) => (domain, user),
            // The name of a principal, `user@domain`, has its domain in it.
            None => ("", &*endpoint.user),
        };
        Self {
            key: response_key(user, endpoint.password.reveal(), domain),
            user: user.to_owned(),
            domain: domain.to_owned(),
            target: target.to_owned(),
            negotiate: negotiate(),
        }
    }

    /// The first message.
    pub(super) fn begin(&self) -> Vec<u8> {
        self.negotiate.clone()
    }

    /// The answer to the server's challenge.
    pub(super) fn answer(&self, challenge: &[u8]) -> Result<Vec<u8>, DatabaseError> {
        let mut nonce = [0; 8];
        aws_lc_rs::rand::fill(&mut nonce)
            .map_err(|_| DatabaseError::Malformed("the system has no random numbers".to_owned()))?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let ticks = (now.unwrap_or_default() + FROM_1601).as_nanos() / 100;
        let nonce = Nonce {
            challenge: nonce,
            time: u64::try_from(ticks).unwrap_or_default(),
        };
        self.authenticate(challenge, &nonce).ok_or_else(|| {
            DatabaseError::Malformed("its NTLM challenge does not follow the protocol".to_owned())
        })
    }

    /// `None` if the challenge is malformed.
    fn authenticate(&self, message: &[u8], nonce: &Nonce) -> Option<Vec<u8>> {
        let challenge = Challenge::parse(message)?;
        let of_server = challenge.timestamp();
        let has_code = of_server.is_some();
        let information = challenge.information_of_client(&self.target);
        let blob = blob(nonce, of_server.unwrap_or(nonce.time), &information);
        let proof = hmac(&self.key, &[&challenge.nonce, &blob]);
        // A server that tells its time takes no other proof.
        let lm_response = if has_code {
            [0; 24].to_vec()
        } else {
            let proof = hmac(&self.key, &[&challenge.nonce, &nonce.challenge]);
            [&proof[..], &nonce.challenge].concat()
        };
        let fields = [
            lm_response,
            [&proof[..], &blob].concat(),
            utf16(&self.domain),
            utf16(&self.user),
            // The names of this machine and of a session key, which is not exchanged.
            Vec::new(),
            Vec::new(),
        ];
        let mut authenticate = header(AUTHENTICATE);
        let mut at = CODE.end;
        for field in &fields {
            let length = u16::try_from(field.len()).ok()?.to_le_bytes();
            authenticate.extend([length, length].concat());
            authenticate.extend(u32::try_from(at).ok()?.to_le_bytes());
            at += field.len();
        }
        authenticate.extend(FLAGS.to_le_bytes());
        // The version of the client, and the code.
        authenticate.resize(CODE.end, 0);
        authenticate.extend(fields.concat());
        if has_code {
            let session_key = hmac(&self.key, &[&proof]);
            let code = hmac(&session_key, &[&self.negotiate, message, &authenticate]);
            authenticate[CODE].copy_from_slice(&code);
        }
        Some(authenticate)
    }
}

impl Challenge {
    fn parse(message: &[u8]) -> Option<Self> {
        let number = |at: usize| Some(u32::from_le_bytes(*message.get(at..)?.first_chunk()?));
        if !message.starts_with(SIGNATURE) || number(8)? != CHALLENGE {
            return None;
        }
        let length = usize::from(u16::from_le_bytes(*message.get(40..)?.first_chunk()?));
        let at = usize::try_from(number(44)?).ok()?;
        let mut rest = message.get(at..at.checked_add(length)?)?;
        let mut information = Vec::new();
        while let [k0, k1, l0, l1, after @ ..] = rest {
            let kind = u16::from_le_bytes([*k0, *k1]);
            if kind == END {
                break;
            }
            let (value, after) =
                after.split_at_checked(usize::from(u16::from_le_bytes([*l0, *l1])))?;
            information.push((kind, value.to_vec()));
            rest = after;
        }
        Some(Self {
            nonce: *message.get(24..)?.first_chunk()?,
            information,
        })
    }

    fn value(&self, wanted: u16) -> Option<&[u8]> {
        let found = self.information.iter().find(|(kind, _)| *kind == wanted);
        Some(&found?.1)
    }

    /// The server's time, if it tells it.
    fn timestamp(&self) -> Option<u64> {
        Some(u64::from_le_bytes(*self.value(TIMESTAMP)?.first_chunk()?))
    }

    /// The information that the client repeats, with its own if the server tells its time
    /// (MS-NLMP 3.1.5.1.2).
    fn information_of_client(&self, target: &str) -> Vec<u8> {
        let mut information = self.information.clone();
        if self.timestamp().is_some() {
            let of_server = self.value(INFORMATION_FLAGS);
            let of_server = of_server.and_then(|value| value.first_chunk());
            let flags = of_server.map_or(0, |value| u32::from_le_bytes(*value)) | HAS_CODE;
            let own = [INFORMATION_FLAGS, TARGET_NAME, CHANNEL_BINDINGS];
            information.retain(|(kind, _)| !own.contains(kind));
            information.push((INFORMATION_FLAGS, flags.to_le_bytes().to_vec()));
            information.push((CHANNEL_BINDINGS, vec![0; 16]));
            information.push((TARGET_NAME, utf16(target)));
        }
        let mut bytes = Vec::new();
        for (kind, value) in information {
            let length = u16::try_from(value.len()).unwrap_or_default();
            bytes.extend(kind.to_le_bytes());
            bytes.extend(length.to_le_bytes());
            bytes.extend(&value[..usize::from(length)]);
        }
        bytes.extend([0; 4]);
        bytes
    }
}

fn header(message_type: u32) -> Vec<u8> {
    [&SIGNATURE[..], &message_type.to_le_bytes()].concat()
}

/// A NEGOTIATE message without names.
fn negotiate() -> Vec<u8> {
    let mut message = header(NEGOTIATE);
    message.extend(FLAGS.to_le_bytes());
    message.resize(40, 0);
    message
}

/// What the client proves that it knows the key for (MS-NLMP 2.2.2.7).
fn blob(nonce: &Nonce, time: u64, information: &[u8]) -> Vec<u8> {
    let mut blob = vec![1, 1, 0, 0, 0, 0, 0, 0];
    blob.extend(time.to_le_bytes());
    blob.extend(nonce.challenge);
    blob.extend([0; 4]);
    blob.extend(information);
    blob.extend([0; 4]);
    blob
}

/// NTOWFv2 (MS-NLMP 3.3.2).
fn response_key(user: &str, password: &str, domain: &str) -> [u8; 16] {
    let password = zeroize::Zeroizing::new(utf16(password));
    let names = utf16(&(user.to_uppercase() + domain));
    hmac(&Md4::digest(&*password).into(), &[&names])
}

fn hmac(key: &[u8; 16], parts: &[&[u8]]) -> [u8; 16] {
    let mut hmac = Hmac::<Md5>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        hmac.update(part);
    }
    hmac.finalize().into_bytes().into()
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SERVER_NONCE: [u8; 8] = [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef];

    /// A CHALLENGE message with this information.
    fn challenge(information: &[(u16, Vec<u8>)]) -> Vec<u8> {
        let mut bytes: Vec<u8> = information
            .iter()
            .flat_map(|(kind, value)| {
                let length = u16::try_from(value.len()).unwrap().to_le_bytes();
                [&kind.to_le_bytes()[..], &length, value].concat()
            })
            .collect();
        bytes.extend([0; 4]);
        let mut message = header(CHALLENGE);
        message.resize(24, 0);
        message.extend(SERVER_NONCE);
        message.resize(40, 0);
        let length = u16::try_from(bytes.len()).unwrap().to_le_bytes();
        message.extend([length, length].concat());
        message.extend(56_u32.to_le_bytes());
        message.resize(56, 0);
        message.extend(bytes);
        message
    }

    fn ntlm() -> Ntlm {
        let url = "mssql://Domain%5CUser:Password@server/d?auth=ntlm";
        let endpoint = Endpoint::from_url("erp", url).unwrap();
        Ntlm::new(&endpoint, "MSSQLSvc/server:1433")
    }

    fn nonce() -> Nonce {
        Nonce {
            challenge: [0xaa; 8],
            time: 0,
        }
    }

    /// The example of MS-NLMP 4.2.4.
    #[test]
    fn the_published_example_is_answered_as_published() {
        let ntlm = ntlm();
        assert_eq!(hex::encode(ntlm.key), "0c868a403bfd7a93a3001ef22ef02e3f");
        let names = [(2, utf16("Domain")), (1, utf16("Server"))];
        let answer = ntlm.authenticate(&challenge(&names), &nonce()).unwrap();
        let field = |at: usize| {
            let length = usize::from(u16::from_le_bytes(*answer[at..].first_chunk().unwrap()));
            let begin = u32::from_le_bytes(*answer[at + 4..].first_chunk().unwrap());
            let begin = usize::try_from(begin).unwrap();
            &answer[begin..begin + length]
        };
        let lm_response = "86c35097ac9cec102554764a57cccc19aaaaaaaaaaaaaaaa";
        assert_eq!(hex::encode(field(12)), lm_response);
        let nt_response = field(20);
        let proof = "68cd0ab851e51c96aabc927bebef6a1c";
        assert_eq!(hex::encode(&nt_response[..16]), proof);
        let session_key = hmac(&ntlm.key, &[&nt_response[..16]]);
        let expected = "8de40ccadbc14a82f15cb0ad0de95ca3";
        assert_eq!(hex::encode(session_key), expected);
        assert_eq!((field(28), field(36)), (&*utf16("Domain"), &*utf16("User")));
    }

    #[test]
    fn a_server_that_tells_its_time_gets_an_integrity_code_and_no_second_proof() {
        let time = 7_u64.to_le_bytes().to_vec();
        let message = challenge(&[(1, utf16("Server")), (TIMESTAMP, time)]);
        let mut answer = ntlm().authenticate(&message, &nonce()).unwrap();
        let code: [u8; 16] = answer[CODE].try_into().unwrap();
        answer[CODE].fill(0);
        assert_eq!(answer[CODE.end..][..24], [0; 24]);
        let proof: [u8; 16] = *answer[CODE.end + 24..].first_chunk().unwrap();
        let session_key = hmac(&ntlm().key, &[&proof]);
        assert_eq!(code, hmac(&session_key, &[&negotiate(), &message, &answer]));
        let spn = utf16("MSSQLSvc/server:1433");
        assert!(answer.windows(spn.len()).any(|part| part == spn));
    }

    proptest! {
        #[test]
        fn any_challenge_is_answered_or_refused(
            changes in proptest::collection::vec((0_usize..80, any::<u8>()), 0..8),
            length in 0_usize..100,
        ) {
            let mut message = challenge(&[(1, utf16("S")), (TIMESTAMP, vec![0; 8])]);
            for (at, byte) in changes {
                if let Some(place) = message.get_mut(at) {
                    *place = byte;
                }
            }
            message.truncate(length);
            if let Some(answer) = ntlm().authenticate(&message, &nonce()) {
                prop_assert!(answer.len() > CODE.end);
            }
        }
    }
}
