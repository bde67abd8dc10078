-- +goose Up
-- Accounts, and what IAM knows of them. Lists that are read and written as one are JSON. Names are unique without regard
-- to case.
CREATE TABLE account (
    id         TEXT    PRIMARY KEY,
    name       TEXT    NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Users, groups and roles.
CREATE TABLE iam_entity (
    account    TEXT    NOT NULL REFERENCES account (id),
    kind       TEXT    NOT NULL CHECK (kind IN ('user', 'group', 'role')),
    name       TEXT    NOT NULL COLLATE NOCASE,
    id         TEXT    NOT NULL UNIQUE,
    version    INTEGER NOT NULL,
    path       TEXT    NOT NULL,
    created_ms INTEGER NOT NULL,
    boundary   TEXT    NOT NULL,
    attached   TEXT    NOT NULL,
    inline     TEXT    NOT NULL,
    groups     TEXT    NOT NULL,
    tags       TEXT    NOT NULL,
    role       TEXT    NOT NULL,
    PRIMARY KEY (account, kind, name)
) STRICT;

CREATE TABLE iam_policy (
    account     TEXT    NOT NULL REFERENCES account (id),
    name        TEXT    NOT NULL COLLATE NOCASE,
    id          TEXT    NOT NULL UNIQUE,
    version     INTEGER NOT NULL,
    path        TEXT    NOT NULL,
    description TEXT    NOT NULL,
    created_ms  INTEGER NOT NULL,
    updated_ms  INTEGER NOT NULL,
    in_effect   TEXT    NOT NULL,
    versions    TEXT    NOT NULL,
    next        INTEGER NOT NULL,
    tags        TEXT    NOT NULL,
    PRIMARY KEY (account, name)
) STRICT;

CREATE TABLE iam_provider (
    account     TEXT    NOT NULL REFERENCES account (id),
    url         TEXT    NOT NULL COLLATE NOCASE,
    version     INTEGER NOT NULL,
    plain       INTEGER NOT NULL,
    clients     TEXT    NOT NULL,
    thumbprints TEXT    NOT NULL,
    created_ms  INTEGER NOT NULL,
    tags        TEXT    NOT NULL,
    PRIMARY KEY (account, url)
) STRICT;

-- Temporary credentials. The secret is sealed as those of access keys are; of the session token only the hash is kept.
CREATE TABLE session (
    id            TEXT    PRIMARY KEY,
    account       TEXT    NOT NULL,
    principal_id  TEXT    NOT NULL,
    sealed_secret BLOB    NOT NULL,
    token_hash    BLOB    NOT NULL,
    created_ms    INTEGER NOT NULL,
    expires_ms    INTEGER NOT NULL,
    facts         TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX session_by_end ON session (expires_ms);

-- Until now a user was what its access keys said. A first start that was cut short left an administrator whose key was
-- never handed out: the newest one is the user.
DELETE FROM access_key WHERE EXISTS (
    SELECT 1 FROM access_key AS newer WHERE newer.account = access_key.account AND newer.user_name = access_key.user_name
    AND (newer.created_ms > access_key.created_ms OR newer.created_ms = access_key.created_ms AND newer.id > access_key.id)
);
INSERT INTO account (id, name, created_ms) SELECT account, '', min(created_ms) FROM access_key GROUP BY account;
INSERT INTO iam_entity (account, kind, name, id, version, path, created_ms, boundary, attached, inline, groups, tags, role)
    SELECT account, 'user', user_name, principal_id, 1, '/', created_ms, '',
        '["arn:aws:iam::aws:policy/AdministratorAccess"]', 'null', 'null', 'null', '{}'
    FROM access_key WHERE user_name <> '';

ALTER TABLE access_key DROP COLUMN user_name;
ALTER TABLE access_key DROP COLUMN arn;
ALTER TABLE access_key ADD COLUMN used_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE access_key ADD COLUMN used_service TEXT NOT NULL DEFAULT '';
ALTER TABLE access_key ADD COLUMN used_region TEXT NOT NULL DEFAULT '';
CREATE INDEX access_key_by_principal ON access_key (account, principal_id);
