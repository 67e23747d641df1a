-- The tables stay as they are.
SELECT 1;
