-- +goose Up
-- The audit trail. Events wait in audit_batch until they are packed into a segment; both happen to a batch in one
-- transaction, so that an event is always in exactly one place.
CREATE TABLE trail_segment (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT,
    account  TEXT    NOT NULL,
    region   TEXT    NOT NULL,
    first_ms INTEGER NOT NULL,
    last_ms  INTEGER NOT NULL,
    count    INTEGER NOT NULL CHECK (count > 0),
    file     INTEGER NOT NULL, -- trail_file.seq; 0 before delivery
    ids      BLOB    NOT NULL, -- before data: searching it must not read data
    data     BLOB    NOT NULL
) STRICT;

CREATE INDEX trail_segment_file ON trail_segment (file, account, region, seq);
CREATE INDEX trail_segment_age ON trail_segment (last_ms);

-- What segments are found by: numbers made of an account, a Region and an attribute.
CREATE TABLE trail_term (
    term    INTEGER NOT NULL,
    last_ms INTEGER NOT NULL,
    segment INTEGER NOT NULL,
    PRIMARY KEY (term, last_ms, segment)
) STRICT, WITHOUT ROWID;

-- Delivered files, and those about to be: a file is planned with its contents, written, then marked so.
CREATE TABLE trail_file (
    seq       INTEGER PRIMARY KEY AUTOINCREMENT,
    account   TEXT    NOT NULL,
    region    TEXT    NOT NULL,
    kind      TEXT    NOT NULL CHECK (kind IN ('log', 'digest')),
    path      TEXT    NOT NULL UNIQUE,
    start_ms  INTEGER NOT NULL,
    end_ms    INTEGER NOT NULL,
    digest    INTEGER NOT NULL, -- of a log: the digest that lists it; 0 before
    written   INTEGER NOT NULL,
    hash      TEXT    NOT NULL,
    file_hash TEXT    NOT NULL,
    oldest_ms INTEGER NOT NULL,
    newest_ms INTEGER NOT NULL,
    signature TEXT    NOT NULL
) STRICT;

CREATE INDEX trail_file_planned ON trail_file (seq) WHERE written = 0;
CREATE INDEX trail_file_scope ON trail_file (account, region, kind, seq);
CREATE INDEX trail_file_digest ON trail_file (digest, seq) WHERE kind = 'log';
