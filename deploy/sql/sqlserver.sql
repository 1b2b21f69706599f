-- Creates a login that may only read one database, on SQL Server 2016 or newer and on Azure
-- SQL Managed Instance. For Azure SQL Database, see azure-sql-database.sql. Run this script
-- as a member of sysadmin. Its three variables come from the environment, so that the
-- password is not on the command line. The password must not contain a single quote:
--
--   read -r READER_PASSWORD </etc/reconcile/erp.password
--   export READER_PASSWORD Database=erp Reader=reconcile_reader
--   sqlcmd -b -S sql1 -E -i sqlserver.sql
--
-- Sessions are read-only because the login has no other permissions. Run the script again
-- for another password, or after the database was restored on another server.

:on error exit
USE [master];
GO
IF SUSER_ID(N'$(Reader)') IS NULL
    CREATE LOGIN [$(Reader)] WITH PASSWORD = N'$(READER_PASSWORD)', DEFAULT_DATABASE = [$(Database)], CHECK_EXPIRATION = OFF;
ELSE
    ALTER LOGIN [$(Reader)] WITH PASSWORD = N'$(READER_PASSWORD)';
GO

-- Optional. After a timeout or a cancellation on a lost connection, the worker uses this
-- permission to check that the statement has ended. Without it, the report names the
-- session as not confirmed. It also shows the statements of other sessions: delete the
-- line if the login may not see them.
GRANT VIEW SERVER STATE TO [$(Reader)];
GO

USE [$(Database)];
GO
IF DATABASE_PRINCIPAL_ID(N'$(Reader)') IS NULL
    CREATE USER [$(Reader)] FOR LOGIN [$(Reader)];
ELSE
    ALTER USER [$(Reader)] WITH LOGIN = [$(Reader)];
GO
-- All tables and views. To allow less, use GRANT SELECT ON SCHEMA::name instead: the
-- catalog shows a login only what it may read.
ALTER ROLE [db_datareader] ADD MEMBER [$(Reader)];
GO
-- Optional but recommended: without it, the server does not show whether a security policy
-- hides rows from the login, and the report notes that.
GRANT VIEW DEFINITION TO [$(Reader)];
GO
