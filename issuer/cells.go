package issuer

import "akashi/attestation"

// cells reads the fields of one row. Every cell that cannot be read is reported; the methods then return zero values and failed is set.
type cells struct {
	*table
	row     tableRow
	columns map[string]int // field to column; a field that is not there is -1 or absent
	failed  bool
}

func (c *cells) has(field string) bool { i, ok := c.columns[field]; return ok && i >= 0 }

func (c *cells) value(field string) string {
	if !c.has(field) {
		return ""
	}
	return c.row.cells[c.columns[field]]
}

func (c *cells) name(field string) string {
	if !c.has(field) {
		return field
	}
	return c.header[c.columns[field]]
}

// blank reports whether the row has nothing for the field.
func (c *cells) blank(field string) bool { return c.value(field) == "" }

func (c *cells) fail(field, problem, remedy string) {
	c.failed = true
	c.table.fail(c.row.line, c.name(field), c.value(field), problem, remedy)
}

// text returns the cell, which must not be empty.
func (c *cells) text(field string) string {
	if c.blank(field) {
		c.fail(field, "the cell is empty", "fill it in")
	}
	return c.value(field)
}

// readCell reads a cell that must not be empty.
func readCell[T any](c *cells, field string, parse func(string) (T, *cellError)) T {
	var zero T
	if c.text(field) == "" {
		return zero
	}
	v, err := parse(c.value(field))
	if err != nil {
		c.fail(field, err.problem, err.remedy)
		return zero
	}
	return v
}

// maybeCell reads a cell that may be empty, which gives nil.
func maybeCell[T any](c *cells, field string, parse func(string) (T, *cellError)) *T {
	if c.blank(field) {
		return nil
	}
	v := readCell(c, field, parse)
	return &v
}

func anyText(s string) (string, *cellError) { return s, nil }

func (c *cells) yen(field string) int64                   { return readCell(c, field, parseYen) }
func (c *cells) hours(field string) string                { return readCell(c, field, parseHours) }
func (c *cells) month(field string) attestation.Period    { return readCell(c, field, parseMonth) }
func (c *cells) choice(field string, words choice) string { return readCell(c, field, words.parse) }
func (c *cells) day(field string, short bool) attestation.Date {
	return readCell(c, field, func(s string) (attestation.Date, *cellError) { return parseDay(s, short) })
}
