package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/gob"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/alexedwards/scs/redisstore"
	"github.com/alexedwards/scs/v2"
	"github.com/boj/redistore"
	"github.com/go-chi/jwtauth/v5"
	"github.com/gomodule/redigo/redis"
	"github.com/gorilla/sessions"
)

// This is the name that gob gives a type of a program's package main, the
// shortest there is: it is in every record.
func init() { gob.RegisterName("main.identity", identity{}) }

// scsIdentity is the key under which an application of scs stores the user.
const scsIdentity = "identity"

// newSCS returns scs as its README shows it: LoadAndSave around the
// application, and one struct in the session.
func newSCS(store scs.Store) (*scs.SessionManager, http.Handler) {
	m := scs.New()
	if store != nil {
		m.Store = store
	}
	return m, m.LoadAndSave(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, ok := m.Get(r.Context(), scsIdentity).(identity)
		if !ok {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		page(w, id.OpenID)
	}))
}

// scsContender returns scs with logged-in users.
func scsContender(store scs.Store) (*contender, error) {
	m, h := newSCS(store)
	cookies := make([]string, maxVisitors)
	for n := range cookies {
		ctx, err := m.Load(context.Background(), "")
		if err != nil {
			return nil, err
		}
		m.Put(ctx, scsIdentity, identityOf(n))
		token, _, err := m.Commit(ctx)
		if err != nil {
			return nil, fmt.Errorf("scs: %w", err)
		}
		cookies[n] = m.Cookie.Name + "=" + token
	}
	return withCookies("scs", h, cookies), nil
}

// scsVisits stores the state of an anonymous visit in a new session, and
// redirects to WeChat.
func scsVisits(pool *redis.Pool) *contender {
	m := scs.New()
	m.Store = redisstore.New(pool)
	h := m.LoadAndSave(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		state := rand.Text()
		m.Put(r.Context(), "state", state)
		m.Put(r.Context(), "return_to", r.URL.RequestURI())
		q := url.Values{
			"appid": {appID}, "redirect_uri": {baseURL + "/callback"}, "response_type": {"code"},
			"scope": {"snsapi_base"}, "state": {state},
		}
		http.Redirect(w, r, wechatURL+"/connect/oauth2/authorize?"+q.Encode()+"#wechat_redirect", http.StatusSeeOther)
	}))
	return anonymous("scs", h, http.StatusSeeOther, func() *user { return newVisitor("") })
}

// newRedistore returns gorilla's sessions in Redis.
func newRedistore(pool *redis.Pool) (*redistore.RediStore, error) {
	s, err := redistore.NewRediStoreWithPool(pool, []byte("session-authentication-key-tests"))
	if err != nil {
		return nil, fmt.Errorf("redistore: %w", err)
	}
	s.SetMaxAge(int((24 * time.Hour).Seconds()))
	s.Options.HttpOnly = true
	return s, nil
}

const gorillaSession = "app"

// gorillaPage responds to logged-in users, and redirects others to a login.
func gorillaPage(store sessions.Store, login http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		session, err := store.Get(r, gorillaSession)
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		id, ok := session.Values[scsIdentity].(identity)
		if !ok {
			login(w, r)
			return
		}
		page(w, id.OpenID)
	}
}

func unauthorized(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }

// gorillaContender returns gorilla with logged-in users.
func gorillaContender(pool *redis.Pool) (*contender, error) {
	store, err := newRedistore(pool)
	if err != nil {
		return nil, err
	}
	cookies := make([]string, maxVisitors)
	for n := range cookies {
		v := newVisitor("")
		session, err := store.New(v.request, gorillaSession)
		if err != nil {
			return nil, fmt.Errorf("redistore: %w", err)
		}
		session.Values[scsIdentity] = identityOf(n)
		if err := session.Save(v.request, v.response); err != nil {
			return nil, fmt.Errorf("redistore: %w", err)
		}
		cookies[n] = cookieHeader(v.response.header, "")
	}
	return withCookies("gorilla", gorillaPage(store, unauthorized), cookies), nil
}

// jwtContender returns an application with the identity in a signed cookie:
// nothing is stored, and no one can be logged out.
func jwtContender() (*contender, error) {
	ja := jwtauth.New("HS256", []byte("token-signing-key-for-tests-only"), nil)
	h := jwtauth.Verifier(ja)(jwtauth.Authenticator(ja)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, claims, _ := jwtauth.FromContext(r.Context())
		openID, _ := claims["openid"].(string)
		page(w, openID)
	})))
	cookies := make([]string, maxVisitors)
	for n := range cookies {
		id := identityOf(n)
		_, token, err := ja.Encode(map[string]any{
			"openid": id.OpenID, "unionid": id.UnionID, "iat": id.LoginAt.Unix(), "exp": id.LoginAt.Add(24 * time.Hour).Unix(),
		})
		if err != nil {
			return nil, fmt.Errorf("jwtauth: %w", err)
		}
		cookies[n] = "jwt=" + token
	}
	return withCookies("jwt", h, cookies), nil
}

// scsKey returns the key in Redis of the session of a cookie, as scs has it,
// and ourKey that of ours, which hashes tokens.
func scsKey(cookies string) string {
	_, token := sessionCookie(cookies)
	return keyPrefix + token
}

func ourKey(cookies string) string {
	_, token := sessionCookie(cookies)
	return keyPrefix + hashed(token)
}

const keyPrefix = "scs:session:"

func hashed(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// sessionCookie returns the session among a browser's cookies.
func sessionCookie(cookies string) (name, token string) {
	for pair := range strings.SplitSeq(cookies, "; ") {
		if name, token, ok := strings.Cut(pair, "="); ok && strings.Contains(name, "session") {
			return name, token
		}
	}
	panic("bench: no session cookie in " + cookies)
}

// redigoContender reads the same records from Redis, and does nothing with
// them: no session in Redis can be read for less.
func redigoContender(pool *redis.Pool, cookies []string) *contender {
	key, openID := ourKey(cookies[0]), openIDOf(0)
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn := pool.Get()
		record, err := redis.Bytes(conn.Do("GET", key))
		conn.Close()
		if err != nil || len(record) == 0 {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		page(w, openID)
	})
	return anonymous("redigo", h, http.StatusOK, func() *user { return newVisitor(cookies[0]) })
}

// cookieHeader returns what a browser sends after a response, in addition to
// what it has.
func cookieHeader(h http.Header, have string) string {
	jar := map[string]string{}
	var order []string
	put := func(name, value string, drop bool) {
		if _, known := jar[name]; !known {
			order = append(order, name)
		}
		if jar[name] = value; drop {
			delete(jar, name)
		}
	}
	for pair := range strings.SplitSeq(have, "; ") {
		if name, value, ok := strings.Cut(pair, "="); ok {
			put(name, value, false)
		}
	}
	for _, c := range (&http.Response{Header: h}).Cookies() {
		put(c.Name, c.Value, c.MaxAge < 0 || c.Value == "")
	}
	var pairs []string
	for _, name := range order {
		if value, ok := jar[name]; ok {
			pairs = append(pairs, name+"="+value)
			delete(jar, name)
		}
	}
	return strings.Join(pairs, "; ")
}
