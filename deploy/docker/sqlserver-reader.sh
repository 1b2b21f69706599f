#!/bin/bash
# The database and the reader of docker-compose.yml's SQL Server.
set -euo pipefail
SQLCMDPASSWORD=$(cat /run/secrets/sqlserver_sa_password)
READER_PASSWORD=$(cat /run/secrets/sqlserver_reader_password)
# What sqlserver.sql asks for: sqlcmd takes it from the environment everywhere.
Database=erp
Reader=reconcile_reader
export SQLCMDPASSWORD READER_PASSWORD Database Reader
sqlcmd() {
    /opt/mssql-tools18/bin/sqlcmd -b -C -S sqlserver -U sa "$@"
}
sqlcmd -Q "IF DB_ID(N'erp') IS NULL CREATE DATABASE [erp]"
sqlcmd -i /etc/reconcile/sqlserver.sql
