//! A part of a shared RabbitMQ broker that no other test sees.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use super::error::ServiceError;
use super::rabbitmq::Node;
use super::rabbitmq::RabbitMq;
use super::start::random_word;

/// A broker that this process started, or one named in the environment.
#[derive(Debug, Clone)]
pub struct SharedRabbitMq {
    amqp_url: String,
    node: Option<Node>,
}

/// The broker that all tests of this process share: the one named in
/// `RECONCILE_TEST_AMQP` (whose `RECONCILE_TEST_RABBITMQ_DIR`, if set,
/// allows administration), else one started now, at the first call.
///
/// # Panics
///
/// When it cannot be started: no test can go on then.
pub fn shared_rabbitmq() -> SharedRabbitMq {
    static OWN: Mutex<Option<RabbitMq>> = Mutex::new(None);
    if let Ok(amqp_url) = std::env::var("RECONCILE_TEST_AMQP") {
        let directory = std::env::var_os("RECONCILE_TEST_RABBITMQ_DIR").map(PathBuf::from);
        let node = directory
            .map(|directory| Node::attach(&directory).unwrap_or_else(|error| panic!("{error}")));
        return SharedRabbitMq { amqp_url, node };
    }
    let mut own = OWN.lock().unwrap_or_else(PoisonError::into_inner);
    let broker =
        own.get_or_insert_with(|| RabbitMq::start().unwrap_or_else(|error| panic!("{error}")));
    SharedRabbitMq {
        amqp_url: broker.amqp_url(),
        node: Some(broker.node().clone()),
    }
}

impl SharedRabbitMq {
    /// A URL for the administrator and the default virtual host, which all tests share.
    #[must_use]
    pub fn amqp_url(&self) -> &str {
        &self.amqp_url
    }

    /// How to administer the broker; absent for one that was only named by its URL.
    #[must_use]
    pub fn node(&self) -> Option<&Node> {
        self.node.as_ref()
    }

    /// A prefix for the names of queues and exchanges that no other test uses.
    #[must_use]
    pub fn unique_prefix(&self) -> String {
        format!("reconcile-test-{}", random_word(10))
    }

    /// A new virtual host, removed when the returned value is dropped. It takes
    /// about a second; [`Self::unique_prefix`] is free.
    ///
    /// # Errors
    ///
    /// When the broker refuses, or cannot be administered.
    pub fn create_vhost(&self) -> Result<Broker, ServiceError> {
        let node = self.node.clone().ok_or_else(|| ServiceError::System {
            action: "administer the broker of RECONCILE_TEST_AMQP".to_owned(),
            source: std::io::Error::other(
                "RECONCILE_TEST_RABBITMQ_DIR does not name its directory",
            ),
        })?;
        let vhost = format!("test-{}", random_word(10));
        let amqp_url = node.create_vhost(&vhost)?;
        Ok(Broker {
            node,
            vhost,
            amqp_url,
        })
    }
}

/// A virtual host that is removed when this value is dropped.
#[derive(Debug)]
pub struct Broker {
    node: Node,
    vhost: String,
    amqp_url: String,
}

impl Broker {
    /// A URL for the administrator and this virtual host.
    #[must_use]
    pub fn amqp_url(&self) -> &str {
        &self.amqp_url
    }

    /// The virtual host's name, for `rabbitmqctl --vhost`.
    #[must_use]
    pub fn vhost(&self) -> &str {
        &self.vhost
    }

    /// The broker that it is on.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.node
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // A broker that has ended has no virtual host to remove.
        drop(self.node.delete_vhost(&self.vhost));
    }
}
