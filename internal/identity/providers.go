package identity

import (
	"context"
	"errors"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"keyward/internal/arn"
	"keyward/internal/fault"
	"keyward/internal/operation"
)

func (s *Service) providerRows() []operation.Row {
	return []operation.Row{
		onName(operation.Write("CreateOpenIDConnectProvider", s.createProvider, "Url", "ClientIDList", "ThumbprintList", "Tags"), "Url",
			func(account, address string) string { return arn.IAM(account, "oidc-provider/"+host(address)) }),
		s.onProvider(operation.Read("GetOpenIDConnectProvider", s.getProvider, "OpenIDConnectProviderArn")),
		operation.Read("ListOpenIDConnectProviders", s.listProviders),
		s.onProvider(operation.Write("DeleteOpenIDConnectProvider", s.deleteProvider, "OpenIDConnectProviderArn")),
		s.onProvider(operation.Write("AddClientIDToOpenIDConnectProvider", s.addClient, "OpenIDConnectProviderArn", "ClientID")),
		s.onProvider(operation.Write("RemoveClientIDFromOpenIDConnectProvider", s.removeClient, "OpenIDConnectProviderArn", "ClientID")),
		s.onProvider(operation.Write("UpdateOpenIDConnectProviderThumbprint", s.updateThumbprints, "OpenIDConnectProviderArn", "ThumbprintList")),
		s.onProvider(operation.Write("TagOpenIDConnectProvider", s.tagProvider, "OpenIDConnectProviderArn", "Tags")),
		s.onProvider(operation.Write("UntagOpenIDConnectProvider", s.untagProvider, "OpenIDConnectProviderArn", "TagKeys")),
		s.onProvider(operation.Read("ListOpenIDConnectProviderTags", s.listProviderTags, "OpenIDConnectProviderArn", "Marker", "MaxItems")),
	}
}

// onProvider makes the row ask for permission on the provider that the input names.
func (s *Service) onProvider(row operation.Row) operation.Row {
	return row.On(func(ctx context.Context, c *operation.Call, in any) ([]operation.Resource, error) {
		keys := requestKeys(in)
		name := member(in, "OpenIDConnectProviderArn")
		p, err := providerByARN(ctx, s.config.Store, c.Scope.Account, name)
		if err != nil && !isMissing(err) {
			return nil, err
		}
		if err == nil {
			entityKeys(keys, &Entity{Tags: p.Tags})
		}
		return []operation.Resource{{ARN: name, Keys: keys}}, nil
	})
}

// ARN names the provider.
func (p *Provider) ARN() string { return arn.IAM(p.Account, "oidc-provider/"+p.URL) }

// host is an issuer's URL as IAM names it, in ARNs and condition keys: without the scheme. A slash at the end, which some
// issuers have in their names, is part of it.
func host(address string) string {
	_, rest, found := strings.Cut(address, "://")
	if !found {
		rest = address
	}
	return rest
}

var errIssuer = validationError("Invalid Open ID Connect Provider URL")

// checkIssuer takes the URLs that tokens may name as their issuer: HTTPS, or HTTP where the issuer is on this machine,
// which is keyward's addition to IAM.
func checkIssuer(address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return errIssuer
	case u.Scheme == "https" || u.Scheme == "http" && onThisMachine(u):
		return nil
	default:
		return errIssuer
	}
}

// onThisMachine is true for loopback addresses only, written as such: a name could be led elsewhere.
func onThisMachine(u *url.URL) bool {
	ip, err := netip.ParseAddr(u.Hostname())
	return err == nil && ip.IsLoopback()
}

func (s *Service) createProvider(ctx context.Context, c *operation.Call, in *iam.CreateOpenIDConnectProviderInput) (*iam.CreateOpenIDConnectProviderOutput, error) {
	if err := checkIssuer(*in.Url); err != nil {
		return nil, err
	}
	tags, err := tagsOf(in.Tags, exactCase)
	if err != nil {
		return nil, err
	}
	p := &Provider{
		Account: c.Scope.Account, URL: host(*in.Url), Clients: in.ClientIDList, Thumbprints: in.ThumbprintList,
		Created: s.config.Now(), Tags: tags, Plain: strings.HasPrefix(*in.Url, "http://"),
	}
	if err := p.checkLists(); err != nil {
		return nil, err
	}
	c.Event.Response.Add("openIDConnectProviderArn", p.ARN())
	err = s.change(ctx, c.Event, func(tx Tx) error {
		all, err := tx.Providers(ctx, p.Account)
		switch {
		case err != nil:
			return err
		case len(all) >= maxProviders:
			return overQuota("OpenIdConnectProvidersPerAccount", maxProviders)
		}
		if err := tx.InsertProvider(p); !errors.Is(err, fault.ErrExists) {
			return err
		}
		return alreadyExists("Provider with url %s already exists.", *in.Url)
	})
	return &iam.CreateOpenIDConnectProviderOutput{OpenIDConnectProviderArn: aws.String(p.ARN()), Tags: anyTags(p.Tags)}, err
}

func (p *Provider) checkLists() error {
	switch {
	case len(p.Clients) > maxClientIDs:
		return overQuota("ClientIdsPerOpenIdConnectProvider", maxClientIDs)
	case len(p.Thumbprints) > maxThumbprints:
		return invalidInput("Thumbprint list must contain fewer than %d entries.", maxThumbprints) // AWS's words, though it takes as many
	default:
		return nil
	}
}

// providerByARN finds a provider of an account; fault.ErrNotFound if it is not there.
func providerByARN(ctx context.Context, r Reader, account, name string) (*Provider, error) {
	a, err := arn.Parse(name)
	address, ok := strings.CutPrefix(a.Resource, "oidc-provider/")
	if err != nil || !ok || a.Service != "iam" || a.Account != account {
		return nil, fault.ErrNotFound
	}
	return r.Provider(ctx, account, address)
}

func provider(ctx context.Context, r Reader, c *operation.Call, name string) (*Provider, error) {
	p, err := providerByARN(ctx, r, c.Scope.Account, name)
	if isMissing(err) {
		return nil, noSuchEntity("OpenIDConnect Provider not found for arn %s", name)
	}
	return p, err
}

func (s *Service) getProvider(ctx context.Context, c *operation.Call, in *iam.GetOpenIDConnectProviderInput) (*iam.GetOpenIDConnectProviderOutput, error) {
	p, err := provider(ctx, s.config.Store, c, *in.OpenIDConnectProviderArn)
	if err != nil {
		return nil, err
	}
	return &iam.GetOpenIDConnectProviderOutput{
		Url: aws.String(p.URL), ClientIDList: append([]string{}, p.Clients...), ThumbprintList: append([]string{}, p.Thumbprints...),
		CreateDate: whole(p.Created), Tags: each(p.Tags, renderTag),
	}, nil
}

func (s *Service) listProviders(ctx context.Context, c *operation.Call, _ *iam.ListOpenIDConnectProvidersInput) (*iam.ListOpenIDConnectProvidersOutput, error) {
	all, err := s.config.Store.Providers(ctx, c.Scope.Account)
	return &iam.ListOpenIDConnectProvidersOutput{
		OpenIDConnectProviderList: each(all, func(p *Provider) types.OpenIDConnectProviderListEntry {
			return types.OpenIDConnectProviderListEntry{Arn: aws.String(p.ARN())}
		}),
	}, err
}

func (s *Service) deleteProvider(ctx context.Context, c *operation.Call, in *iam.DeleteOpenIDConnectProviderInput) (*operation.Void, error) {
	return nil, s.change(ctx, c.Event, func(tx Tx) error {
		p, err := providerByARN(ctx, tx, c.Scope.Account, *in.OpenIDConnectProviderArn)
		if isMissing(err) {
			return noSuchEntity("OpenId connect Provider %s cannot be found.", *in.OpenIDConnectProviderArn)
		}
		if err != nil {
			return err
		}
		return tx.DeleteProvider(p)
	})
}

func (s *Service) updateProvider(ctx context.Context, c *operation.Call, name *string, fn func(*Provider) error) error {
	return s.change(ctx, c.Event, func(tx Tx) error {
		p, err := provider(ctx, tx, c, *name)
		if err != nil {
			return err
		}
		if err := fn(p); err != nil {
			return err
		}
		return tx.UpdateProvider(p)
	})
}

func (s *Service) addClient(ctx context.Context, c *operation.Call, in *iam.AddClientIDToOpenIDConnectProviderInput) (*operation.Void, error) {
	return nil, s.updateProvider(ctx, c, in.OpenIDConnectProviderArn, func(p *Provider) error {
		if !slices.Contains(p.Clients, *in.ClientID) {
			p.Clients = append(p.Clients, *in.ClientID)
		}
		return p.checkLists()
	})
}

func (s *Service) removeClient(ctx context.Context, c *operation.Call, in *iam.RemoveClientIDFromOpenIDConnectProviderInput) (*operation.Void, error) {
	return nil, s.updateProvider(ctx, c, in.OpenIDConnectProviderArn, func(p *Provider) error {
		p.Clients = slices.DeleteFunc(p.Clients, func(id string) bool { return id == *in.ClientID })
		return nil
	})
}

func (s *Service) updateThumbprints(ctx context.Context, c *operation.Call, in *iam.UpdateOpenIDConnectProviderThumbprintInput) (*operation.Void, error) {
	return nil, s.updateProvider(ctx, c, in.OpenIDConnectProviderArn, func(p *Provider) error {
		p.Thumbprints = in.ThumbprintList
		return p.checkLists()
	})
}

func (s *Service) tagProvider(ctx context.Context, c *operation.Call, in *iam.TagOpenIDConnectProviderInput) (*operation.Void, error) {
	return nil, s.updateProvider(ctx, c, in.OpenIDConnectProviderArn, func(p *Provider) (err error) {
		p.Tags, err = merge(p.Tags, in.Tags, exactCase)
		return err
	})
}

func (s *Service) untagProvider(ctx context.Context, c *operation.Call, in *iam.UntagOpenIDConnectProviderInput) (*operation.Void, error) {
	return nil, s.updateProvider(ctx, c, in.OpenIDConnectProviderArn, func(p *Provider) error {
		p.Tags = without(p.Tags, in.TagKeys, exactCase)
		return nil
	})
}

func (s *Service) listProviderTags(ctx context.Context, c *operation.Call, in *iam.ListOpenIDConnectProviderTagsInput) (*iam.ListOpenIDConnectProviderTagsOutput, error) {
	p, err := provider(ctx, s.config.Store, c, *in.OpenIDConnectProviderArn)
	if err != nil {
		return nil, err
	}
	tags, err := tagPage(p.Tags, in.Marker, in.MaxItems)
	return &iam.ListOpenIDConnectProviderTagsOutput{Tags: tags.items, IsTruncated: tags.truncated, Marker: tags.marker}, err
}
