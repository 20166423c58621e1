-- One tap. `browser_mac` is the keyed hash of a secret that only the browser which created the session holds, empty
-- where none did; `joined`: somebody else was handed the session, so that its numbers no longer prove anything.
-- `place` is a time zone's name or a country's code.
ALTER TABLE session ADD COLUMN browser_mac BLOB NOT NULL DEFAULT x'';
ALTER TABLE session ADD COLUMN place TEXT NOT NULL DEFAULT '';
ALTER TABLE session ADD COLUMN joined INTEGER NOT NULL DEFAULT 0;

-- Whether the message, as it was sent, showed the numbers.
ALTER TABLE message ADD COLUMN tap INTEGER NOT NULL DEFAULT 0;
