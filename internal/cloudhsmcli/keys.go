package cloudhsmcli

import (
	"context"
	"strconv"

	"keyward/internal/hsmproto"
)

// keyListCommand is `key list` (cloudhsm-cli.md section 9.1).
type keyListCommand struct {
	Filter        []string `sep:"none" placeholder:"NAME=VALUE" help:"key-reference=… or attr.NAME=…; all terms must hold."`
	MaxItems      int      `name:"max-items" default:"10" placeholder:"N" help:"The most keys to show; ${default} when left out."`
	StartingToken string   `name:"starting-token" placeholder:"TOKEN" help:"next_token of the page before."`
	Verbose       bool     `short:"v" help:"Show all attributes."`
}

type keyList struct {
	Keys     []keyFace `json:"matched_keys"`
	Total    int       `json:"total_key_count"`
	Returned int       `json:"returned_key_count"`
	Next     string    `json:"next_token,omitempty"`
}

func (*keyListCommand) needsLogin() {}

func (k *keyListCommand) run(ctx context.Context, s *session) (any, error) {
	wanted, err := parseFilter(k.Filter)
	if err != nil {
		return nil, err
	}
	offset, err := k.offset()
	if err != nil {
		return nil, err
	}
	keys, total, err := s.findKeys(ctx, wanted, offset, k.MaxItems)
	if err != nil {
		return nil, err
	}
	faces, err := s.faces(ctx, keys, k.Verbose)
	if err != nil {
		return nil, err
	}
	list := keyList{Keys: faces, Total: total, Returned: len(faces)}
	if next := offset + len(faces); next < total {
		list.Next = strconv.Itoa(next)
	}
	return list, nil
}

// offset is what the token, the number of the next key, stands for.
func (k *keyListCommand) offset() (int, error) {
	if k.MaxItems < 1 {
		return 0, failure("max-items must be at least 1")
	}
	if k.StartingToken == "" {
		return 0, nil
	}
	offset, ok := parseLength(k.StartingToken)
	if !ok {
		return 0, failf("Invalid starting token: %s", k.StartingToken)
	}
	return offset, nil
}

// maxPage bounds what one request asks of an HSM.
const maxPage = 1000

// findKeys gives up to limit keys from offset on, and the number of all that match. An HSM may answer with fewer keys
// than it was asked for.
func (s *session) findKeys(ctx context.Context, wanted *filter, offset, limit int) ([]hsmproto.Key, int, error) {
	if wanted.none {
		return nil, 0, nil
	}
	var keys []hsmproto.Key
	request := wanted.request
	for {
		request.Offset, request.Max = offset+len(keys), min(limit-len(keys), maxPage)
		page, err := s.cluster.FindKeys(ctx, request)
		if err != nil {
			return nil, 0, err
		}
		keys = append(keys, page.Keys...)
		if len(page.Keys) == 0 || len(keys) >= limit || offset+len(keys) >= page.Total {
			return keys, page.Total, nil
		}
	}
}

// faces shows keys; an admin sees references and labels only.
func (s *session) faces(ctx context.Context, keys []hsmproto.Key, verbose bool) ([]keyFace, error) {
	faces := make([]keyFace, len(keys))
	if !verbose || s.user.Role == hsmproto.RoleAdmin {
		for i, key := range keys {
			faces[i] = briefly(key)
		}
		return faces, nil
	}
	users, err := s.cluster.Users(ctx) // also names all HSMs
	if err != nil {
		return nil, err
	}
	for i, key := range keys {
		faces[i] = verbosely(key, users.Hsms)
	}
	return faces, nil
}

// messageAnswer is the answer of commands that have nothing to show.
type messageAnswer struct {
	Message string `json:"message"`
}

// keyDeleteCommand is `key delete` (section 9.3).
type keyDeleteCommand struct {
	Filter []string `required:"" sep:"none" placeholder:"NAME=VALUE" help:"Must select exactly one key."`
}

func (*keyDeleteCommand) needsLogin() {}

func (k *keyDeleteCommand) run(ctx context.Context, s *session) (any, error) {
	wanted, err := parseFilter(k.Filter)
	if err != nil {
		return nil, err
	}
	keys, total, err := s.findKeys(ctx, wanted, 0, 1)
	if err != nil {
		return nil, err
	}
	if total != 1 || len(keys) != 1 {
		return nil, matched(total)
	}
	if err := s.cluster.DeleteKey(ctx, keys[0].Reference); err != nil {
		return nil, err
	}
	return messageAnswer{"Key deleted successfully"}, nil
}

// generateAesCommand is `key generate-symmetric aes` (section 9.2).
type generateAesCommand struct {
	Label      string   `required:"" placeholder:"LABEL" help:"Label of the key, up to 127 characters."`
	Length     int      `name:"key-length-bytes" required:"" enum:"16,24,32" placeholder:"BYTES" help:"16, 24 or 32."`
	Attributes []string `sep:"none" placeholder:"NAME=VALUE" help:"Attributes with other values than the defaults, for example id=0x01 encrypt=true."`
}

type keyAnswer struct {
	Key keyFace `json:"key"`
}

func (*generateAesCommand) needsLogin() {}

func (g *generateAesCommand) run(ctx context.Context, s *session) (any, error) {
	request := hsmproto.GenerateKeyRequest{Label: g.Label, ID: []byte{}, Length: g.Length}
	if s.target.DisableKeyAvailabilityCheck {
		request.MinHsms = 1
	}
	if err := parseAttributes(g.Attributes, &request); err != nil {
		return nil, err
	}
	key, err := s.cluster.GenerateKey(ctx, request)
	if err != nil {
		return nil, err
	}
	faces, err := s.faces(ctx, []hsmproto.Key{key}, true)
	if err != nil {
		return nil, err
	}
	return keyAnswer{faces[0]}, nil
}
