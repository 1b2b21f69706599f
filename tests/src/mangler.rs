//! A proxy in front of PostgreSQL that makes one answer of the server wrong: other types, NULLs,
//! rows that are missing, repeated or too short, or a result that was not asked for.
//!
//! It reads the messages of the protocol's version 3 without TLS (PostgreSQL's documentation,
//! "Message Formats").

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// How an answer is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// The description of the rows names other types.
    Types,
    /// Values have other bytes.
    Bytes,
    /// Every value is NULL.
    Nulls,
    /// There are no rows.
    NoRows,
    /// Every row comes twice.
    TwiceTheRows,
    /// Another result follows.
    ExtraResult,
}

impl Wrong {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Types,
        Self::Bytes,
        Self::Nulls,
        Self::NoRows,
        Self::TwiceTheRows,
        Self::ExtraResult,
    ];
}

#[derive(Debug, Default)]
struct State {
    order: Option<(usize, Wrong)>,
    /// Answers with rows, and descriptions of rows, since the last order.
    answers: usize,
    descriptions: usize,
    /// Whether something was made wrong since then.
    mangled: bool,
}

/// The proxy. It ends with this value.
#[derive(Debug)]
pub struct Mangler {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    accepting: JoinHandle<()>,
}

impl Mangler {
    /// Listens on a free port of loopback, in front of the server on `port`.
    ///
    /// # Errors
    ///
    /// When the operating system gives no port.
    pub async fn to(port: u16) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(Mutex::new(State::default()));
        let of_connections = Arc::clone(&state);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let state = Arc::clone(&of_connections);
                tokio::spawn(async move {
                    // A connection ends when either side closes it.
                    drop(forward(client, port, &state).await);
                });
            }
        });
        Ok(Self {
            address,
            state,
            accepting,
        })
    }

    /// The port that it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Makes the answer with this number, from 0, wrong. Counts from now on.
    pub fn order(&self, answer: usize, wrong: Wrong) {
        *locked(&self.state) = State {
            order: Some((answer, wrong)),
            ..State::default()
        };
    }

    /// Whether an answer was made wrong since the last order.
    #[must_use]
    pub fn has_mangled(&self) -> bool {
        locked(&self.state).mangled
    }
}

impl Drop for Mangler {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().expect("no panic while the lock is held")
}

async fn forward(client: TcpStream, port: u16, state: &Mutex<State>) -> std::io::Result<()> {
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let answers = async {
        loop {
            let kind = from_server.read_u8().await?;
            let length = from_server.read_u32().await?;
            let mut body = vec![0; length as usize - 4];
            from_server.read_exact(&mut body).await?;
            let messages = mangled(kind, body, state);
            to_client.write_all(&messages).await?;
        }
    };
    tokio::select! {
        ended = copy(&mut from_client, &mut to_server) => ended.map(drop),
        ended = answers => ended,
    }
}

/// What the client receives in place of a message.
fn mangled(kind: u8, body: Vec<u8>, state: &Mutex<State>) -> Vec<u8> {
    let mut state = locked(state);
    let (ordered, wrong) = match state.order {
        Some(order) => order,
        None => return message(kind, &body),
    };
    match kind {
        b'T' => {
            let is_ordered = state.descriptions == ordered && wrong == Wrong::Types;
            state.descriptions += 1;
            state.mangled |= is_ordered;
            message(kind, &if is_ordered { with_types(body) } else { body })
        }
        b'D' if state.answers == ordered && wrong != Wrong::Types => {
            state.mangled = true;
            match wrong {
                Wrong::Nulls => message(kind, &with_values(&body, None)),
                Wrong::Bytes => message(kind, &with_values(&body, Some(b"seven"))),
                Wrong::NoRows => Vec::new(),
                Wrong::TwiceTheRows => message(kind, &body).repeat(2),
                Wrong::ExtraResult | Wrong::Types => message(kind, &body),
            }
        }
        b'C' if body.starts_with(b"SELECT") => {
            let is_ordered = state.answers == ordered && wrong == Wrong::ExtraResult;
            state.answers += 1;
            let mut messages = message(kind, &body);
            if is_ordered {
                state.mangled = true;
                messages.extend(extra_result());
            }
            messages
        }
        _ => message(kind, &body),
    }
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("a message is shorter than 4 GiB");
    [&[kind], &length.to_be_bytes()[..], body].concat()
}

/// The description of rows in which texts are numbers, and everything else is text.
fn with_types(mut body: Vec<u8>) -> Vec<u8> {
    const TEXTS: [u32; 3] = [19, 25, 1043];
    const INT4: u32 = 23;
    const TEXT: u32 = 25;
    let mut at = 2;
    while at < body.len() {
        let name = body[at..].iter().position(|byte| *byte == 0);
        // Behind the name: the table, the column, and then the type.
        let place = at + name.expect("a name ends") + 1 + 4 + 2;
        let oid = u32::from_be_bytes(body[place..place + 4].try_into().expect("four bytes"));
        let other = if TEXTS.contains(&oid) { INT4 } else { TEXT };
        body[place..place + 4].copy_from_slice(&other.to_be_bytes());
        at = place + 4 + 2 + 4 + 2;
    }
    body
}

/// The row with `value` in place of each value.
fn with_values(body: &[u8], value: Option<&[u8]>) -> Vec<u8> {
    let count = usize::from(u16::from_be_bytes([body[0], body[1]]));
    let mut row = body[..2].to_vec();
    for _ in 0..count {
        match value {
            None => row.extend((-1_i32).to_be_bytes()),
            Some(value) => {
                let length = i32::try_from(value.len()).expect("a short value");
                row.extend(length.to_be_bytes());
                row.extend(value);
            }
        }
    }
    row
}

/// A result with one row and one column.
fn extra_result() -> Vec<u8> {
    let mut description = 1_u16.to_be_bytes().to_vec();
    description.extend(b"extra\0");
    description.extend([0; 6]);
    description.extend(25_u32.to_be_bytes());
    description.extend((-1_i16).to_be_bytes());
    description.extend((-1_i32).to_be_bytes());
    description.extend([0; 2]);
    let mut row = 1_u16.to_be_bytes().to_vec();
    row.extend(5_i32.to_be_bytes());
    row.extend(b"extra");
    [
        message(b'T', &description),
        message(b'D', &row),
        message(b'C', b"SELECT 1\0"),
    ]
    .concat()
}
