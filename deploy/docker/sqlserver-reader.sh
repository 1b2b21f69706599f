#!/bin/bash
# The database and the reader of docker-compose.yml's SQL Server.
set -euo pipefail
SQLCMDPASSWORD=$(cat /run/secrets/sqlserver_sa_password)
READER_PASSWORD=$(cat /run/secrets/sqlserver_reader_password)
export SQLCMDPASSWORD READER_PASSWORD
sqlcmd() {
    /opt/mssql-tools18/bin/sqlcmd -b -C -S sqlserver -U sa "$@"
}
sqlcmd -Q "IF DB_ID(N'erp') IS NULL CREATE DATABASE [erp]"
sqlcmd -v Database=erp -v Reader=reconcile_reader -i /etc/reconcile/sqlserver.sql
