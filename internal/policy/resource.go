package policy

import (
	"slices"
	"strings"
)

// What a policy of a principal may name as a resource, as far as IAM was seen to refuse it. Of what it was not seen to
// refuse, all is let in: it fits nothing here.

func notARN(resource string) *Malformed {
	return malformed("Resource %s must be in ARN format or \"*\".", resource)
}

func checkFormat(resource string) error {
	if !strings.HasPrefix(resource, "arn:") {
		return notARN(resource)
	}
	return nil
}

// checkLegacy finds ARNs that have no service or, of S3, end where the account stands. One of an unknown partition is left
// to checkARN.
func checkLegacy(resource string) error {
	parts := strings.Split(resource, ":")
	switch {
	case len(parts) < 3 || !partition(parts[1]):
		return nil
	case parts[2] == "" || parts[2] == "s3" && len(parts) == arnParts-1 && !wildcards(parts[4]):
		return errLegacy
	default:
		return nil
	}
}

// checkARN goes through the parts of an ARN. The first is taken for arn whatever it is as long as the second is wrong.
func checkARN(resource string) error {
	parts := strings.SplitN(resource, ":", arnParts)
	switch {
	case len(parts) == 1:
		return notARN(resource)
	case !partition(parts[1]):
		return malformed("Partition \"%s\" is not valid for resource \"%s\".", parts[1], complete("arn:"+strings.Join(parts[1:], ":")))
	case parts[0] != "arn":
		return notARN(resource)
	case len(parts) == 2 || wildcards(parts[2]):
		return malformed("Resource vendor must be fully qualified and cannot contain regexes.")
	case len(parts) == arnParts:
		return checkService(resource, parts)
	default:
		return nil
	}
}

// checkService looks at resources of services that are in no Region.
func checkService(resource string, parts []string) error {
	service, region, account := parts[2], parts[3], parts[4]
	regional := region != "" && !wildcards(region)
	switch {
	case service == "iam" && regional:
		return malformed("IAM resource %s cannot contain region information.", resource)
	case service == "iam" && !iamPath(parts[5]):
		return malformed("IAM resource path must either be \"*\", root, or start with %s.", strings.Join(iamPaths, ", "))
	case service == "s3" && regional && account == "": // access points have an account, and a Region
		return malformed("Resource %s can not contain region information.", resource)
	default:
		return nil
	}
}

// partition takes every name that begins like AWS's: there are more of them every year.
func partition(name string) bool { return strings.HasPrefix(name, "aws") || wildcards(name) }

func wildcards(text string) bool { return strings.ContainsAny(text, "*?") }

var iamPaths = []string{
	"user/", "federated-user/", "role/", "group/", "instance-profile/", "mfa/", "server-certificate/", "policy/", "sms-mfa/",
	"saml-provider/", "oidc-provider/", "report/", "access-report/",
}

// iamPath leaves alone what could be a known kind of resource by a wildcard.
func iamPath(path string) bool {
	kind, _, _ := strings.Cut(path, "/")
	return path == "root" || wildcards(kind) ||
		slices.ContainsFunc(iamPaths, func(start string) bool { return strings.HasPrefix(path, start) })
}
