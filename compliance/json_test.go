package compliance

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
)

// What is printed can be read again, and lists are never null.
func TestAssessmentAsJSON(t *testing.T) {
	for _, f := range []*file{kept(), abandoned(), underpaid(), blank()} {
		a := assess(t, f.as(storyEnd), storyEnd)
		text, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(text, []byte("null")) {
			t.Errorf("a list is null: %s", text)
		}
		var again Assessment
		if err := json.Unmarshal(text, &again); err != nil || !reflect.DeepEqual(*a, again) {
			t.Errorf("read again: %v, not the same", err)
		}
	}
	for _, bad := range []string{`"maybe"`, `""`} {
		var f Finding
		var r Result
		if json.Unmarshal([]byte(bad), &f) == nil || json.Unmarshal([]byte(bad), &r) == nil {
			t.Errorf("%s is read as a finding or a result", bad)
		}
	}
}
