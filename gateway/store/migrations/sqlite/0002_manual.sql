-- Messages that a site's own server sends (manual/send): what `session` holds for the others. `id` is a ULID
-- that stands in message.session_id; `repeat_key` and `fingerprint` are keyed hashes of the Idempotency-Key
-- and of what was asked under it.
CREATE TABLE manual (
    id TEXT PRIMARY KEY,
    message_id INTEGER NOT NULL,
    project_id INTEGER NOT NULL,
    destination BLOB NOT NULL,
    sealed BLOB NOT NULL,
    own_code BLOB,
    code_length INTEGER NOT NULL,
    lang TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    callback_url TEXT,
    repeat_key BLOB,
    fingerprint BLOB NOT NULL
) WITHOUT ROWID;

CREATE UNIQUE INDEX manual_message ON manual (message_id);
CREATE UNIQUE INDEX manual_repeat ON manual (project_id, repeat_key) WHERE repeat_key IS NOT NULL;

-- Callbacks still to be made, from the moment their message is final.
CREATE TABLE callback (
    message_id INTEGER PRIMARY KEY,
    due_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL
);

CREATE INDEX callback_due ON callback (due_at);
