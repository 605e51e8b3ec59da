package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/gomodule/redigo/redis"
	"github.com/markbates/goth"
	"github.com/markbates/goth/gothic"
	"golang.org/x/oauth2"
)

// officialAccount is goth's provider for an official account with snsapi_base.
// The provider that goth has does only website logins, which need a QR code and
// a profile call: with this one, goth has no more to do than our site.
type officialAccount struct{ wechat *weChat }

const gothProvider = "official-account"

var _ goth.Provider = officialAccount{}

func (officialAccount) Name() string                               { return gothProvider }
func (officialAccount) SetName(string)                             {}
func (officialAccount) Debug(bool)                                 {}
func (officialAccount) RefreshTokenAvailable() bool                { return false }
func (officialAccount) RefreshToken(string) (*oauth2.Token, error) { return nil, errors.ErrUnsupported }
func (p officialAccount) BeginAuth(state string) (goth.Session, error) {
	q := "appid=" + appID + "&redirect_uri=" + url.QueryEscape(baseURL+"/auth/callback") +
		"&response_type=code&scope=snsapi_base&state=" + url.QueryEscape(state)
	return &gothSession{AuthURL: wechatURL + "/connect/oauth2/authorize?" + q + "#wechat_redirect"}, nil
}

func (officialAccount) UnmarshalSession(text string) (goth.Session, error) {
	s := &gothSession{}
	return s, json.Unmarshal([]byte(text), s)
}

// FetchUser is called once before the code is exchanged, and once after.
func (p officialAccount) FetchUser(session goth.Session) (goth.User, error) {
	s := session.(*gothSession)
	if s.AccessToken == "" {
		return goth.User{}, errors.New("no access token yet")
	}
	return goth.User{Provider: gothProvider, UserID: s.OpenID, AccessToken: s.AccessToken, RawData: map[string]any{"unionid": s.UnionID}}, nil
}

// gothSession is what goth stores of a pending login.
type gothSession struct {
	AuthURL     string
	AccessToken string `json:",omitempty"`
	OpenID      string `json:",omitempty"`
	UnionID     string `json:",omitempty"`
}

func (s *gothSession) GetAuthURL() (string, error) { return s.AuthURL, nil }

func (s *gothSession) Marshal() string {
	b, _ := json.Marshal(s) // four strings always encode
	return string(b)
}

// Authorize exchanges the code.
func (s *gothSession) Authorize(provider goth.Provider, params goth.Params) (string, error) {
	q := url.Values{"appid": {appID}, "secret": {appSecret}, "code": {params.Get("code")}, "grant_type": {"authorization_code"}}
	resp, err := provider.(officialAccount).wechat.client().Get(wechatURL + "/sns/oauth2/access_token?" + q.Encode())
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var token struct {
		AccessToken string `json:"access_token"`
		OpenID      string `json:"openid"`
		UnionID     string `json:"unionid"`
		Errcode     int    `json:"errcode"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&token); err != nil {
		return "", err
	}
	if token.Errcode != 0 || token.OpenID == "" {
		return "", fmt.Errorf("exchange code: errcode %d", token.Errcode)
	}
	s.AccessToken, s.OpenID, s.UnionID = token.AccessToken, token.OpenID, token.UnionID
	return s.AccessToken, nil
}

// newGothic returns an application with goth as its documentation shows it:
// gothic around the login, and the application's own session for the logged-in
// user. Both sessions are in Redis. gothic keeps its store in a global, so
// there is one such application in a process.
func newGothic(wc *weChat, pool *redis.Pool) (http.Handler, error) {
	store, err := newRedistore(pool)
	if err != nil {
		return nil, err
	}
	gothic.Store = store
	goth.UseProviders(officialAccount{wc})
	mux := http.NewServeMux()
	mux.Handle("GET /", gorillaPage(store, func(w http.ResponseWriter, r *http.Request) {
		gothic.BeginAuthHandler(w, gothic.GetContextWithProvider(r, gothProvider))
	}))
	mux.HandleFunc("GET /auth/callback", func(w http.ResponseWriter, r *http.Request) {
		r = gothic.GetContextWithProvider(r, gothProvider)
		user, err := gothic.CompleteUserAuth(w, r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		session, err := store.Get(r, gorillaSession)
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		unionID, _ := user.RawData["unionid"].(string)
		id := identityOf(0)
		id.OpenID, id.UnionID = user.UserID, unionID
		session.Values[scsIdentity] = id
		if err := session.Save(r, w); err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		http.Redirect(w, r, pageTarget, http.StatusSeeOther)
	})
	return mux, nil
}
