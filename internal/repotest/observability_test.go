package repotest

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/wechattest"
)

// TestDocs_LogRecords produces each kind of event and compares the records with
// the table.
func TestDocs_LogRecords(t *testing.T) {
	const file = "docs/observability.md"
	rows := map[string][]string{}
	for _, row := range tableOf(t, file, "Log records")[:7] {
		rows[strings.Trim(row[0], "`")] = row
	}
	logs := &authtest.Buffer{}
	logger := slog.New(slog.NewJSONHandler(logs, &slog.HandlerOptions{Level: slog.LevelDebug}))

	var barred atomic.Bool
	s := authtest.NewScanSite(t, wechatauth.WithLogger(logger), wechatauth.WithAccessCheck(func(context.Context, wechatauth.Identity) error {
		if barred.Load() {
			return errors.New("barred")
		}
		return nil
	}, 0))
	mux := http.NewServeMux()
	inner := s.Server.Config.Handler
	mux.Handle("/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.Clock.Advance(time.Millisecond) // so that a login has a duration
		inner.ServeHTTP(w, r)
	}))
	mux.Handle("/leave", s.Auth.RequireWeChat(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		assert.NoError(t, s.Auth.Logout(w, r))
	})))
	s.Server.Config.Handler = mux
	b := s.Browser()
	b.Visit("/leave")
	_, err := s.Auth.RevokeUser(context.Background(), wechattest.DefaultAppID, "o-unknown")
	require.NoError(t, err)
	s.Sim.Fail("sns/oauth2/access_token", wechattest.Errcode(40164))
	s.Browser().Visit("/")
	s.Sim.Fail("sns/oauth2/access_token", wechattest.Errcode(40163))
	b = s.Browser()
	b.Visit("/")
	barred.Store(true)
	b.Visit("/")
	loop := s.Browser()
	loop.Client.Jar = authtest.LossyJar{CookieJar: loop.Client.Jar, Name: s.SessionCookie()}
	loop.Visit("/")
	computer := s.Computer()
	s.Show(computer, "/a")
	s.Redis.Stop()
	computer.Collect("/a")
	_, err = s.Auth.RevokeUser(context.Background(), wechattest.DefaultAppID, "o-unknown")
	require.Error(t, err)

	seen, had := map[string]bool{}, map[string]bool{}
	for _, line := range strings.Split(strings.TrimSpace(logs.String()), "\n") {
		var record map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &record))
		event, _ := record["event"].(string)
		row, ok := rows[event]
		require.True(t, ok, line)
		seen[event] = true
		assert.Equal(t, "wechatauth: "+event, record["msg"])
		for name := range record {
			had[event+" `"+name+"`"] = true
			if !slices.Contains([]string{"time", "level", "msg", "event"}, name) {
				assert.Contains(t, row[2], "`"+name+"`", line)
			}
		}
		if event == "rejected" {
			assert.NotEmpty(t, record["appid"], line)
		}
		if !strings.Contains(row[1], "reason") {
			assert.Equal(t, row[1], record["level"], line)
		}
	}
	for event, row := range rows {
		assert.True(t, seen[event], "%s did not happen", event)
		for _, name := range regexp.MustCompile("`[a-z]+`").FindAllString(row[2], -1) {
			assert.True(t, had[event+" "+name], "no record of %s has %s", event, name)
		}
	}
	checkLevels(t, file)
}

func checkLevels(t *testing.T, file string) {
	t.Helper()
	listed := map[wechatauth.Reason]string{}
	for _, row := range tableOf(t, file, "Log records") {
		if row[0] == "ERROR" || row[0] == "WARN" {
			for _, m := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(row[1], -1) {
				listed[wechatauth.Reason(m[1])] = row[0]
			}
		}
	}
	for r, row := range reasonRows(t) {
		want := listed[r]
		if want == "" {
			want = "INFO"
		}
		assert.Equal(t, want, row.level, r)
		delete(listed, r)
	}
	assert.Empty(t, listed, "no reasons")
}
