package fleet

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/cloudhsmv2"
	"github.com/aws/aws-sdk-go-v2/service/cloudhsmv2/types"
)

func TestLifeOfACluster(t *testing.T) {
	w := newWorld(t)
	cluster, hsms := w.activeCluster("a", "b")
	for _, id := range hsms {
		w.deleteHsm(cluster, id)
	}
	w.await(cluster, "has no HSMs", active())
	out := mustCall[api.DeleteClusterOutput](w, "DeleteCluster", &api.DeleteClusterInput{ClusterId: aws.String(cluster)})
	if out.Cluster.State != types.ClusterStateDeleteInProgress || len(out.Cluster.Hsms) != 0 {
		t.Errorf("deletion answers %s", out.Cluster.State)
	}
	w.await(cluster, "is deleted", inState(types.ClusterStateDeleted))
}
