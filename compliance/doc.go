// Package compliance judges what was done, late, contradicted, proven absent or not shown, and who owed it. It is pure: it reads no
// clock, file or network. Obligations are rows of data in package schemas; this package holds the small fixed set of deadline and
// applicability functions that a row names, and one rule per obligation.
package compliance
