package threat

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/internal/scan"
)

// A bomb is called by all functions of an application and panics once, in the
// call with this number.
type bomb struct {
	mu       sync.Mutex
	left     int
	exploded string
}

func (b *bomb) arm(call int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left, b.exploded = call, ""
}

func (b *bomb) where() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.exploded
}

func (b *bomb) tick(where string) {
	b.mu.Lock()
	b.left--
	now := b.left == 0
	if now {
		b.exploded = where
	}
	b.mu.Unlock()
	if now {
		panic("the application panics on purpose: " + where)
	}
}

func (b *bomb) Observe(_ context.Context, e wechatauth.Event) {
	b.tick("Observe " + string(e.Kind) + " " + string(e.Reason))
}
func (b *bomb) ObserveCall(_ context.Context, c wechatauth.Call) { b.tick("ObserveCall " + c.Name) }

// Enabled, Handle, WithAttrs and WithGroup make it a slog.Handler.
func (b *bomb) Enabled(context.Context, slog.Level) bool { return true }
func (b *bomb) Handle(_ context.Context, r slog.Record) error {
	b.tick("logger " + r.Message)
	return nil
}
func (b *bomb) WithAttrs([]slog.Attr) slog.Handler { return b }
func (b *bomb) WithGroup(string) slog.Handler      { return b }

// broken is the status of a response that a panic has cut off.
const broken = 599

// breakingOff cuts off the response of a handler that panics, as net/http does.
func breakingOff(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		defer func() {
			if recover() != nil {
				w.WriteHeader(broken)
				return
			}
			maps.Copy(w.Header(), rec.Header())
			w.WriteHeader(rec.Code)
			_, _ = w.Write(rec.Body.Bytes())
		}()
		next.ServeHTTP(rec, r)
	})
}

// twice repeats a request whose response was cut off, as a user does.
func twice(request func() authtest.Response) (authtest.Response, bool) {
	got := request()
	if got.StatusCode != broken {
		return got, false
	}
	return request(), true
}

func TestPanic(t *testing.T) {
	// If any function of the application panics, the login ends for every
	// request that waits for it: the next request finds no lease, and the two
	// pages of a scan agree.
	t.Run("T99 in every call", func(t *testing.T) {
		flows := map[string]func(t *testing.T, s *authtest.ScanSite, b *bomb, call int){
			"callback": func(t *testing.T, s *authtest.ScanSite, b *bomb, call int) {
				user := s.Browser()
				callback := user.Authorize("/a")
				b.arm(call)
				got, _ := twice(func() authtest.Response { return user.Visit(callback) })
				assert.True(t, strings.Contains(got.Text, "logged-in=true") || got.StatusCode >= 400 && strings.Contains(got.Text, "/wechat/login?next="), got.Text)
			},
			"scan": func(t *testing.T, s *authtest.ScanSite, b *bomb, call int) {
				computer, phone := s.Computer(), s.LoggedIn(authtest.AliceOpenID)
				b.arm(call)
				shown, _ := twice(func() authtest.Response { return computer.Visit("/a") })
				require.Equal(t, http.StatusOK, shown.StatusCode, shown.Text)
				path := "/wechat/scan/" + s.Held(computer).Ticket
				asked, _ := twice(func() authtest.Response { return phone.Visit(path) })
				require.Contains(t, asked.Text, authtest.ScanButton)
				twice(func() authtest.Response {
					s.Clock.Advance(scan.Pause)
					return phone.Fetch(http.MethodGet, "/wechat/scan/status")
				})
				shown, again := twice(func() authtest.Response { return phone.Post(path, authtest.Confirmed) })
				number := authtest.ShownNumber.FindStringSubmatch(shown.Text)
				if number == nil && again { // the redirect of the repeated form may be the one that was cut off
					number = authtest.ShownNumber.FindStringSubmatch(phone.Visit(path).Text)
				}
				require.NotNil(t, number, shown.Text)
				state, _ := twice(func() authtest.Response {
					s.Clock.Advance(scan.Pause)
					return computer.Fetch(http.MethodGet, "/wechat/scan/status")
				})
				require.Contains(t, state.Text, "confirmed")
				got, again := twice(func() authtest.Response { return computer.Enter("/a", number[1]) })
				page, _ := twice(func() authtest.Response { return computer.Visit("/public") })
				in := strings.Contains(page.Text, "logged-in=true")
				if !in {
					assert.True(t, again, got.Text)
					assert.GreaterOrEqual(t, got.StatusCode, 400)
					assert.Contains(t, got.Text, "/wechat/")
				}
				ended, _ := twice(func() authtest.Response { return phone.Visit(path) })
				assert.NotRegexp(t, authtest.ShownNumber, ended.Text, "the phone no longer waits")
				assert.Equal(t, in, ended.StatusCode == http.StatusOK, "%v: %s", in, ended.Text)
			},
			"mini program": func(t *testing.T, s *authtest.ScanSite, b *bomb, call int) {
				body := `{"code":"` + s.Sim.WXLogin(authtest.MiniApp, authtest.Person(0)) + `"}`
				b.arm(call)
				got, again := twice(func() authtest.Response { return s.Request(http.MethodPost, "/wechat/mini/login", "", body) })
				assert.True(t, got.StatusCode == http.StatusOK || again && got.StatusCode >= 400, got.Text)
				if got.StatusCode == http.StatusOK {
					return
				}
				s.MiniLogin(authtest.Person(0))
			},
			"web-view": func(t *testing.T, s *authtest.ScanSite, b *bomb, call int) {
				token := s.MiniLogin(authtest.Person(0))
				url, view := s.Ticket(token, "/a"), s.WebView()
				b.arm(call)
				entered, _ := twice(func() authtest.Response { return view.Step(url) })
				require.Equal(t, "/a", entered.Header.Get("Location"), "the ticket was used up: %s", entered.Text)
				got, _ := twice(func() authtest.Response { return view.Visit("/a") })
				assert.Contains(t, got.Text, "logged-in=true")
			},
		}
		for name, flow := range flows {
			t.Run(name, func(t *testing.T) {
				places := map[string]int{}
				for call := 1; ; call++ {
					b, waits := &bomb{}, atomic.Int64{}
					s := newHookSite(t,
						memoryOnClock(),
						wechatauth.WithTokens(0), wechatauth.WithObserver(b), wechatauth.WithLogger(slog.New(b)),
						wechatauth.WithOnLogin(func(context.Context, wechatauth.Identity) error { b.tick("WithOnLogin"); return nil }),
						wechatauth.WithAccessCheck(func(context.Context, wechatauth.Identity) error { b.tick("WithAccessCheck"); return nil }, 0),
						wechatauth.WithPageVisit(func(r *http.Request) bool { b.tick("WithPageVisit"); return wechatauth.IsPageVisit(r) }),
						wechatauth.WithPages(func(w io.Writer, p wechatauth.Page) error {
							b.tick("WithPages")
							_, err := fmt.Fprintf(w, `<footer data-reason="%s"> %s %s %s`, p.Reason, p.RetryURL, p.ActionURL, map[bool]string{true: authtest.ScanButton}[p.Kind == wechatauth.PageScanConfirm])
							if p.Kind == wechatauth.PageScanConfirmed {
								_, err = fmt.Fprintf(w, `<p class="number"><strong>%s</strong></p>`, p.Scan.Number)
							}
							return err
						}))
					s.Wait = func(context.Context, time.Duration) error { waits.Add(1); return context.DeadlineExceeded }
					s.Server.Config.Handler = breakingOff(s.Server.Config.Handler)
					flow(t, s, b, call)
					assert.Zero(t, waits.Load(), "the lease is free")
					if b.where() == "" {
						break
					}
					places[b.where()]++
					if t.Failed() {
						t.Fatalf("call %d: %s", call, b.where())
					}
				}
				t.Logf("%v", slices.Sorted(maps.Keys(places)))
			})
		}
	})
}
