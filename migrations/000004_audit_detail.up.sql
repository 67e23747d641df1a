-- What was asked for, as a text: scope and state of a kill switch, a phase, a user and the role given.
ALTER TABLE admin_audit ADD COLUMN detail TEXT;
