package wechattest

import (
	"fmt"
	"strings"
)

// One size of QR code is sufficient here: version 5 with error correction L,
// byte mode and mask 0. It holds 106 bytes in 37 by 37 modules (ISO/IEC 18004).
const (
	qrSize       = 37
	qrData       = 108 // codewords
	qrCheck      = 26
	qrCapacity   = qrData - 2 // minus mode and length
	qrAlign      = 30         // center of the one alignment pattern
	qrFormatL0   = 0b111011111000100
	qrPolynomial = 0x11d
)

// A qrMatrix is a QR code: which modules are dark, and which carry no data.
type qrMatrix struct{ dark, fixed [qrSize][qrSize]bool }

// encodeQR returns the QR code of a text, or false if it is too long.
func encodeQR(text string) (*qrMatrix, bool) {
	if len(text) > qrCapacity {
		return nil, false
	}
	m := &qrMatrix{}
	m.patterns()
	data := qrCodewords(text)
	m.fill(append(data, qrRemainder(data)...))
	return m, true
}

// qrCodewords returns mode, length, text, terminator and padding.
func qrCodewords(text string) []byte {
	b := make([]byte, qrData)
	b[0] = 0b0100<<4 | byte(len(text)>>4)
	b[1] = byte(len(text)) << 4
	for i := range len(text) {
		b[i+1] |= text[i] >> 4
		b[i+2] = text[i] << 4
	}
	for i := len(text) + 2; i < qrData; i++ {
		b[i] = [2]byte{0xec, 0x11}[(i-len(text))%2]
	}
	return b
}

// qrRemainder returns the Reed-Solomon check codewords of the one block.
func qrRemainder(data []byte) []byte {
	generator := []byte{1}
	root := byte(1)
	for range qrCheck {
		product := make([]byte, len(generator)+1)
		for i, g := range generator {
			product[i] ^= g
			product[i+1] ^= gfMultiply(g, root)
		}
		generator, root = product, gfMultiply(root, 2)
	}
	rest := append(append([]byte(nil), data...), make([]byte, qrCheck)...)
	for i := range data {
		lead := rest[i]
		for j, g := range generator {
			rest[i+j] ^= gfMultiply(g, lead)
		}
	}
	return rest[len(data):]
}

func gfMultiply(a, b byte) byte {
	product := 0
	for x, y := int(a), int(b); y > 0; y >>= 1 {
		if y&1 == 1 {
			product ^= x
		}
		if x <<= 1; x > 255 {
			x ^= qrPolynomial
		}
	}
	return byte(product)
}

func (m *qrMatrix) set(x, y int, dark bool) {
	if x >= 0 && y >= 0 && x < qrSize && y < qrSize {
		m.dark[y][x], m.fixed[y][x] = dark, true
	}
}

// patterns draws what every code of this version contains.
func (m *qrMatrix) patterns() {
	for i := range qrSize {
		m.set(i, 6, i%2 == 0)
		m.set(6, i, i%2 == 0)
	}
	for _, corner := range [][2]int{{3, 3}, {qrSize - 4, 3}, {3, qrSize - 4}} {
		m.rings(corner[0], corner[1], 4, func(ring int) bool { return ring != 2 && ring != 4 })
	}
	m.rings(qrAlign, qrAlign, 2, func(ring int) bool { return ring != 1 })
	for i := range 15 {
		dark := qrFormatL0>>i&1 == 1
		x, y := formatPlace(i)
		m.set(8, y, dark)
		m.set(x, 8, dark)
	}
	m.set(8, qrSize-8, true)
}

// formatPlace returns the position of bit i of the format: its row in column 8,
// and its column in row 8.
func formatPlace(i int) (x, y int) {
	switch {
	case i < 6:
		return qrSize - 1 - i, i
	case i < 8:
		return qrSize - 1 - i, i + 1
	case i == 8:
		return 7, qrSize - 7
	}
	return 14 - i, qrSize - 15 + i
}

func (m *qrMatrix) rings(cx, cy, radius int, dark func(ring int) bool) {
	for dy := -radius; dy <= radius; dy++ {
		for dx := -radius; dx <= radius; dx++ {
			m.set(cx+dx, cy+dy, dark(max(dx, -dx, dy, -dy)))
		}
	}
}

// fill places the codewords in two-column zigzags from the lower right, masked.
func (m *qrMatrix) fill(codewords []byte) {
	bit := 0
	for right, up := qrSize-1, true; right > 0; right, up = right-2, !up {
		if right == 6 {
			right = 5 // the timing column
		}
		for i := range qrSize {
			y := i
			if up {
				y = qrSize - 1 - i
			}
			for x := right; x > right-2; x-- {
				if m.fixed[y][x] {
					continue
				}
				one := bit/8 < len(codewords) && codewords[bit/8]>>(7-bit%8)&1 == 1
				m.dark[y][x] = one != ((x+y)%2 == 0)
				bit++
			}
		}
	}
}

// svg draws the code with the quiet zone that readers need.
func (m *qrMatrix) svg() string {
	var path strings.Builder
	for y := range qrSize {
		for x := range qrSize {
			if m.dark[y][x] {
				fmt.Fprintf(&path, "M%d %dh1v1h-1z", x+4, y+4)
			}
		}
	}
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" shape-rendering="crispEdges"><path fill="#fff" d="M0 0h%dv%dH0z"/><path fill="#111" d="%s"/></svg>`,
		qrSize+8, qrSize+8, qrSize+8, qrSize+8, path.String())
}
