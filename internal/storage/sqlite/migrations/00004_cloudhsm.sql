-- +goose Up
-- A cluster with its HSMs and their membership is one value that changes as a whole: what is not searched for is JSON.
CREATE TABLE cluster (
    account    TEXT    NOT NULL,
    region     TEXT    NOT NULL,
    id         TEXT    NOT NULL UNIQUE,
    version    INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    body       TEXT    NOT NULL,
    PRIMARY KEY (account, region, id)
) STRICT;
