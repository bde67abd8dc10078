-- +goose Up
-- Events in the order they were kept: one row for the events of calls that were synced together, one row for the
-- event of a change, written in the transaction of the change. Each event is one line of JSON.
CREATE TABLE audit_batch (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT,
    first_ms INTEGER NOT NULL,
    last_ms  INTEGER NOT NULL,
    count    INTEGER NOT NULL CHECK (count > 0),
    events   BLOB    NOT NULL
) STRICT;

-- What an installation must remember about itself.
CREATE TABLE setting (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;
