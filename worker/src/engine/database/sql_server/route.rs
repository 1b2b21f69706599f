//! Which server an endpoint leads to: a named instance, the first address of several that answers,
//! the partner of a failed server, the server that a gateway names.

use std::io;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use shared::endpoint::Endpoint;
use shared::failure::FailureKind;
use tiberius::error::Error;
use tokio::net::{TcpStream, lookup_host};

use crate::engine::database::session::label::Access;
use crate::engine::database::sql_server::browser;
use crate::engine::database::sql_server::connection::{Connection, login};
use crate::engine::error::DatabaseError;

/// How many servers in a row may name another one.
const REDIRECTS: u32 = 5;

/// Connects to the server of `endpoint`, or to its failover partner, and logs in.
pub(super) async fn connect(
    endpoint: &Endpoint,
    access: Access,
) -> Result<Connection, DatabaseError> {
    let Some((host, port)) = endpoint.route.partner(endpoint.port) else {
        return connect_to_named(endpoint, access).await;
    };
    // The rest of the time is for the partner.
    let half = endpoint.connect_timeout / 2;
    let first = tokio::time::timeout(half, connect_to_named(endpoint, access)).await;
    let error = match first.unwrap_or(Err(DatabaseError::ConnectTimeout(half))) {
        Err(error) if may_be_at_partner(&error) => error,
        ended => return ended,
    };
    tracing::debug!(endpoint = endpoint.name, %error, partner = host, "the failover partner is tried");
    match connect_to(endpoint, (host, port), access).await {
        Err(of_partner) if of_partner.is_unreached() => {
            let both = format!("{error}; failover partner {host}: {of_partner}");
            Err(DatabaseError::Network(io::Error::other(both)))
        }
        ended => ended,
    }
}

/// Whether the database may be available at the failover partner: the server does not answer, or
/// its copy of the database is the mirror. A login that was refused is not repeated there.
fn may_be_at_partner(error: &DatabaseError) -> bool {
    error.is_unreached()
        || matches!(error, DatabaseError::Driver(error) if error.kind == FailureKind::DatabaseNotFound)
}

/// Connects to the server that the endpoint names.
async fn connect_to_named(
    endpoint: &Endpoint,
    access: Access,
) -> Result<Connection, DatabaseError> {
    let host = &endpoint.host;
    let port = match &endpoint.route.instance {
        Some(instance) => browser::port(host, instance).await?,
        None => endpoint.port,
    };
    connect_to(endpoint, (host, port), access).await
}

/// Connects to a server, or to the one that it names in its place, as gateways do.
async fn connect_to(
    endpoint: &Endpoint,
    (host, port): (&str, u16),
    access: Access,
) -> Result<Connection, DatabaseError> {
    let (mut host, mut port) = (host.to_owned(), port);
    for _ in 0..REDIRECTS {
        let stream = open(&host, port, endpoint.route.multi_subnet_failover).await;
        let stream = stream.map_err(DatabaseError::Network)?;
        match login(stream, endpoint, (&host, port), access).await? {
            Err(Error::Routing {
                host: next_host,
                port: next_port,
            }) => {
                // The name of an instance may follow; the port is known.
                let next_host = next_host.split('\\').next().unwrap_or_default();
                (host, port) = (next_host.to_owned(), next_port);
            }
            logged_in => return Ok(logged_in?),
        }
    }
    let reason =
        format!("{REDIRECTS} servers in a row named another one, the last one {host}:{port}");
    Err(DatabaseError::Network(io::Error::other(reason)))
}

/// A connection with `host`: with one address after the other, or with all at once.
async fn open(host: &str, port: u16, all_at_once: bool) -> io::Result<TcpStream> {
    if all_at_once {
        let addresses = lookup_host((host, port)).await?;
        first_of(addresses.map(TcpStream::connect).collect()).await
    } else {
        TcpStream::connect((host, port)).await
    }
}

/// The first of `attempts` that succeeds. The others are dropped.
async fn first_of<T>(
    mut attempts: FuturesUnordered<impl Future<Output = io::Result<T>>>,
) -> io::Result<T> {
    let mut last = io::Error::other("the host has no address");
    while let Some(ended) = attempts.next().await {
        match ended {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use futures::future::{BoxFuture, pending, ready};

    use super::*;

    #[tokio::test]
    async fn the_first_address_that_answers_is_used() {
        let refused = || ready(Err(io::ErrorKind::ConnectionRefused.into()));
        let attempts: Vec<BoxFuture<'_, io::Result<u16>>> = vec![
            Box::pin(pending()),
            Box::pin(refused()),
            Box::pin(ready(Ok(1))),
        ];
        let stream = first_of(attempts.into_iter().collect()).await;
        assert_eq!(stream.unwrap(), 1);
        let attempts: FuturesUnordered<_> = [refused()].into_iter().collect();
        let error = first_of(attempts).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        let none = FuturesUnordered::<std::future::Ready<io::Result<u16>>>::new();
        first_of(none).await.unwrap_err();
    }
}
