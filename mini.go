package wechatauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/environment"
	"github.com/wechatauth/wechatauth/internal/flow"
	"github.com/wechatauth/wechatauth/internal/identity"
	"github.com/wechatauth/wechatauth/internal/mini"
	"github.com/wechatauth/wechatauth/internal/navigation"
	"github.com/wechatauth/wechatauth/internal/redact"
	"github.com/wechatauth/wechatauth/internal/respond"
	"github.com/wechatauth/wechatauth/internal/session"
	"github.com/wechatauth/wechatauth/internal/singleflight"
)

const maxMiniBody = 4 << 10

// miniStore returns the store of web-view tickets and of session_keys.
func (g *gate) miniStore() mini.Store {
	return mini.Store{Marks: g.sessions.Marks(), Keys: g.keys, AppID: g.mini.appID, Now: g.now}
}

// serveMiniLogin exchanges the code of wx.login for a token of ours:
//
//	{"code":"…"}  →  {"token":"wxm_…","expires_in":86400}
//
// Mini programs sometimes send one code in parallel requests. Requests that arrive
// before the first has its result get the same token: their sender had the code
// while it was unused, and could have been the first. A later request gets
// ReasonCodeUsed, because a used code may have leaked.
func (g *gate) serveMiniLogin(w http.ResponseWriter, r *http.Request) {
	f := flow.Flow{AppID: g.mini.appID, Channel: ChannelMiniProgram, IssuedAt: g.now().UnixMilli()}
	var body struct {
		Code string `json:"code"`
	}
	if err := readMiniBody(w, r, &body); err != nil || !flow.ValidCode(body.Code) {
		g.rejectMini(w, r, f, ReasonCallbackMalformed, err)
		return
	}
	f.State, f.Key = "mini "+body.Code, []byte(body.Code)
	var key client.Secret
	g.settle(w, r, proof{
		flow: f, key: singleflight.Key(f.AppID, f.State), keep: shortTTL,
		session: func(r *http.Request) (*session.Visit, error) {
			v, err := g.sessions.NewSession(r.Context(), &g.audience)
			if err == nil {
				v.Bearer = true
			}
			return v, err
		},
		verify: func(ctx context.Context) (identity.Identity, Reason, error) {
			ms, err := g.mini.client.Code2Session(ctx, body.Code)
			if err != nil {
				return identity.Identity{}, reasonOf(err), err
			}
			key = ms.SessionKey
			return identity.Identity{
				AppID: f.AppID, OpenID: ms.OpenID, UnionID: ms.UnionID,
				Channel: ChannelMiniProgram, LoginAt: time.Unix(g.now().Unix(), 0),
			}, "", nil
		},
		prepare: func(ctx context.Context, v *session.Visit, id identity.Identity) error {
			g.sessions.SessionManager().Put(v.Context(), session.BearerKey, true)
			return g.keepSessionKey(ctx, id, key)
		},
	}, func(w http.ResponseWriter, r *http.Request, res result) {
		if res.unopened || res.late && res.Reason == "" { // the cause is for the request that had it
			res.Reason = ReasonCodeUsed
		}
		g.respondMini(w, r, f, res)
	})
}

// keepSessionKey stores the newest session_key of the user, sealed.
func (g *gate) keepSessionKey(ctx context.Context, id identity.Identity, key client.Secret) error {
	return g.miniStore().PutSessionKey(ctx, session.User(id.AppID, id.OpenID), key.Reveal(), g.sessions.SessionManager().Lifetime)
}

func (g *gate) respondMini(w http.ResponseWriter, r *http.Request, f flow.Flow, res result) {
	if res.Reason != "" {
		g.rejectMini(w, r, f, res.Reason, res.err)
		return
	}
	respond.NoStore(w.Header())
	respond.JSON(w, http.StatusOK, respond.Text("token", session.BearerPrefix+res.Token), respond.Int("expires_in", max(0, res.Expiry-g.now().Unix())))
}

// rejectMini responds to a mini program that gets no token: with 401 if another
// wx.login can help, with 429 if waiting can, and otherwise with the status of the
// reason.
func (g *gate) rejectMini(w http.ResponseWriter, r *http.Request, f flow.Flow, reason Reason, err error) {
	failure := Failure{Reason: reason, Err: err}
	switch reason {
	case ReasonCodeUsed, ReasonCodeExpired:
		failure.Status = http.StatusUnauthorized
	case ReasonRateLimited:
		failure.Status = http.StatusTooManyRequests
		w.Header().Set("Retry-After", strconv.Itoa(failure.retryAfter()))
	}
	g.reportLogin(r.Context(), f, Event{Kind: EventLoginFailed, Reason: reason, Err: err})
	g.reject(w, r, failure)
}

func readMiniBody(w http.ResponseWriter, r *http.Request, into any) error {
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxMiniBody))
	if err != nil {
		return fmt.Errorf("read request body: %w", err)
	}
	if json.Unmarshal(b, into) != nil {
		return errors.New("the body is no JSON object of the right form")
	}
	return nil
}

// serveMiniTicket responds with a URL that logs the mini program's web-view in too:
//
//	{"target":"/orders"}  →  {"url":"https://…/wechat/mini/enter?ticket=…","expires_in":60}
func (g *gate) serveMiniTicket(w http.ResponseWriter, r *http.Request) {
	f := flow.Flow{AppID: g.mini.appID, Channel: ChannelMiniProgram, IssuedAt: g.now().UnixMilli()}
	v, err := g.load(r)
	switch {
	case err != nil:
		g.rejectMini(w, r, f, ReasonStoreUnavailable, err)
		return
	case !v.LoggedIn || !v.Bearer:
		g.rejectAnonymous(w, r, ReasonNoSession)
		return
	}
	var body struct {
		Target string `json:"target"`
	}
	if err := readMiniBody(w, r, &body); err != nil {
		g.rejectMini(w, r, f, ReasonCallbackMalformed, err)
		return
	}
	target := g.readReturnURL(r, body.Target)
	ticket := flow.NewState()
	content := mini.Ticket{Identity: v.Identity, Target: target, Session: g.sessions.StoreKey(v.Token)}
	if err := g.miniStore().Put(r.Context(), ticket, content); err != nil {
		g.rejectMini(w, r, f, ReasonStoreUnavailable, err)
		return
	}
	respond.NoStore(w.Header())
	respond.JSON(w, http.StatusOK, respond.Text("url", g.absolute(g.enterPath(ticket))), respond.Int("expires_in", int64(mini.TTL/time.Second)))
}

func (g *gate) enterPath(ticket string) string { return g.endpoint("mini/enter") + "?ticket=" + ticket }

// serveMiniEnter exchanges a web-view ticket, once, for a browser's session. A
// GET does so if it is certainly a page visit that the user, the mini program
// or this site started, and no other user's session is replaced. If that is not
// certain, the response is PageEnter, whose form posts the ticket. Any other
// request changes nothing.
func (g *gate) serveMiniEnter(w http.ResponseWriter, r *http.Request) {
	from := navigation.Here
	if r.Method == http.MethodPost {
		if _, ok := g.readForm(w, r); !ok {
			return
		}
	} else if from = navigation.OpenerOf(r, environment.Of(r) == environment.MiniProgramWebView); from == navigation.Elsewhere || !IsPageVisit(r) {
		g.rejectReported(w, r, Event{Reason: ReasonCrossOrigin}, g.isPage(r))
		return
	}
	ticket := r.URL.Query().Get("ticket")
	if !flow.ValidState(ticket) {
		g.rejectReported(w, r, Event{Reason: ReasonCallbackMalformed, AppID: g.mini.appID}, true)
		return
	}
	ctx, cancel := detachedContext(r, callbackBudget)
	defer cancel()
	r = r.WithContext(ctx)
	e, reason, err := g.openEnter(ctx, ticket)
	if reason != "" || err != nil {
		g.rejectEnter(w, r, e.Target, reason, err)
		return
	}
	v, err := g.load(r)
	if err != nil {
		g.rejectUnavailable(w, r, err)
		return
	}
	if r.Method == http.MethodGet && (from == navigation.Perhaps || v.Brought == session.Ambiguous || v.LoggedIn && !v.Identity.SameUser(e.Identity)) {
		g.page(w, r, Page{Kind: PageEnter, ActionURL: g.enterPath(ticket), Next: e.Target})
		return
	}
	if won, err := g.miniStore().Use(ctx, ticket); err != nil || !won {
		g.rejectEnter(w, r, e.Target, ReasonCodeUsed, err)
		return
	}
	saved := false
	defer func() {
		if !saved { // the browser got no session, so the ticket may be used again
			_ = g.miniStore().Release(ctx, ticket)
		}
	}()
	// WithOnLogin was called for the mini program's login, which this continues.
	if _, reason, err := g.saveLogin(w, r, v, proof{source: e.Session}, e.Identity); reason != "" {
		g.rejectEnter(w, r, e.Target, reason, err)
		return
	}
	g.report(ctx, Event{Kind: EventLoginFinished, Flow: flowID(g.mini.appID, ticket), AppID: g.mini.appID, Channel: ChannelMiniProgram, OpenID: redact.OpenID(e.Identity.OpenID)})
	saved = true // an observer that panics above leaves the browser without the session
	respond.Redirect(w, g.returnURL(e.Target))
}

// rejectEnter rejects a ticket or, if err is not nil, responds that the store is
// unavailable. The login that the page offers leads to target, which is empty if the
// ticket could not be opened.
func (g *gate) rejectEnter(w http.ResponseWriter, r *http.Request, target string, reason Reason, err error) {
	if err != nil {
		g.rejectUnavailable(w, r, err)
		return
	}
	g.report(r.Context(), Event{Kind: EventLoginFailed, Reason: reason, AppID: g.mini.appID, Channel: ChannelMiniProgram})
	g.reject(w, r, Failure{Reason: reason, Status: http.StatusUnauthorized, Page: true, RetryURL: g.loginURL(g.returnURL(target), true)})
}

// openEnter returns the content of a ticket, or the reason why it is not valid:
// it is unknown or has expired, or the session that requested it has ended.
func (g *gate) openEnter(ctx context.Context, ticket string) (e mini.Ticket, reason Reason, err error) {
	e, found, err := g.miniStore().Find(ctx, ticket)
	if err != nil || !found {
		return e, ReasonCodeUsed, err
	}
	reason, err = g.checkSource(ctx, e.Session)
	return e, reason, err
}

// A MiniProgram decrypts data, verifies signatures and returns phone numbers
// for the user of a mini program's request. It is safe for concurrent use by
// multiple goroutines.
type MiniProgram struct {
	gate *gate
	id   identity.Identity
}

// MiniProgram returns the MiniProgram of a request that was authenticated with
// a bearer token. It returns [ErrNotMiniProgram] for any other.
func (a *Auth) MiniProgram(ctx context.Context) (*MiniProgram, error) {
	v := session.FromContext(ctx)
	if v == nil || !v.LoggedIn || !v.Bearer {
		return nil, ErrNotMiniProgram
	}
	id := v.Identity
	g := a.gateOfUser(id.AppID)
	if g == nil || g.mini.appID != id.AppID {
		return nil, ErrNotMiniProgram
	}
	return &MiniProgram{gate: g, id: id}, nil
}

// sessionKey returns the newest session_key of the user.
func (m *MiniProgram) sessionKey(ctx context.Context) (string, error) {
	key, found, err := m.gate.miniStore().SessionKey(ctx, session.User(m.id.AppID, m.id.OpenID))
	switch {
	case err != nil:
		return "", redact.Tokens(fmt.Errorf("find session_key: %w", err))
	case !found:
		return "", ErrSessionKeyStale
	}
	return key, nil
}

// Decrypt decrypts the encryptedData that wx.getUserInfo and similar calls give
// to the mini program, and checks that it is for this AppID; see
// client.Decrypt. It returns [ErrSessionKeyStale] if the data cannot be
// decrypted. If WeChat cannot have created the data, it returns
// client.ErrDecrypt: respond with 400, because a new login does not help.
func (m *MiniProgram) Decrypt(ctx context.Context, encryptedData, iv string) ([]byte, error) {
	if !mini.IsCiphertext(encryptedData, iv) {
		return nil, errNoCiphertext
	}
	key, err := m.sessionKey(ctx)
	if err != nil {
		return nil, err
	}
	plain, err := client.Decrypt(key, encryptedData, iv, m.id.AppID)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSessionKeyStale, err)
	}
	return plain, nil
}

// errNoCiphertext is returned for data that no session_key can decrypt.
var errNoCiphertext = fmt.Errorf("wechatauth: encryptedData and iv are not base64 of whole blocks and of one: %w", client.ErrDecrypt)

// VerifySignature verifies the signature of rawData, both as the mini program
// received them; see client.VerifySignature. It returns [ErrSessionKeyStale] if
// it is wrong.
func (m *MiniProgram) VerifySignature(ctx context.Context, rawData, signature string) error {
	key, err := m.sessionKey(ctx)
	if err != nil {
		return err
	}
	if !client.VerifySignature(key, rawData, signature) {
		return ErrSessionKeyStale
	}
	return nil
}

// PhoneNumber exchanges the code of the phone number button; see
// client.Client.PhoneNumber. It needs no session_key.
func (m *MiniProgram) PhoneNumber(ctx context.Context, code string) (*client.PhoneNumber, error) {
	return m.gate.mini.client.PhoneNumber(ctx, code)
}
