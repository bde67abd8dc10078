package hsmproto

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// AuditPage is the most records that one AuditLogReply carries.
const AuditPage = 1000

// AuditLogRequest reads the HSM's own log of management commands, AuditPage records at a time.
type AuditLogRequest struct {
	From uint64 `cbor:"1,keyasint"` // sequence number
}

// AuditLogReply holds the records from the request's sequence number on, or from First if that is later.
type AuditLogReply struct {
	Records []AuditRecord `cbor:"1,keyasint"`
	First   uint64        `cbor:"2,keyasint"` // the oldest record that is kept
	Next    uint64        `cbor:"3,keyasint"` // the number that the next record will get
}

// AuditOpcode names a management command in the audit log.
type AuditOpcode string

// Opcodes that HSMs record (CloudHSM User Guide, "AWS CloudHSM audit log reference"). The last is keyward's own: the
// oldest part of the log made room.
const (
	AuditInitToken     AuditOpcode = "CN_INIT_TOKEN"
	AuditGenEncKey     AuditOpcode = "CN_GEN_PSWD_ENC_KEY"
	AuditCreateAU      AuditOpcode = "CN_CREATE_APPLIANCE_USER"
	AuditInitDone      AuditOpcode = "CN_INIT_DONE"
	AuditLogin         AuditOpcode = "CN_LOGIN"
	AuditLogout        AuditOpcode = "CN_LOGOUT"
	AuditFinalize      AuditOpcode = "CN_APP_FINALIZE"  // the connection ended without a logout
	AuditCloseSession  AuditOpcode = "CN_CLOSE_SESSION" // another login took the session's place
	AuditCreateUser    AuditOpcode = "CN_CREATE_USER"
	AuditCreateCO      AuditOpcode = "CN_CREATE_CO"
	AuditDeleteUser    AuditOpcode = "CN_DELETE_USER"
	AuditChangePswd    AuditOpcode = "CN_CHANGE_PSWD"
	AuditGenerateKey   AuditOpcode = "CN_GENERATE_KEY"
	AuditUnwrapKey     AuditOpcode = "CN_UNWRAP_KEY"
	AuditInsertMasked  AuditOpcode = "CN_INSERT_MASKED_OBJECT_USER"
	AuditDestroyObject AuditOpcode = "CN_DESTROY_OBJECT"
	AuditBackupBegin   AuditOpcode = "CN_BACKUP_BEGIN"
	AuditBackupEnd     AuditOpcode = "CN_BACKUP_END"
	AuditRestoreBegin  AuditOpcode = "CN_RESTORE_BEGIN"
	AuditRestoreEnd    AuditOpcode = "CN_RESTORE_END"
	AuditTrimmed       AuditOpcode = "KW_AUDIT_LOG_TRIMMED"
)

// auditCodes are the numbers that AWS has published; other opcodes are written by name alone.
var auditCodes = map[AuditOpcode]uint8{
	AuditInitToken: 0x1, AuditCreateUser: 0x3, AuditCreateCO: 0x4, AuditChangePswd: 0x9, AuditLogin: 0xd,
	AuditLogout: 0xe, AuditDestroyObject: 0x11, AuditGenerateKey: 0x17, AuditUnwrapKey: 0x1b, AuditGenEncKey: 0x1d,
	AuditInitDone: 0x95, AuditDeleteUser: 0xa1, AuditInsertMasked: 0xf1, AuditCreateAU: 0xfc,
}

// AuditResponse is how a command ended.
type AuditResponse uint16

// Responses, with the texts of the User Guide's examples.
const (
	AuditSuccess      AuditResponse = 0
	AuditNoUser       AuditResponse = 157
	AuditLoginFailure AuditResponse = 163
)

func (r AuditResponse) String() string {
	switch r {
	case AuditSuccess:
		return "0:HSM Return: SUCCESS"
	case AuditNoUser:
		return "157:HSM Error: user isn't initialized or user with this name doesn't exist"
	case AuditLoginFailure:
		return "163:HSM Error: RET_USER_LOGIN_FAILURE"
	default:
		return strconv.Itoa(int(r))
	}
}

// AuditRecord is one management command as one HSM carried it out. It holds no secret.
type AuditRecord struct {
	Sequence uint64        `cbor:"1,keyasint"` // from 0, without gaps, for each HSM
	Reboot   uint32        `cbor:"2,keyasint"` // how often the HSM had started
	Micros   int64         `cbor:"3,keyasint"` // since 1970, UTC
	Opcode   AuditOpcode   `cbor:"4,keyasint"`
	Session  uint32        `cbor:"5,keyasint"` // handle; 0 without a session
	Response AuditResponse `cbor:"6,keyasint,omitempty"`
	// User and Role are those that the command was about.
	User string `cbor:"7,keyasint,omitempty"`
	Role Role   `cbor:"8,keyasint,omitempty"`
	// Handle and KeyID are the key's reference and id; the id is what CloudTrail calls backingKeyId.
	Handle uint64 `cbor:"9,keyasint,omitempty"`
	KeyID  []byte `cbor:"10,keyasint,omitempty"`
	// Through is, with AuditTrimmed, the newest record that is no longer kept.
	Through uint64 `cbor:"11,keyasint,omitempty"`
}

// String is the record as CloudHSM writes it to CloudWatch Logs, with a "Key Id" line after the key handles, in lower
// case hex. It ends with a line break.
func (r *AuditRecord) String() string {
	var b strings.Builder
	at := time.UnixMicro(r.Micros).UTC()
	fmt.Fprintf(&b, "Time: %s, usecs:%d\n", at.Format("01/02/06 15:04:05.000000"), r.Micros)
	fmt.Fprintf(&b, "Sequence No : %#x\nReboot counter : %#x\n", r.Sequence, r.Reboot)
	b.WriteString("Command Type(hex) : CN_MGMT_CMD (0x0)\nOpcode : " + string(r.Opcode))
	if code, ok := auditCodes[r.Opcode]; ok {
		fmt.Fprintf(&b, " (%#x)", code)
	}
	fmt.Fprintf(&b, "\nSession Handle : %#x\nResponse : %s\n", r.Session, r.Response)
	r.writeDetails(&b)
	return b.String()
}

func (r *AuditRecord) writeDetails(b *strings.Builder) {
	switch {
	case r.Handle != 0:
		fmt.Fprintf(b, "Log type : MGMT_KEY_DETAILS_LOG (1)\nPriv/Secret Key Handle : %d\nPublic Key Handle : 0\n", r.Handle)
		if len(r.KeyID) > 0 {
			fmt.Fprintf(b, "Key Id : 0x%x\n", r.KeyID)
		}
	case r.User != "":
		fmt.Fprintf(b, "Log type : MGMT_USER_DETAILS_LOG (2)\nUser Name : %s\nUser Type : %s\n", printable(r.User), userType(r.Role))
	default:
		b.WriteString("Log type : MINIMAL_LOG_ENTRY (0)\n")
	}
	if r.Opcode == AuditTrimmed {
		fmt.Fprintf(b, "Removed Through Sequence No : %#x\n", r.Through)
	}
}

// printable quotes names that could pass for another line of the log: a failed login may name anybody.
func printable(name string) string {
	if quoted := strconv.QuoteToASCII(name); quoted != `"`+name+`"` {
		return quoted
	}
	return name
}

func userType(r Role) string {
	switch r {
	case RoleCryptoUser:
		return "CN_CRYPTO_USER (1)"
	case RoleAdmin:
		return "CN_CRYPTO_OFFICER (2)"
	case RoleAppliance:
		return "CN_APPLIANCE_USER (5)"
	case RoleUnactivatedAdmin:
		return "CN_CRYPTO_PRE_OFFICER (6)"
	default:
		return printable(string(r))
	}
}
