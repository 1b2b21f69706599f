-- Creates a login that may only read one database. Run this script as a member of
-- sysadmin. Its three variables come from the environment, so that the password is
-- not on the command line:
--
--   read -r READER_PASSWORD </etc/reconcile/erp.password
--   export READER_PASSWORD Database=erp Reader=reconcile_reader
--   sqlcmd -b -S sql1 -E -i sqlserver.sql
--
-- Sessions are read-only because the login has no other permissions.

:on error exit
USE [master];
GO
IF SUSER_ID(N'$(Reader)') IS NULL
    CREATE LOGIN [$(Reader)] WITH PASSWORD = N'$(READER_PASSWORD)', DEFAULT_DATABASE = [$(Database)], CHECK_EXPIRATION = OFF;
GO

-- Optional. After a timeout or a cancellation on a lost connection, the worker uses this
-- permission to check that the statement has ended. Without it, the report names the
-- session as not confirmed.
GRANT VIEW SERVER STATE TO [$(Reader)];
GO

-- Optional but recommended: every table is then read as one snapshot and without
-- locks. The version store is in tempdb. Without it, tables are read under READ
-- COMMITTED, and the report shows that.
ALTER DATABASE [$(Database)] SET ALLOW_SNAPSHOT_ISOLATION ON;
GO

USE [$(Database)];
GO
IF DATABASE_PRINCIPAL_ID(N'$(Reader)') IS NULL
    CREATE USER [$(Reader)] FOR LOGIN [$(Reader)];
GO
-- All tables and views. To allow less, use GRANT SELECT ON SCHEMA::name instead: the
-- catalog shows a login only what it may read.
ALTER ROLE [db_datareader] ADD MEMBER [$(Reader)];
GO
-- Optional but recommended: without it, the server does not show whether a security policy
-- hides rows from the login, and the report notes that.
GRANT VIEW DEFINITION TO [$(Reader)];
GO
