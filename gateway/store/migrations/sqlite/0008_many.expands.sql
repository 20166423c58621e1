-- What many processes share. A lease is held by one process, for a bot's long polling or a loop of which one is enough.
CREATE TABLE lease (
    name TEXT PRIMARY KEY,
    holder TEXT NOT NULL,
    until INTEGER NOT NULL
) WITHOUT ROWID;

-- Updates of the Bot API that a process handles until then, or, where `until` is NULL, that are handled. It takes over
-- from bot_update, which only code from before still writes: a later migration drops that.
CREATE TABLE taken_update (
    bot_id INTEGER NOT NULL,
    update_id INTEGER NOT NULL,
    until INTEGER,
    at INTEGER NOT NULL,
    PRIMARY KEY (bot_id, update_id)
) WITHOUT ROWID;

CREATE INDEX taken_update_at ON taken_update (at);

-- Whose login a chat's deep link was for: the contact shared after it, in the message `met_by`, connects that project
-- alone.
CREATE TABLE expected (
    bot_id INTEGER NOT NULL,
    chat_id INTEGER NOT NULL,
    project_id INTEGER NOT NULL,
    session_id TEXT NOT NULL,
    met_by INTEGER,
    PRIMARY KEY (bot_id, chat_id)
) WITHOUT ROWID;

CREATE INDEX expected_session ON expected (session_id);
