-- +goose Up
ALTER TABLE vpc ADD COLUMN version INTEGER NOT NULL DEFAULT 0;
ALTER TABLE vpc ADD COLUMN dns TEXT NOT NULL DEFAULT '{"support":true,"hostnames":true}'; -- JSON
ALTER TABLE subnet ADD COLUMN version INTEGER NOT NULL DEFAULT 0;
ALTER TABLE subnet ADD COLUMN options TEXT NOT NULL DEFAULT '{"hostnameType":"ip-name"}'; -- JSON
ALTER TABLE subnet ADD COLUMN acl_id TEXT NOT NULL DEFAULT '';
ALTER TABLE subnet ADD COLUMN acl_association TEXT NOT NULL DEFAULT '';
ALTER TABLE security_group ADD COLUMN requester TEXT NOT NULL DEFAULT '';
ALTER TABLE security_group ADD COLUMN retired INTEGER NOT NULL DEFAULT 0;
ALTER TABLE network_interface ADD COLUMN version INTEGER NOT NULL DEFAULT 0;
ALTER TABLE network_interface ADD COLUMN source_dest_check INTEGER NOT NULL DEFAULT 1;
ALTER TABLE network_interface ADD COLUMN client_token TEXT NOT NULL DEFAULT '';

CREATE UNIQUE INDEX network_interface_token ON network_interface (account, region, client_token) WHERE client_token <> '';
CREATE INDEX network_interface_address ON network_interface (vpc_id, address);

CREATE TABLE network_acl (
    account    TEXT    NOT NULL,
    region     TEXT    NOT NULL,
    id         TEXT    NOT NULL UNIQUE,
    version    INTEGER NOT NULL,
    vpc_id     TEXT    NOT NULL REFERENCES vpc (id),
    is_default INTEGER NOT NULL,
    entries    TEXT    NOT NULL, -- JSON
    tags       TEXT    NOT NULL, -- JSON
    PRIMARY KEY (account, region, id)
) STRICT;

CREATE UNIQUE INDEX network_acl_default ON network_acl (vpc_id) WHERE is_default;

-- What a VPC made before this version lacks: its default network ACL, the subnets' associations, the ids of rules.
INSERT INTO network_acl (account, region, id, version, vpc_id, is_default, entries, tags)
SELECT account, region, 'acl-' || substr(lower(hex(randomblob(9))), 1, 17), 0, id, 1,
       '[{"number":100,"protocol":"-1","cidr":"0.0.0.0/0"},{"egress":true,"number":100,"protocol":"-1","cidr":"0.0.0.0/0"}]', '[]'
FROM vpc;

UPDATE subnet
SET acl_id          = (SELECT a.id FROM network_acl a WHERE a.vpc_id = subnet.vpc_id AND a.is_default),
    acl_association = 'aclassoc-' || substr(lower(hex(randomblob(9))), 1, 17);

UPDATE security_group
SET rules = (SELECT json_group_array(json_set(r.value, '$.id', 'sgr-' || substr(lower(hex(randomblob(9))), 1, 17)))
             FROM json_each(security_group.rules) r)
WHERE json_type(rules) = 'array';
