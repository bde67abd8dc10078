-- +goose Up
-- All that happens to a key by itself is found by one due time: deletion, rotation, expiry of imported material, the end
-- of a transient state. What is never searched for is kept together as JSON: rotation, further materials, bound principals.
ALTER TABLE kms_key ADD COLUMN due_ms INTEGER NOT NULL DEFAULT 0; -- 0: nothing will happen by itself
ALTER TABLE kms_key ADD COLUMN primary_region TEXT NOT NULL DEFAULT ''; -- '' for single-Region keys
ALTER TABLE kms_key ADD COLUMN details TEXT NOT NULL DEFAULT '{}';
UPDATE kms_key SET due_ms = deletion_ms;
UPDATE kms_key SET details = '{"material":{"state":"CURRENT"}}' WHERE material_id <> '';

DROP INDEX kms_key_due;
CREATE INDEX kms_key_due ON kms_key (due_ms) WHERE due_ms > 0;
-- Keys are found by id alone: by ciphertexts of other accounts, and by the Regions of a multi-Region family.
CREATE INDEX kms_key_id ON kms_key (id);
