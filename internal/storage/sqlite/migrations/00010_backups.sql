-- +goose Up
-- Backups of clusters; what is not searched for is JSON. Their contents are files.
CREATE TABLE backup (
    account    TEXT    NOT NULL,
    region     TEXT    NOT NULL,
    id         TEXT    NOT NULL UNIQUE,
    version    INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    body       TEXT    NOT NULL,
    PRIMARY KEY (account, region, id)
) STRICT;
