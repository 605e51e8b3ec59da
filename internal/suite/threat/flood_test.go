package threat

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	redigo "github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/internal/cookie"
	"github.com/wechatauth/wechatauth/internal/flow"
	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/internal/returnto"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/wechattest"
)

// Floods: what a request may cost before anyone has logged in.

func TestParameterLimits(t *testing.T) {
	// The sizes are one byte below the limit, the limit, one byte above it, and
	// a megabyte. A request above a limit never reaches WeChat and breaks no
	// login.
	t.Run("T58 login survives", func(t *testing.T) {
		t.Run("code", func(t *testing.T) {
			s := authtest.NewSite(t)
			for n, want := range map[int]int{1: 303, 127: 303, 128: 303, 129: 400, 4096: 400} {
				f := s.Pending("/a")
				if want == 303 {
					s.Grant(1)
				}
				got := s.Wire(http.MethodGet, authtest.CallbackOf(f, strings.Repeat("c", n)), authtest.PageHeader, authtest.CookieHeader(s.FlowCookie(f)))
				assert.Equal(t, want, got.StatusCode, "%d", n)
			}
			assert.Equal(t, 3, s.Exchanges())
		})
		t.Run("callback query", func(t *testing.T) {
			s := authtest.NewSite(t)
			for extra, want := range map[int]int{-1: 303, 0: 303, 1: 400, 500_000: 400} {
				f := s.Pending("/a")
				query := strings.TrimPrefix(authtest.CallbackOf(f, "code"), "/wechat/callback?") + "&x="
				if want == 303 {
					s.Grant(1)
				}
				got := s.Wire(http.MethodGet, "/wechat/callback?"+query+strings.Repeat("a", 8192-len(query)+extra), authtest.PageHeader, authtest.CookieHeader(s.FlowCookie(f)))
				assert.Equal(t, want, got.StatusCode, "%d", extra)
			}
			assert.Equal(t, 2, s.Exchanges())
		})
		t.Run("return URL", func(t *testing.T) {
			s := authtest.NewSite(t)
			for n, want := range map[int]string{returnto.MaxBytes - 1: "itself", returnto.MaxBytes: "itself", returnto.MaxBytes + 1: "/", 500_000: "/"} {
				target := "/" + strings.Repeat("a", n-1)
				if want == "itself" {
					want = target
				}
				begun := s.Wire(http.MethodGet, "/wechat/login?next="+target, authtest.PageHeader)
				assert.Equal(t, want, s.LoginOf(begun).Header.Get("Location"), "%d", n)
				begun = s.Wire(http.MethodGet, target, authtest.PageHeader)
				assert.Equal(t, want, s.LoginOf(begun).Header.Get("Location"), "%d", n)
			}
		})
		t.Run("return URL that grows when it is sealed", func(t *testing.T) {
			s := authtest.NewSite(t)
			for name, c := range map[string]struct{ target, want string }{
				"ampersands":   {"/?" + strings.Repeat("&", returnto.MaxBytes-2), ""},
				"brackets":     {"/?" + strings.Repeat("<>", returnto.MaxBytes/2-1), ""},
				"a few quotes": {`/?"a"="b"&` + strings.Repeat("c", 1500), ""},
				"all quotes":   {"/?" + strings.Repeat(`"`, returnto.MaxBytes-2), "/"},
			} {
				if c.want == "" {
					c.want = c.target
				}
				begun := s.Wire(http.MethodGet, c.target, authtest.PageHeader)
				require.Len(t, begun.FlowCookies(), 1, name)
				pending := begun.FlowCookies()[0]
				assert.LessOrEqual(t, len(pending.Name)+len(pending.Value), cookie.MaxBytes, "%s: browsers drop a larger cookie", name)
				assert.Equal(t, c.want, s.LoginOf(begun).Header.Get("Location"), name)
			}
		})
		t.Run("logout form", func(t *testing.T) {
			s := authtest.NewSite(t)
			for n, want := range map[int]int{16384: 303, 16385: 400, 1 << 20: 400} {
				body := "next=/public&x=" + strings.Repeat("a", n-len("next=/public&x="))
				got := s.WireLines("POST /wechat/logout HTTP/1.1", "Host: "+s.Base.Host, "Connection: close", "Sec-Fetch-Site: same-origin",
					"Content-Type: application/x-www-form-urlencoded", fmt.Sprint("Content-Length: ", len(body)), "", body)
				assert.Equal(t, want, got.StatusCode, "%d", n)
			}
		})
	})
}

// A countedSealer counts the values that are opened, and their bytes.
type countedSealer struct {
	cookie.Sealer
	opens, bytes *atomic.Int64
}

func (c countedSealer) Open(text string, place ...string) ([]byte, error) {
	c.opens.Add(1)
	c.bytes.Add(int64(len(text)))
	return c.Sealer.Open(text, place...)
}

// countOpens counts the decryptions of a site's cookies, and their bytes.
func countOpens() (opens, bytes *atomic.Int64, option wechatauth.Option) {
	opens, bytes = new(atomic.Int64), new(atomic.Int64)
	return opens, bytes, authtest.WithSealer(func(s cookie.Sealer) cookie.Sealer { return countedSealer{s, opens, bytes} })
}

func TestFlood(t *testing.T) {
	t.Run("T59 eight decryptions of each kind at most", func(t *testing.T) {
		server := httptest.NewUnstartedServer(nil)
		server.Config.MaxHeaderBytes = 8 << 20
		opens, size, counted := countOpens()
		s := authtest.StartSite(t, wechattest.NewServer(), server, counted)
		f := s.Pending("/a")
		real := s.FlowCookie(s.Pending("/b"))
		cookies := func(n int, name func(i int) string, value string) string {
			var b strings.Builder
			b.WriteString("Cookie: ")
			for i := range n {
				fmt.Fprintf(&b, "%s=%s; ", name(i), value)
			}
			return strings.TrimSuffix(b.String(), "; ")
		}
		state := func(i int) string { return fmt.Sprintf("wechat_flow_%016d", i) }
		own := func(int) string { return s.Cookies.CookieName(f.State) }
		long := real.Value + strings.Repeat("A", 100_000)
		cases := map[string]struct {
			target, cookies string
			status          int
		}{
			"10,000 of the callback's own name":            {authtest.CallbackOf(f, "code"), cookies(10_000, own, real.Value), 400},
			"2,900 of the callback's own name":             {authtest.CallbackOf(f, "code"), cookies(2_900, own, real.Value), 400},
			"2,900 pending logins at a page visit":         {"/a", cookies(2_900, state, real.Value), 303},
			"2,900 pending logins at the login":            {"/wechat/login", cookies(2_900, state, real.Value), 303},
			"2,900 login counters":                         {"/a", cookies(2_900, func(int) string { return s.Cookies.LoginCounterName() }, real.Value), 303},
			"2,900 snapshot marks":                         {"/a", cookies(2_900, func(int) string { return s.Cookies.SnapshotName() }, real.Value), 303},
			"a pending login of 100 KB":                    {authtest.CallbackOf(f, "code"), cookies(1, own, long), 400},
			"eight login counters of 100 KB":               {"/a", cookies(8, func(int) string { return s.Cookies.LoginCounterName() }, long), 303},
			"eight snapshot marks of 100 KB":               {"/a", cookies(8, func(int) string { return s.Cookies.SnapshotName() }, long), 303},
			"cookie names of ours with a megabyte of name": {"/a", cookies(1, func(int) string { return "wechat_flow_" + strings.Repeat("x", 1<<20) }, "x"), 303},
		}
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				opens.Store(0)
				size.Store(0)
				got := s.Wire(http.MethodGet, c.target, authtest.PageHeader, c.cookies)
				assert.Equal(t, c.status, got.StatusCode)
				assert.LessOrEqual(t, opens.Load(), int64(cookie.MaxOpened))
				assert.LessOrEqual(t, size.Load(), int64(cookie.MaxOpened*cookie.MaxBytes))
				assert.LessOrEqual(t, len(got.Header["Set-Cookie"]), 30, "the response does not grow with the flood")
				responseBytes := 0
				for _, line := range got.Header["Set-Cookie"] {
					responseBytes += len(line)
				}
				assert.Less(t, responseBytes, 8<<10, "a proxy in front accepts the response")
			})
		}
		assert.Zero(t, s.Exchanges())
	})

	t.Run("T56 anonymous requests store nothing in Redis", func(t *testing.T) {
		hits := authtest.Flood(100_000)
		redis := redistest.Start(t)
		s := authtest.NewSite(t, wechatauth.WithRedis(redis.Pool()))
		gate := quietGate(s, wechatauth.WithRedis(redis.Pool()))
		page := http.Header{"Accept": {"text/html"}, "X-Forwarded-Host": {s.Base.Host}}
		target := func(s string) *url.URL { return &url.URL{Path: s} }
		callback := &url.URL{Path: "/wechat/callback", RawQuery: "code=x&state=0123456789abcdef0123456789ABCDEF"}
		before := redis.Do("INFO", "commandstats")
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				for i := range hits / 2 {
					want, got := http.StatusSeeOther, 0
					switch i % 10 {
					case 0:
						want, got = http.StatusUnauthorized, hit(gate, target("/api/orders"), nil)
					case 1:
						want, got = http.StatusBadRequest, hit(gate, callback, page)
					case 2:
						got = hit(gate, target("/wechat/login"), page)
					default:
						got = hit(gate, target("/orders/7"), page)
					}
					if got != want {
						assert.Fail(t, "unexpected response", "%d", got)
					}
				}
			})
		}
		wg.Wait()
		keys := redis.Do("DBSIZE")
		assert.Equal(t, int64(0), keys)
		assert.Equal(t, string(before.([]byte)), withoutCommand(string(redis.Do("INFO", "commandstats").([]byte)), "dbsize", "info"), "no command")
		assert.Empty(t, s.Sim.Journal())
		t.Logf("anonymous requests %d, keys %d", hits, keys)
	})

	t.Run("T57 callbacks store small marks that expire", func(t *testing.T) {
		loops := authtest.Flood(10_000)
		redis := redistest.Start(t)
		s := authtest.NewSite(t, wechatauth.WithRedis(redis.Pool()))
		gate := quietGate(s, wechatauth.WithRedis(redis.Pool()))
		for range loops {
			f := s.Pending("/a?" + strings.Repeat("x", 1000))
			f.Attempt = 1
			r := httptest.NewRequest(http.MethodGet, authtest.CallbackOf(f, "junk"), nil)
			r.AddCookie(s.FlowCookie(f))
			w := httptest.NewRecorder()
			gate.ServeHTTP(w, r)
			require.Equal(t, http.StatusBadRequest, w.Code)
		}
		keys, ok := redis.Do("KEYS", "*").([]any)
		require.True(t, ok)
		assert.LessOrEqual(t, len(keys), loops)
		for _, key := range keys {
			value, ok := redis.Do("GET", key).([]byte)
			if !ok {
				continue // expired
			}
			assert.LessOrEqual(t, len(value), 150)
			left := redis.Do("PTTL", key).(int64)
			assert.LessOrEqual(t, left, authtest.FailureTTL.Milliseconds(), "%s", key)
			assert.NotEqual(t, int64(-1), left, "%s has no expiry", key)
		}
		assert.Equal(t, loops, s.Exchanges(), "one call per code")
		t.Logf("loops %d, keys %d", loops, len(keys))
	})

	t.Run("T61 aborted requests cost no connections", func(t *testing.T) {
		const requests, workers = 1000, 8
		redis := redistest.Start(t)
		pool, err := store.NewPool(redis.URL())
		require.NoError(t, err)
		t.Cleanup(func() { pool.Close() })
		var dials atomic.Int64
		dial := pool.DialContext
		pool.DialContext = func(ctx context.Context) (redigo.Conn, error) {
			dials.Add(1)
			return dial(ctx)
		}
		s := authtest.NewSite(t, wechatauth.WithRedis(pool), wechatauth.WithIdleTimeout(time.Hour))
		session := authtest.CookieHeader(&http.Cookie{Name: s.SessionCookie(), Value: s.Session(authtest.AliceOpenID)})
		gate := quietGate(s, wechatauth.WithRedis(pool), wechatauth.WithIdleTimeout(time.Hour))
		var warm []redigo.Conn
		for range workers {
			warm = append(warm, pool.Get())
		}
		for _, conn := range warm {
			conn.Close()
		}
		dials.Store(0)
		var wg sync.WaitGroup
		for worker := range workers {
			random := rand.New(rand.NewPCG(5, uint64(worker)))
			wg.Go(func() {
				for range requests / workers {
					ctx, abort := context.WithCancel(context.Background())
					target := []string{"/a", "/wechat/login", "/wechat/callback?code=x&state=" + flow.NewState()}[random.IntN(3)]
					r := httptest.NewRequestWithContext(ctx, http.MethodGet, target, nil)
					r.Header.Set("Accept", "text/html")
					r.Header.Set("Cookie", strings.TrimPrefix(session, "Cookie: "))
					if random.IntN(2) == 0 {
						abort() // before anything is sent
					} else {
						go abort() // at any moment
					}
					gate.ServeHTTP(httptest.NewRecorder(), r)
					abort()
				}
			})
		}
		wg.Wait()
		assert.Zero(t, dials.Load(), "the connections that were open serve them all")
		assert.Zero(t, pool.ActiveCount()-pool.IdleCount(), "and none is leaked")
	})

	t.Run("T62 anonymous requests evict no session", func(t *testing.T) {
		const users = 50
		redis := redistest.Start(t, "--maxmemory", "2mb", "--maxmemory-policy", "allkeys-lru")
		s := authtest.NewSite(t, wechatauth.WithRedis(redis.Pool()))
		var tokens []string
		for range users {
			tokens = append(tokens, s.Session(authtest.AliceOpenID))
		}
		gate := quietGate(s, wechatauth.WithRedis(redis.Pool()))
		for range authtest.Flood(20_000) {
			hit(gate, &url.URL{Path: "/orders/7"}, http.Header{"Accept": {"text/html"}, "X-Forwarded-Host": {s.Base.Host}})
		}
		assert.Contains(t, string(redis.Do("INFO", "stats").([]byte)), "evicted_keys:0\r\n")
		for _, token := range tokens {
			r := httptest.NewRequest(http.MethodGet, "/a", nil)
			r.AddCookie(&http.Cookie{Name: s.SessionCookie(), Value: token})
			w := httptest.NewRecorder()
			gate.ServeHTTP(w, r)
			require.Equal(t, http.StatusOK, w.Code)
		}
	})
}

// quietGate returns a gate for floods, which logs nothing below a warning.
func quietGate(s *authtest.Site, opts ...wechatauth.Option) http.Handler {
	a := s.Instance(append([]wechatauth.Option{wechatauth.WithLogger(slog.New(slog.DiscardHandler))}, opts...)...)
	return a.RequireScope(client.ScopeBase)(http.HandlerFunc(authtest.Echo))
}

// hit calls a handler without a network, for floods of a hundred thousand
// requests, and returns the status.
func hit(h http.Handler, target *url.URL, header http.Header) int {
	w := &statusOnly{header: http.Header{}}
	h.ServeHTTP(w, &http.Request{Method: http.MethodGet, URL: target, Header: header, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1})
	return w.status
}

type statusOnly struct {
	header http.Header
	status int
}

func (w *statusOnly) Header() http.Header         { return w.header }
func (w *statusOnly) Write(b []byte) (int, error) { return len(b), nil }
func (w *statusOnly) WriteHeader(status int)      { w.status = status }

// withoutCommand removes the test's own commands from the statistics of Redis.
func withoutCommand(stats string, names ...string) string {
	var kept []string
	for line := range strings.SplitSeq(stats, "\r\n") {
		if !slices.ContainsFunc(names, func(name string) bool { return strings.HasPrefix(line, "cmdstat_"+name+":") }) {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\r\n")
}

func TestStoreDown(t *testing.T) {
	t.Run("T60 frozen Redis delays only requests that need it", func(t *testing.T) {
		redis := redistest.Start(t)
		pool, err := store.NewPool(redis.URL())
		require.NoError(t, err)
		t.Cleanup(func() { pool.Close() })
		s := authtest.NewSite(t, wechatauth.WithRedis(pool))
		b := s.LoggedIn(authtest.AliceOpenID)
		require.Contains(t, b.Step("/a").Text, "logged-in=true")
		redis.Freeze()

		assert.Equal(t, http.StatusSeeOther, s.Browser().Step("/a").StatusCode, "an anonymous visit")
		assert.Equal(t, http.StatusUnauthorized, s.Browser().Fetch(http.MethodGet, "/a").StatusCode, "an anonymous fetch")
		assert.Contains(t, s.Browser().Step("/public").Text, "logged-in=false", "a public page")
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				got := b.Step("/a")
				assert.Equal(t, http.StatusServiceUnavailable, got.StatusCode)
				assert.NotEmpty(t, got.Header.Get("Retry-After"))
				assert.Empty(t, got.Header["Set-Cookie"])
			})
		}
		wg.Wait()
		assert.Contains(t, b.Step("/public").Text, "logged-in=false", "a public page for a user with a session")

		redis.Thaw()
		assert.Contains(t, b.Step("/a").Text, "logged-in=true")
	})

	t.Run("T60 failing store is called once", func(t *testing.T) {
		var st *authtest.FaultyStore
		s := authtest.NewSite(t, authtest.WithFaultyStore(&st))
		b := s.LoggedIn(authtest.AliceOpenID)
		for _, target := range []string{"/a", "/public", "/wechat/login", "/wechat/callback?code=x&state=" + flow.NewState()} {
			asked := 0
			st.Fail("find", func() error { asked++; return authtest.ErrFault })
			b.Step(target)
			assert.Equal(t, 1, asked, "%s: the time limit is used once", target)
		}
	})
}
