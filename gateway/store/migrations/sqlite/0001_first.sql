-- Sealed columns hold contacts encrypted; destination columns hold their keyed hashes. Times are milliseconds.

CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE project (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    settings TEXT NOT NULL,
    created_at INTEGER NOT NULL
);

-- Hashes of API keys. `code_key` is what encrypts codes for the holder of a secret key, sealed.
CREATE TABLE api_key (
    hash BLOB PRIMARY KEY,
    project_id INTEGER NOT NULL,
    secret INTEGER NOT NULL,
    code_key BLOB,
    expires_at INTEGER
) WITHOUT ROWID;

-- One row a destination: its current session. That the primary key is the destination is what makes
-- "a session is created once while it lives" true; the next session takes the row over.
CREATE TABLE session (
    project_id INTEGER NOT NULL,
    destination BLOB NOT NULL,
    id TEXT NOT NULL,
    sealed BLOB NOT NULL,
    code_mac BLOB NOT NULL,
    code_length INTEGER NOT NULL,
    own_code BLOB,
    kind TEXT NOT NULL,
    lang TEXT NOT NULL,
    browser TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts_left INTEGER NOT NULL,
    strikes INTEGER NOT NULL,
    paused_until INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (project_id, destination)
) WITHOUT ROWID;

-- ULIDs sort by time, so this index serves the purge as well.
CREATE UNIQUE INDEX session_id ON session (id);

CREATE TABLE message (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    session_id TEXT NOT NULL,
    channel TEXT NOT NULL,
    state TEXT NOT NULL,
    began_parked INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    finished_at INTEGER,
    reference TEXT NOT NULL DEFAULT '',
    error TEXT NOT NULL DEFAULT ''
);

CREATE INDEX message_session ON message (session_id);
CREATE INDEX message_due ON message (due_at) WHERE state IN ('queued', 'sending');

CREATE TABLE activation (
    project_id INTEGER NOT NULL,
    destination BLOB NOT NULL,
    bot_id INTEGER NOT NULL,
    chat_id INTEGER NOT NULL,
    user_id INTEGER NOT NULL,
    active INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (project_id, destination)
) WITHOUT ROWID;

CREATE INDEX activation_chat ON activation (bot_id, chat_id);

-- Which channels a destination has proven itself on.
CREATE TABLE habit (
    project_id INTEGER NOT NULL,
    destination BLOB NOT NULL,
    channel TEXT NOT NULL,
    uses INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL,
    PRIMARY KEY (project_id, destination, channel)
) WITHOUT ROWID;

-- Sessions whose verify token was exchanged.
CREATE TABLE spent (
    session_id TEXT PRIMARY KEY
) WITHOUT ROWID;

-- What live streams wake up for. The purge keeps the newest row, so that numbers never go back.
CREATE TABLE event (
    number INTEGER PRIMARY KEY,
    session_id TEXT NOT NULL,
    at INTEGER NOT NULL
);

CREATE TABLE bot_update (
    bot_id INTEGER PRIMARY KEY,
    update_id INTEGER NOT NULL,
    noted_at INTEGER NOT NULL
);
