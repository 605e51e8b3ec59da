package accounts

import (
	"math/rand/v2"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
)

func BenchmarkByPathPrefix(b *testing.B) {
	f := ByPathPrefix(map[string]wechatauth.Account{"/north/": {AppID: "wx1"}, "/south/": {AppID: "wx2"}, "/": {AppID: "wx3"}})
	for name, target := range map[string]string{"plain": "/north/orders/17", "escaped": "/north/%E8%AE%A2%E5%8D%95/a%2Fb", "odd": "/north/..;/south/"} {
		r := httptest.NewRequest("GET", target, nil)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = f.ResolveAppID(r)
			}
		})
	}
}

// Every path that isPlain accepts must have exactly one reading.
func TestIsPlain(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	parts := []string{"/", "/", "north", "south", ".", "..", ";", "%2F", "%2f", "%5C", "%25", "%2e", "%3B", `\`, "a b", "订单", "x", "?q", "%E8"}
	plain := 0
	for range 200_000 {
		raw := "/"
		for range random.IntN(6) {
			raw += parts[random.IntN(len(parts))]
		}
		u, err := url.ParseRequestURI(raw)
		if err != nil || !isPlain(u) {
			continue
		}
		plain++
		for _, reading := range readings(u) {
			require.Equal(t, strings.TrimRight(u.Path, "/"), strings.TrimRight(reading, "/"), raw)
		}
	}
	assert.Greater(t, plain, 20_000)
}
