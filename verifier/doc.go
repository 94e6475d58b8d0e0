// Package verifier judges what a holder presents. [Assess] takes a fresh presentation (OpenID4VP 1.0, Section 8.6; RFC 9901, Section
// 7.3), looks up in the registry what it opens, and returns the evidence file with every finding. [Verify] checks a file that somebody
// hands over, offline: an evidence file, a presentation, or a single SD-JWT.
//
// [VP] is the service that asks wallets, by OpenID4VP 1.0 with HAIP 1.0, with links and over the Digital Credentials API: requests, sessions, and
// the query of an assessment in two steps or in one. Left out of it: pages for people.
package verifier
