-- A login that may read one database and nothing else. As a member of
-- sysadmin, with its three variables in the environment, so that the password
-- is not on the command line:
--
--   read -r READER_PASSWORD </etc/reconcile/erp.password
--   export READER_PASSWORD Database=erp Reader=reconcile_reader
--   sqlcmd -b -S sql1 -E -i sqlserver.sql
--
-- What makes a session read-only is that the login may do nothing else.

:on error exit
USE [master];
GO
IF SUSER_ID(N'$(Reader)') IS NULL
    CREATE LOGIN [$(Reader)] WITH PASSWORD = N'$(READER_PASSWORD)', DEFAULT_DATABASE = [$(Database)], CHECK_EXPIRATION = OFF;
GO

-- Optional. After a timeout or a cancel the worker asks the server whether the
-- statement has really ended, which takes this permission; without it the
-- statement is stopped all the same, and the log says that nobody looked.
GRANT VIEW SERVER STATE TO [$(Reader)];
GO

-- Optional, and worth much: every table is then read as of one moment and
-- without locks. The version store is in tempdb. Without it tables are read
-- READ COMMITTED, and the report says so.
ALTER DATABASE [$(Database)] SET ALLOW_SNAPSHOT_ISOLATION ON;
GO

USE [$(Database)];
GO
IF DATABASE_PRINCIPAL_ID(N'$(Reader)') IS NULL
    CREATE USER [$(Reader)] FOR LOGIN [$(Reader)];
GO
-- All tables and views. For less, GRANT SELECT ON SCHEMA::name in its place:
-- the catalog shows a login what it may read.
ALTER ROLE [db_datareader] ADD MEMBER [$(Reader)];
GO
