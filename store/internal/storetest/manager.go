package storetest

import (
	"context"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// testSessionManager uses the store through scs itself, with a real server and
// a browser's cookie jar.
func testSessionManager(t *testing.T, open Opener) {
	for name, configure := range map[string]func(*scs.SessionManager){
		"with scs's defaults":     func(*scs.SessionManager) {},
		"with hashed tokens":      func(sm *scs.SessionManager) { sm.HashTokenInStore = true },
		"with an idle timeout":    func(sm *scs.SessionManager) { sm.IdleTimeout = 20 * time.Minute },
		"with a longest lifetime": func(sm *scs.SessionManager) { sm.Lifetime = 400 * 24 * time.Hour },
	} {
		t.Run(name, func(t *testing.T) {
			sm := scs.New()
			sm.Store = open(t)
			configure(sm)
			app := newApp(t, sm)

			assert.Equal(t, "anonymous", app.get("/who"))
			app.get("/login")
			assert.Equal(t, "someone", app.get("/who"))

			before := app.cookie()
			app.get("/renew")
			assert.NotEqual(t, before, app.cookie())
			assert.Equal(t, "someone", app.get("/who"))

			sessions := 0
			require.NoError(t, sm.Iterate(context.Background(), func(ctx context.Context) error {
				sessions++
				assert.Equal(t, "someone", sm.GetString(ctx, "who"))
				return nil
			}))
			assert.Equal(t, 1, sessions)

			app.get("/logout")
			assert.Equal(t, "anonymous", app.get("/who"))
			all, err := sm.Store.(scs.IterableStore).All()
			require.NoError(t, err)
			assert.Empty(t, all)
		})
	}
	t.Run("a planted token is not adopted", func(t *testing.T) {
		sm := scs.New()
		sm.Store = open(t)
		app, planted := newApp(t, sm), Token()
		app.setCookie(planted)
		app.get("/login")
		assert.NotEqual(t, planted, app.cookie())
		assert.Equal(t, "someone", app.get("/who"))
	})
}

// app is a web application with sessions, and a browser.
type app struct {
	t      *testing.T
	server *httptest.Server
	client *http.Client
}

func newApp(t *testing.T, sm *scs.SessionManager) *app {
	mux := http.NewServeMux()
	mux.HandleFunc("/login", func(_ http.ResponseWriter, r *http.Request) {
		sm.Put(r.Context(), "who", "someone")
	})
	mux.HandleFunc("/who", func(w http.ResponseWriter, r *http.Request) {
		who := sm.GetString(r.Context(), "who")
		if who == "" {
			who = "anonymous"
		}
		io.WriteString(w, who)
	})
	mux.HandleFunc("/renew", func(_ http.ResponseWriter, r *http.Request) {
		assert.NoError(t, sm.RenewToken(r.Context()))
	})
	mux.HandleFunc("/logout", func(_ http.ResponseWriter, r *http.Request) {
		assert.NoError(t, sm.Destroy(r.Context()))
	})
	server := httptest.NewServer(sm.LoadAndSave(mux))
	t.Cleanup(server.Close)
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	return &app{t: t, server: server, client: &http.Client{Jar: jar}}
}

func (a *app) get(path string) string {
	a.t.Helper()
	res, err := a.client.Get(a.server.URL + path)
	require.NoError(a.t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(a.t, err)
	require.Equal(a.t, http.StatusOK, res.StatusCode, "%s: %s", path, body)
	return string(body)
}

func (a *app) cookie() string {
	for _, c := range a.client.Jar.Cookies(a.url()) {
		if c.Name == "session" {
			return c.Value
		}
	}
	return ""
}

func (a *app) setCookie(token string) {
	a.client.Jar.SetCookies(a.url(), []*http.Cookie{{Name: "session", Value: token, Path: "/"}})
}

func (a *app) url() *url.URL {
	u, err := url.Parse(a.server.URL)
	require.NoError(a.t, err)
	return u
}
