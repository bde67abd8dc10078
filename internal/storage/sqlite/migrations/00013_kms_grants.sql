-- +goose Up
-- Grants. Principals are kept by their handles, which are searched, and by the ARNs they were given as.
CREATE TABLE kms_grant (
    account      TEXT    NOT NULL,
    region       TEXT    NOT NULL,
    key_id       TEXT    NOT NULL,
    id           TEXT    NOT NULL,
    name         TEXT    NOT NULL,
    grantee      TEXT    NOT NULL,
    grantee_arn  TEXT    NOT NULL,
    retiring     TEXT    NOT NULL, -- '' where nobody was named
    retiring_arn TEXT    NOT NULL,
    issuer       TEXT    NOT NULL,
    fingerprint  TEXT    NOT NULL, -- '' for grants without a name
    created_ms   INTEGER NOT NULL,
    terms        TEXT    NOT NULL, -- JSON: operations and constraints
    PRIMARY KEY (account, region, key_id, id),
    FOREIGN KEY (account, region, key_id) REFERENCES kms_key (account, region, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE INDEX kms_grant_grantee ON kms_grant (account, region, key_id, grantee, id);
CREATE INDEX kms_grant_retiring ON kms_grant (region, retiring, id) WHERE retiring <> '';
CREATE UNIQUE INDEX kms_grant_fingerprint ON kms_grant (account, region, key_id, fingerprint) WHERE fingerprint <> '';

-- Counting grants for the quota must not take longer the more there are.
CREATE TABLE kms_grant_count (
    account TEXT    NOT NULL,
    region  TEXT    NOT NULL,
    key_id  TEXT    NOT NULL,
    grants  INTEGER NOT NULL,
    PRIMARY KEY (account, region, key_id),
    FOREIGN KEY (account, region, key_id) REFERENCES kms_key (account, region, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- +goose StatementBegin
CREATE TRIGGER kms_grant_inserted AFTER INSERT ON kms_grant BEGIN
    INSERT INTO kms_grant_count (account, region, key_id, grants) VALUES (NEW.account, NEW.region, NEW.key_id, 1)
        ON CONFLICT (account, region, key_id) DO UPDATE SET grants = grants + 1;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER kms_grant_deleted AFTER DELETE ON kms_grant BEGIN
    UPDATE kms_grant_count SET grants = grants - 1
        WHERE account = OLD.account AND region = OLD.region AND key_id = OLD.key_id;
END;
-- +goose StatementEnd
