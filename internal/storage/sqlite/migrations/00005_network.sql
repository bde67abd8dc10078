-- +goose Up
CREATE TABLE vpc (
    account    TEXT    NOT NULL,
    region     TEXT    NOT NULL,
    id         TEXT    NOT NULL UNIQUE,
    cidr       TEXT    NOT NULL,
    is_default INTEGER NOT NULL,
    tags       TEXT    NOT NULL, -- JSON
    PRIMARY KEY (account, region, id)
) STRICT;

CREATE UNIQUE INDEX vpc_default ON vpc (account, region) WHERE is_default;

CREATE TABLE subnet (
    account    TEXT    NOT NULL,
    region     TEXT    NOT NULL,
    id         TEXT    NOT NULL UNIQUE,
    vpc_id     TEXT    NOT NULL REFERENCES vpc (id),
    zone       TEXT    NOT NULL,
    cidr       TEXT    NOT NULL,
    is_default INTEGER NOT NULL,
    tags       TEXT    NOT NULL, -- JSON
    PRIMARY KEY (account, region, id)
) STRICT;

CREATE TABLE security_group (
    account     TEXT    NOT NULL,
    region      TEXT    NOT NULL,
    id          TEXT    NOT NULL UNIQUE,
    version     INTEGER NOT NULL,
    vpc_id      TEXT    NOT NULL REFERENCES vpc (id),
    name        TEXT    NOT NULL,
    description TEXT    NOT NULL,
    rules       TEXT    NOT NULL, -- JSON
    tags        TEXT    NOT NULL, -- JSON
    PRIMARY KEY (account, region, id),
    UNIQUE (vpc_id, name)
) STRICT;

-- An address is taken by the row that names it, and free again when the row is gone.
CREATE TABLE network_interface (
    account     TEXT    NOT NULL,
    region      TEXT    NOT NULL,
    id          TEXT    NOT NULL UNIQUE,
    vpc_id      TEXT    NOT NULL REFERENCES vpc (id),
    subnet_id   TEXT    NOT NULL REFERENCES subnet (id),
    zone        TEXT    NOT NULL,
    address     TEXT    NOT NULL,
    mac         TEXT    NOT NULL,
    groups      TEXT    NOT NULL, -- JSON
    description TEXT    NOT NULL,
    requester   TEXT    NOT NULL,
    created_ms  INTEGER NOT NULL,
    tags        TEXT    NOT NULL, -- JSON
    PRIMARY KEY (account, region, id),
    UNIQUE (subnet_id, address)
) STRICT;

CREATE INDEX network_interface_requester ON network_interface (requester) WHERE requester <> '';
