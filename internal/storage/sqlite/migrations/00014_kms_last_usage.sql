-- +goose Up
-- The last cryptographic use of each key, written in the transaction of the event that tells of it. Apart from kms_key,
-- whose rows are large and are replaced as wholes.
CREATE TABLE kms_last_usage (
    account    TEXT    NOT NULL,
    region     TEXT    NOT NULL,
    key_id     TEXT    NOT NULL,
    operation  TEXT    NOT NULL,
    used_ms    INTEGER NOT NULL,
    event_id   TEXT    NOT NULL,
    request_id TEXT    NOT NULL,
    PRIMARY KEY (account, region, key_id),
    FOREIGN KEY (account, region, key_id) REFERENCES kms_key (account, region, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- When tracking began, where keys are older than that; empty where it covers every key's life.
CREATE TABLE kms_usage_tracking (
    started_ms INTEGER NOT NULL
) STRICT;
INSERT INTO kms_usage_tracking (started_ms)
    SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER) WHERE EXISTS (SELECT 1 FROM kms_key);
