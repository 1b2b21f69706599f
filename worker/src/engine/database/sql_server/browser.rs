//! The port of a named instance, which SQL Server Browser tells (MC-SQLR).

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::{UdpSocket, lookup_host};

use crate::engine::error::DatabaseError;

/// The UDP port of SQL Server Browser.
const PORT: u16 = 1434;

/// How long one request waits for its answer (MC-SQLR 3.2.2), and how many are sent: the network
/// may lose some.
const WAIT: Duration = Duration::from_secs(1);
const REQUESTS: u32 = 3;

/// The first byte of a request for one instance, and of its answer.
const REQUEST: u8 = 0x04;
const ANSWER: u8 = 0x05;

/// Bytes before the text of an answer: its type and its length.
const ANSWER_HEADER: usize = 3;
/// The longest text of an answer, in bytes.
const LONGEST_ANSWER: usize = 1024;

/// Asks the server at `host` for the TCP port of `instance`. Takes at most [`WAIT`] for each
/// request and address.
pub(super) async fn port(host: &str, instance: &str) -> Result<u16, DatabaseError> {
    let network = DatabaseError::Network;
    let addresses: Vec<SocketAddr> = lookup_host((host, PORT)).await.map_err(network)?.collect();
    for _ in 0..REQUESTS {
        for address in &addresses {
            match tokio::time::timeout(WAIT, ask(*address, instance)).await {
                Ok(Ok(Some(port))) => return Ok(port),
                Ok(Ok(None)) => {
                    let reason = format!(
                        "instance `{instance}` at {host} has no TCP port: enable TCP/IP in its network configuration"
                    );
                    return Err(DatabaseError::Network(io::Error::other(reason)));
                }
                Ok(Err(error)) => {
                    tracing::debug!(%address, %error, "cannot ask SQL Server Browser");
                }
                Err(_) => tracing::debug!(%address, "SQL Server Browser did not answer"),
            }
        }
    }
    let reason = format!(
        "SQL Server Browser at {host} (UDP port {PORT}) tells no port of instance `{instance}`: start the service, check the name, or write the instance's port in its place"
    );
    Err(DatabaseError::Network(io::Error::other(reason)))
}

/// The port; `None` if the instance has none.
async fn ask(address: SocketAddr, instance: &str) -> io::Result<Option<u16>> {
    let own: SocketAddr = if address.is_ipv4() {
        (Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        (Ipv6Addr::UNSPECIFIED, 0).into()
    };
    let socket = UdpSocket::bind(own).await?;
    socket.connect(address).await?;
    let request = [&[REQUEST][..], instance.as_bytes(), &[0]].concat();
    socket.send(&request).await?;
    let mut answer = [0; ANSWER_HEADER + LONGEST_ANSWER];
    loop {
        let length = socket.recv(&mut answer).await?;
        if let Some(port) = port_in(&answer[..length], instance) {
            return Ok(port);
        }
    }
}

/// The port in an answer about `instance`; `Some(None)` if the instance has none, `None` if it is
/// no such answer.
fn port_in(answer: &[u8], instance: &str) -> Option<Option<u16>> {
    let [ANSWER, low, high, text @ ..] = answer else {
        return None;
    };
    let length = usize::from(u16::from_le_bytes([*low, *high]));
    let text = String::from_utf8_lossy(text.get(..length)?);
    let mut words = text.split(';');
    let (mut is_instance, mut port) = (false, None);
    while let (Some(key), Some(value)) = (words.next(), words.next()) {
        if key.eq_ignore_ascii_case("InstanceName") {
            is_instance = value.eq_ignore_ascii_case(instance);
        } else if key.eq_ignore_ascii_case("tcp") {
            port = value.parse().ok();
        }
    }
    is_instance.then_some(port)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answer(text: &str) -> Vec<u8> {
        let length = u16::try_from(text.len()).unwrap().to_le_bytes();
        [&[ANSWER], &length[..], text.as_bytes()].concat()
    }

    #[test]
    fn the_port_of_the_instance_is_found() {
        let with_port = answer(
            "ServerName;SQL1;InstanceName;SALES;IsClustered;No;Version;15.0.2000.5;np;\\\\SQL1\\pipe\\MSSQL$SALES\\sql\\query;tcp;51433;;",
        );
        assert_eq!(port_in(&with_port, "sales"), Some(Some(51433)));
        assert_eq!(port_in(&with_port, "OTHER"), None);
        assert_eq!(port_in(&with_port[..60], "sales"), None, "cut");
        let without = answer("ServerName;SQL1;InstanceName;SALES;IsClustered;No;Version;15.0;;");
        assert_eq!(port_in(&without, "sales"), Some(None));
        assert_eq!(port_in(&[], "sales"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_answer_or_not(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let mut bytes = bytes;
            if let Some(first) = bytes.first_mut() {
                *first = ANSWER;
            }
            prop_assert_eq!(port_in(&bytes, "SALES"), None);
        }
    }
}
