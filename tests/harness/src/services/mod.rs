//! Real services for tests: PostgreSQL, RabbitMQ and the SQL Server stand-in,
//! each in a private directory, on free ports of the loopback interface.
//!
//! A service ends with the process that started it, also when that is killed;
//! see [`guardian`]. With `RECONCILE_TEST_POSTGRES` and `RECONCILE_TEST_AMQP`
//! in the environment, the shared services are the ones named there, so that
//! many test executables need one start only.

pub mod broker;
pub mod database;
mod error;
pub mod guardian;
pub mod postgres;
pub mod prometheus;
pub mod rabbitmq;
pub mod standin;
mod start;

pub use broker::{Broker, shared_rabbitmq};
pub use database::{Database, shared_postgres};
pub use error::ServiceError;
pub use postgres::Postgres;
pub use prometheus::Prometheus;
pub use rabbitmq::RabbitMq;
pub use standin::{Standin, StandinOptions, StandinTls};
pub use start::free_port;
