package server

import (
	"strings"
	"testing"
)

func TestResourceQuotas(t *testing.T) {
	for _, name := range resourceQuotas {
		q, err := (&Config{Quotas: map[string]int{name: 7}}).quotas()
		if err != nil || *q.resource(name) != 7 {
			t.Errorf("%s=7: %v", name, err)
		}
		if q.requests != nil || q.storeRate != 0 {
			t.Errorf("%s bounds requests", name)
		}
	}
	for name, value := range map[string]int{"keys": 0, "wishes": 3} {
		if _, err := (&Config{Quotas: map[string]int{name: value}}).quotas(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s=%d: %v", name, value, err)
		}
	}
}

func TestKeyStoreRateAndItsQuotaAreOne(t *testing.T) {
	for _, c := range []struct {
		config Config
		want   float64
	}{
		{Config{}, 0},
		{Config{KeyStoreRate: 5}, 5},
		{Config{AWSRequestQuotas: true}, 1800},
		{Config{AWSRequestQuotas: true, KeyStoreRate: 5}, 5},
		{Config{RequestQuotas: map[string]float64{"AWS CloudHSM key store request quota": 7}}, 7},
	} {
		if q, err := c.config.quotas(); err != nil || q.storeRate != c.want {
			t.Errorf("%+v: %v a second, %v; want %v", c.config, q.storeRate, err, c.want)
		}
	}
}
