package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"keyward/internal/keywardtest"
	"keyward/internal/network"
)

// TestNetworkOfAKeyStore breaks and repairs a key store through its VPC, with the AWS CLI: a cluster is built as
// docs/getting-started.md has it, in subnets that are small enough to be filled. Each script goes on where the one
// before stopped.
func TestNetworkOfAKeyStore(t *testing.T) {
	t.Parallel()
	keywardtest.NeedTools(t)
	block, err := network.FreeLoopbackBlock()
	if err != nil {
		t.Fatal(err)
	}
	i, dir := keywardtest.Start(t, keywardtest.Options{Args: []string{"--empty"}}), t.TempDir()
	play := func(name, text string) {
		t.Helper()
		kept := filepath.Join(dir, "variables")
		i.Shell(dir, fmt.Sprintf("if [ -e %[1]s ]; then source %[1]s; fi\n%[2]s\n%[3]s\ndeclare -p BLOCK ${!SUBNET_*} VPC CLUSTER STORE KEY GROUP rule ACL 2>/dev/null >%[1]s || true\ndeclare -f >>%[1]s\n",
			kept, networkScript(t, "prelude"), text), "")
		t.Logf("%s is through", name)
	}
	play("0-site", fmt.Sprintf("BLOCK=127.%d\n", block.Addr().As4()[1])+networkScript(t, "0-site"))
	build := keywardtest.Script(keywardtest.Blocks(t, "../docs/getting-started.md", "getting-started", "sh"))
	const anySubnets = "SUBNETS=$(aws ec2 describe-subnets --query 'Subnets[].SubnetId' --output text)"
	if !strings.Contains(build, anySubnets) {
		t.Fatalf("getting-started.md does not choose its subnets with %s", anySubnets)
	}
	build = strings.Replace(build, anySubnets, `SUBNETS="$SUBNET_A $SUBNET_B $SUBNET_C"`, 1)
	play("getting started", strings.Replace(build, "STORE=", networkScript(t, "before-store")+"STORE=", 1))
	for _, name := range []string{"1-group", "2-acl", "3-subnet"} {
		play(name, networkScript(t, name))
	}
}

func networkScript(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "network", name+".sh"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
