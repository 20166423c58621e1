-- When a row of `usage` was last written: one from later than now is from before a clock was put back, and does not
-- count. (Code from before leaves it as it is.)
ALTER TABLE usage ADD COLUMN at INTEGER NOT NULL DEFAULT 0;
