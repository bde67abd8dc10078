package keystore_test

import (
	"testing"

	"keyward/internal/arn"
	"keyward/internal/fault"
	"keyward/internal/policy"
)

// TestMakingAStoreNeedsToSeeClusters: the permission to make key stores is not one to look at clusters through them.
func TestMakingAStoreNeedsToSeeClusters(t *testing.T) {
	w := newWorld(t)
	maker := func(actions string) *policy.Principal {
		p, err := policy.Compile(policy.Identity, "maker", []byte(`{"Statement":{"Effect":"Allow","Action":[`+actions+`],"Resource":"*"}}`), nil)
		if err != nil {
			t.Fatal(err)
		}
		return &policy.Principal{
			Caller:   policy.Caller{Type: policy.TypeUser, ARN: arn.User(scope.Account, "maker"), Account: scope.Account},
			Identity: []*policy.Policy{p},
		}
	}
	in := createInput("Store", clusterA, password)
	_, _, err := w.callAs(maker(`"kms:*"`), "CreateCustomKeyStore", in)
	f, ok := fault.As(err)
	if !ok || f.Code != "AccessDeniedException" || f.Message != "User: "+arn.User(scope.Account, "maker")+
		" is not authorized to perform: cloudhsm:DescribeClusters on resource: * because no identity-based policy allows the cloudhsm:DescribeClusters action" {
		t.Errorf("%v", err)
	}
	if _, _, err := w.callAs(maker(`"kms:CreateCustomKeyStore","cloudhsm:DescribeClusters"`), "CreateCustomKeyStore", in); err != nil {
		t.Error(err)
	}
}
