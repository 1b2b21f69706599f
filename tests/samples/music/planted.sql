DELETE FROM play_list_track WHERE play_list_id = 2;
UPDATE invoice_line SET unit_price = 9.99 WHERE invoice_line_id = 3;
INSERT INTO genre VALUES (3, 'Ska');
ALTER TABLE customer DROP COLUMN country;
