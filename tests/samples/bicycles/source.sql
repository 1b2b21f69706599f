CREATE SCHEMA Person;
GO
CREATE SCHEMA Production;
GO
CREATE SCHEMA Sales;
GO
CREATE TABLE Person.Person (BusinessEntityID int NOT NULL PRIMARY KEY, PersonType nchar(2) NOT NULL, FirstName nvarchar(50) NOT NULL, LastName nvarchar(50) NOT NULL, EmailPromotion int NOT NULL, rowguid uniqueidentifier NOT NULL, ModifiedDate datetime NOT NULL);
CREATE TABLE Person.Address (AddressID int NOT NULL PRIMARY KEY, AddressLine1 nvarchar(60) NOT NULL, City nvarchar(30) NOT NULL, PostalCode nvarchar(15) NOT NULL, rowguid uniqueidentifier NOT NULL, ModifiedDate datetime NOT NULL);
CREATE TABLE Person.PhoneNumberType (PhoneNumberTypeID int NOT NULL PRIMARY KEY, Name nvarchar(50) NOT NULL);
CREATE TABLE Production.ProductCategory (ProductCategoryID int NOT NULL PRIMARY KEY, Name nvarchar(50) NOT NULL, rowguid uniqueidentifier NOT NULL);
CREATE TABLE Production.Product (ProductID int NOT NULL PRIMARY KEY, Name nvarchar(50) NOT NULL, ProductNumber nvarchar(25) NOT NULL, MakeFlag bit NOT NULL, Color nvarchar(15) NULL, StandardCost money NOT NULL, ListPrice money NOT NULL, Weight decimal(8,2) NULL, SellStartDate datetime NOT NULL, rowguid uniqueidentifier NOT NULL);
CREATE TABLE Production.Location (LocationID smallint NOT NULL PRIMARY KEY, Name nvarchar(50) NOT NULL, CostRate smallmoney NOT NULL, Availability decimal(8,2) NOT NULL);
CREATE TABLE Production.ProductInventory (ProductID int NOT NULL, LocationID smallint NOT NULL, Shelf nvarchar(10) NOT NULL, Bin tinyint NOT NULL, Quantity smallint NOT NULL, PRIMARY KEY (ProductID, LocationID));
CREATE TABLE Sales.Currency (CurrencyCode nchar(3) NOT NULL PRIMARY KEY, Name nvarchar(50) NOT NULL);
CREATE TABLE Sales.SalesOrderHeader (SalesOrderID int NOT NULL PRIMARY KEY, OrderDate datetime NOT NULL, OnlineOrderFlag bit NOT NULL, CustomerID int NOT NULL, SubTotal money NOT NULL, TaxAmt money NOT NULL, TotalDue AS (SubTotal + TaxAmt), Comment nvarchar(128) NULL, rowguid uniqueidentifier NOT NULL);
CREATE TABLE Sales.SalesOrderDetail (SalesOrderID int NOT NULL, SalesOrderDetailID int NOT NULL, OrderQty smallint NOT NULL, ProductID int NOT NULL, UnitPrice money NOT NULL, UnitPriceDiscount money NOT NULL, PRIMARY KEY (SalesOrderID, SalesOrderDetailID));
INSERT INTO Person.Person VALUES (1, N'EM', N'Ken', N'Sánchez', 0, '92C4279F-1207-48A3-8448-4636514EB7E2', '2009-01-07T00:00:00'), (2, N'IN', N'Terri', N'Duffy', 1, 'D8763459-8AA8-47CC-AFF7-C9079AF79033', '2008-01-24T12:30:15.123');
INSERT INTO Person.Address VALUES (1, N'1970 Napa Ct.', N'Bothell', N'98011', '9AADCB0D-36CF-483F-84D8-585C2D4EC6E9', '2007-12-04T00:00:00');
INSERT INTO Person.PhoneNumberType VALUES (1, N'Cell'), (2, N'Home');
INSERT INTO Production.ProductCategory VALUES (1, N'Bikes', 'CFBDA25C-DF71-47A7-B81B-64EE161AA37C'), (2, N'Components', 'C657828D-D808-4ABA-91A3-AF2CE02300E9');
INSERT INTO Production.Product VALUES (680, N'Frame, Black', N'FR-R92B-58', 1, N'Black', 1059.31, 1431.50, 2.24, '2008-04-30T00:00:00', '43DD68D6-14A4-461F-9069-55309D90EA7E'), (707, N'Helmet', N'HL-U509-R', 0, NULL, 13.0863, 34.99, NULL, '2011-05-31T00:00:00', '2E1EF41A-C08A-4FF6-8ADA-BDE58B64A712');
INSERT INTO Production.Location VALUES (1, N'Tool Crib', 0.00, 0.00), (10, N'Frame Forming', 22.50, 96.00);
INSERT INTO Production.ProductInventory VALUES (680, 1, N'A', 1, 408), (680, 10, N'B', 5, 324), (707, 1, N'N/A', 255, 0);
INSERT INTO Sales.Currency VALUES (N'EUR', N'Euro'), (N'USD', N'US Dollar');
INSERT INTO Sales.SalesOrderHeader (SalesOrderID, OrderDate, OnlineOrderFlag, CustomerID, SubTotal, TaxAmt, Comment, rowguid) VALUES (43659, '2011-05-31T00:00:00', 0, 29825, 20565.6206, 1971.5149, NULL, '79B65321-39CA-4115-9CBA-8FE0903E12E6'), (43660, '2011-05-31T00:00:00', 1, 29672, 1294.2529, 124.2483, N'urgent', '738DC42D-D03B-48A1-9822-F95A67EA7389');
INSERT INTO Sales.SalesOrderDetail VALUES (43659, 1, 1, 680, 2024.994, 0), (43659, 2, 3, 707, 28.8404, 0.02), (43660, 3, 1, 680, 874.794, 0);
