#!/bin/bash
# Creates the database and the reader of SQL Server in docker-compose.yml.
set -euo pipefail
SQLCMDPASSWORD=$(cat /run/secrets/sqlserver_sa_password)
READER_PASSWORD=$(cat /run/secrets/sqlserver_reader_password)
# The variables of sqlserver.sql: every version of sqlcmd reads them from the environment.
Database=erp
Reader=reconcile_reader
export SQLCMDPASSWORD READER_PASSWORD Database Reader
sqlcmd() {
    /opt/mssql-tools18/bin/sqlcmd -b -C -S sqlserver -U sa "$@"
}
sqlcmd -Q "IF DB_ID(N'erp') IS NULL CREATE DATABASE [erp]"
sqlcmd -i /etc/reconcile/sqlserver.sql
sqlcmd -i /etc/reconcile/sqlserver-snapshot.sql
