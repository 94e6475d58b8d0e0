// Package verifier judges what a holder presents. [Assess] takes a fresh presentation (OpenID4VP 1.0, Section 8.6; RFC 9901, Section
// 7.3), looks up in the registry what it opens, and returns the evidence file with every finding. [Verify] checks a file that somebody
// hands over, offline: an evidence file, a presentation, or a single SD-JWT.
//
// [VP] is the service that asks wallets, by OpenID4VP 1.0 with HAIP 1.0, with links and over the Digital Credentials API: requests, sessions, and
// the query of an assessment in two steps or in one.
//
// [Desk] is what people see of it: the reviewer's desk with its cases, audit log and retention, the page on which a worker alone makes an assessment to
// hand in, and the one that verifies an assessment again.
//
// Pages for people are html/template files in pages/, in Japanese and English, without anything loaded from elsewhere, see page.go. The page
// of an assessment says first what the reviewer came to learn, then why, then by which evidence, and never more than the proofs; [WritePage] writes it as one file.
package verifier
