//! PostgreSQL: everything that is particular to it.

pub(crate) mod catalog;
pub(crate) mod constraints;
pub(crate) mod dialect;
pub(crate) mod error;
pub(crate) mod lexical;
pub(crate) mod literal;
pub(crate) mod look_up;
pub(crate) mod scan;
pub(crate) mod script;
pub(crate) mod session;

use async_trait::async_trait;
use shared::endpoint::Endpoint;

use crate::engine::database::postgres::session::PostgresSession;
use crate::engine::database::session::label::Access;
use crate::engine::database::session::{Database, Session};
use crate::engine::error::DatabaseError;

/// PostgreSQL.
#[derive(Debug)]
pub(crate) struct Postgres;

#[async_trait]
impl Database for Postgres {
    async fn connect(
        &self,
        endpoint: &Endpoint,
        _access: Access,
    ) -> Result<Box<dyn Session>, DatabaseError> {
        Ok(Box::new(PostgresSession::connect(endpoint).await?))
    }
}
