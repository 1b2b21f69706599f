//! PRELOGIN: what client and server agree on before the login (MS-TDS 2.2.6.5).

use crate::engine::database::sql_server::packet::{HEADER, message_type, packets, short};

/// Options of PRELOGIN.
const VERSION: u8 = 0x00;
const ENCRYPTION: u8 = 0x01;
const INSTANCE: u8 = 0x02;
const THREAD: u8 = 0x03;
const MARS: u8 = 0x04;
const TOKEN_REQUIRED: u8 = 0x06;
const TERMINATOR: u8 = 0xFF;

/// Values of the option `ENCRYPTION`.
pub(super) const ENCRYPT_ON: u8 = 0x01;
pub(super) const ENCRYPT_NOT_SUPPORTED: u8 = 0x02;
pub(super) const ENCRYPT_REQUIRED: u8 = 0x03;

/// A packet with the client's PRELOGIN message. `has_token`: the login will have an access token.
pub(super) fn prelogin(encryption: u8, has_token: bool) -> Vec<u8> {
    let options: [(u8, &[u8]); 6] = [
        // Servers record the version of the client and do not depend on it.
        (VERSION, &[0; 6]),
        (ENCRYPTION, &[encryption]),
        (INSTANCE, &[0]),
        (THREAD, &[0; 4]),
        (MARS, &[0]),
        (TOKEN_REQUIRED, &[1]),
    ];
    let options = &options[..if has_token { 6 } else { 5 }];
    let mut table = Vec::new();
    let mut values = Vec::new();
    let table_length = options.len() * 5 + 1;
    for (option, value) in options {
        table.push(*option);
        table.extend(short(table_length + values.len()));
        table.extend(short(value.len()));
        values.extend_from_slice(value);
    }
    table.push(TERMINATOR);
    table.extend(values);
    packets(message_type::PRELOGIN, &table)
}

/// The position of the value of the option `ENCRYPTION` in a packet with a PRELOGIN message.
pub(super) fn encryption_of(packet: &[u8]) -> Option<usize> {
    let mut table = packet.get(HEADER..)?;
    while let [option, rest @ ..] = table {
        if *option == TERMINATOR {
            return None;
        }
        let [high, low, _, _, rest @ ..] = rest else {
            return None;
        };
        if *option == ENCRYPTION {
            let at = HEADER + usize::from(u16::from_be_bytes([*high, *low]));
            return (at < packet.len()).then_some(at);
        }
        table = rest;
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::database::sql_server::packet::END_OF_MESSAGE;

    #[test]
    fn encryption_is_found_in_a_prelogin_message() {
        for has_token in [false, true] {
            let packet = prelogin(ENCRYPT_ON, has_token);
            assert_eq!(packet[..2], [message_type::PRELOGIN, END_OF_MESSAGE]);
            assert_eq!(usize::from(packet[3]), packet.len());
            let at = encryption_of(&packet).unwrap();
            assert_eq!(packet[at], ENCRYPT_ON);
            assert_ne!(prelogin(ENCRYPT_NOT_SUPPORTED, has_token)[at], ENCRYPT_ON);
        }
    }

    proptest! {
        #[test]
        fn any_answer_is_read_without_a_panic(
            answer in proptest::collection::vec(prop_oneof![0_u8..4, Just(TERMINATOR)], 0..40),
        ) {
            if let Some(at) = encryption_of(&answer) {
                prop_assert!(at < answer.len());
            }
        }
    }
}
