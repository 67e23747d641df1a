-- People of the console: the only state that lives in SQL alone. A migration of its own, so that history,
-- which can be made again from the journal, can be taken down without them.
CREATE TABLE users (
    name          TEXT PRIMARY KEY,
    role          TEXT NOT NULL CHECK (role IN ('viewer', 'trader-support', 'risk', 'operator')),
    password_hash TEXT NOT NULL,      -- argon2id, PHC string
    disabled      SMALLINT NOT NULL DEFAULT 0,
    created_at    BIGINT NOT NULL     -- ns UTC
);
