package page

import (
	"encoding/base64"
	"fmt"
	"html/template"
	"strings"

	"github.com/boombuler/barcode/qr"
)

// MaxQRText is the longest URL that is drawn: what is longer makes modules too
// small for a phone's camera to read off a screen.
const MaxQRText = 800

// qrQuiet is the white border that readers need, in modules (ISO/IEC 18004).
const qrQuiet = 4

// QRCode draws a URL as the data: URL of an SVG picture, black on white with
// its border, whatever the page's colours are; empty for a URL that is too
// long to be read.
func QRCode(text string) template.URL {
	if text == "" || len(text) > MaxQRText {
		return ""
	}
	code, err := qr.Encode(text, qr.L, qr.Auto)
	if err != nil {
		return ""
	}
	n := code.Bounds().Dx()
	dark := func(x, y int) bool {
		if x >= n {
			return false
		}
		r, _, _, _ := code.At(x, y).RGBA()
		return r == 0
	}
	var path strings.Builder
	for y := range n {
		for x := 0; x < n; x++ {
			run := x
			for dark(run, y) {
				run++
			}
			if run > x {
				fmt.Fprintf(&path, "M%d %dh%dv1h-%dz", x+qrQuiet, y+qrQuiet, run-x, run-x)
				x = run
			}
		}
	}
	side := n + 2*qrQuiet
	svg := fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" shape-rendering="crispEdges"><path fill="#fff" d="M0 0h%dv%dH0z"/><path d="%s"/></svg>`, side, side, side, side, path.String())
	return template.URL("data:image/svg+xml;base64," + base64.StdEncoding.EncodeToString([]byte(svg)))
}
