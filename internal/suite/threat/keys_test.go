package threat

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/internal/flow"
	"github.com/wechatauth/wechatauth/internal/identity"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/wechattest"
)

// Keys and releases that change while users log in.

func TestRecordOfLaterRelease(t *testing.T) {
	// An older instance may read records of a newer release that it does not
	// know.
	t.Run("T68 user logs in again", func(t *testing.T) {
		for name, text := range map[string]string{
			"the next version":        "3sy1nq8\no123\n\nb\nw",
			"a later version in JSON": `{"v":2,"o":"o123","s":"snsapi_base","c":"wechat","t":1700000000}`,
			"a version that is far":   `{"v":1000000,"who":{"o":"o123"}}`,
			"a version of no number":  `{"v":"next","o":"o123"}`,
			"no version":              `{"o":"o123"}`,
			"another form altogether": `wx2:AAAA`,
		} {
			t.Run(name, func(t *testing.T) {
				s := authtest.NewSite(t)
				b := s.Browser()
				b.SetCookie(s.SessionCookie(), s.SessionWith(identity.Key(wechattest.DefaultAppID), text))
				assert.Equal(t, http.StatusUnauthorized, b.Fetch(http.MethodGet, "/a").StatusCode)
				assert.Contains(t, b.Visit("/public").Text, "logged-in=false")
				assert.Contains(t, b.Visit("/a").Text, "url=/a logged-in=true")
				assert.Equal(t, 1, s.Exchanges())
			})
		}
	})
}

func TestWithFlowKeys(t *testing.T) {
	// Three instances are given a new key one after the other: first to open
	// with, then to seal with. At every step, each instance has begun some
	// logins, and each finishes some of them after the step.
	t.Run("T70 rotation on three instances", func(t *testing.T) {
		current, next := []byte("the current flow key, forty bytes long.."), []byte("the next flow key, which is as long.....")
		s := authtest.NewSite(t)
		shared := store.NewMemory(store.WithClock(s.Clock.Now))
		with := func(keys ...[]byte) *wechatauth.Auth {
			return s.Instance(wechatauth.WithStore(shared), wechatauth.WithFlowKeys(keys[0], keys[1:]...))
		}
		ask := func(a *wechatauth.Auth, target string, cookies ...*http.Cookie) authtest.Response {
			w := httptest.NewRecorder()
			r := httptest.NewRequestWithContext(context.Background(), http.MethodGet, target, nil)
			r.Host = s.Base.Host
			r.Header.Set("Accept", "text/html")
			for _, c := range cookies {
				r.AddCookie(c)
			}
			a.RequireWeChat(http.HandlerFunc(authtest.Echo)).ServeHTTP(w, r)
			return authtest.Response{Response: w.Result()}
		}
		type login struct {
			state  string
			cookie *http.Cookie
		}
		begin := func(a *wechatauth.Auth) login {
			begun := ask(a, "/a")
			require.Len(t, begun.FlowCookies(), 1)
			u, err := url.Parse(begun.Header.Get("Location"))
			require.NoError(t, err)
			return login{u.Query().Get("state"), begun.FlowCookies()[0]}
		}
		instances := []*wechatauth.Auth{with(current), with(current), with(current)}
		logins, failed := 0, 0
		for _, keys := range [][][]byte{{current, next}, {next, current}} {
			for changed := range instances {
				var underWay []login
				for _, a := range instances {
					for range instances {
						underWay = append(underWay, begin(a))
					}
				}
				instances[changed] = with(keys...)
				for i, l := range underWay {
					s.Grant(1)
					got := ask(instances[i%len(instances)], "/wechat/callback?code=code&state="+l.state, l.cookie)
					logins++
					if got.StatusCode != http.StatusSeeOther || got.Header.Get("Location") != "/a" {
						failed++
					}
				}
			}
		}
		assert.Equal(t, 54, logins)
		assert.Zero(t, failed)

		// The old key is removed when everything it sealed has expired.
		late := begin(with(current))
		s.Clock.Advance(flow.LoginTTL + time.Second)
		fresh := begin(with(next, current))
		last := with(next)
		s.Grant(1)
		assert.Equal(t, "/a", ask(last, "/wechat/callback?code=code&state="+fresh.state, fresh.cookie).Header.Get("Location"))
		assert.Equal(t, http.StatusBadRequest, ask(last, "/wechat/callback?code=code&state="+late.state, late.cookie).StatusCode, "a page offers a fresh start")
	})

	t.Run("T71 key that can be guessed", func(t *testing.T) {
		for name, key := range map[string]string{
			"nothing": "", "one letter": "a", "sixteen times a letter": strings.Repeat("a", 16), "thirty-two times a letter": strings.Repeat("a", 32),
			"31 bytes": "0123456789abcdefghijklmnopqrstu", "a word, repeated": strings.Repeat("changeme", 5), "zeroes": strings.Repeat("\x00", 64),
		} {
			for option, opt := range map[string]wechatauth.Option{
				"current":  wechatauth.WithFlowKeys([]byte(key)),
				"previous": wechatauth.WithFlowKeys([]byte("0123456789abcdefghijklmnopqrstuv"), []byte(key)),
			} {
				_, err := wechatauth.New(authtest.RightOptions(opt)...)
				assert.ErrorContains(t, err, "WithFlowKeys: key", "%s, %s", name, option)
				if len(key) > 8 {
					assert.NotContains(t, err.Error(), key, "%s, %s", name, option)
				}
			}
		}
	})
}

func TestSessionLifetime(t *testing.T) {
	// A store whose clock is behind keeps sessions longer than it should.
	t.Run("T69 store keeps it longer", func(t *testing.T) {
		s := authtest.NewSite(t, wechatauth.WithStore(store.NewMemory()), wechatauth.WithLifetime(time.Hour))
		b := s.Browser()
		require.Contains(t, b.Visit("/a").Text, "logged-in=true")
		s.Clock.Advance(time.Hour - time.Minute)
		assert.Equal(t, http.StatusOK, b.Fetch(http.MethodGet, "/a").StatusCode)
		s.Clock.Advance(2 * time.Minute)
		assert.Equal(t, http.StatusUnauthorized, b.Fetch(http.MethodGet, "/a").StatusCode)
		assert.Contains(t, b.Visit("/public").Text, "logged-in=false")
	})
}
