-- Whether orders may be entered for an account: 1 = enabled, 0 = disabled, NULL = it is not registered and was
-- only seen.
ALTER TABLE accounts ADD COLUMN enabled INTEGER;
