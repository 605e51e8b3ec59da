package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/wechattest"
)

// simulatorLooks are the narrowest phone, a usual one and a computer.
func simulatorLooks() (all []look) {
	for _, scheme := range []string{"light", "dark"} {
		for _, lang := range []string{"zh-CN", "en"} {
			for width, height := range map[int64]int64{320: 640, 390: 844, 1440: 900} {
				all = append(all, look{device: fmt.Sprint(width), scheme: scheme, lang: lang, width: width, height: height, scale: 1})
			}
		}
	}
	return all
}

// TestSimulator_Looks views the control page after some calls, and the
// quickstart's page.
func TestSimulator_Looks(t *testing.T) {
	t.Parallel()
	require.NoError(t, os.MkdirAll("screenshots", 0o755))
	site := startQuickstart(t)
	sim := &wechatsim{program: site.program, url: site.sim}
	sim.post("fault", url.Values{"endpoint": {"sns/userinfo"}, "fault": {"busy"}, "times": {"2"}})
	authorize := func(scope, callback string) string {
		return site.sim + "/connect/oauth2/authorize?appid=" + wechattest.DefaultAppID + "&redirect_uri=" + url.QueryEscape(callback) + "&response_type=code&scope=" + scope + "&state=state-of-a-login"
	}
	for _, page := range []string{authorize("snsapi_base", site.url+"/public"), authorize("snsapi_userinfo", site.url+"/public"), authorize("snsapi_base", "https://other.example.com/"), site.sim + "/sns/userinfo", site.sim + "/sns/auth"} {
		resp, err := http.Get(page) // an entry for the journal
		require.NoError(t, err)
		resp.Body.Close()
	}
	b := openBrowserForLooks(t)
	b.tab()
	for _, l := range simulatorLooks() {
		t.Run(l.String(), func(t *testing.T) {
			t.Parallel()
			tb := b.window(t)
			require.NoError(t, l.put(tb))
			tb.open(site.sim + "/")
			tb.until("document.querySelector('#journal li') !== null && !document.querySelector('#faults').hidden")
			l.see(tb, "simulator-control")
			tb.open(site.url + "/public")
			l.see(tb, "simulator-quickstart")
		})
	}
}
