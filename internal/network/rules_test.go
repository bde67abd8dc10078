package network

import (
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"keyward/internal/fault"
)

// What is chosen is assignable and free, until nothing is left.
func TestChooseFillsASubnet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bits := rapid.IntRange(24, 28).Draw(t, "bits")
		subnet := netip.PrefixFrom(netip.MustParseAddr("10.9.8.0"), bits)
		taken := map[netip.Addr]bool{}
		for range freeAddresses(subnet, 0) {
			a, err := choose(subnet, taken)
			if err != nil || taken[a] || !assignable(subnet, a) {
				t.Fatalf("%s in %s: %v", a, subnet, err)
			}
			taken[a] = true
		}
		if _, err := choose(subnet, taken); !fault.Is(err, "InsufficientFreeAddressesInSubnet") {
			t.Fatalf("a full subnet: %v", err)
		}
	})
}

// Sizes that AWS documents (network statement 1).
func TestFreeAddresses(t *testing.T) {
	for cidr, want := range map[string]int{"10.0.0.0/24": 251, "10.0.0.0/28": 11, "10.0.0.0/20": 4091} {
		if got := freeAddresses(netip.MustParsePrefix(cidr), 0); got != want {
			t.Errorf("%s: %d", cidr, got)
		}
	}
}

func TestZoneIDs(t *testing.T) {
	for zone, want := range map[string]string{
		"us-east-1a": "use1-az1", "eu-west-3c": "euw3-az3", "ap-northeast-1b": "apne1-az2", "ap-southeast-2a": "apse2-az1",
		"us-gov-west-1a": "usgw1-az1", "ca-central-1b": "cac1-az2", "me-south-1a": "mes1-az1", "af-south-1c": "afs1-az3",
	} {
		if got := zoneID(zone); got != want {
			t.Errorf("%s: %s, want %s", zone, got, want)
		}
	}
}

// wildcard agrees with the regular expression that means the same.
func FuzzWildcard(f *testing.F) {
	for _, pair := range [][2]string{{"a*b?", "axxbc"}, {"**", ""}, {`\*`, "*"}, {`\\?`, `\x`}, {"*ä", "öä"}, {`a\`, "a"}, {"cloudhsm-*-sg", "cloudhsm-x-sg-sg"}} {
		f.Add(pair[0], pair[1])
	}
	f.Fuzz(func(t *testing.T, pattern, s string) {
		if len(pattern) > 50 || strings.ContainsRune(pattern+s, '\uFFFD') || strings.ToValidUTF8(pattern+s, "") != pattern+s {
			t.Skip()
		}
		if got, want := wildcard(pattern, s), meaning(pattern).MatchString(s); got != want {
			t.Errorf("%q against %q: %v", pattern, s, got)
		}
	})
}

// meaning writes a pattern as a regular expression; one that ends in a lone backslash matches nothing.
func meaning(pattern string) *regexp.Regexp {
	var b strings.Builder
	b.WriteString(`(?s)\A`)
	runes := []rune(pattern)
	for i := 0; i < len(runes); i++ {
		switch {
		case runes[i] == '*':
			b.WriteString(".*")
		case runes[i] == '?':
			b.WriteString(".")
		case runes[i] == '\\' && i+1 == len(runes):
			return regexp.MustCompile(`[^\s\S]`)
		case runes[i] == '\\':
			i++
			b.WriteString(regexp.QuoteMeta(string(runes[i])))
		default:
			b.WriteString(regexp.QuoteMeta(string(runes[i])))
		}
	}
	return regexp.MustCompile(b.String() + `\z`)
}

func FuzzNextToken(f *testing.F) {
	f.Add("")
	f.Add(token("vpc-1"))
	f.Fuzz(func(t *testing.T, text string) {
		after, err := openToken(text)
		if err == nil && text != "" && token(after) != text {
			t.Errorf("%q passes for a token", text)
		}
	})
}
