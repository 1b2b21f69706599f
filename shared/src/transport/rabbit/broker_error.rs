//! Explains errors of the broker: what they mean and what the user can do.

use lapin::ErrorKind;
use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};

use super::link::LinkError;
use super::options::Address;
use crate::transport::TransportError;

/// Whether the broker will refuse the operation on every other channel and connection too.
pub(super) fn is_refusal(error: &lapin::Error) -> bool {
    matches!(
        protocol_kind(error),
        Some(
            AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED | AMQPSoftError::PRECONDITIONFAILED)
                | AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED)
        )
    )
}

pub(super) fn connect_error(address: &Address, error: &LinkError) -> TransportError {
    let message = match error {
        LinkError::Timeout(_) => {
            format!(
                "the broker at {address} does not answer ({error}): check host, port and firewall, and whether it expects TLS (amqps://)"
            )
        }
        LinkError::Amqp(error) => match protocol_kind(error) {
            Some(AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED)) if is_login(error) => {
                let guest = if address.user() == "guest" {
                    "; `guest` may log in only from the broker's own host"
                } else {
                    ""
                };
                format!(
                    "the broker at {address} refused the login of user `{}`: check user and password in the broker URL{guest}",
                    address.user()
                )
            }
            Some(AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED)) => format!(
                "the broker at {address} denies user `{}` access to virtual host `{}` ({}): check the path of the broker URL, or run `rabbitmqctl add_vhost` and `rabbitmqctl set_permissions`",
                address.user(),
                address.uri.vhost,
                reply_text(error),
            ),
            Some(AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED)) if names_task_queue(error) => {
                format!(
                    "the broker at {address} refused: {}; only a user that may read the task queue can declare it, and a coordinator needs no such permission: start a worker first, or import deploy/rabbitmq/definitions.json, or give user `{}` configure and read permission on it",
                    reply_text(error),
                    address.user()
                )
            }
            Some(_) => return refusal(address, error),
            None if address.uses_tls() => format!(
                "cannot reach the broker at {address} over TLS: {error}; check host and port (TLS is usually on 5671), that the certificate names this host, and ca_file"
            ),
            None => format!(
                "cannot reach the broker at {address}: {error}; check host, port and firewall, that RabbitMQ runs there, and whether it expects TLS (amqps://)"
            ),
        },
    };
    TransportError::Broker(message)
}

pub(super) fn refusal(address: &Address, error: &lapin::Error) -> TransportError {
    let advice = match protocol_kind(error) {
        Some(AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED)) => format!(
            "; user `{}` needs configure, write and read permission on the queues and exchanges (`rabbitmqctl set_permissions`)",
            address.user()
        ),
        Some(AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED)) => {
            "; a queue or exchange of that name exists with other properties: delete it when it is empty, or choose another prefix".to_owned()
        }
        _ => String::new(),
    };
    TransportError::Broker(format!(
        "the broker at {address} refused: {}{advice}",
        reply_text(error)
    ))
}

/// The refusal of a published message. The broker refuses a publish with PRECONDITION_FAILED only
/// for its size.
pub(super) fn publish_refusal(
    address: &Address,
    error: &lapin::Error,
    what: &str,
    size: usize,
) -> TransportError {
    match protocol_kind(error) {
        Some(AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED)) => {
            TransportError::TooLarge(format!(
                "the broker at {address} refused {what} of {size} bytes: {}; raise max_message_size of the broker (rabbitmq.conf), or set max_message_size under [broker] to at most that of the broker, here and for all workers",
                reply_text(error)
            ))
        }
        _ => refusal(address, error),
    }
}

fn protocol_kind(error: &lapin::Error) -> Option<&AMQPErrorKind> {
    match error.kind() {
        ErrorKind::ProtocolError(error) => Some(error.kind()),
        _ => None,
    }
}

fn reply_text(error: &lapin::Error) -> String {
    match error.kind() {
        ErrorKind::ProtocolError(error) => error.get_message().to_string(),
        _ => error.to_string(),
    }
}

/// Whether the login failed: the broker replies ACCESS_REFUSED also for a missing permission.
fn is_login(error: &lapin::Error) -> bool {
    reply_text(error)
        .to_ascii_lowercase()
        .contains("login was refused")
}

fn names_task_queue(error: &lapin::Error) -> bool {
    reply_text(error).contains(".tasks'")
}
