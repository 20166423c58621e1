-- Who has done something how often, by a keyed hash of what and whom a limit counts. `due` is when all of it will
-- be forgotten (GCRA's one time), `until` the end of a block, `strikes` the blocks so far, each twice as long.
CREATE TABLE usage (
    key BLOB PRIMARY KEY,
    due INTEGER NOT NULL,
    until INTEGER NOT NULL DEFAULT 0,
    strikes INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
