package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/wechattest"
)

// A service worker that passes every request on, as a caching one does for what
// it has not cached.
const passingWorker = `
addEventListener("install", () => skipWaiting());
addEventListener("activate", e => e.waitUntil(clients.claim()));
addEventListener("fetch", e => e.respondWith(fetch(e.request)));
`

// startWorkerSite starts a site with that service worker. The function returns
// the Sec-Fetch-Dest headers of the requests for a path.
func startWorkerSite(t *testing.T) (url string, destinations func(path string) []string) {
	t.Helper()
	sim := wechattest.NewServer(wechattest.WithAnyBrowser())
	t.Cleanup(sim.Close)
	server := httptest.NewUnstartedServer(nil)
	t.Cleanup(server.Close)
	url = "http://" + server.Listener.Addr().String()
	auth, err := wechatauth.New(
		wechatauth.WithApp(wechattest.DefaultAppID, wechattest.DefaultSecret),
		wechatauth.WithBaseURL(url),
		wechatauth.WithEndpoints(sim.Endpoints()),
	)
	require.NoError(t, err)

	mux := http.NewServeMux()
	mux.HandleFunc("GET /sw.js", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/javascript")
		fmt.Fprint(w, passingWorker)
	})
	mux.HandleFunc("GET /start", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, `<!doctype html><title>start</title><script>navigator.serviceWorker.register("/sw.js")</script>`)
	})
	mux.Handle("/wechat/", auth)
	mux.Handle("/", auth.RequireWeChat(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, _ := wechatauth.IdentityFromContext(r.Context())
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<!doctype html><title>page</title><p id="openid">%s</p>`, id.OpenID)
	})))

	var mu sync.Mutex
	seen := map[string][]string{}
	server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen[r.URL.Path] = append(seen[r.URL.Path], r.Header.Get("Sec-Fetch-Mode")+" "+r.Header.Get("Sec-Fetch-Dest"))
		mu.Unlock()
		mux.ServeHTTP(w, r)
	})
	server.Start()
	return url, func(path string) []string {
		mu.Lock()
		defer mu.Unlock()
		return seen[path]
	}
}

// A page visit passed on by a service worker is still a page visit, though it
// no longer has its destination.
func TestServiceWorker(t *testing.T) {
	t.Parallel()
	for name, path := range map[string]string{
		"protected page": "/orders?id=7",
		"login endpoint": "/wechat/login?next=%2Forders%3Fid%3D7",
	} {
		t.Run(name, func(t *testing.T) {
			site, destinations := startWorkerSite(t)
			tb := openBrowser(t).tab()
			tb.open(site + "/start")
			tb.until(`navigator.serviceWorker.controller !== null`)

			tb.open(site + path)

			assert.Equal(t, site+"/orders?id=7", eval[string](tb, "location.href"))
			assert.Equal(t, openIDOf(person), tb.text("#openid"))
			first := "/orders"
			if name == "login endpoint" {
				first = "/wechat/login"
			}
			require.NotEmpty(t, destinations(first))
			assert.Equal(t, "navigate empty", destinations(first)[0], "the request is the service worker's, not the tab's")
		})
	}
}
