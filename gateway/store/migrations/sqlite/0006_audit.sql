-- Who did what: an append-only log. `reason` is empty for what was done, and says why for what was refused; `times`
-- counts refusals that were alike. `destination` is the contact's keyed hash. No index but the small one: rows are
-- written at every login and read by an operator now and then, who can wait for a scan.
CREATE TABLE audit (
    number INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    lasting INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    project_id INTEGER,
    session_id TEXT NOT NULL,
    destination BLOB,
    reason TEXT NOT NULL,
    detail TEXT NOT NULL,
    times INTEGER NOT NULL
);

CREATE INDEX audit_lasting ON audit (number) WHERE lasting;

-- Up to which number the purge may delete: one row for what logins leave (0), one for what operators did (1).
CREATE TABLE audit_floor (
    lasting INTEGER PRIMARY KEY,
    number INTEGER NOT NULL
);
INSERT INTO audit_floor VALUES (0, 0), (1, 0);

CREATE TRIGGER audit_never_changes BEFORE UPDATE ON audit BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;
-- REPLACE would delete without asking the trigger below.
CREATE TRIGGER audit_never_replaces BEFORE INSERT ON audit
WHEN EXISTS (SELECT 1 FROM audit WHERE number = NEW.number) BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;
CREATE TRIGGER audit_keeps_what_is_young BEFORE DELETE ON audit
WHEN OLD.number > (SELECT number FROM audit_floor WHERE lasting = OLD.lasting) BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;
-- The floor only rises, and stays below the newest row, so that no number is ever given twice.
CREATE TRIGGER audit_floor_rises BEFORE UPDATE ON audit_floor
WHEN NEW.lasting <> OLD.lasting OR NEW.number < OLD.number OR NEW.number >= (SELECT max(number) FROM audit) BEGIN
    SELECT RAISE(ABORT, 'the floor of the audit log only rises');
END;
CREATE TRIGGER audit_floor_stays BEFORE DELETE ON audit_floor BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;
CREATE TRIGGER audit_floor_is_whole BEFORE INSERT ON audit_floor BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;
