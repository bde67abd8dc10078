-- +goose Up
-- Keys carry their policy, so rows can be large; the primary key's index alone serves listings of ids.
CREATE TABLE kms_key (
    account        TEXT    NOT NULL,
    region         TEXT    NOT NULL,
    id             TEXT    NOT NULL,
    version        INTEGER NOT NULL,
    created_ms     INTEGER NOT NULL,
    description    TEXT    NOT NULL,
    spec           TEXT    NOT NULL,
    usage          TEXT    NOT NULL,
    origin         TEXT    NOT NULL,
    state          TEXT    NOT NULL,
    deletion_ms    INTEGER NOT NULL, -- 0 unless state is PendingDeletion
    store_id       TEXT    NOT NULL, -- '' in the default store
    policy         TEXT    NOT NULL,
    tags           TEXT    NOT NULL, -- JSON: [["key","value"], …]
    material_id    TEXT    NOT NULL,
    wrapped        BLOB    NOT NULL, -- material under the root key
    backing_key_id TEXT    NOT NULL,
    PRIMARY KEY (account, region, id)
) STRICT;

CREATE INDEX kms_key_due ON kms_key (deletion_ms) WHERE deletion_ms > 0;
CREATE INDEX kms_key_store ON kms_key (store_id) WHERE store_id <> '';

CREATE TABLE kms_alias (
    account    TEXT    NOT NULL,
    region     TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    key_id     TEXT    NOT NULL,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    PRIMARY KEY (account, region, name),
    FOREIGN KEY (account, region, key_id) REFERENCES kms_key (account, region, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE INDEX kms_alias_key ON kms_alias (account, region, key_id, name);

-- Counting keys for the quota must not take longer the more there are.
CREATE TABLE kms_key_count (
    account TEXT    NOT NULL,
    region  TEXT    NOT NULL,
    keys    INTEGER NOT NULL,
    PRIMARY KEY (account, region)
) STRICT, WITHOUT ROWID;

-- +goose StatementBegin
CREATE TRIGGER kms_key_inserted AFTER INSERT ON kms_key BEGIN
    INSERT INTO kms_key_count (account, region, keys) VALUES (NEW.account, NEW.region, 1)
        ON CONFLICT (account, region) DO UPDATE SET keys = keys + 1;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER kms_key_deleted AFTER DELETE ON kms_key BEGIN
    UPDATE kms_key_count SET keys = keys - 1 WHERE account = OLD.account AND region = OLD.region;
END;
-- +goose StatementEnd

-- Material in custom key stores whose key was deleted and that is still to be discarded.
CREATE TABLE kms_discard (
    seq            INTEGER PRIMARY KEY AUTOINCREMENT,
    account        TEXT NOT NULL,
    region         TEXT NOT NULL,
    id             TEXT NOT NULL,
    origin         TEXT NOT NULL,
    store_id       TEXT NOT NULL,
    backing_key_id TEXT NOT NULL,
    UNIQUE (account, region, id)
) STRICT;
