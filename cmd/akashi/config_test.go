package main

import (
	"reflect"
	"testing"
	"time"
)

func TestOverride(t *testing.T) {
	var c Config
	env := map[string]string{
		"AKASHI_HOST": "h.example", "AKASHI_REGISTRY_EPOCH": "2s", "AKASHI_REGISTRY_LISTEN": ":1", "AKASHI_VCI_BEARER": "true",
		"AKASHI_VCI_RATE_PER_SECOND": "2.5", "AKASHI_VCI_RATE_BURST": "7",
	}
	lookup := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	if err := override(reflect.ValueOf(&c).Elem(), "AKASHI", lookup); err != nil {
		t.Fatal(err)
	}
	want := Config{Host: "h.example", VCI: VCIConfig{Bearer: true, RatePerSecond: 2.5, RateBurst: 7}}
	want.Registry.Epoch, want.Registry.Listen = 2*time.Second, ":1"
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got %+v, want %+v", c, want)
	}
	for name, value := range map[string]string{
		"AKASHI_REGISTRY_EPOCH": "2", "AKASHI_VCI_BEARER": "perhaps", "AKASHI_VCI_RATE_PER_SECOND": "many", "AKASHI_VCI_RATE_BURST": "1.5",
		"AKASHI_MEMBERS": "w1", "AKASHI_VCI_WALLET_ROOTS": "root.pem",
	} {
		env = map[string]string{name: value}
		if err := override(reflect.ValueOf(&c).Elem(), "AKASHI", lookup); err == nil {
			t.Errorf("%s=%s is taken", name, value)
		}
	}
}
