package wechatauth

import (
	"net/http"
	"strings"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/internal/flow"
	"github.com/wechatauth/wechatauth/internal/page"
	"github.com/wechatauth/wechatauth/internal/respond"
)

// showEmbeddedQR is the page with WeChat's frame.
func (g *gate) showEmbeddedQR(w http.ResponseWriter, r *http.Request, acc account, f flow.Flow) {
	lang := client.LangZhCN
	if page.Language(r) == page.English {
		lang = client.LangEN
	}
	frame, _, _ := strings.Cut(acc.client.QRConnectURL(g.redirectURI(), f.State, client.QRLang(lang)), "#")
	respond.NoStore(w.Header())
	g.page(w, r, Page{Kind: PageEmbeddedQR, Status: http.StatusOK, URL: frame + "&login_type=jssdk&self_redirect=false"})
}

// reopenInTop answers a callback that came into a frame. Where WeChat's page
// sent it there, browsers keep Lax cookies back, and with them the pending
// login; the page asks for the same URL again in the whole window, where they
// are sent. The code is not spent.
func (g *gate) reopenInTop(w http.ResponseWriter, r *http.Request) {
	respond.NoStore(w.Header())
	_ = writePage(w, r, nil, Page{Kind: pageReopen, Lang: page.Language(r), Status: http.StatusOK}) // ours does not fail
}
