// Package compliance judges what was done, late, contradicted, proven absent or not shown, and who owed it. It is pure: it reads no
// clock, file or network. Obligations are rows of data in package schemas; this package holds the small fixed set of deadline and
// applicability functions that a row names, and one rule per obligation.
//
// [Calendar] lists what is due under an engagement; [Assess] judges it by [Evidence] that the caller has verified. A finding that rests on
// what was not recorded is stated only where that is proven; what was not shown is never held against anyone.
//
// Left out: exemptions ([Excused] is never given), the other causes of a notice of difficulty than the end of the contract, tax and
// insurance tables (of a payslip only base and allowances of a full month are set against the contract), and any duty of which the
// register in package schemas has no row.
package compliance
