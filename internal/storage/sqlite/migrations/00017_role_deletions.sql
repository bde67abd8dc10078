-- +goose Up
-- Service-linked roles that were deleted, for GetServiceLinkedRoleDeletionStatus. Kept for a day.
CREATE TABLE iam_role_deletion (
    account  TEXT    NOT NULL REFERENCES account (id),
    id       TEXT    NOT NULL,
    ended_ms INTEGER NOT NULL,
    PRIMARY KEY (account, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX iam_role_deletion_by_end ON iam_role_deletion (ended_ms);
