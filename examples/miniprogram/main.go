// Command miniprogram is the server of a mini program (小程序): an API behind the
// middleware, which the mini program's pages call with a bearer token. The part
// that runs in WeChat is in the folder client.
//
// In addition to the settings of the other examples, set WECHAT_MINI_APP_ID and
// WECHAT_MINI_APP_SECRET.
package main

import (
	"encoding/json"
	"errors"
	"log"
	"net/http"
	"os"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/examples/internal/serve"
)

func main() {
	auth, err := wechatauth.New(
		wechatauth.WithApp(os.Getenv("WECHAT_APP_ID"), os.Getenv("WECHAT_APP_SECRET")),
		wechatauth.WithMiniProgram(os.Getenv("WECHAT_MINI_APP_ID"), os.Getenv("WECHAT_MINI_APP_SECRET")),
		wechatauth.WithBaseURL(os.Getenv("BASE_URL")),
		wechatauth.WithEndpoints(client.Endpoints{Open: os.Getenv("WECHAT_URL"), API: os.Getenv("WECHAT_URL")}), // if empty, WeChat itself
	)
	if err != nil {
		log.Fatal(err)
	}
	serve.UntilInterrupted("127.0.0.1:8080", app(auth))
}

func app(auth *wechatauth.Auth) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/wechat/", auth)
	mux.Handle("GET /api/me", auth.RequireWeChat(http.HandlerFunc(me)))
	mux.Handle("POST /api/profile", auth.RequireWeChat(profile(auth)))
	mux.Handle("POST /api/phone", auth.RequireWeChat(phone(auth)))
	mux.Handle("GET /orders", auth.RequireWeChat(http.HandlerFunc(me))) // shown in a web-view
	return mux
}

func me(w http.ResponseWriter, r *http.Request) {
	id, _ := wechatauth.IdentityFromContext(r.Context())
	respondJSON(w, http.StatusOK, map[string]any{"openid": id.OpenID, "channel": id.Channel})
}

// profile decrypts the data from wx.getUserInfo.
func profile(auth *wechatauth.Auth) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			EncryptedData string `json:"encryptedData"`
			IV            string `json:"iv"`
		}
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 128<<10)).Decode(&body); err != nil {
			respondJSON(w, http.StatusBadRequest, map[string]any{"error": "bad_request"})
			return
		}
		mini, err := auth.MiniProgram(r.Context())
		if err != nil {
			respondJSON(w, http.StatusForbidden, map[string]any{"error": "not_a_mini_program"})
			return
		}
		plain, err := mini.Decrypt(r.Context(), body.EncryptedData, body.IV)
		switch {
		case errors.Is(err, wechatauth.ErrSessionKeyStale): // the client calls login, then gets the data again
			respondJSON(w, http.StatusConflict, map[string]any{"error": wechatauth.ReasonSessionKeyStale})
		case errors.Is(err, client.ErrDecrypt):
			respondJSON(w, http.StatusBadRequest, map[string]any{"error": "bad_request"})
		case err != nil:
			log.Print(err) // contains no key and no data
			respondJSON(w, http.StatusServiceUnavailable, map[string]any{"error": "unavailable"})
		default:
			respondJSON(w, http.StatusOK, map[string]any{"profile": json.RawMessage(plain)})
		}
	})
}

// phone exchanges the code from the button that requests the phone number.
func phone(auth *wechatauth.Auth) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			Code string `json:"code"`
		}
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 4<<10)).Decode(&body); err != nil {
			respondJSON(w, http.StatusBadRequest, map[string]any{"error": "bad_request"})
			return
		}
		mini, err := auth.MiniProgram(r.Context())
		if errors.Is(err, wechatauth.ErrNotMiniProgram) {
			respondJSON(w, http.StatusForbidden, map[string]any{"error": "not_a_mini_program"})
			return
		}
		number, err := mini.PhoneNumber(r.Context(), body.Code)
		if err != nil {
			log.Print(err) // contains no code and no token
			respondJSON(w, http.StatusBadGateway, map[string]any{"error": "phone_unavailable"})
			return
		}
		respondJSON(w, http.StatusOK, map[string]any{"phone": number.PureNumber})
	})
}

func respondJSON(w http.ResponseWriter, status int, body map[string]any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client may have disconnected
}
