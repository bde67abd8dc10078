-- +goose Up
-- A batch of events and what it tells of keys, as one statement and so as one transaction: used is a JSON array of
-- [account, region, key id, operation, milliseconds, event id, request id]. The last use of a key that is gone, and one
-- before another that is known already, are left out.
CREATE VIEW audit_write AS
    SELECT first_ms, last_ms, count, events, '[]' AS used FROM audit_batch WHERE false;

-- +goose StatementBegin
CREATE TRIGGER audit_write_insert INSTEAD OF INSERT ON audit_write BEGIN
    INSERT INTO audit_batch (first_ms, last_ms, count, events) VALUES (NEW.first_ms, NEW.last_ms, NEW.count, NEW.events);
    INSERT INTO kms_last_usage (account, region, key_id, operation, used_ms, event_id, request_id)
        SELECT k.account, k.region, k.id, u.value ->> 3, u.value ->> 4, u.value ->> 5, u.value ->> 6
        FROM json_each(NEW.used) u CROSS JOIN kms_key k
        WHERE k.account = u.value ->> 0 AND k.region = u.value ->> 1 AND k.id = u.value ->> 2
        ON CONFLICT (account, region, key_id) DO UPDATE SET operation = excluded.operation, used_ms = excluded.used_ms,
            event_id = excluded.event_id, request_id = excluded.request_id
        WHERE excluded.used_ms >= used_ms;
END;
-- +goose StatementEnd
