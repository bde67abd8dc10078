-- +goose Up
-- What a batch of events tells of keys stands beside them until it is taken over into kms_last_usage, which happens when
-- they are packed into the trail, or before when somebody asks: writing it at once cost each batch two more pages. used is
-- a JSON array of [account, region, key id, operation, milliseconds, event id, request id].
DROP TRIGGER audit_write_insert;
DROP VIEW audit_write;
ALTER TABLE audit_batch ADD COLUMN used TEXT NOT NULL DEFAULT '[]';
