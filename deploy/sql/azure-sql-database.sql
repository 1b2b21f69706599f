-- Creates a user that may only read one database of Azure SQL Database. The user is
-- contained: it exists only in this database, and there is no login for it. Run this script
-- in that database, as the server's administrator. Its two variables come from the
-- environment, so that the password is not on the command line. The password must not
-- contain a single quote:
--
--   read -r READER_PASSWORD </etc/reconcile/erp.password
--   export READER_PASSWORD Reader=reconcile_reader
--   sqlcmd -b -S NAME.database.windows.net -d erp -G -i azure-sql-database.sql
--
-- Sessions are read-only because the user has no other permissions. Run the script again
-- for another password.

:on error exit
IF DATABASE_PRINCIPAL_ID(N'$(Reader)') IS NULL
    CREATE USER [$(Reader)] WITH PASSWORD = N'$(READER_PASSWORD)';
ELSE
    ALTER USER [$(Reader)] WITH PASSWORD = N'$(READER_PASSWORD)';
GO

-- Optional. After a timeout or a cancellation on a lost connection, the worker uses this
-- permission to check that the statement has ended. There is no VIEW SERVER STATE here. For
-- the service objectives Basic, S0 and S1 and in elastic pools, this permission does not
-- suffice: there the report names the session as not confirmed.
GRANT VIEW DATABASE STATE TO [$(Reader)];
GO

-- Optional but recommended: without it, the server does not show whether a security policy
-- hides rows from the user, and the report notes that.
GRANT VIEW DEFINITION TO [$(Reader)];
GO
-- All tables and views. To allow less, use GRANT SELECT ON SCHEMA::name instead: the
-- catalog shows a user only what it may read.
ALTER ROLE [db_datareader] ADD MEMBER [$(Reader)];
GO
