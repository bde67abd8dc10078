package e2e

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/hsmproto"
	"keyward/internal/keywardtest"
)

// The door that HSMs of a binary built with the tag testdoor have, and release builds lack (package hsmproto). It is
// written out here so that this package needs no build tag.
const opImportKey hsmproto.Op = 0x70

type importKey struct {
	Generate hsmproto.GenerateKeyRequest `cbor:"1,keyasint"`
	Material []byte                      `cbor:"2,keyasint"`
}

// kmsuserOn logs in as kmsuser on one HSM of the example cluster, past the operators' shell, which lacks the door.
func kmsuserOn(t *testing.T, i *keywardtest.Installation, password string) *hsmproto.Conn {
	t.Helper()
	address := net.JoinHostPort(aws.ToString(exampleCluster(t, i).Hsms[0].EniIp), "2223")
	// Whether the certificate is verified is not what this test is about.
	raw, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13})
	if err != nil {
		t.Fatal(err)
	}
	conn := hsmproto.NewConn(raw)
	t.Cleanup(conn.Close)
	client := make([]byte, 32)
	_, _ = rand.Read(client) // never fails
	err = conn.Call(t.Context(), hsmproto.OpLogin, hsmproto.LoginRequest{
		User: "kmsuser", Role: hsmproto.RoleCryptoUser, Password: []byte(password), Client: client,
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// freeKmsuser disconnects the store and gives kmsuser a known password.
func freeKmsuser(t *testing.T, i *keywardtest.Installation, o owner, password string) {
	t.Helper()
	o.disconnect()
	s := newOperator(t, i).open()
	s.want(adminIn, "login --username admin --role admin", newOperator(t, i).admin)
	s.want(kmsuserIs, "user change-password --username kmsuser --role crypto-user", password, password)
	s.want(loggedOut, "logout")
	s.quit()
}

// TestMaterialStaysInTheHSMs puts known material behind a KMS key, uses the key, and looks for the material in the
// memory of the API process and in every file. That the search works shows in the HSMs, where the material must be.
func TestMaterialStaysInTheHSMs(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("reading another process's memory needs root: keyward's processes are not dumpable")
	}
	i := keywardtest.Start(t, keywardtest.Options{Tags: []string{"testdoor"}})
	owner := owner{t, i, exampleStore(t, i).CustomKeyStoreId}
	key := createStoreKey(t, i)
	freeKmsuser(t, i, owner, "tempPassword1")

	conn := kmsuserOn(t, i, "tempPassword1")
	label := keyARN(t, i, key)
	var found hsmproto.FindKeysReply
	call(t, conn, hsmproto.OpFindKeys, hsmproto.FindKeysRequest{Label: &label}, &found)
	if found.Total != 1 {
		t.Fatalf("%d keys carry the KMS key's ARN", found.Total)
	}
	generated := found.Keys[0]
	material := make([]byte, 32)
	_, _ = rand.Read(material)
	call(t, conn, hsmproto.OpDeleteKey, hsmproto.DeleteKeyRequest{Reference: generated.Reference}, nil)
	call(t, conn, opImportKey, importKey{
		Generate: hsmproto.GenerateKeyRequest{
			Label: label, ID: generated.ID, Length: len(material),
			Set: map[string]bool{"encrypt": true, "decrypt": true, "extractable": false},
		},
		Material: material,
	}, nil)
	call(t, conn, hsmproto.OpLogout, hsmproto.Empty{}, nil)
	conn.Close()

	owner.update("tempPassword1")
	owner.connect(types.ConnectionStateTypeConnected, "")
	client := i.KMS()
	for range 200 {
		if err := roundTrip(t.Context(), client, key, []byte("uses the imported material")); err != nil {
			t.Fatal(err)
		}
	}

	credentials, err := i.Config().Credentials.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !keywardtest.InMemory(t, i.PID(), []byte(credentials.AccessKeyID)) {
		t.Error("the search does not even find the access key id in the API process")
	}
	if keywardtest.InMemory(t, i.PID(), material) {
		t.Error("the API process holds the material of a key-store key")
	}
	for _, h := range i.HSMs() {
		if !keywardtest.InMemory(t, h.PID, material) {
			t.Errorf("%s uses the material, yet the search does not find it there", h.ID)
		}
	}
	if files := keywardtest.InFiles(t, filepath.Dir(i.Data), material); files != nil {
		t.Errorf("the material stands in clear in %v", files)
	}
}

func call(t *testing.T, conn *hsmproto.Conn, op hsmproto.Op, in, out any) {
	t.Helper()
	if err := conn.Call(t.Context(), op, in, out); err != nil {
		t.Fatalf("operation %#x: %v", op, err)
	}
}

// TestReleaseBuildsLackTheDoor knocks where a binary built as users build it has none.
func TestReleaseBuildsLackTheDoor(t *testing.T) {
	t.Parallel()
	i := keywardtest.Start(t, keywardtest.Options{})
	owner := owner{t, i, exampleStore(t, i).CustomKeyStoreId}
	freeKmsuser(t, i, owner, "tempPassword1")
	conn := kmsuserOn(t, i, "tempPassword1")
	err := conn.Call(context.Background(), opImportKey, importKey{Generate: hsmproto.GenerateKeyRequest{Length: 32}, Material: make([]byte, 32)}, nil)
	if err == nil || errors.As(err, new(*hsmproto.LostError)) {
		t.Fatalf("the door answered %v", err)
	}
	var found hsmproto.FindKeysReply
	call(t, conn, hsmproto.OpFindKeys, hsmproto.FindKeysRequest{}, &found)
	if found.Total != 0 {
		t.Errorf("%d keys came through the door", found.Total)
	}
}
