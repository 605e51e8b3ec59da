package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/wechattest"
)

// wechatsim is a running process of cmd/wechatsim.
type wechatsim struct {
	*program
	url string // without a trailing slash
}

var simLine = regexp.MustCompile(`^wechatsim: open base URL (http://\S+), api base URL (http://\S+), control page (http://\S+)/$`)

func startWechatsim(t *testing.T, args ...string) *wechatsim {
	t.Helper()
	p := startProgram(t, wechatsimBinary, append([]string{"-addr", "127.0.0.1:0"}, args...)...)
	found := simLine.FindStringSubmatch(p.first)
	require.NotNil(t, found, "the first line is %q", p.first)
	return &wechatsim{program: p, url: found[1]}
}

// post posts a form of the control page, as a test in any language does.
func (s *wechatsim) post(form string, fields url.Values) {
	s.t.Helper()
	resp, err := http.PostForm(s.url+"/sim/"+form, fields)
	require.NoError(s.t, err)
	resp.Body.Close()
	require.Equal(s.t, http.StatusOK, resp.StatusCode)
}

// calls are the simulator's calls, as the control page reads them.
type calls struct {
	Calls       []wechattest.Call
	Last, Ended int
}

// calls waits until there are calls for the query.
func (s *wechatsim) calls(query string) (news calls) {
	s.t.Helper()
	for {
		resp, err := http.Get(s.url + "/sim/journal?" + query)
		require.NoError(s.t, err)
		err = json.NewDecoder(resp.Body).Decode(&news)
		resp.Body.Close()
		require.NoError(s.t, err)
		if len(news.Calls) > 0 || query == "" {
			return news
		}
	}
}

// count returns how often an endpoint was called.
func (s *wechatsim) count(endpoint string) (n int) {
	s.t.Helper()
	for _, c := range s.calls("after=0").Calls {
		if c.Endpoint == endpoint {
			n++
		}
	}
	return n
}

// protectedSite is a small site that requires a login, in this process.
type protectedSite struct {
	url    string
	logins atomic.Int64
}

func startSite(t *testing.T, sim *wechatsim, opts ...wechatauth.Option) *protectedSite {
	t.Helper()
	s := &protectedSite{}
	server := httptest.NewUnstartedServer(nil)
	s.url = "http://" + server.Listener.Addr().(*net.TCPAddr).String()
	auth, err := wechatauth.New(append([]wechatauth.Option{
		wechatauth.WithApp(wechattest.DefaultAppID, wechattest.DefaultSecret),
		wechatauth.WithBaseURL(s.url),
		wechatauth.WithEndpoints(client.Endpoints{Open: sim.url, API: sim.url}),
		wechatauth.WithOnLogin(func(context.Context, wechatauth.Identity) error { s.logins.Add(1); return nil }),
	}, opts...)...)
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.Handle("/wechat/", auth)
	mux.Handle("GET /{$}", auth.RequireWeChat(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, _ := wechatauth.IdentityFromContext(r.Context())
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, `<!doctype html><title>Site</title><link rel="icon" href="data:,"><p id="openid">%s</p>`, id.OpenID)
	})))
	server.Config.Handler = mux
	server.Start()
	t.Cleanup(server.Close)
	return s
}

// arranged waits until a condition on the simulator's state s holds.
func (tb *tab) arranged(condition string) {
	tb.t.Helper()
	script := fmt.Sprintf("(async () => { for (let s; ; ) { s = await (await fetch('state')).json(); if (%s) return true; } })()", condition)
	_, err := chromedp.Run(tb.ctx, chromedp.Evaluate[bool](script, chromedp.EvalAwaitPromise))
	require.NoError(tb.t, err, condition)
}

// press clicks on an element that changes the page without a navigation.
func (tb *tab) press(selector string) {
	tb.t.Helper()
	require.NoError(tb.t, chromedp.Do(tb.ctx, chromedp.Click(chromedp.CSS(selector))), selector)
}

// choose picks an option of a select.
func (tb *tab) choose(selector, value string) {
	tb.t.Helper()
	require.NoError(tb.t, chromedp.Do(tb.ctx, chromedp.SetValue(chromedp.CSS(selector), value)), selector)
}

// forgetCookies makes the browser a new user's.
func (tb *tab) forgetCookies() {
	tb.t.Helper()
	require.NoError(tb.t, chromedp.Do(tb.ctx, chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, network.ClearBrowserCookies, cdp.Empty{})
		return err
	})))
}

// inPhone returns an expression for an element in the simulated phone of a QR
// page.
func inPhone(selector string) string {
	return fmt.Sprintf("document.querySelector('.phone iframe')?.contentDocument?.querySelector(%q)", selector)
}

// phoneLook returns the look of a phone in WeChat.
func phoneLook() look { return looks()[2] }

// openOnPhone opens a tab in WeChat on a phone.
func openOnPhone(t *testing.T) (control, phone *tab) {
	t.Helper()
	b := openBrowser(t)
	control, phone = b.tab(), b.tab()
	require.NoError(t, phoneLook().put(phone))
	return control, phone
}

// visitAnew opens a page in a browser without cookies.
func (tb *tab) visitAnew(url string) shown {
	tb.t.Helper()
	tb.forgetCookies()
	return tb.open(url)
}

// journalShows waits until the newest entry of the control page's journal is
// about an endpoint and has that result.
func (tb *tab) journalShows(endpoint, result string) {
	tb.t.Helper()
	tb.until(fmt.Sprintf("(t => t.includes(%q) && t.includes(%q))(document.querySelector('#journal li').innerText)", endpoint, result))
}

func TestSimulator_Login(t *testing.T) {
	t.Parallel()
	sim := startWechatsim(t)
	site := startSite(t, sim, wechatauth.WithScope(client.ScopeUserInfo))
	control, phone := openOnPhone(t)

	control.open(sim.url + "/")
	assert.Equal(t, sim.url+"/sim/", eval[string](control, "location.href"))
	control.press("input[name=person][value=Lin]")
	control.arranged("s.holder === 'Lin'")
	consent := phone.visitAnew(site.url + "/")
	assert.True(t, strings.HasPrefix(consent.url, sim.url+"/connect/oauth2/authorize?"), consent.url)
	assert.True(t, eval[bool](phone, "document.querySelector('input[value=Lin]').checked"))
	assert.Equal(t, shown{200, site.url + "/"}, phone.click(allowButton))
	assert.Equal(t, openIDOf("Lin"), phone.text("#openid"))
	control.journalShows("sns/userinfo", "ok")

	control.press("input[name=person][value=阿青]")
	control.press("input[name=environment][value=menu]")
	control.arranged("s.holder === '阿青' && s.everywhere === 'menu'")
	assert.Equal(t, shown{200, site.url + "/"}, phone.visitAnew(site.url+"/"), "a follower sees no consent page")
	assert.Equal(t, openIDOf("阿青"), phone.text("#openid"))

	control.press("input[name=environment][value=snapshot]")
	control.arranged("s.everywhere === 'snapshot'")
	assert.Equal(t, shown{403, site.url + "/"}, phone.visitAnew(site.url+"/"))
	phone.forgive("status of 403")
	assert.Contains(t, phone.text("body"), "使用完整服务")
	assert.False(t, phone.has("#openid"))
	assert.EqualValues(t, 2, site.logins.Load(), "a virtual user is not logged in")
}

func TestSimulator_ControlPage(t *testing.T) {
	t.Parallel()
	sim := startWechatsim(t)
	site := startSite(t, sim, wechatauth.WithScope(client.ScopeUserInfo))
	control, phone := openOnPhone(t)

	control.open(sim.url + "/")
	control.choose("select[name=endpoint]", "sns/oauth2/access_token")
	control.choose("select[name=fault]", "errcode:45011")
	control.press("form.fault button.go")
	control.until("document.querySelector('#faults').innerText.includes('errcode:45011 sns/oauth2/access_token')")
	phone.open(site.url + "/")
	failed := phone.click(allowButton)
	assert.True(t, strings.HasPrefix(failed.url, site.url+"/wechat/callback?code="), failed.url)
	assert.EqualValues(t, 503, failed.status)
	phone.forgive("status of 503")
	control.journalShows("sns/oauth2/access_token", "45011")
	assert.True(t, control.has("#journal li:first-child.bad"))
	control.until("document.querySelector('#faults').hidden")

	control.press("details:has(#switches) summary")
	control.press("input[name=refusal-callback]")
	control.arranged("s.switches['refusal-callback']")
	phone.open(site.url + "/")
	refused := phone.click(refuseButton)
	assert.True(t, strings.HasPrefix(refused.url, site.url+"/wechat/callback?state="), "the site gets a callback: %s", refused.url)
	assert.Equal(t, "refused_by_user", phone.reason())
	phone.forgive(fmt.Sprintf("status of %d", refused.status))
	assert.Zero(t, site.logins.Load())

	page := eval[string](control, "document.documentElement.outerHTML")
	for _, a := range wechattest.DefaultAccounts() {
		assert.NotContains(t, page, a.Secret, "the secret of %s", a.Name)
	}
	assert.NotRegexp(t, `\d\d_\w{20}`, page, "a token")
}

func TestSimulator_Denied(t *testing.T) {
	t.Parallel()
	sim := startWechatsim(t)
	site := startSite(t, sim, wechatauth.WithScope(client.ScopeUserInfo))
	_, phone := openOnPhone(t)
	phone.open(site.url + "/")
	assert.Equal(t, shown{200, sim.url + "/connect/oauth2/authorize_reply"}, phone.click(refuseButton))
	assert.Zero(t, phone.asked(site.url+"/wechat/callback"), "the site gets no callback")
	phone.open(site.url + "/")
	assert.Equal(t, shown{200, site.url + "/"}, phone.click(allowButton), "the user may still allow it")
	assert.Equal(t, openIDOf(person), phone.text("#openid"))
}

func TestSimulator_QRCode(t *testing.T) {
	t.Parallel()
	sim := startWechatsim(t)
	site := startSite(t, sim, wechatauth.WithWebsiteApp(wechattest.DefaultWebsiteAppID, wechattest.DefaultWebsiteSecret))
	tb := openBrowser(t).tab()
	qr := tb.open(site.url + "/")
	assert.True(t, strings.HasPrefix(qr.url, sim.url+"/connect/qrconnect?"), qr.url)
	assert.True(t, tb.has(".code svg"))
	scan(tb)
	eval[bool](tb, inPhone(allowButton)+".click() ?? true")
	tb.until(fmt.Sprintf("location.href === %q && document.querySelector('#openid') !== null", site.url+"/"))
	assert.Equal(t, wechattest.OpenID(wechattest.DefaultWebsiteAppID, person), tb.text("#openid"))
	assert.Equal(t, 1, sim.count("sns/oauth2/access_token"))
}

// scan makes the phone on a QR page scan the code, and waits until both pages
// show it.
func scan(tb *tab) {
	tb.t.Helper()
	tb.until(inPhone("a.button") + " != null")
	eval[bool](tb, inPhone("a.button")+".click() ?? true")
	tb.until(inPhone(allowButton) + " != null")
	tb.until("!document.querySelector('[data-when=\"404\"]').hidden")
}

func TestSimulator_DuplicateCallback(t *testing.T) {
	t.Parallel()
	for _, doubled := range []wechattest.Quirk{wechattest.DuplicateCallbackAtOnce, wechattest.DuplicateCallbackLater} {
		t.Run(string(doubled), func(t *testing.T) {
			t.Parallel()
			sim := startWechatsim(t)
			site := startSite(t, sim)
			_, phone := openOnPhone(t)
			sim.post("switch", url.Values{"switch": {string(doubled)}, "on": {"true"}})

			phone.open(site.url + "/")
			phone.until(fmt.Sprintf("location.href === %q && document.querySelector('#openid') !== null", site.url+"/"))
			assert.Equal(t, openIDOf(person), phone.text("#openid"))
			assert.Equal(t, 2, phone.asked(site.url+"/wechat/callback"))
			assert.Equal(t, 1, sim.count("sns/oauth2/access_token"))
			assert.EqualValues(t, 1, site.logins.Load())
			assert.Equal(t, shown{200, site.url + "/"}, phone.reload())
		})
	}
}

func TestSimulator_Pages(t *testing.T) {
	t.Parallel()
	sim := startWechatsim(t)
	require.NoError(t, os.MkdirAll("screenshots", 0o755))
	callback := url.QueryEscape("http://127.0.0.1:1/cb")
	authorize := sim.url + "/connect/oauth2/authorize?appid=" + wechattest.DefaultAppID + "&redirect_uri=" + callback + "&response_type=code&scope="
	qrconnect := sim.url + "/connect/qrconnect?appid=" + wechattest.DefaultWebsiteAppID + "&redirect_uri=" + callback + "&response_type=code&scope=snsapi_login&state=s"
	sim.post("fault", url.Values{"endpoint": {"sns/userinfo"}, "fault": {"busy"}, "times": {"2"}})
	for _, page := range []string{authorize + "snsapi_base", qrconnect, sim.url + "/sns/userinfo", sim.url + "/sns/auth"} {
		resp, err := http.Get(page) // an entry for the journal
		require.NoError(t, err)
		resp.Body.Close()
	}
	for _, device := range []string{"phone", "desktop"} {
		t.Run(device, func(t *testing.T) {
			t.Parallel()
			b := openBrowser(t)
			for _, l := range looks() {
				if l.device == device {
					l.seeSimulator(b.tab(), sim.url+"/", qrconnect, authorize)
				}
			}
		})
	}
}

func (l look) seeSimulator(tb *tab, control, qrconnect, authorize string) {
	tb.t.Helper()
	in := func(agent string) {
		l.agent = agent
		require.NoError(tb.t, l.put(tb))
	}
	in(l.agent)
	tb.open(control)
	tb.until("document.querySelector('#journal li') !== null && !document.querySelector('#faults').hidden")
	l.see(tb, "sim-1-control")
	in(wechattest.Windows) // a desktop client: a phone gets no QR code
	tb.open(qrconnect)
	l.see(tb, "sim-2-qr")
	scan(tb)
	l.see(tb, "sim-3-qr-scanned")
	in(wechattest.IPhone)
	tb.open(authorize + "&state=s#wechat_redirect")
	l.see(tb, "sim-4-error")
	in(wechattest.Chrome)
	tb.open(authorize + "snsapi_base&state=s#wechat_redirect")
	l.see(tb, "sim-5-not-wechat")
	in(wechattest.IPhone)
	tb.open(authorize + "snsapi_userinfo&state=s#wechat_redirect")
	l.see(tb, "sim-6-consent")
	tb.click(refuseButton)
	l.see(tb, "sim-7-refused")
}
