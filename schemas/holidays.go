package schemas

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// ErrOutsideCalendar is returned for a day of a year that the table does not cover. Holidays are made by law each year, so a date beyond
// the table cannot be judged: add the year to calendar/holidays.json once it is gazetted.
var ErrOutsideCalendar = errors.New("no holidays known for that year: add it to schemas/calendar/holidays.json")

// HolidayTable holds Japan's national holidays, with substitute and sandwiched ones. Saturdays, Sundays and the turn of the year are not
// in it: the bank and the government calendar differ there.
type HolidayTable struct {
	first, last int
	days        map[dayOfYear]bool
}

type dayOfYear struct {
	year  int
	month time.Month
	day   int
}

// IsNational reports whether the civil day in Japan is a national holiday, and [ErrOutsideCalendar] where the table does not know.
func (h HolidayTable) IsNational(year int, month time.Month, day int) (bool, error) {
	if year < h.first || year > h.last {
		return false, fmt.Errorf("%d: %w", year, ErrOutsideCalendar)
	}
	return h.days[dayOfYear{year, month, day}], nil
}

// Years returns the first and the last year that the table covers, without gaps between.
func (h HolidayTable) Years() (first, last int) { return h.first, h.last }

// Holidays returns the table.
func Holidays() HolidayTable { return holidays() }

type holidayFile struct {
	LegalBasis string        `json:"legal_basis"`
	Confidence string        `json:"confidence"`
	Source     string        `json:"source"`
	Years      []holidayYear `json:"years"`
}

type holidayYear struct {
	Year int      `json:"year"`
	Days []string `json:"days"` // YYYY-MM-DD, rising
}

var holidays = sync.OnceValue(func() HolidayTable {
	var f holidayFile
	mustLoad("calendar/holidays.json", &f)
	h, err := tableOf(f)
	if err != nil {
		panic(err)
	}
	return h
})

// tableOf refuses gaps between years, days of another year, and days that do not rise: a day written twice hides one that is missing.
func tableOf(f holidayFile) (HolidayTable, error) {
	if len(f.Years) == 0 {
		return HolidayTable{}, errors.New("holidays: no year")
	}
	h := HolidayTable{first: f.Years[0].Year, last: f.Years[len(f.Years)-1].Year, days: map[dayOfYear]bool{}}
	for i, y := range f.Years {
		if y.Year != h.first+i {
			return HolidayTable{}, fmt.Errorf("holidays: %d is missing or out of order", h.first+i)
		}
		before := ""
		for _, s := range y.Days {
			t, err := time.Parse(time.DateOnly, s)
			if err != nil || t.Year() != y.Year || s <= before {
				return HolidayTable{}, fmt.Errorf("holidays of %d: a day is not of that year, or out of order", y.Year)
			}
			before = s
			h.days[dayOfYear{t.Year(), t.Month(), t.Day()}] = true
		}
	}
	return h, nil
}
