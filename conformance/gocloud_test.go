package conformance

import (
	"context"
	"testing"

	"gocloud.dev/gcerrors"
	"gocloud.dev/secrets"
	_ "gocloud.dev/secrets/awskms" // the awskms:// keepers
)

func goCloudSecrets(t *testing.T, h house) {
	shows(t, "gocloud", "go", "gocloud_test.go")
	h.on(t, func(t *testing.T, key string) {
		sealed, err := keep(t.Context(), key, "attack at dawn")
		if err != nil {
			t.Fatal(err)
		}
		if text, err := opened(t, key, "shop", sealed); err != nil || string(text) != "attack at dawn" {
			t.Errorf("%q, %v", text, err)
		}
		if _, err := opened(t, key, "toys", sealed); gcerrors.Code(err) != gcerrors.InvalidArgument {
			t.Errorf("with another context: %v", err)
		}
	})
	if _, err := keep(t.Context(), "alias/not-there", "x"); gcerrors.Code(err) != gcerrors.NotFound {
		t.Errorf("with a key that does not exist: %v", err)
	}
}

func keep(ctx context.Context, key, text string) (sealed []byte, err error) {
	keeper, err := secrets.OpenKeeper(ctx, "awskms:///"+key+"?context_app=shop")
	if err != nil {
		return nil, err
	}
	defer keeper.Close()
	return keeper.Encrypt(ctx, []byte(text))
}

func opened(t *testing.T, key, app string, sealed []byte) ([]byte, error) {
	t.Helper()
	keeper, err := secrets.OpenKeeper(t.Context(), "awskms:///"+key+"?context_app="+app)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := keeper.Close(); err != nil {
			t.Error(err)
		}
	}()
	return keeper.Decrypt(t.Context(), sealed)
}
