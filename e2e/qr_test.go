package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"image"
	"image/png"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
	"github.com/makiuchi-d/gozxing/qrcode/decoder"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/environment"
	"github.com/wechatauth/wechatauth/wechattest"
)

// box is the position of an element in the window, in CSS pixels.
type box struct{ X, Y, Width, Height float64 }

// boxJS returns the box of the element that a selector finds.
const boxJS = `((e) => {
  e.scrollIntoView({ block: "center", behavior: "instant" });
  const { x, y, width, height } = e.getBoundingClientRect();
  return { X: x, Y: y, Width: width, Height: height };
})(document.querySelector(%q))`

func (tb *tab) box(selector string) box {
	tb.t.Helper()
	return eval[box](tb, fmt.Sprintf(boxJS, selector))
}

// readQR reads the QR code of one of our pages off the screen.
func (tb *tab) readQR() string {
	tb.t.Helper()
	return tb.readQRAt(func() box { return tb.box(".qr") })
}

// readFramedQR reads the QR code in the frame of a page. A frame of another
// site has its own target.
func (tb *tab) readFramedQR() string {
	tb.t.Helper()
	targets, err := chromedp.Targets(tb.ctx)
	require.NoError(tb.t, err)
	var frames []target.ID
	for _, info := range targets {
		if info.Type == "iframe" {
			frames = append(frames, info.TargetID)
		}
	}
	require.Len(tb.t, frames, 1)
	inside, cancel := chromedp.NewContext(tb.ctx, chromedp.WithTargetID(frames[0]), chromedp.WithDetachOnCancel())
	defer cancel()
	return tb.readQRAt(func() box {
		frame := tb.box("iframe")
		code, err := chromedp.Run(inside, chromedp.Evaluate[box](fmt.Sprintf(boxJS, ".code")))
		require.NoError(tb.t, err)
		code.X, code.Y = code.X+frame.X, code.Y+frame.Y
		return code
	})
}

// readQRAt retries until there is a code to read, as a camera does: a loaded
// page may not be drawn yet. It ends with the browser.
func (tb *tab) readQRAt(place func() box) string {
	tb.t.Helper()
	for {
		at, scale := place(), eval[float64](tb, "devicePixelRatio")
		text, err := readCode(tb.screen(), at, scale)
		if err == nil {
			return text
		}
		tb.t.Logf("reading again: %v", err)
	}
}

// screenshot returns a PNG of the window, encoded for speed.
func (tb *tab) screenshot() []byte { tb.t.Helper(); return tb.capture(true) }

// smallScreenshot is a screenshot of fewer bytes, which takes longer.
func (tb *tab) smallScreenshot() []byte { tb.t.Helper(); return tb.capture(false) }

func (tb *tab) capture(fast bool) []byte {
	tb.t.Helper()
	var picture []byte
	require.NoError(tb.t, chromedp.Do(tb.ctx, chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		result, err := cdp.Call(ctx, t, page.CaptureScreenshot, page.CaptureScreenshotParams{OptimizeForSpeed: &fast})
		picture = result.Data
		return err
	})))
	return picture
}

// screen returns the picture that the window shows.
func (tb *tab) screen() image.RGBA64Image {
	tb.t.Helper()
	screen, err := png.Decode(bytes.NewReader(tb.screenshot()))
	require.NoError(tb.t, err)
	require.Implements(tb.t, (*image.RGBA64Image)(nil), screen)
	return screen.(image.RGBA64Image)
}

// readCode reads the QR code at a position of the screen. Readers for cameras
// guess where a code is and how large its modules are, and sometimes misread a
// code that a phone reads. Here both are measured: the dark pixels are the
// code, its upper left pattern is seven modules wide, and dark and light
// modules alternate in row 6 (ISO/IEC 18004), so they can be counted.
func readCode(screen image.RGBA64Image, place box, scale float64) (string, error) {
	const inset = 6 // CSS pixels: the rounded corners of the picture's own border
	dark := func(x, y int) bool {
		c := screen.RGBA64At(x, y)
		return int(c.R)+int(c.G)+int(c.B) < 3*0x8000
	}
	code := image.Rect(
		int((place.X+inset)*scale), int((place.Y+inset)*scale),
		int((place.X+place.Width-inset)*scale), int((place.Y+place.Height-inset)*scale))
	if code.Empty() || !code.In(screen.Bounds()) {
		return "", fmt.Errorf("read QR code: %v is not on the screen of %v", code, screen.Bounds())
	}
	light := func(area image.Rectangle) bool {
		for y := area.Min.Y; y < area.Max.Y; y++ {
			for x := area.Min.X; x < area.Max.X; x++ {
				if dark(x, y) {
					return false
				}
			}
		}
		return !area.Empty()
	}
	for light(image.Rect(code.Min.X, code.Min.Y, code.Max.X, code.Min.Y+1)) {
		code.Min.Y++
	}
	for light(image.Rect(code.Min.X, code.Max.Y-1, code.Max.X, code.Max.Y)) {
		code.Max.Y--
	}
	for light(image.Rect(code.Min.X, code.Min.Y, code.Min.X+1, code.Max.Y)) {
		code.Min.X++
	}
	for light(image.Rect(code.Max.X-1, code.Min.Y, code.Max.X, code.Max.Y)) {
		code.Max.X--
	}
	if code.Empty() {
		return "", errors.New("read QR code: there is none")
	}

	pattern := 0
	for dark(code.Min.X+pattern, code.Min.Y) {
		pattern++
	}
	runs, timing := 1, code.Min.Y+pattern*13/14
	for x := code.Min.X + 1; x < code.Max.X; x++ {
		if dark(x, timing) != dark(x-1, timing) {
			runs++
		}
	}
	modules := make([][]bool, runs+12) // both ends of row 6 are seven dark modules
	for y := range modules {
		modules[y] = make([]bool, len(modules))
		for x := range modules {
			modules[y][x] = dark(
				code.Min.X+(2*x+1)*code.Dx()/(2*len(modules)),
				code.Min.Y+(2*y+1)*code.Dy()/(2*len(modules)))
		}
	}
	result, err := decoder.NewDecoder().DecodeBoolMapWithoutHint(modules)
	if err != nil {
		return "", fmt.Errorf("read QR code of %d modules: %w", len(modules), err)
	}
	return result.GetText(), nil
}

// randomFor returns a source of randomness whose seed is E2E_SEED, or the time.
// The test logs it.
func randomFor(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if set := os.Getenv("E2E_SEED"); set != "" {
		var err error
		seed, err = strconv.ParseUint(set, 10, 64)
		require.NoError(t, err, "E2E_SEED")
	}
	t.Logf("E2E_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// galleryJS replaces the page with copies of its QR code, each with another
// picture, at the sizes of a computer and of a phone, and shifted by a fraction
// of a pixel. It returns the boxes of all, once all are drawn.
const galleryJS = `(async (pictures) => {
  const code = document.querySelector(".qr");
  const copies = pictures.map((picture, i) => {
    const copy = code.cloneNode(true);
    copy.src = picture;
    copy.style.cssText = "margin: " + i / 7 + "px 0 0 " + i / 9 + "px; width: " + (i %% 2 ? 180 : 240) + "px";
    return copy;
  });
  document.body.style.cssText = "display: flex; flex-flow: row wrap; align-items: start; padding: 0; background: var(--card)";
  document.body.replaceChildren(...copies);
  await Promise.all(copies.map((copy) => copy.decode()));
  return copies.map((copy) => {
    const { x, y, width, height } = copy.getBoundingClientRect();
    return { X: x, Y: y, Width: width, Height: height };
  });
})(%s)`

// Codes as Chromium draws them in a page: on screens of any resolution, in both
// color schemes. E2E_CODES is their number; of 2,000 none may be unread.
func TestReadCode(t *testing.T) {
	t.Parallel()
	const perGallery = 25
	codes := 9 * perGallery // one gallery for each scale
	if set := os.Getenv("E2E_CODES"); set != "" {
		var err error
		codes, err = strconv.Atoi(set)
		require.NoError(t, err, "E2E_CODES")
	}
	site := startScanSite(t, wechatauth.WithEnvironment(environment.Policy{environment.WeChatWindows: environment.OpenInWeChat}))
	random := randomFor(t)
	tb := openBrowserForLooks(t).tab()
	unread := 0
	for gallery := range codes / perGallery {
		l := looks()[gallery%len(looks())]
		l.agent, l.width, l.height, l.options = wechattest.Windows, 1280, 1280, nil
		l.scale = []float64{1, 1.25, 1, 1.5, 1, 2, 1, 3, 1}[gallery%9]
		require.NoError(t, l.put(tb))
		tb.open(site.url + "/")
		tb.forgive("status of 403")

		var texts, pictures []string
		for range perGallery {
			text := site.url + "/orders?id=" + randomText(random)
			texts, pictures = append(texts, text), append(pictures, drawnFor(t, text))
		}
		list, err := json.Marshal(pictures)
		require.NoError(t, err)
		places, err := chromedp.Run(tb.ctx, chromedp.Evaluate[[]box](fmt.Sprintf(galleryJS, list), chromedp.EvalAwaitPromise))
		require.NoError(t, err)
		screen := tb.screen()
		for i, place := range places {
			if got, err := readCode(screen, place, l.scale); got != texts[i] {
				unread++
				t.Errorf("%s at a scale of %v: %s is read as %q, %v", l, l.scale, texts[i], got, err)
			}
		}
		assert.Len(t, places, perGallery)
	}
	t.Logf("codes %d, unread %d", codes, unread)
}

// randomText returns 1 to 64 characters, so that the codes have several sizes.
func randomText(random *rand.Rand) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	text := make([]byte, 1+random.IntN(64))
	for i := range text {
		text[i] = letters[random.IntN(len(letters))]
	}
	return string(text)
}

var codePicture = regexp.MustCompile(`data:image/svg\+xml;base64,[A-Za-z0-9+/=]*`)

// drawnFor returns the QR code that a site shows at one of its URLs to a
// browser that must open it in WeChat.
func drawnFor(t *testing.T, url string) string {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, url, nil)
	require.NoError(t, err)
	r.Header.Set("User-Agent", wechattest.Windows)
	r.Header.Set("Accept", "text/html")
	resp, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	picture := codePicture.FindString(html.UnescapeString(string(body)))
	require.NotEmpty(t, picture, strings.TrimSpace(string(body)))
	return picture
}
