//! Packets of TDS before a login has negotiated their size (MS-TDS 2.2.3).

use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::engine::error::DatabaseError;

/// Bytes of the header of a packet: type, status, length of the whole packet (big-endian, two
/// bytes), process, number, window.
pub(super) const HEADER: usize = 8;

/// The size of a packet before the login, in bytes (MS-TDS 2.2.6.4).
pub(super) const PACKET: usize = 4096;

/// The longest answer of a server to a login, in bytes.
const LONGEST_ANSWER: usize = 1024 * 1024;

/// Types of messages.
pub(super) mod message_type {
    pub(crate) const RESPONSE: u8 = 0x04;
    pub(crate) const LOGIN7: u8 = 0x10;
    pub(crate) const SSPI: u8 = 0x11;
    pub(crate) const PRELOGIN: u8 = 0x12;
}

/// The bit of a packet's status that the last packet of a message has.
pub(super) const END_OF_MESSAGE: u8 = 0x01;

/// `message` as packets of a type.
pub(super) fn packets(message_type: u8, message: &[u8]) -> Vec<u8> {
    let mut packets = Vec::with_capacity(message.len() + HEADER);
    let mut chunks = message.chunks(PACKET - HEADER).peekable();
    while let Some(chunk) = chunks.next() {
        let status = if chunks.peek().is_none() {
            END_OF_MESSAGE
        } else {
            0
        };
        packets.extend([message_type, status]);
        packets.extend(short(HEADER + chunk.len()));
        packets.extend([0; 4]);
        packets.extend_from_slice(chunk);
    }
    packets
}

/// A length or a position within one packet.
pub(super) fn short(number: usize) -> [u8; 2] {
    u16::try_from(number).unwrap_or(u16::MAX).to_be_bytes()
}

/// A message of the server.
#[derive(Debug)]
pub(super) struct Answer {
    /// Its packets, as they came.
    pub(super) packets: Vec<u8>,
    /// Their content.
    pub(super) body: Vec<u8>,
}

/// Reads a message of the server to its end.
pub(super) async fn read_answer(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<Answer, DatabaseError> {
    let network = DatabaseError::Network;
    let mut answer = Answer {
        packets: Vec::new(),
        body: Vec::new(),
    };
    loop {
        let mut header = [0; HEADER];
        stream.read_exact(&mut header).await.map_err(network)?;
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let is_too_long = answer.packets.len() + length > LONGEST_ANSWER;
        if header[0] != message_type::RESPONSE || length < HEADER || is_too_long {
            let reason = "it did not answer as a SQL Server does: is it one?".to_owned();
            return Err(DatabaseError::Malformed(reason));
        }
        let at = answer.packets.len();
        answer.packets.extend(header);
        answer.packets.resize(at + length, 0);
        let content = &mut answer.packets[at + HEADER..];
        stream.read_exact(content).await.map_err(network)?;
        answer.body.extend_from_slice(content);
        if header[1] & END_OF_MESSAGE != 0 {
            return Ok(answer);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_long_message_goes_in_packets(length in 1_usize..20_000) {
            let packets = packets(message_type::PRELOGIN, &vec![7; length]);
            let mut rest = &packets[..];
            let mut sum = 0;
            while !rest.is_empty() {
                let size = usize::from(u16::from_be_bytes([rest[2], rest[3]]));
                prop_assert!((HEADER + 1..=PACKET).contains(&size));
                sum += size - HEADER;
                prop_assert_eq!(rest[1] == END_OF_MESSAGE, sum == length);
                rest = &rest[size..];
            }
            prop_assert_eq!(sum, length);
        }

        #[test]
        fn any_bytes_are_an_answer_or_an_error(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..100),
            is_answer in any::<bool>(),
        ) {
            if let (true, [kind, _, high, ..]) = (is_answer, &mut bytes[..]) {
                (*kind, *high) = (message_type::RESPONSE, 0);
            }
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            if let Ok(answer) = runtime.block_on(read_answer(&mut &bytes[..])) {
                prop_assert!(bytes.starts_with(&answer.packets));
                prop_assert!(answer.body.len() < answer.packets.len());
            }
        }
    }
}
