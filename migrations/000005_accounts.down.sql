ALTER TABLE accounts DROP COLUMN enabled;
