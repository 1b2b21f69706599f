-- A role that may read the tables of one schema and nothing else. As a
-- superuser, or as a role with CREATEROLE that owns the schema and its tables,
-- with the password in a file:
--
--   READER_PASSWORD_FILE=/etc/reconcile/warehouse.password psql -v ON_ERROR_STOP=1 \
--     -v reader=reconcile_reader -v schema=public -v owner=etl -d warehouse -f postgres.sql
--
-- `owner` is the role that creates the tables: what it creates later is
-- readable too. Run it again for every other schema.

\set password `cat "$READER_PASSWORD_FILE"`

SELECT format('CREATE ROLE %I', :'reader')
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = :'reader') \gexec

-- A new role has no other rights. The limit holds over all sessions of the role:
-- workers x concurrency for each side of a comparison that is here, and a few for
-- `psql` and for statements that are being stopped.
ALTER ROLE :"reader" WITH LOGIN CONNECTION LIMIT 50 PASSWORD :'password';

-- The sessions ask for both themselves; here they hold whoever logs in.
ALTER ROLE :"reader" SET default_transaction_read_only = on;
ALTER ROLE :"reader" SET lock_timeout = '30s';
-- A table with a policy that hides rows from the reader is then an error and
-- not a table with fewer rows. Give the role BYPASSRLS if it should see them.
ALTER ROLE :"reader" SET row_security = off;

SELECT format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), :'reader') \gexec
GRANT USAGE ON SCHEMA :"schema" TO :"reader";
GRANT SELECT ON ALL TABLES IN SCHEMA :"schema" TO :"reader";
ALTER DEFAULT PRIVILEGES FOR ROLE :"owner" IN SCHEMA :"schema" GRANT SELECT ON TABLES TO :"reader";
