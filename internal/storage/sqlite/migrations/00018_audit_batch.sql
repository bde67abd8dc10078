-- +goose Up
-- An event of a change is a row each, and nobody asks for the times and the number of events in one. The table is made
-- anew, for it may or may not have those columns: some builds' 00016 dropped them. Numbers go on where they were.
CREATE TABLE audit_batch_narrow (
    seq    INTEGER PRIMARY KEY AUTOINCREMENT,
    events BLOB    NOT NULL,
    after  INTEGER NOT NULL
) STRICT;
INSERT INTO audit_batch_narrow (seq, events, after) SELECT seq, events, after FROM audit_batch;
DELETE FROM sqlite_sequence WHERE name = 'audit_batch_narrow';
INSERT INTO sqlite_sequence (name, seq) SELECT 'audit_batch_narrow', seq FROM sqlite_sequence WHERE name = 'audit_batch';
DROP TABLE audit_batch;
ALTER TABLE audit_batch_narrow RENAME TO audit_batch;
