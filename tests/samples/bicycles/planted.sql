UPDATE person.person SET last_name = 'Sanchez' WHERE business_entity_id = 1;
UPDATE production.product SET row_guid = '2e1ef41a-c08a-4ff6-8ada-bde58b64a713' WHERE product_id = 707;
DELETE FROM sales.currency WHERE currency_code = 'USD';
INSERT INTO sales.sales_order_detail VALUES (43660, 4, 1, 707, 1, 0);
