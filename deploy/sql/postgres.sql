-- Creates a role that may only read the tables of one schema, on PostgreSQL 11 or newer. Run
-- this script as a superuser, or as a role with CREATEROLE that owns the schema and its
-- tables. The password is in a file:
--
--   READER_PASSWORD_FILE=/etc/reconcile/warehouse.password psql -v ON_ERROR_STOP=1 \
--     -v reader=reconcile_reader -v schema=public -v owner=etl -d warehouse -f postgres.sql
--
-- `owner` is the role that creates the tables. Tables that it creates later are
-- readable too. Run the script again for every other schema, or for another password.
--
-- Before version 15, PostgreSQL lets every role create objects in the schema `public`. If
-- that is so, the script says it. To take the permission from all roles but the owners of
-- the schema and the database, add `-v revoke_create=yes`.

\set password `cat "$READER_PASSWORD_FILE"`
SELECT :'password' = '' AS no_password \gset
\if :no_password
DO $$ BEGIN RAISE EXCEPTION 'READER_PASSWORD_FILE does not name a file that contains a password'; END $$;
\quit
\endif

SELECT format('CREATE ROLE %I', :'reader')
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = :'reader') \gexec

-- A new role has no permissions of its own. Those of PUBLIC, such as temporary tables, need
-- a transaction that may write. The limit counts all sessions of the role:
-- workers x concurrency for each side that is in this cluster, and a few more for
-- `psql` and for stopping statements.
ALTER ROLE :"reader" WITH LOGIN CONNECTION LIMIT 50 PASSWORD :'password';

-- The worker sets these in its sessions too. Here they apply to every login of the
-- role.
ALTER ROLE :"reader" SET default_transaction_read_only = on;
ALTER ROLE :"reader" SET lock_timeout = '30s';
-- If a policy hides rows of a table from the reader, reading the table is then an
-- error. Otherwise the table would appear to have fewer rows. Grant BYPASSRLS if the
-- role may read these rows.
ALTER ROLE :"reader" SET row_security = off;

SELECT format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), :'reader') \gexec
GRANT USAGE ON SCHEMA :"schema" TO :"reader";
GRANT SELECT ON ALL TABLES IN SCHEMA :"schema" TO :"reader";
ALTER DEFAULT PRIVILEGES FOR ROLE :"owner" IN SCHEMA :"schema" GRANT SELECT ON TABLES TO :"reader";
-- `reconcile check` compares the next number of a sequence with the largest value in its column.
GRANT SELECT ON ALL SEQUENCES IN SCHEMA :"schema" TO :"reader";
ALTER DEFAULT PRIVILEGES FOR ROLE :"owner" IN SCHEMA :"schema" GRANT SELECT ON SEQUENCES TO :"reader";

\if :{?revoke_create}
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
\endif
SELECT coalesce(has_schema_privilege(:'reader'::name, to_regnamespace('public')::oid, 'CREATE'), false) AS may_create \gset
\if :may_create
\echo 'note: every role may create objects in the schema public of this database, so the reader may too; -v revoke_create=yes revokes that from PUBLIC'
\endif
