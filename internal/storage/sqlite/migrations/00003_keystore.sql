-- +goose Up
-- Custom key stores. password, candidate and client are sealed.
CREATE TABLE key_store (
    id                  TEXT    PRIMARY KEY,
    account             TEXT    NOT NULL,
    region              TEXT    NOT NULL,
    version             INTEGER NOT NULL,
    name                TEXT    NOT NULL,
    created_ms          INTEGER NOT NULL,
    cluster_id          TEXT    NOT NULL,
    cluster_certificate BLOB    NOT NULL,
    trust_anchor        TEXT    NOT NULL,
    state               TEXT    NOT NULL,
    error_code          TEXT    NOT NULL, -- '' unless state is FAILED
    last_error_code     TEXT    NOT NULL,
    attempt             INTEGER NOT NULL,
    password            BLOB    NOT NULL,
    candidate           BLOB    NOT NULL, -- empty unless a rotation is unfinished
    client              BLOB    NOT NULL,
    UNIQUE (account, region, name),
    CHECK (error_code = '' OR state = 'FAILED')
) STRICT;
