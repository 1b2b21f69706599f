#!/bin/sh
# Creates the reader of PostgreSQL in docker-compose.yml, when the database is created.
set -eu
export READER_PASSWORD_FILE=/run/secrets/postgres_reader_password
psql -v ON_ERROR_STOP=1 -v reader=reconcile_reader -v schema=public -v owner="$POSTGRES_USER" \
    -U "$POSTGRES_USER" -d "$POSTGRES_DB" -f /etc/reconcile/postgres.sql
