package session

import (
	"context"
	"io"
	"log"
	"net/http"
	"net/url"
	"testing"

	"github.com/alexedwards/scs/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/internal/session"
	"github.com/wechatauth/wechatauth/wechattest"
)

// A handler's deletions are carried out when its session is saved, so a new
// token that could not be saved logs no one out.

// renewing returns a site with a page that gives the session a new token and
// then calls more.
func renewing(t *testing.T, form string, more func(w http.ResponseWriter)) (*authtest.Site, *authtest.FaultyStore) {
	var st *authtest.FaultyStore
	s := authtest.NewSite(t, authtest.WithFaultyStore(&st))
	m := s.Auth.Sessions()
	s.Server.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Server.Config.Handler = authtest.Loaders[form](m, s.Auth, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/renew":
			m.Put(r.Context(), "put", "with it")
			assert.NoError(t, m.RenewToken(r.Context()))
			more(w)
		case "/destroy":
			assert.NoError(t, m.Destroy(r.Context()))
			more(w)
		}
		authtest.Echo(w, r)
	}))
	return s, st
}

func goesOn(http.ResponseWriter) {}

func TestRenewToken(t *testing.T) {
	for form := range authtest.Loaders {
		t.Run(form, func(t *testing.T) {
			s, _ := renewing(t, form, goesOn)
			b := s.LoggedIn(authtest.AliceOpenID)
			old := b.Cookie(s.SessionCookie()).Value

			got := b.Step("/renew")

			require.Equal(t, http.StatusOK, got.StatusCode)
			assert.Len(t, got.Cookies(), 1)
			assert.NotEqual(t, old, b.Cookie(s.SessionCookie()).Value)
			assert.Equal(t, http.StatusOK, b.Fetch(http.MethodGet, "/a").StatusCode)
			assert.Equal(t, "with it", stored(b)["put"])
			assert.Equal(t, http.StatusUnauthorized, s.Holding(s.SessionCookie(), old).Fetch(http.MethodGet, "/a").StatusCode)
			n, err := s.Auth.RevokeUser(context.Background(), wechattest.DefaultAppID, authtest.AliceOpenID)
			require.NoError(t, err)
			assert.Positive(t, n)
			assert.Equal(t, http.StatusUnauthorized, b.Fetch(http.MethodGet, "/a").StatusCode, "the index has the new one")
		})
	}
}

func TestRenewToken_NotSaved(t *testing.T) {
	for form := range authtest.Loaders {
		if form == "LoadAndSave outside" {
			continue // saves as scs does
		}
		for _, step := range []string{"commit", "drop"} {
			t.Run(form+", "+step, func(t *testing.T) {
				s, st := renewing(t, form, goesOn)
				b := s.LoggedIn(authtest.AliceOpenID)
				st.Fail(step, authtest.Failing)
				got := b.Step("/renew")
				st.Fail(step, nil)
				assert.Equal(t, http.StatusServiceUnavailable, got.StatusCode)
				assert.Empty(t, got.Header["Set-Cookie"])
				assert.NotContains(t, got.Text, "url=/renew")
				assert.Equal(t, http.StatusOK, b.Fetch(http.MethodGet, "/a").StatusCode)
			})
		}
	}
}

func TestRenewToken_Panic(t *testing.T) {
	for form := range authtest.Loaders {
		if form == "LoadAndSave outside" {
			continue // saves as scs does
		}
		t.Run(form, func(t *testing.T) {
			s, _ := renewing(t, form, func(http.ResponseWriter) { panic("injected by the test") })
			b := s.LoggedIn(authtest.AliceOpenID)
			assert.Error(t, b.TryStep(s.Base.String()+"/renew"))
			assert.Equal(t, http.StatusOK, b.Fetch(http.MethodGet, "/a").StatusCode)
			assert.NotContains(t, stored(b), "put")

			assert.Error(t, b.TryStep(s.Base.String()+"/destroy"))
			assert.Equal(t, http.StatusUnauthorized, b.Fetch(http.MethodGet, "/a").StatusCode, "the destroyed session is gone")
		})
	}
}

func TestDestroy_NotDeleted(t *testing.T) {
	for form := range authtest.Loaders {
		if form == "LoadAndSave outside" {
			continue // saves as scs does
		}
		t.Run(form, func(t *testing.T) {
			s, st := renewing(t, form, goesOn)
			b := s.LoggedIn(authtest.AliceOpenID)
			st.Fail("drop", authtest.Failing)
			got := b.Step("/destroy")
			st.Fail("drop", nil)
			assert.Equal(t, http.StatusServiceUnavailable, got.StatusCode)
			assert.NotContains(t, got.Text, "url=/destroy")
			if form != "LoadAndSave outside" { // scs deletes the cookie regardless of the response
				assert.Empty(t, got.Header["Set-Cookie"])
				assert.Equal(t, http.StatusOK, b.Fetch(http.MethodGet, "/a").StatusCode)
			}

			b = s.LoggedIn(authtest.AliceOpenID)
			got = b.Step("/destroy")
			assert.Equal(t, http.StatusOK, got.StatusCode)
			assert.Len(t, got.Cookies(), 1)
			assert.Nil(t, b.Cookie(s.SessionCookie()))
		})
	}
}

// A handler may end the session in the middle of a long response.
func TestDestroy_AfterResponseBegan(t *testing.T) {
	s := authtest.NewSite(t)
	m := s.Auth.Sessions()
	var token string
	s.Handle("/late", func(w http.ResponseWriter, r *http.Request) {
		assert.NoError(t, http.NewResponseController(w).Flush())
		assert.NoError(t, m.Destroy(r.Context()))
		_, found, err := m.Store.Find(session.HashToken(token))
		assert.NoError(t, err)
		assert.False(t, found)
	})
	b := s.LoggedIn(authtest.AliceOpenID)
	token = b.Cookie(s.SessionCookie()).Value
	b.Step("/late")
	assert.Equal(t, http.StatusUnauthorized, b.Fetch(http.MethodGet, "/a").StatusCode)
}

// A late reader sees the session of the browser that has just logged in. It
// must not write it, renew it or set a cookie for it.
func TestLateReader_Writes(t *testing.T) {
	for form, wrap := range authtest.Loaders {
		if form == "LoadAndSave outside" {
			continue // scs has no grace period
		}
		for what, write := range map[string]func(m *scs.SessionManager, r *http.Request){
			"put":     func(m *scs.SessionManager, r *http.Request) { m.Put(r.Context(), "late", "yes") },
			"renew":   func(m *scs.SessionManager, r *http.Request) { assert.NoError(t, m.RenewToken(r.Context())) },
			"destroy": func(m *scs.SessionManager, r *http.Request) { assert.NoError(t, m.Destroy(r.Context())) },
		} {
			t.Run(form+", "+what, func(t *testing.T) {
				s := authtest.NewSite(t)
				m := s.Auth.Sessions()
				b := s.Browser()
				b.Visit("/a")
				old := b.Cookie(s.SessionCookie()).Value
				b.Allow(b.Post("/wechat/upgrade", url.Values{"next": {"/profile"}}))
				s.Server.Config.Handler = wrap(m, s.Auth, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/write" {
						write(m, r)
					}
					authtest.Echo(w, r)
				}))

				got := s.Holding(s.SessionCookie(), old).Step("/write")

				assert.Equal(t, http.StatusOK, got.StatusCode)
				if what == "destroy" {
					if form == "no LoadAndSave" {
						assert.Empty(t, got.Header["Set-Cookie"], "it could arrive after the cookie of another login")
					}
					assert.Equal(t, http.StatusUnauthorized, b.Fetch(http.MethodGet, "/a").StatusCode, "the user asked for it")
					return
				}
				assert.Empty(t, got.Header["Set-Cookie"])
				assert.Equal(t, http.StatusOK, b.Fetch(http.MethodGet, "/a").StatusCode)
				assert.NotContains(t, stored(b), "late")
			})
		}
	}
}

func TestDestroy_StoreDown(t *testing.T) {
	for name, nested := range map[string]bool{"one gate": false, "two": true} {
		t.Run(name, func(t *testing.T) {
			var st *authtest.FaultyStore
			s := authtest.NewSite(t, authtest.WithFaultyStore(&st))
			page := http.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				assert.NoError(t, s.Auth.Sessions().Destroy(r.Context()))
				_, _ = w.Write([]byte("you are logged out"))
			}))
			if nested {
				page = s.Auth.LoadWeChat(page)
			}
			s.Handle("/bye", page.ServeHTTP)
			b := s.LoggedIn(authtest.AliceOpenID)
			st.Fail("find", authtest.Failing)
			got := b.Step("/bye")
			st.Fail("find", nil)
			assert.Equal(t, http.StatusServiceUnavailable, got.StatusCode)
			assert.NotContains(t, got.Text, "you are logged out")
			assert.Empty(t, got.Header["Set-Cookie"])
			assert.Equal(t, http.StatusOK, b.Fetch(http.MethodGet, "/a").StatusCode)
		})
	}
}
