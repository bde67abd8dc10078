package awsquery

import (
	"encoding/xml"
	"io"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"keyward/internal/fault"
)

type filter struct {
	Name   *string
	Values []string `query:"Value"`
}

type describeInput struct {
	VpcIDs     []string `query:"VpcId"`
	Filters    []filter `query:"Filter"`
	DryRun     *bool
	MaxResults *int32
	NextToken  *string
	Inner      *struct{ Deep struct{ Text string } }
	Blob       []byte
	At         *time.Time
	Tags       []string
	Arn        *string
}

func ptr[T any](v T) *T { return &v }

func TestDecode(t *testing.T) {
	for query, want := range map[string]describeInput{
		"Action=X&Unknown.1=2":       {},
		"VpcId.1=a&VpcId.2=b":        {VpcIDs: []string{"a", "b"}},
		"VpcId.2=b&VpcId.1=a":        {VpcIDs: []string{"a", "b"}},
		"VpcId.member.1=a":           {VpcIDs: []string{"a"}},
		"VpcId=":                     {VpcIDs: []string{}},
		"DryRun=true&MaxResults=5":   {DryRun: ptr(true), MaxResults: ptr(int32(5))},
		"DryRun=False":               {DryRun: ptr(false)},
		"NextToken=":                 {NextToken: ptr("")},
		"Inner.Deep.Text=x":          {Inner: &struct{ Deep struct{ Text string } }{struct{ Text string }{"x"}}},
		"Blob=AAE=":                  {Blob: []byte{0, 1}},
		"At=2020-01-02T03:04:05.6Z":  {At: ptr(time.Date(2020, 1, 2, 3, 4, 5, 6e8, time.UTC))},
		"dryrun=true&maxResults=abc": {},
		"Arn=a":                      {Arn: ptr("a")},
		"arn=a":                      {Arn: ptr("a")},
		"Filter.1.Name=tag:a&Filter.1.Value.1=x&Filter.1.Value.2=y&Filter.2.Name=z": {Filters: []filter{{ptr("tag:a"), []string{"x", "y"}}, {Name: ptr("z")}}},
	} {
		form, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		var got describeInput
		if err := Decode(form, &got); err != nil {
			t.Errorf("%s: %v", query, err)
		} else if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v", query, got)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	for query, want := range map[string]string{
		"DryRun=maybe":            "Value (maybe) for parameter DryRun is invalid.",
		"MaxResults=9999999999":   "Value (9999999999) for parameter MaxResults is invalid.",
		"MaxResults.1=1":          "The parameter MaxResults is not a structure.",
		"VpcId.1=a&VpcId.3=b":     "The elements of the parameter VpcId must be numbered from 1 without gaps.",
		"VpcId.0=a":               "The elements of the parameter VpcId must be numbered from 1 without gaps.",
		"VpcId.x=a":               "The elements of the parameter VpcId must be numbered from 1 without gaps.",
		"Filter.1.Value.2=x":      "The elements of the parameter Filter.1.Value must be numbered from 1 without gaps.",
		"NextToken=a&NextToken=b": "The parameter NextToken is repeated or nested too deeply.",
		"a.b.c.d.e.f.g.h.i=1":     "The parameter a.b.c.d.e.f.g.h.i is repeated or nested too deeply.",
		"Blob=%21":                "Value (!) for parameter Blob is invalid.",
		"At=now":                  "Value (now) for parameter At is invalid.",
		"a=1" + many(2001):        "The query string has more than 2000 parameters.",
	} {
		form, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		f, ok := fault.As(Decode(form, &describeInput{}))
		if !ok || f.Message != want || f.HTTPStatus() != 400 {
			t.Errorf("%.40s: got %v", query, f)
		}
	}
}

func many(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("&p" + strings.Repeat("x", i%50) + string(rune('a'+i%26)) + url.QueryEscape(string(rune(0x4e00+i))) + "=1")
	}
	return b.String()
}

type describeOutput struct {
	Vpcs []vpc   `xml:"vpcSet"`
	Next *string `xml:"nextToken"`
	Skip string  `xml:"-"`
}

type vpc struct {
	ID      string    `xml:"vpcId"`
	Default bool      `xml:"isDefault"`
	Free    int32     `xml:"availableIpAddressCount"`
	Made    time.Time `xml:"createTime"`
	Tags    []string  `xml:"tagSet"`
}

func TestEncodeEC2(t *testing.T) {
	out := &describeOutput{Vpcs: []vpc{{"vpc-<1>", true, 251, time.UnixMilli(1502423370069), []string{}}}, Skip: "never"}
	got, err := EC2.Encode("DescribeVpcs", "r-1", out)
	if err != nil {
		t.Fatal(err)
	}
	want := header + `<DescribeVpcsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>r-1</requestId><vpcSet><item>` +
		`<vpcId>vpc-&lt;1&gt;</vpcId><isDefault>true</isDefault><availableIpAddressCount>251</availableIpAddressCount>` +
		`<createTime>2017-08-11T03:49:30.069Z</createTime><tagSet></tagSet></item></vpcSet></DescribeVpcsResponse>`
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestEncodeVoid(t *testing.T) {
	got, err := EC2.Encode("DeleteVpc", "r", nil)
	if err != nil || !strings.Contains(string(got), "<requestId>r</requestId><return>true</return></DeleteVpcResponse>") {
		t.Errorf("%s, %v", got, err)
	}
	got, err = STS.Encode("Forget", "r", nil)
	if err != nil || !strings.Contains(string(got), `2011-06-15/"><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></ForgetResponse>`) {
		t.Errorf("%s, %v", got, err)
	}
}

func TestEncodeSTS(t *testing.T) {
	got, err := STS.Encode("Get", "r", &struct {
		Arn   string
		Names []string
	}{"a", []string{"x"}})
	want := header + `<GetResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetResult><Arn>a</Arn><Names><member>x</member></Names>` +
		`</GetResult><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></GetResponse>`
	if err != nil || string(got) != want {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestEncodeRefusesWhatXMLCannotSay(t *testing.T) {
	if _, err := EC2.Encode("X", "r", &struct{ M map[string]string }{map[string]string{}}); err == nil || !strings.Contains(err.Error(), "M:") {
		t.Errorf("got %v", err)
	}
}

func TestErrors(t *testing.T) {
	f := fault.New("InvalidVpcID.NotFound", "The vpc ID '%s' does not exist", "<x>")
	if got, want := string(EC2.Error("r", f)), header+`<Response><Errors><Error><Code>InvalidVpcID.NotFound</Code>`+
		`<Message>The vpc ID &#39;&lt;x&gt;&#39; does not exist</Message></Error></Errors><RequestID>r</RequestID></Response>`; got != want {
		t.Errorf("got %s", got)
	}
	if got := string(STS.Error("r", fault.Internal("InternalFailure", nil, "m"))); got != header+`<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">`+
		`<Error><Type>Receiver</Type><Code>InternalFailure</Code><Message>m</Message></Error><RequestId>r</RequestId></ErrorResponse>` {
		t.Errorf("got %s", got)
	}
	if got := string(STS.Error("r", f)); !strings.Contains(got, "<Type>Sender</Type>") {
		t.Errorf("got %s", got)
	}
}

// TestWhatIsWrittenIsXML holds the encoder against the standard library's parser, whatever the text.
func TestWhatIsWrittenIsXML(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.String().Draw(t, "id")
		b, err := EC2.Encode("DescribeVpcs", "r", &describeOutput{Vpcs: []vpc{{ID: id}}})
		if err != nil {
			t.Fatal(err)
		}
		for d := xml.NewDecoder(strings.NewReader(string(b))); ; {
			if _, err := d.Token(); err == io.EOF {
				return
			} else if err != nil {
				t.Fatalf("%v in %q", err, b)
			}
		}
	})
}

func FuzzDecode(f *testing.F) {
	f.Add("Filter.1.Name=a&Filter.1.Value.1=b&VpcId.1=c&DryRun=true&MaxResults=1&Inner.Deep.Text=x&At=2020-01-01T00:00:00Z")
	f.Add("VpcId.member.1=a&VpcId.member.3=b")
	f.Fuzz(func(t *testing.T, query string) {
		form, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		if err := Decode(form, &describeInput{}); err != nil {
			if _, ok := fault.As(err); !ok {
				t.Fatalf("not a fault: %v", err)
			}
		}
	})
}
