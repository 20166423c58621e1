-- The bill guard. `prefix` is how a session's phone begins: its country's calling code and at most three digits more, of
-- which at least six are missing. It stands in the open, so that conversion can be counted by it.
ALTER TABLE session ADD COLUMN prefix TEXT NOT NULL DEFAULT '';

-- Beginnings of phones to which nothing goes out on channels that cost money, until then. What has ended stays for a
-- while: sessions from before its end no longer count. `calm_until`: an operator lifted it, and the guard keeps away.
CREATE TABLE stop (
    project_id INTEGER NOT NULL,
    prefix TEXT NOT NULL,
    since INTEGER NOT NULL,
    until INTEGER NOT NULL,
    actor TEXT NOT NULL,
    sent INTEGER NOT NULL,
    entered INTEGER NOT NULL,
    strikes INTEGER NOT NULL,
    calm_until INTEGER NOT NULL,
    PRIMARY KEY (project_id, prefix)
) WITHOUT ROWID;
