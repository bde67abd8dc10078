package sqlite

import (
	"path/filepath"
	"strings"
	"testing"

	"keyward/internal/kms"
)

// TestQueriesAreServedByIndexes: what is asked while a call waits, or again and again, does not look through all keys,
// aliases or grants that there are, and needs no sorting.
func TestQueriesAreServedByIndexes(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "keyward.db"), true)
	granted, _ := listGrants(kms.GrantFilter{Grantee: "g", After: "a"})
	for _, c := range []struct{ query, search string }{
		{selectKey, "kms_key USING INDEX sqlite_autoindex_kms_key_1 (account=? AND region=? AND id=?)"},
		{selectRelated, "kms_key USING INDEX kms_key_id (id=?)"},
		{selectAlias, "kms_alias USING PRIMARY KEY (account=? AND region=? AND name=?)"},
		{selectAliases, "kms_alias USING PRIMARY KEY (account=? AND region=? AND name>?)"},
		{aliasesOfKey, "kms_alias USING INDEX kms_alias_key (account=? AND region=? AND key_id=? AND name>?)"},
		{countAliases, "kms_alias USING COVERING INDEX kms_alias_key (account=? AND region=? AND key_id=?)"},
		{grantsTo, "kms_grant USING INDEX kms_grant_grantee (account=? AND region=? AND key_id=? AND grantee=?)"},
		{granted, "kms_grant USING INDEX kms_grant_grantee (account=? AND region=? AND key_id=? AND grantee=? AND id>?)"},
		{keyStoreHasKeys, "kms_key USING INDEX kms_key_store (store_id=?)"},
		{expiredSegments, "s USING INDEX trail_segment_age (last_ms<?)"},
		{listLogs, "trail_file USING INDEX trail_file_digest (digest=?)"},
	} {
		args := make([]any, strings.Count(c.query, "?"))
		for i := range args {
			args[i] = 1
		}
		rows, err := db.read.Query("EXPLAIN QUERY PLAN "+c.query, args...)
		steps, err := collect(rows, err, func(row scanner) (step string, err error) {
			var ignored any
			return step, row.Scan(&ignored, &ignored, &ignored, &step)
		})
		if err != nil {
			t.Fatalf("%s: %v", c.query, err)
		}
		plan := strings.Join(steps, "\n")
		sorts := strings.Contains(plan, "TEMP B-TREE") && c.query != selectRelated // of a key's few Regions
		if !strings.Contains(plan, "SEARCH "+c.search) || strings.Contains(plan, "SCAN k") || sorts {
			t.Errorf("%s\n%s", c.query, plan)
		}
	}
}
