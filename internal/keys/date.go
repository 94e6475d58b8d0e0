package keys

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"time"
)

// NumericDate is a time as JWTs write it: seconds since 1970 (RFC 7519, Section 2). A fraction is dropped on reading. A claim that may be
// absent is a pointer, since zero is a time like any other.
type NumericDate int64

const maxDate = 1 << 40 // the year 36812

// DateOf returns the time in whole seconds.
func DateOf(t time.Time) NumericDate { return NumericDate(t.Unix()) }

// Time is the date as a time.
func (d NumericDate) Time() time.Time { return time.Unix(int64(d), 0).UTC() }

// UnmarshalJSON reads a JSON number, and refuses strings of digits and numbers that no clock shows.
func (d *NumericDate) UnmarshalJSON(data []byte) error {
	data = bytes.TrimSpace(data)
	if len(data) == 0 || data[0] == '"' {
		return fmt.Errorf("%w: a date must be a number of seconds", ErrJSON)
	}
	var f float64
	if err := json.Unmarshal(data, &f); err != nil || math.Abs(f) > maxDate {
		return fmt.Errorf("%w: a date must be a number of seconds", ErrJSON)
	}
	*d = NumericDate(math.Floor(f))
	return nil
}
