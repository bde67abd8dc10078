package conformance

import (
	"errors"
	"io/fs"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/crane"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
)

// cosign makes its key in KMS, signs an artifact and a container image with it, and verifies both, at last with nothing
// but the public key.
func cosign(t *testing.T, h house) {
	onPath(t, "cosign")
	dir, printed := h.typed(t, "cosign")
	wants(t, printed, "through KMS: Verified OK", "offline: Verified OK")
	h.cosignRefusals(t, dir)
	h.cosignImage(t, dir)
}

// offline is a machine that knows no endpoint and has no access key; where Sigstore's roots would be kept shows whether
// cosign looks for them.
const offline = `
	unset ${!AWS_*}
	export AWS_EC2_METADATA_DISABLED=true TUF_ROOT=$PWD/no-tuf
`

// cosignRefusals runs in the folder that the page's commands left.
func (h house) cosignRefusals(t *testing.T, dir string) {
	t.Helper()
	printed := h.shell(t, dir, offline+`
		! cosign verify-blob --key awskms:///alias/release-signing --bundle artifact.bundle --insecure-ignore-tlog artifact.tar 2> kms.log
		grep -o 'get credentials' kms.log | uniq
		echo changed >> artifact.tar
		! cosign verify-blob --key cosign.pub --bundle artifact.bundle --insecure-ignore-tlog artifact.tar 2> changed.log
		grep -o 'invalid signature' changed.log | uniq`)
	if want := "get credentials\ninvalid signature\n"; printed != want {
		t.Errorf("printed %q, want %q", printed, want)
	}
	if _, err := os.Stat(filepath.Join(dir, "no-tuf")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("cosign looked for Sigstore's roots: %v", err)
	}
}

// cosignImage signs an image in a registry, with the key's endpoint in the key's name as cosign's manual has it.
func (h house) cosignImage(t *testing.T, dir string) {
	t.Helper()
	shelf := httptest.NewServer(registry.New(registry.WithReferrersSupport(true), registry.Logger(log.New(t.Output(), "", 0))))
	defer shelf.Close()
	image, err := random.Image(1024, 2)
	if err != nil {
		t.Fatal(err)
	}
	repository := strings.TrimPrefix(shelf.URL, "http://") + "/shop/app"
	if err := crane.Push(image, repository+":v1"); err != nil {
		t.Fatal(err)
	}
	digest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("IMAGE", repository+"@"+digest.String())
	t.Setenv("HOST", strings.TrimPrefix(h.Endpoint, "https://"))
	printed := h.shell(t, dir, `
		cosign sign --yes --key "awskms://$HOST/alias/release-signing" \
			--signing-config no-services.json --trusted-root no-roots.json -a build=7 "$IMAGE" 2> sign.log || { cat sign.log; exit 1; }
		`+offline+`
		cosign verify --key cosign.pub --insecure-ignore-tlog -a build=7 "$IMAGE" 2> /dev/null
		! cosign verify --key cosign.pub --insecure-ignore-tlog -a build=8 "$IMAGE" 2> other.log
		grep -o 'missing or incorrect annotation' other.log | uniq`)
	wants(t, printed, digest.String(), "missing or incorrect annotation")
}
