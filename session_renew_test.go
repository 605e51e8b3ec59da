package wechatauth

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

	"github.com/wechatauth/wechatauth/internal/session"
	"github.com/wechatauth/wechatauth/wechattest"
)

// What a handler deletes is deleted when its session is saved, so that a new
// token that never came to be costs nobody his login.

// renewing is a site with a page that gives the session a new token, and then
// does more.
func renewing(t *testing.T, form string, more func(w http.ResponseWriter)) (*site, *faultyStore) {
	var st *faultyStore
	s := newSite(t, withFaultyStore(&st))
	m := s.auth.Sessions()
	s.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.server.Config.Handler = loaders[form](m, s.auth, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/renew":
			m.Put(r.Context(), "put", "with it")
			assert.NoError(t, m.RenewToken(r.Context()))
			more(w)
		case "/destroy":
			assert.NoError(t, m.Destroy(r.Context()))
			more(w)
		}
		echo(w, r)
	}))
	return s, st
}

func goesOn(http.ResponseWriter) {}

func TestARenewedTokenTakesThePlaceOfTheOldOneWhoeverLoadsTheSession(t *testing.T) {
	for form := range loaders {
		t.Run(form, func(t *testing.T) {
			s, _ := renewing(t, form, goesOn)
			b := s.loggedIn(aliceOpenID)
			old := b.cookie(s.sessionCookie()).Value

			got := b.step("/renew")

			require.Equal(t, http.StatusOK, got.StatusCode)
			assert.Len(t, got.Cookies(), 1)
			assert.NotEqual(t, old, b.cookie(s.sessionCookie()).Value)
			assert.Equal(t, http.StatusOK, b.fetch(http.MethodGet, "/a").StatusCode)
			assert.Equal(t, "with it", b.stored()["put"])
			assert.Equal(t, http.StatusUnauthorized, s.holding(s.sessionCookie(), old).fetch(http.MethodGet, "/a").StatusCode)
			n, err := s.auth.RevokeUser(context.Background(), wechattest.DefaultAppID, aliceOpenID)
			require.NoError(t, err)
			assert.Positive(t, n)
			assert.Equal(t, http.StatusUnauthorized, b.fetch(http.MethodGet, "/a").StatusCode, "the index has the new one")
		})
	}
}

func TestANewTokenThatCannotBeSavedCostsNoLogin(t *testing.T) {
	for form := range loaders {
		if form == "LoadAndSave outside" {
			continue // saves as scs does
		}
		for _, step := range []string{"commit", "drop"} {
			t.Run(form+", "+step, func(t *testing.T) {
				s, st := renewing(t, form, goesOn)
				b := s.loggedIn(aliceOpenID)
				st.fail(step, failing)
				got := b.step("/renew")
				st.fail(step, nil)
				assert.Equal(t, http.StatusServiceUnavailable, got.StatusCode)
				assert.Empty(t, got.Header["Set-Cookie"])
				assert.NotContains(t, got.body, "url=/renew")
				assert.Equal(t, http.StatusOK, b.fetch(http.MethodGet, "/a").StatusCode)
			})
		}
	}
}

func TestAPanicAfterANewTokenCostsNoLogin(t *testing.T) {
	for form := range loaders {
		if form == "LoadAndSave outside" {
			continue // saves as scs does
		}
		t.Run(form, func(t *testing.T) {
			s, _ := renewing(t, form, func(http.ResponseWriter) { panic("because the test says so") })
			b := s.loggedIn(aliceOpenID)
			assert.Error(t, b.tryStep(s.auth.home.base.String()+"/renew"))
			assert.Equal(t, http.StatusOK, b.fetch(http.MethodGet, "/a").StatusCode)
			assert.NotContains(t, b.stored(), "put")

			assert.Error(t, b.tryStep(s.auth.home.base.String()+"/destroy"))
			assert.Equal(t, http.StatusUnauthorized, b.fetch(http.MethodGet, "/a").StatusCode, "what was ended is ended")
		})
	}
}

func TestASessionThatCannotBeDeletedIsNotSaidToHaveEnded(t *testing.T) {
	for form := range loaders {
		if form == "LoadAndSave outside" {
			continue // saves as scs does
		}
		t.Run(form, func(t *testing.T) {
			s, st := renewing(t, form, goesOn)
			b := s.loggedIn(aliceOpenID)
			st.fail("drop", failing)
			got := b.step("/destroy")
			st.fail("drop", nil)
			assert.Equal(t, http.StatusServiceUnavailable, got.StatusCode)
			assert.NotContains(t, got.body, "url=/destroy")
			if form != "LoadAndSave outside" { // scs takes the cookie away whatever the answer is
				assert.Empty(t, got.Header["Set-Cookie"])
				assert.Equal(t, http.StatusOK, b.fetch(http.MethodGet, "/a").StatusCode)
			}

			b = s.loggedIn(aliceOpenID)
			got = b.step("/destroy")
			assert.Equal(t, http.StatusOK, got.StatusCode)
			assert.Len(t, got.Cookies(), 1)
			assert.Nil(t, b.cookie(s.sessionCookie()))
		})
	}
}

// A handler may end the session in the middle of a long answer.
func TestASessionThatIsDestroyedAfterTheAnswerBeganEndsAtOnce(t *testing.T) {
	s := newSite(t)
	m := s.auth.Sessions()
	var token string
	s.handle("/late", func(w http.ResponseWriter, r *http.Request) {
		assert.NoError(t, http.NewResponseController(w).Flush())
		assert.NoError(t, m.Destroy(r.Context()))
		_, found, err := m.Store.Find(session.HashToken(token))
		assert.NoError(t, err)
		assert.False(t, found)
	})
	b := s.loggedIn(aliceOpenID)
	token = b.cookie(s.sessionCookie()).Value
	b.step("/late")
	assert.Equal(t, http.StatusUnauthorized, b.fetch(http.MethodGet, "/a").StatusCode)
}

// A late reader has the session of the browser that has just logged in. It is not
// his to write, to renew or to give a cookie for.
func TestALateReaderWhoseHandlerWritesCostsNoLogin(t *testing.T) {
	for form, wrap := range loaders {
		if form == "LoadAndSave outside" {
			continue // scs knows no grace
		}
		for what, write := range map[string]func(m *scs.SessionManager, r *http.Request){
			"put":     func(m *scs.SessionManager, r *http.Request) { m.Put(r.Context(), "late", "yes") },
			"renew":   func(m *scs.SessionManager, r *http.Request) { assert.NoError(t, m.RenewToken(r.Context())) },
			"destroy": func(m *scs.SessionManager, r *http.Request) { assert.NoError(t, m.Destroy(r.Context())) },
		} {
			t.Run(form+", "+what, func(t *testing.T) {
				s := newSite(t)
				m := s.auth.Sessions()
				b := s.browser()
				b.visit("/a")
				old := b.cookie(s.sessionCookie()).Value
				b.allow(b.post("/wechat/upgrade", url.Values{"next": {"/profile"}}))
				s.server.Config.Handler = wrap(m, s.auth, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/write" {
						write(m, r)
					}
					echo(w, r)
				}))

				got := s.holding(s.sessionCookie(), old).step("/write")

				assert.Equal(t, http.StatusOK, got.StatusCode)
				if what == "destroy" {
					assert.Equal(t, http.StatusUnauthorized, b.fetch(http.MethodGet, "/a").StatusCode, "it is the visitor's wish")
					return
				}
				assert.Empty(t, got.Header["Set-Cookie"])
				assert.Equal(t, http.StatusOK, b.fetch(http.MethodGet, "/a").StatusCode)
				assert.NotContains(t, b.stored(), "late")
			})
		}
	}
}

func TestASessionIsNotSaidToHaveEndedWhileTheStoreIsDown(t *testing.T) {
	for name, nested := range map[string]bool{"one gate": false, "two": true} {
		t.Run(name, func(t *testing.T) {
			var st *faultyStore
			s := newSite(t, withFaultyStore(&st))
			page := http.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				assert.NoError(t, s.auth.Sessions().Destroy(r.Context()))
				_, _ = w.Write([]byte("you are logged out"))
			}))
			if nested {
				page = s.auth.LoadWeChat(page)
			}
			s.handle("/bye", page.ServeHTTP)
			b := s.loggedIn(aliceOpenID)
			st.fail("find", failing)
			got := b.step("/bye")
			st.fail("find", nil)
			assert.Equal(t, http.StatusServiceUnavailable, got.StatusCode)
			assert.NotContains(t, got.body, "you are logged out")
			assert.Empty(t, got.Header["Set-Cookie"])
			assert.Equal(t, http.StatusOK, b.fetch(http.MethodGet, "/a").StatusCode)
		})
	}
}
