package e2e

import (
	"encoding/json"
	"image/png"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/wechattest"
)

// The pictures of the docs are in picturesDir, with the text of each in
// pictureTexts. WRITE_PICTURES=1, which "make pictures" sets, writes them.
const (
	picturesDir     = "../docs/images"
	pictureTexts    = picturesDir + "/texts.json"
	maxPictureBytes = 80 << 10
)

// pictureLooks are the looks of the pictures, in pairs of a phone and a computer.
func pictureLooks() (pairs [][2]look) {
	for _, scheme := range []string{"light", "dark"} {
		for _, lang := range []string{"en", "zh-CN"} {
			pairs = append(pairs, [2]look{
				{device: "phone", scheme: scheme, lang: lang, agent: wechattest.IPhone, width: 390, height: 700, scale: 1.5,
					options: []chromedp.EmulateViewportOption{chromedp.EmulateMobile, chromedp.EmulateTouch, chromedp.EmulatePortrait}},
				{device: "desktop", scheme: scheme, lang: lang, width: 900, height: 700, scale: 1},
			})
		}
	}
	return pairs
}

// branded are the pictures of pages with a brand, by the page's name.
var branded = map[string]string{"confirm": "confirm", "open long": "open", "message state_expired": "expired"}

// pictureName is the name of a picture, such as "phone-page-dark.zh-CN.png".
func (l look) pictureName(subject string) string {
	name := l.device + "-" + subject + "-" + l.scheme
	if l.lang != "en" {
		name += "." + l.lang
	}
	return name + ".png"
}

var (
	portOfURL   = regexp.MustCompile(`127\.0\.0\.1:\d+`)
	secondsLeft = regexp.MustCompile(`\d+( s| 秒)`) // of a QR code
)

// TestPictures takes the pictures of the docs from the real pages. Their set
// must be complete, and their text that of the pages today.
func TestPictures(t *testing.T) {
	t.Parallel()
	write := os.Getenv("WRITE_PICTURES") != ""
	quickstart, scan, gallery := startQuickstart(t), startScanSite(t, withScan()), startGallery(t)
	b := openBrowserForLooks(t)
	texts := map[string][]string{}
	if write {
		require.NoError(t, os.MkdirAll(picturesDir, 0o755))
	}
	take := func(l look, tb *tab, subject string) {
		name := l.pictureName(subject)
		text := portOfURL.ReplaceAllString(eval[string](tb, "document.body.innerText"), "127.0.0.1")
		text = secondsLeft.ReplaceAllString(text, "120$1")
		texts[name] = slices.DeleteFunc(strings.Split(text, "\n"), func(line string) bool { return strings.TrimSpace(line) == "" })
		if write {
			require.NoError(t, os.WriteFile(filepath.Join(picturesDir, name), tb.smallScreenshot(), 0o644))
		}
	}
	for _, pair := range pictureLooks() {
		phone, computer := b.window(t), b.window(t)
		require.NoError(t, pair[0].put(phone))
		require.NoError(t, pair[1].put(computer))

		phone.open(quickstart.url + "/profile")
		phone.click(upgradeButton)
		take(pair[0], phone, "consent")
		phone.click(allowButton)
		take(pair[0], phone, "page")
		computer.open(scan.url + "/orders?id=7")
		take(pair[1], computer, "scan")
		for _, v := range gallery {
			if subject := branded[v.name]; subject != "" {
				phone.open(v.url + "?lang=" + pair[0].lang)
				take(pair[0], phone, subject)
			}
		}
	}
	if write {
		text, err := json.MarshalIndent(texts, "", "  ")
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(pictureTexts, append(text, '\n'), 0o644))
	}

	var written map[string][]string
	text, err := os.ReadFile(pictureTexts)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &written))
	assert.Equal(t, texts, written, "the pages have changed: run make pictures")
	files, err := filepath.Glob(picturesDir + "/*.png")
	require.NoError(t, err)
	assert.Len(t, files, len(texts), "the pictures are those of the pages, and no others")
	for name := range texts {
		file, err := os.Open(filepath.Join(picturesDir, name))
		require.NoError(t, err)
		defer file.Close()
		_, err = png.DecodeConfig(file)
		assert.NoError(t, err, name)
		info, err := file.Stat()
		require.NoError(t, err)
		assert.LessOrEqual(t, info.Size(), int64(maxPictureBytes), name)
	}
}
