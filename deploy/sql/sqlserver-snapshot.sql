-- Optional but recommended: lets transactions of one database read a snapshot, on SQL Server
-- 2016 or newer. Then every table is read as one snapshot and without locks. Otherwise
-- tables are read under READ COMMITTED, and the report shows that. It changes the database:
-- rows that are written get a version in tempdb, and 14 more bytes. The statement waits for
-- the transactions that run. Azure SQL Database has this option by default.
--
--   export Database=erp
--   sqlcmd -b -S sql1 -E -i sqlserver-snapshot.sql

:on error exit
ALTER DATABASE [$(Database)] SET ALLOW_SNAPSHOT_ISOLATION ON;
GO
