-- `given_up` is a bit for each of the channel's providers that refused the message for good; `instead_of` the
-- channel whose failure this message makes up for.
ALTER TABLE message ADD COLUMN given_up INTEGER NOT NULL DEFAULT 0;
ALTER TABLE message ADD COLUMN instead_of TEXT;

-- The place of the provider that the caller named, from 1.
ALTER TABLE manual ADD COLUMN provider INTEGER;

CREATE INDEX message_reference ON message (reference) WHERE reference <> '';

-- Reports that came before the message they are about was written down as sent.
CREATE TABLE early_report (
    reference TEXT NOT NULL,
    channel TEXT NOT NULL,
    state TEXT NOT NULL,
    error TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (reference, channel)
) WITHOUT ROWID;
