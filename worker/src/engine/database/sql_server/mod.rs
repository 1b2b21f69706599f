//! SQL Server: everything that is particular to it.

pub(crate) mod catalog;
pub(crate) mod constraints;
pub(crate) mod dialect;
pub(crate) mod error;
pub(crate) mod literal;
pub(crate) mod look_up;
pub(crate) mod scan;
pub(crate) mod script;
pub(crate) mod session;
pub(crate) mod text;

use async_trait::async_trait;
use shared::endpoint::Endpoint;

use crate::engine::database::session::label::Access;
use crate::engine::database::session::{Database, Session};
use crate::engine::database::sql_server::session::SqlServerSession;
use crate::engine::error::DatabaseError;

/// SQL Server.
#[derive(Debug)]
pub(crate) struct SqlServer;

#[async_trait]
impl Database for SqlServer {
    async fn connect(
        &self,
        endpoint: &Endpoint,
        access: Access,
    ) -> Result<Box<dyn Session>, DatabaseError> {
        Ok(Box::new(SqlServerSession::connect(endpoint, access).await?))
    }
}
