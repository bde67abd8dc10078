package hsmproto

import "testing"

// The form is that of the CloudHSM User Guide's examples ("Interpreting AWS CloudHSM audit logs").
func TestAuditRecordText(t *testing.T) {
	const head = "Time: 01/16/18 01:48:49.824999, usecs:1516067329824999\nSequence No : 0x0\nReboot counter : 0x107\n" +
		"Command Type(hex) : CN_MGMT_CMD (0x0)\n"
	for _, c := range []struct {
		record AuditRecord
		want   string
	}{
		{AuditRecord{Opcode: AuditLogin, Session: 0x7014006, User: "admin", Role: RoleAdmin},
			"Opcode : CN_LOGIN (0xd)\nSession Handle : 0x7014006\nResponse : 0:HSM Return: SUCCESS\n" +
				"Log type : MGMT_USER_DETAILS_LOG (2)\nUser Name : admin\nUser Type : CN_CRYPTO_OFFICER (2)\n"},
		{AuditRecord{Opcode: AuditLogin, Response: AuditLoginFailure, User: "admin", Role: RoleUnactivatedAdmin},
			"Opcode : CN_LOGIN (0xd)\nSession Handle : 0x0\nResponse : 163:HSM Error: RET_USER_LOGIN_FAILURE\n" +
				"Log type : MGMT_USER_DETAILS_LOG (2)\nUser Name : admin\nUser Type : CN_CRYPTO_PRE_OFFICER (6)\n"},
		{AuditRecord{Opcode: AuditDeleteUser, Response: AuditNoUser, User: "a\nb", Role: RoleCryptoUser},
			"Opcode : CN_DELETE_USER (0xa1)\nSession Handle : 0x0\n" +
				"Response : 157:HSM Error: user isn't initialized or user with this name doesn't exist\n" +
				"Log type : MGMT_USER_DETAILS_LOG (2)\nUser Name : \"a\\nb\"\nUser Type : CN_CRYPTO_USER (1)\n"},
		{AuditRecord{Opcode: AuditGenerateKey, Session: 1, Handle: 262152, KeyID: []byte{0x0a, 0xbc}},
			"Opcode : CN_GENERATE_KEY (0x17)\nSession Handle : 0x1\nResponse : 0:HSM Return: SUCCESS\n" +
				"Log type : MGMT_KEY_DETAILS_LOG (1)\nPriv/Secret Key Handle : 262152\nPublic Key Handle : 0\nKey Id : 0x0abc\n"},
		{AuditRecord{Opcode: AuditTrimmed, Through: 17},
			"Opcode : KW_AUDIT_LOG_TRIMMED\nSession Handle : 0x0\nResponse : 0:HSM Return: SUCCESS\n" +
				"Log type : MINIMAL_LOG_ENTRY (0)\nRemoved Through Sequence No : 0x11\n"},
	} {
		c.record.Micros, c.record.Reboot = 1516067329824999, 0x107
		if got := c.record.String(); got != head+c.want {
			t.Errorf("got\n%s\nwant\n%s", got, head+c.want)
		}
	}
}
