package channels

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/environment"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/internal/session"
	"github.com/wechatauth/wechatauth/wechattest"
)

const (
	miniOfA = "wx0000000000000a99"
	miniOfB = "wx0000000000000b99"
)

// A stall is one account of an application that serves two, and its location.
type stall struct {
	account wechatauth.Account
	origin  string // scheme and host
	page    string // the path of the account's own page
}

func (s stall) appIDs() []string { return []string{s.account.AppID, s.account.MiniProgramAppID} }

// A mall is an application that serves two accounts and determines itself,
// without the gate, whose page it serves.
type mall struct {
	*authtest.Site
	shops [2]stall

	served    atomic.Int64 // pages with an identity
	crossings atomic.Int64 // of those, pages of one account with the identity of another
}

// newMall returns a mall. The layout has the locations of its accounts, and the
// ways in which the gate and the application distinguish them.
func newMall(t *testing.T, layout mallLayout, opts ...wechatauth.Option) *mall {
	t.Helper()
	kinds := func(appID, secret string, kind wechattest.Kind) wechattest.Account {
		return wechattest.Account{AppID: appID, Secret: secret, Kind: kind, OpenPlatform: "one"}
	}
	sim := wechattest.NewServer(wechattest.WithAccount(
		kinds(authtest.ShopA, "secret-of-a", wechattest.OfficialAccount), kinds(authtest.ShopB, "secret-of-b", wechattest.OfficialAccount),
		kinds(miniOfA, "secret-of-mini-a", wechattest.MiniProgram), kinds(miniOfB, "secret-of-mini-b", wechattest.MiniProgram)))
	server := httptest.NewUnstartedServer(nil)
	m := &mall{}
	m.shops[0].account = wechatauth.Account{AppID: authtest.ShopA, Secret: "secret-of-a", MiniProgramAppID: miniOfA, MiniProgramSecret: "secret-of-mini-a"}
	m.shops[1].account = wechatauth.Account{AppID: authtest.ShopB, Secret: "secret-of-b", MiniProgramAppID: miniOfB, MiniProgramSecret: "secret-of-mini-b"}
	resolver := layout.place(m, authtest.MustParse(t, "http://"+server.Listener.Addr().String()))
	m.Site = authtest.NewShopsSite(t, sim, server, resolver, append(opts, wechatauth.WithEnvironment(environment.Policy{environment.DesktopBrowser: environment.LoginScan}))...)
	server.Config.Handler = m.Auth.RequireWeChat(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, ok := wechatauth.IdentityFromContext(r.Context())
		if ok {
			m.served.Add(1)
			if !slices.Contains(m.shops[layout.shopOf(m, r)].appIDs(), id.AppID) {
				m.crossings.Add(1)
			}
		}
		authtest.Echo(w, r)
	}))
	return m
}

type mallLayout struct {
	place  func(m *mall, server *url.URL) wechatauth.AccountResolver
	shopOf func(m *mall, r *http.Request) int
}

func mallLayouts() map[string]mallLayout {
	return map[string]mallLayout{
		"one host": {
			place: func(m *mall, server *url.URL) wechatauth.AccountResolver {
				m.shops[0].origin, m.shops[1].origin = server.String(), server.String()
				m.shops[0].page, m.shops[1].page = "/a/x", "/b/x"
				return authtest.ByPathPrefix(map[string]wechatauth.Account{"/a/": m.shops[0].account, "/b/": m.shops[1].account})
			},
			// As http.FileServer and many routers do.
			shopOf: func(_ *mall, r *http.Request) int {
				if strings.HasPrefix(path.Clean("/"+r.URL.Path), "/b/") {
					return 1
				}
				return 0
			},
		},
		"two hosts": {
			place: func(m *mall, server *url.URL) wechatauth.AccountResolver {
				for i, host := range []string{"127.0.0.1", "localhost"} {
					m.shops[i].origin, m.shops[i].page = "http://"+host+":"+server.Port(), "/x"
					m.shops[i].account.BaseURL = m.shops[i].origin
				}
				return authtest.ByHost(m.shops[0].account, m.shops[1].account)
			},
			shopOf: func(m *mall, r *http.Request) int {
				if "http://"+r.Host == m.shops[1].origin {
					return 1
				}
				return 0
			},
		},
	}
}

// at returns the site as a stall's users see it, with the cookies of the stall.
func (m *mall) at(s stall, flowKey string) *authtest.Site {
	site := *m.Site
	site.AppID, site.Base = s.account.AppID, authtest.MustParse(m.T, s.origin)
	site.Cookies = site.Jar(site.AppID, flowKey, "/wechat/callback/"+site.AppID)
	return &site
}

// A member has everything that a user who is logged in at a stall has.
type member struct {
	cookies []*http.Cookie // of the browser: session, scan, and a pending login
	session string         // the session cookie's value
	token   string         // the mini program's
	ticket  string         // into the web-view, unused
	pending string         // a callback URL, unused
}

// join logs a user in at a stall in every way, and leaves pending whatever can
// be.
func (m *mall) join(at stall) member {
	m.T.Helper()
	b := m.Browser()
	require.Contains(m.T, b.Visit(at.origin+at.page).Text, "logged-in=true")
	got := member{token: m.miniToken(at)}
	resp := m.ask(http.MethodPost, at.origin+"/wechat/mini/ticket/"+at.account.AppID, nil, http.Header{"Authorization": {"Bearer " + got.token}}, `{"target":"`+at.page+`"}`)
	var body struct {
		URL string `json:"url"`
	}
	require.NoError(m.T, json.Unmarshal([]byte(resp.Text), &body), resp.Text)
	got.ticket = authtest.MustParse(m.T, body.URL).Query().Get("ticket")

	// A second visit in the same browser, for the pending cookies.
	fresh := m.Browser()
	got.pending = fresh.Authorize(at.origin + at.page)
	computer := m.Browser().As(authtest.ChromeWindows)
	computer.Visit(at.origin + at.page)
	for _, b := range []*authtest.Browser{b, fresh, computer} {
		got.cookies = append(got.cookies, b.Client.Jar.Cookies(authtest.MustParse(m.T, at.origin))...)
	}
	i := slices.IndexFunc(got.cookies, func(c *http.Cookie) bool { return c.Name == m.SessionCookie() })
	require.GreaterOrEqual(m.T, i, 0)
	got.session = got.cookies[i].Value
	return got
}

func (m *mall) miniToken(at stall) string {
	m.T.Helper()
	code := m.Sim.WXLogin(at.account.MiniProgramAppID, authtest.Person(0))
	got := m.ask(http.MethodPost, at.origin+"/wechat/mini/login/"+at.account.AppID, nil, nil, `{"code":"`+code+`"}`)
	var body struct {
		Token string `json:"token"`
	}
	require.NoError(m.T, json.Unmarshal([]byte(got.Text), &body), got.Text)
	require.NotEmpty(m.T, body.Token)
	return body.Token
}

// ask sends a request exactly as given, and follows no redirect. "Host" among
// the headers is the request's Host.
func (m *mall) ask(method, target string, cookies []*http.Cookie, header http.Header, body string) authtest.Response {
	m.T.Helper()
	r, err := http.NewRequest(method, target, strings.NewReader(body))
	require.NoError(m.T, err)
	r.Header.Set("User-Agent", wechattest.IPhone)
	r.Header.Set("Accept", "text/html")
	for name, values := range header {
		r.Header[name] = values
	}
	if host := r.Header.Get("Host"); host != "" {
		r.Host = host
	}
	for _, c := range cookies {
		r.AddCookie(&http.Cookie{Name: c.Name, Value: c.Value})
	}
	resp, err := m.Server.Client().Transport.RoundTrip(r)
	require.NoError(m.T, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(m.T, err)
	return authtest.Response{Response: resp, Text: string(text)}
}

// A crossing is a request to one stall with what belongs to another.
type crossing struct {
	target  string
	cookies []*http.Cookie
	header  http.Header
}

// allCrossings returns everything that a user may try at one stall with what
// they have at another.
func (m *mall) allCrossings(from, to stall, have, own member) map[string]crossing {
	page := to.origin + to.page
	all := map[string]crossing{
		"all cookies":     {page, have.cookies, nil},
		"a session alone": {page, []*http.Cookie{{Name: m.SessionCookie(), Value: have.session}}, nil},
		"a bearer token":  {page, nil, http.Header{"Authorization": {"Bearer " + have.token}}},
		"a bearer token and valid cookies of no user":  {page, []*http.Cookie{{Name: m.SessionCookie(), Value: strings.Repeat("A", session.TokenLength)}}, http.Header{"Authorization": {"Bearer " + have.token}}},
		"a bearer token as a cookie":                   {page, []*http.Cookie{{Name: m.SessionCookie(), Value: strings.TrimPrefix(have.token, session.BearerPrefix)}}, nil},
		"a session as a bearer token":                  {page, nil, http.Header{"Authorization": {"Bearer " + session.BearerPrefix + have.session}}},
		"a web-view ticket of the other account":       {to.origin + "/wechat/mini/enter/" + to.account.AppID + "?ticket=" + have.ticket, nil, nil},
		"a callback to the other's endpoint":           {strings.Replace(strings.Replace(have.pending, from.origin, to.origin, 1), from.account.AppID, to.account.AppID, 1), have.cookies, nil},
		"the other's state with this callback's code":  {strings.Replace(own.pending, queryOf(m, own.pending, "code"), queryOf(m, have.pending, "code"), 1), have.cookies, nil},
		"the other's scan page with this one's cookie": {to.origin + "/wechat/scan/" + to.account.AppID + "?wait=1&next=" + to.page, have.cookies, http.Header{"User-Agent": {authtest.ChromeWindows}}},
		"the account's name in the query":              {page + "?appid=" + from.account.AppID, have.cookies, nil},
		"the account's name at the end of the path":    {page + "/" + from.account.AppID, have.cookies, nil},
		"the same below the endpoints' prefix":         {to.origin + "/wechat/.." + page[len(to.origin):] + "/" + from.account.AppID, have.cookies, nil},
		"a page below the endpoints' prefix":           {to.origin + "/wechat/orders/" + from.account.AppID, have.cookies, nil},
	}
	fromHost := authtest.MustParse(m.T, from.origin).Host
	for _, name := range []string{"X-Forwarded-Host", "X-Forwarded-Server", "X-Original-Host", "X-Host", "Forwarded", "X-Http-Host-Override"} {
		value := fromHost
		if name == "Forwarded" {
			value = "host=" + fromHost
		}
		all["host in "+name] = crossing{page, have.cookies, http.Header{name: {value}}}
	}
	for _, name := range []string{"X-Forwarded-Prefix", "X-Forwarded-Path", "X-Original-Url", "X-Rewrite-Url", "X-Script-Name", "X-Forwarded-Uri"} {
		all["path in "+name] = crossing{page, have.cookies, http.Header{name: {from.page}}}
	}
	for _, name := range []string{"X-Account", "X-Appid", "X-Wechat-Appid"} {
		all["account in "+name] = crossing{page, have.cookies, http.Header{name: {from.account.AppID}}}
	}
	for i, host := range []string{fromHost + ".", "evil.example", fromHost + ":80", fromHost + ":443", "user@" + fromHost, "www." + fromHost} {
		all[fmt.Sprintf("forged host %d", i)] = crossing{page, have.cookies, http.Header{"Host": {host}}}
	}
	up := strings.Repeat("/..", strings.Count(path.Dir(from.page), "/"))
	for _, detour := range []string{path.Dir(from.page) + up, path.Dir(from.page) + strings.ReplaceAll(up, "..", "%2e%2e"), path.Dir(from.page) + strings.ReplaceAll(up, "..", ".%2E"), "/.", "/", path.Dir(from.page) + "/." + up, path.Dir(from.page) + "//.." + up} {
		all["by way of "+detour] = crossing{to.origin + strings.TrimSuffix(detour, "/") + to.page, have.cookies, nil}
	}
	// Each value under each cookie name that this stall reads.
	jar := m.at(to, to.account.Secret).Cookies
	names := []string{m.SessionCookie(), jar.ScanName(), jar.LoginCounterName(), jar.OtherHostName(), jar.SnapshotName(), jar.CookieName(queryOf(m, own.pending, "state"))}
	for _, name := range names {
		for _, c := range have.cookies {
			all["the value of "+c.Name+" as "+name] = crossing{page, []*http.Cookie{{Name: name, Value: c.Value}}, nil}
			all["the value of "+c.Name+" as "+name+" at the callback"] = crossing{own.pending, []*http.Cookie{{Name: name, Value: c.Value}}, nil}
		}
	}
	return all
}

func queryOf(m *mall, raw, name string) string { return authtest.MustParse(m.T, raw).Query().Get(name) }

// Nothing that a user has at one account is accepted at another, in any form.
func TestAccounts_Crossing(t *testing.T) {
	attempts, crossings := 0, int64(0)
	for name, layout := range mallLayouts() {
		t.Run(name, func(t *testing.T) {
			m := newMall(t, layout)
			for i, from := range m.shops {
				to := m.shops[1-i]
				have, own := m.join(from), m.join(to)
				before := m.served.Load()
				for what, try := range m.allCrossings(from, to, have, own) {
					for _, asScript := range []bool{false, true} {
						attempts++
						header := try.header.Clone()
						if asScript {
							header = withScriptHeaders(header)
						}
						got := m.ask(http.MethodGet, try.target, try.cookies, header, "")
						assert.NotContains(t, got.Text, "logged-in=true", "%s to %s: %s", from.account.AppID, to.account.AppID, what)
						assert.Empty(t, got.SetOf(m.SessionCookie()), what)
					}
				}
				assert.Equal(t, before, m.served.Load(), "no page was served to a user")
				assert.Contains(t, m.ask(http.MethodGet, to.origin+to.page, own.cookies, nil, "").Text, "logged-in=true", "its own user is still logged in")
				assert.Contains(t, m.ask(http.MethodGet, to.origin+to.page, nil, http.Header{"Authorization": {"Bearer " + own.token}}, "").Text, "logged-in=true")
			}
			crossings += m.crossings.Load()
		})
	}
	assert.Zero(t, crossings)
	t.Logf("crossing-attempts %d account-crossings %d", attempts, crossings)
}

func TestAccounts_QRCode(t *testing.T) {
	// The accounts share the keys of the store. If a user of one account
	// confirmed a QR code of another, the identity would be one that WeChat
	// never returned.
	t.Run("T76 user of another account", func(t *testing.T) {
		for name, layout := range mallLayouts() {
			const flowKey = "flow-key-for-tests-0123456789abcdefgh"
			for keys, shared := range map[string][]wechatauth.Option{
				"a key for each account": nil, "flow keys": {wechatauth.WithFlowKeys([]byte(flowKey))},
				"sessions encrypted": {wechatauth.WithSessionEncryption(authtest.SessionKeyForTests)},
			} {
				t.Run(name+", "+keys, func(t *testing.T) {
					m := newMall(t, layout, shared...)
					for i, at := range m.shops {
						for j, of := range m.shops {
							computer, phone := m.Browser().As(authtest.ChromeWindows), m.Browser()
							shown := authtest.MustParse(t, computer.Visit(at.origin+at.page).Request.URL.String())
							require.Equal(t, "/wechat/scan/"+at.account.AppID, shown.Path)
							require.Contains(t, phone.Visit(of.origin+of.page).Text, "logged-in=true")
							key := at.account.Secret
							if keys == "flow keys" {
								key = flowKey
							}
							computer.Site = m.at(at, key)
							c := (&authtest.ScanSite{Site: computer.Site}).Held(computer)
							path := of.origin + "/wechat/scan/" + c.Ticket + "/" + of.account.AppID
							phone.Visit(path)
							number := authtest.ShownNumber.FindStringSubmatch(phone.Post(path, authtest.Confirmed).Text)
							assert.Equal(t, i == j, number != nil, "shown to a user of shop %d by a QR code of shop %d", j, i)
							if number != nil {
								end := computer.Post("/wechat/scan/"+at.account.AppID, url.Values{"next": {at.page}, "number": {number[1]}})
								assert.Equal(t, i == j, strings.Contains(end.Text, "logged-in=true"), end.Text)
							}
						}
					}
				})
			}
		}
	})
}

func withScriptHeaders(h http.Header) http.Header {
	if h == nil {
		h = http.Header{}
	}
	h["Accept"], h["Sec-Fetch-Mode"], h["Sec-Fetch-Dest"] = []string{"*/*"}, []string{"cors"}, []string{"empty"}
	return h
}

// Without this test, the count of crossings could be 0 because nothing counts
// them.
func TestAccounts_CrossingIsCounted(t *testing.T) {
	for name, layout := range mallLayouts() {
		t.Run(name, func(t *testing.T) {
			wrong := layout
			wrong.shopOf = func(m *mall, r *http.Request) int { return 1 - layout.shopOf(m, r) }
			m := newMall(t, wrong)
			require.Contains(t, m.Browser().Visit(m.shops[0].origin+m.shops[0].page).Text, "logged-in=true")
			assert.EqualValues(t, 1, m.crossings.Load())
		})
	}
}

func TestAccounts_RevokeUser(t *testing.T) {
	sim, a, b := authtest.NewShops(t)
	s := authtest.NewShopsSite(t, sim, httptest.NewUnstartedServer(nil), authtest.ByPathPrefix(map[string]wechatauth.Account{"/a/": a, "/b/": b}))
	user := s.Browser()
	user.Visit("/a/x")
	user.Visit("/b/x")
	require.Equal(t, http.StatusOK, user.Fetch(http.MethodGet, "/a/x").StatusCode)

	n, err := s.Auth.RevokeUser(context.Background(), authtest.ShopA, wechattest.OpenID(authtest.ShopA, authtest.Person(0)))
	require.NoError(t, err)
	assert.Positive(t, n)
	assert.Equal(t, http.StatusUnauthorized, user.Fetch(http.MethodGet, "/a/x").StatusCode)
}

func TestAccounts_Form(t *testing.T) {
	// A page of one tenant posts to another tenant's host and names its own
	// account in the path. The test tries every endpoint that accepts a form.
	t.Run("T84 from another tenant", func(t *testing.T) {
		m := newMall(t, mallLayouts()["two hosts"])
		attacker, victim := m.shops[0], m.shops[1]
		b := m.Browser()
		require.Contains(t, b.Visit(victim.origin+victim.page).Text, "logged-in=true")
		cookies := b.Client.Jar.Cookies(authtest.MustParse(t, victim.origin))
		form := "application/x-www-form-urlencoded"
		tried := 0
		for name, header := range map[string]http.Header{
			"a browser of today":  {"Origin": {attacker.origin}, "Sec-Fetch-Site": {"same-site"}, "Sec-Fetch-Mode": {"navigate"}},
			"an old browser":      {"Origin": {attacker.origin}},
			"from the base URL":   {"Origin": {m.Base.String()}, "Sec-Fetch-Site": {"same-site"}},
			"from it, of old":     {"Origin": {m.Base.String()}},
			"from another domain": {"Origin": {"https://evil.example"}, "Sec-Fetch-Site": {"cross-site"}},
		} {
			header.Set("Content-Type", form)
			for _, account := range []string{attacker.account.AppID, victim.account.AppID} {
				for _, endpoint := range []string{"logout", "upgrade", "scan", "mini/enter", "scan/" + strings.Repeat("A", 22)} {
					tried++
					got := m.ask(http.MethodPost, victim.origin+"/wechat/"+endpoint+"/"+account, cookies, header, "next=%2Fx")
					assert.Equal(t, http.StatusForbidden, got.StatusCode, "%s: %s/%s", name, endpoint, account)
					assert.Empty(t, got.SetOf(m.SessionCookie()), "%s: %s/%s", name, endpoint, account)
					assert.Empty(t, got.Header.Get("Location"), "%s: %s/%s", name, endpoint, account)
				}
			}
		}
		assert.Equal(t, 50, tried)
		still := m.ask(http.MethodGet, victim.origin+victim.page, cookies, nil, "")
		require.Contains(t, still.Text, "logged-in=true", "the session is still there")

		// The tenant's own pages end it, in current and in old browsers.
		own := m.ask(http.MethodPost, victim.origin+"/wechat/logout/"+victim.account.AppID, cookies, http.Header{"Origin": {victim.origin}, "Content-Type": {form}}, "")
		assert.Equal(t, http.StatusSeeOther, own.StatusCode, own.Text)
		assert.Equal(t, http.StatusSeeOther, m.ask(http.MethodGet, victim.origin+victim.page, cookies, nil, "").StatusCode)
	})

	// Accounts that share the base URL's host can log out behind a proxy that
	// rewrites Host, as a single account can.
	t.Run("T84 behind a proxy that rewrites Host", func(t *testing.T) {
		m := newMall(t, mallLayouts()["one host"])
		at := m.shops[1]
		b := m.Browser()
		require.Contains(t, b.Visit(at.origin+at.page).Text, "logged-in=true")
		cookies := b.Client.Jar.Cookies(authtest.MustParse(t, at.origin))
		header := http.Header{"Origin": {at.origin}, "Host": {"app:8080"}, "Content-Type": {"application/x-www-form-urlencoded"}}
		got := m.ask(http.MethodPost, at.origin+"/wechat/logout/"+at.account.AppID, cookies, header, "")
		assert.Equal(t, http.StatusSeeOther, got.StatusCode, got.Text)
		header.Set("Origin", "https://evil.example")
		assert.Equal(t, http.StatusForbidden, m.ask(http.MethodPost, at.origin+"/wechat/logout/"+at.account.AppID, cookies, header, "").StatusCode)
	})
}
