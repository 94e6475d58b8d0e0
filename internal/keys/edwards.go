package keys

import (
	"crypto/ed25519"
	"fmt"
	"math/big"
	"slices"
)

// The curve of Ed25519 (RFC 8032, Section 5.1): -x² + y² = 1 + d x² y² modulo p.
var (
	edP     = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	edD     = bigFromDecimal("37095705934669439343138083508754565189542113879843219016388785533085940283555")
	edOne   = big.NewInt(1)
	edSmall = smallOrderY()
)

func bigFromDecimal(s string) *big.Int {
	n, ok := new(big.Int).SetString(s, 10)
	if !ok {
		panic("keys: constant is not a number")
	}
	return n
}

// smallOrderY returns the y of the eight points whose order divides the cofactor: 0 (order 4), 1 (order 1), -1 (order 2) and the two of
// order 8, which solve d y⁴ + 2 y² - 1 = 0.
func smallOrderY() []*big.Int {
	y8 := bigFromDecimal("2707385501144840649318225287225658788936804267575313519463743609750303402022")
	return []*big.Int{
		new(big.Int), edOne, new(big.Int).Sub(edP, edOne), y8, new(big.Int).Sub(edP, y8),
	}
}

// checkEd25519Point refuses what crypto/ed25519 would take for a key without looking: a wrong length, a second spelling of a point
// (y >= p), a y that no point has, and points of small order, under which one signature fits every message.
func checkEd25519Point(key ed25519.PublicKey) error {
	if len(key) != ed25519.PublicKeySize {
		return fmt.Errorf("%w: an Ed25519 key has 32 octets", ErrKey)
	}
	b := slices.Clone(key)
	b[31] &= 0x7f // the sign of x
	slices.Reverse(b)
	y := new(big.Int).SetBytes(b)
	if y.Cmp(edP) >= 0 {
		return fmt.Errorf("%w: the Ed25519 point is not in its canonical form", ErrKey)
	}
	if slices.ContainsFunc(edSmall, func(s *big.Int) bool { return s.Cmp(y) == 0 }) {
		return fmt.Errorf("%w: the Ed25519 point has a small order", ErrKey)
	}
	// x² = (y² - 1) / (d y² + 1); the quotient is a square exactly when the product of both is.
	yy := new(big.Int).Mul(y, y)
	u := new(big.Int).Sub(yy, edOne)
	v := new(big.Int).Mul(edD, yy)
	v.Add(v, edOne)
	if big.Jacobi(u.Mul(u, v).Mod(u, edP), edP) != 1 {
		return fmt.Errorf("%w: the point is not on the curve Ed25519", ErrKey)
	}
	return nil
}
