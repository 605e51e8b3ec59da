package wechattest

import (
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSweep(t *testing.T) {
	now := time.Unix(1700000000, 0)
	s := newServer([]Option{WithClock(func() time.Time { return now })})
	for range 2000 {
		s.WXLogin(DefaultMiniProgramAppID, "Lin")
	}
	used := s.WXLogin(DefaultMiniProgramAppID, "Lin")
	s.Advance(codeLife + time.Hour)
	require.Contains(t, s.codes, used, "an hour after it expired, a used code is still known")
	s.Advance(time.Second)
	for range 1024 {
		s.WXLogin(DefaultMiniProgramAppID, "Lin")
	}
	require.LessOrEqual(t, len(s.codes), 1024)
}

func TestJournal_Limit(t *testing.T) {
	s := newServer(nil)
	for i := range journalLimit + 1 {
		s.journal.calls = append(s.journal.calls, &Call{State: string(rune(i))})
	}
	r := httptest.NewRequest("GET", "/sns/auth", nil)
	s.note(r, "sns/auth", r.URL.Query())
	calls := s.Journal()
	require.Less(t, len(calls), journalLimit)
	require.Equal(t, "sns/auth", calls[len(calls)-1].Endpoint)
	news := s.journalSince(journalLimit, 0)
	require.Equal(t, journalLimit+2, news.Last)
	require.Len(t, news.Calls, 2)
	require.Equal(t, journalLimit+2, news.Calls[1].Number)
}
