UPDATE customers SET city = 'Bern' WHERE customerid = 'ALFKO';
UPDATE "Order-Details" SET discount = 0.5 WHERE orderid = 10249;
DELETE FROM territories WHERE territoryid = '01730';
UPDATE categories SET picture = '\x151c2f01' WHERE categoryid = 1;
