-- +goose Up
-- Access keys and the principals they speak for. The secret is sealed under the root key, bound to the key's id.
CREATE TABLE access_key (
    id            TEXT    PRIMARY KEY,
    account       TEXT    NOT NULL,
    user_name     TEXT    NOT NULL,
    principal_id  TEXT    NOT NULL,
    arn           TEXT    NOT NULL,
    status        TEXT    NOT NULL CHECK (status IN ('Active', 'Inactive')),
    sealed_secret BLOB    NOT NULL,
    created_ms    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
