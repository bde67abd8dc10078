package e2e

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudhsmv2"
	hsmtypes "github.com/aws/aws-sdk-go-v2/service/cloudhsmv2/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/keywardtest"
)

// recovery is the guide's "How to recover deleted key material" on an installation that is killed again and again.
type recovery struct {
	owner
	old, cluster string
	key          string
	sealed       []byte
	backup       *string
}

// TestRecoverDeletedMaterialAcrossKills deletes a key in the HSMs and brings it back from a backup into a related
// cluster, with kill -9 of every process while the backup is made and while it is restored.
func TestRecoverDeletedMaterialAcrossKills(t *testing.T) {
	t.Parallel()
	keywardtest.NeedTools(t)
	i := keywardtest.Start(t, keywardtest.Options{Args: []string{"--dev"}})
	r := recovery{owner: owner{t, i, exampleStore(t, i).CustomKeyStoreId}, key: createStoreKey(t, i)}
	r.old = aws.ToString(exampleCluster(t, i).ClusterId)
	out, err := i.KMS().Encrypt(t.Context(), &kms.EncryptInput{KeyId: &r.key, Plaintext: []byte("attack at dawn")})
	if err != nil {
		t.Fatal(err)
	}
	r.sealed = out.CiphertextBlob

	r.awaitBackup()
	r.deleteMaterial()
	var gone *types.KMSInvalidStateException
	if _, err := r.decrypt(); !errors.As(err, &gone) || gone.ErrorMessage() != "KMS cannot find the key material for "+keyARN(t, i, r.key)+" in your AWS CloudHSM cluster." {
		t.Fatalf("with its material deleted: %v", err)
	}
	r.restore()
	r.move()
	if text, err := r.decrypt(); err != nil || text != "attack at dawn" {
		t.Errorf("recovered: %q, %v", text, err)
	}
}

// killAfter kills everything after a moment of chance and starts it again.
func (r *recovery) killAfter(most time.Duration) {
	r.t.Helper()
	<-time.After(rand.N(most)) // what is under way then is the point
	r.i.Kill()
	r.i.Up()
}

// awaitBackup lets a day pass, so that a backup with the key is made, and kills everything meanwhile.
func (r *recovery) awaitBackup() {
	r.t.Helper()
	const newest = "aws cloudhsmv2 describe-backups --filters clusterIds=$1,states=READY --query 'Backups[0].BackupId' --output text"
	newestReady := func() string {
		return strings.TrimSpace(r.i.Shell(r.t.TempDir(), strings.ReplaceAll(newest, "$1", r.old), ""))
	}
	before := newestReady()
	r.i.Shell(r.t.TempDir(), "keyward clock advance 25h", "")
	r.killAfter(100 * time.Millisecond)
	r.i.Await("the daily backup", func() bool { return newestReady() != before })
	r.backup = aws.String(newestReady())
}

func (r *recovery) decrypt() (string, error) {
	out, err := r.i.KMS().Decrypt(r.t.Context(), &kms.DecryptInput{CiphertextBlob: r.sealed})
	if err != nil {
		return "", err
	}
	return string(out.Plaintext), nil
}

// deleteMaterial does what the guide warns of.
func (r *recovery) deleteMaterial() {
	r.t.Helper()
	r.i.Await("the store to be connected", func() bool {
		return exampleStore(r.t, r.i).ConnectionState == types.ConnectionStateTypeConnected
	})
	r.disconnect()
	s := newOperator(r.t, r.i).open()
	s.want(adminIn, "login --username admin --role admin", newOperator(r.t, r.i).admin)
	s.want(kmsuserIs, "user change-password --username kmsuser --role crypto-user", "tempPassword1", "tempPassword1")
	s.want(kmsuserIs, "login --username kmsuser --role crypto-user", "tempPassword1")
	if got := s.run(`key delete --filter attr.label="` + keyARN(r.t, r.i, r.key) + `"`); !strings.Contains(got, `"error_code": 0`) {
		r.t.Fatal(got)
	}
	s.want(loggedOut, "logout")
	s.quit()
	r.update("tempPassword1")
	r.connect(types.ConnectionStateTypeConnected, "")
}

// restore makes a cluster of two HSMs from the backup. Everything is killed while the first one is restored.
func (r *recovery) restore() {
	r.t.Helper()
	original := exampleCluster(r.t, r.i)
	var subnets []string
	for _, s := range original.SubnetMapping {
		subnets = append(subnets, s)
	}
	made, err := r.i.CloudHSM().CreateCluster(r.t.Context(), &cloudhsmv2.CreateClusterInput{
		HsmType: original.HsmType, Mode: original.Mode, SubnetIds: subnets, SourceBackupId: r.backup,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.cluster = *made.Cluster.ClusterId
	if aws.ToString(made.Cluster.Certificates.ClusterCertificate) != aws.ToString(original.Certificates.ClusterCertificate) {
		r.t.Error("the related cluster has another certificate")
	}
	r.i.Await("the cluster to be ACTIVE", func() bool { return r.described().State == hsmtypes.ClusterStateActive })
	for n, zone := range []string{"us-east-1a", "us-east-1b"} {
		if _, err := r.i.CloudHSM().CreateHsm(r.t.Context(), &cloudhsmv2.CreateHsmInput{ClusterId: &r.cluster, AvailabilityZone: &zone}); err != nil {
			r.t.Fatal(err)
		}
		r.killAfter(time.Second)
		r.i.Await("the HSM to be ACTIVE", func() bool { return activeHSMs(r.described()) == n+1 })
	}
}

func (r *recovery) described() hsmtypes.Cluster {
	r.t.Helper()
	page, err := r.i.CloudHSM().DescribeClusters(r.t.Context(), &cloudhsmv2.DescribeClustersInput{
		Filters: map[string][]string{"clusterIds": {r.cluster}},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return page.Clusters[0]
}

// move connects the store to the restored cluster. The backup has an older password of kmsuser than the store, so the
// admin, whose own is that of the backup, sets one.
func (r *recovery) move() {
	r.t.Helper()
	r.i.Await("the store to be connected", func() bool {
		return exampleStore(r.t, r.i).ConnectionState == types.ConnectionStateTypeConnected
	})
	r.disconnect()
	_, err := r.i.KMS().UpdateCustomKeyStore(r.t.Context(), &kms.UpdateCustomKeyStoreInput{CustomKeyStoreId: r.store, CloudHsmClusterId: &r.cluster})
	if err != nil {
		r.t.Fatal(err)
	}
	r.i.Shell(r.t.TempDir(), `keyward cloudhsm-cli configure --cluster-id `+r.cluster+` --hsm-ca-cert "$KEYWARD_DATA/ExampleKeyStore/customerCA.crt"`, "")
	o := newOperator(r.t, r.i)
	o.cluster = r.cluster
	s := o.open()
	s.want(adminIn, "login --username admin --role admin", o.admin)
	s.want(kmsuserIs, "user change-password --username kmsuser --role crypto-user", "recovered1", "recovered1")
	s.want(loggedOut, "logout")
	s.quit()
	r.update("recovered1")
	r.connect(types.ConnectionStateTypeConnected, "")
}
