-- +goose Up
-- Events of calls that change nothing are kept in files beside the database, the journal, until they are packed into the
-- trail; a transaction for each batch of them cost four times as much. What they tell of keys is taken over when they are
-- packed, or before when somebody asks.
DROP TRIGGER audit_write_insert;
DROP VIEW audit_write;

-- How far the journal is packed.
CREATE TABLE audit_packed (
    position INTEGER NOT NULL
) STRICT;
INSERT INTO audit_packed (position) VALUES (0);

-- Events of changes are still here. Where the journal ended when one was kept gives all events one order.
ALTER TABLE audit_batch ADD COLUMN after INTEGER NOT NULL DEFAULT 0;
