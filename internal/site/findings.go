package site

import (
	"fmt"

	"github.com/wechatauth/wechatauth/store"
)

// A fault has the texts of a finding, which name what to change in nginx, in
// Caddy and in a CDN. Both take the same arguments.
type fault struct{ english, chinese string }

var (
	unreachable = &fault{
		"cannot be reached: %v; nginx: check server_name, listen, ssl_certificate, and that proxy_pass has the address at which the application listens; Caddy: check the site address and reverse_proxy; CDN: check DNS, the certificate and the address of the origin",
		"无法访问（%v）；nginx：检查 server_name、listen、ssl_certificate，以及 proxy_pass 是否指向应用监听的地址；Caddy：检查站点地址和 reverse_proxy；CDN：检查 DNS、证书和源站地址。",
	}
	redirected = &fault{
		"BASE_URL is redirected: %v redirects to %v, and a callback that is redirected arrives twice or at another host; nginx: remove the return or rewrite for this server_name, or set the base URL to its target; Caddy: remove redir; CDN: remove the redirect rule",
		"BASE_URL 被跳转：%v 跳转到 %v，回调会因此到达两次或到达其他域名；nginx：删除该 server_name 的 return 或 rewrite，或把 base URL 设为跳转的目标；Caddy：删除 redir；CDN：删除跳转规则。",
	}
	notFound = &fault{
		"endpoints not found: %v responds with %v instead of a redirect to WeChat; check that the Auth is mounted at the path prefix (WithPathPrefix); nginx: give location %[3]s or / the proxy_pass of the application; Caddy: send %[3]s* to reverse_proxy before file_server; CDN: forward %[3]s* to the application, without its own login or error pages",
		"找不到接口：%v 的响应是 %v，而不是跳转到微信；请检查 Auth 是否注册在路径前缀（WithPathPrefix）上；nginx：在 location %[3]s 或 / 中用 proxy_pass 转发到应用；Caddy：在 file_server 之前把 %[3]s* 交给 reverse_proxy；CDN：把 %[3]s* 转发到应用，不使用 CDN 自己的登录页和错误页。",
	}
	prefixRemoved = &fault{
		"path prefix is removed: requests to %v arrive without %v, so every login ends with bad_config; nginx: proxy_pass without a path or a slash after the address, and no rewrite; Caddy: handle instead of handle_path, and no uri strip_prefix; CDN: no rewrite of the path for the origin; in Go, no http.StripPrefix around the Auth",
		"路径前缀被去掉：发往 %v 的请求到达时缺少 %v，所有登录都会因 bad_config 失败；nginx：proxy_pass 的地址之后不带路径和斜杠，也不用 rewrite；Caddy：用 handle 代替 handle_path，不用 uri strip_prefix；CDN：不改写回源路径；Go：不要在 Auth 外使用 http.StripPrefix。",
	}
	otherRedirect = &fault{
		"redirect_uri differs: the login leads to %v instead of %v; check that the process that responds has the same WithApp, WithBaseURL, WithRelay and WithEndpoints; nginx: proxy_redirect off; Caddy: no header_down Location; CDN: no rule that changes Location",
		"redirect_uri 不一致：登录跳转到 %v，而不是 %v；请检查响应请求的进程是否使用相同的 WithApp、WithBaseURL、WithRelay 和 WithEndpoints；nginx：proxy_redirect off；Caddy：不用 header_down Location；CDN：不改写 Location。",
	}
	hostRewritten = &fault{
		"Host is rewritten: the application gets another host than the base URL's, so the first page visit takes another redirect, and with ByHost no form is accepted; nginx: proxy_set_header Host $host, or $http_host if the base URL has a port; Caddy: remove header_up Host; CDN: send the Host of the request to the origin",
		"Host 被改写：应用得到的不是 base URL 的域名，首次页面请求会多跳转一次，使用 ByHost 时表单全部被拒绝；nginx：proxy_set_header Host $host，base URL 带端口时用 $http_host；Caddy：删除 header_up Host；CDN：回源 Host 使用请求的域名。",
	}
	schemeRewritten = &fault{
		"scheme is rewritten: X-Forwarded-Proto says http for requests over https (or both Host and X-Forwarded-Host are rewritten), so the first page visit takes another redirect; nginx: remove proxy_set_header X-Forwarded-Proto $scheme behind a server that terminates TLS, or set https; Caddy: remove header_up X-Forwarded-Proto, or set trusted_proxies; CDN: use https to the origin, or send the scheme of the request",
		"协议被改写：请求通过 https 到达，X-Forwarded-Proto 却是 http（也可能是 Host 和 X-Forwarded-Host 都被改写），首次页面请求会多跳转一次；nginx：前面另有终止 TLS 的服务器时，删除 proxy_set_header X-Forwarded-Proto $scheme，或设为 https；Caddy：删除 header_up X-Forwarded-Proto，或设置 trusted_proxies；CDN：使用 https 回源，或传递请求的协议。",
	}
	setCookieRemoved = &fault{
		"Set-Cookie is removed: the response that starts a login sets no cookie, so every login ends with flow_cookie_missing, and cookies of requests cannot be checked; nginx: remove proxy_hide_header Set-Cookie; Caddy: remove header_down -Set-Cookie; CDN: pass Set-Cookie, and do not cache this path",
		"Set-Cookie 被删除：发起登录的响应没有设置 Cookie，所有登录都会因 flow_cookie_missing 失败，也无法检查请求的 Cookie；nginx：删除 proxy_hide_header Set-Cookie；Caddy：删除 header_down -Set-Cookie；CDN：传递 Set-Cookie，不缓存该路径。",
	}
	setCookieChanged = &fault{
		"Set-Cookie is changed: the cookie of a login has the attributes %q instead of %q, with which browsers may reject it or not send it to the callback; nginx: remove proxy_cookie_path, proxy_cookie_domain and proxy_cookie_flags; Caddy: remove header_down Set-Cookie; CDN: remove rules that change cookies",
		"Set-Cookie 被修改：登录 Cookie 的属性是 %q 而不是 %q，浏览器可能会拒绝该 Cookie，或不把它发给回调；nginx：删除 proxy_cookie_path、proxy_cookie_domain 和 proxy_cookie_flags；Caddy：删除 header_down Set-Cookie；CDN：删除修改 Cookie 的规则。",
	}
	cookieRemoved = &fault{
		"Cookie is removed: requests arrive without cookies, so every login ends with flow_cookie_missing; nginx: remove proxy_set_header Cookie; Caddy: remove header_up -Cookie; CDN: forward all cookies to the origin",
		"Cookie 被删除：请求到达时没有 Cookie，所有登录都会因 flow_cookie_missing 失败；nginx：删除 proxy_set_header Cookie；Caddy：删除 header_up -Cookie；CDN：回源时传递全部 Cookie。",
	}
	queryRemoved = &fault{
		"query is removed: requests arrive without their query, so every login ends with callback_malformed; nginx: proxy_pass without $uri, and rewrite without a ? at the end; Caddy: no query in rewrite; CDN: forward the complete query to the origin",
		"查询参数被删除：请求到达时没有查询参数，所有登录都会因 callback_malformed 失败；nginx：proxy_pass 不使用 $uri，rewrite 末尾不带 ?；Caddy：rewrite 不改写查询参数；CDN：回源时传递完整的查询参数。",
	}
	callbackLost = &fault{
		"callback does not arrive: a login starts, but %v does not end it; check that all instances have the same keys (WithFlowKeys) and that nothing is special about this path; nginx: the same proxy_pass as for the login, and no proxy_intercept_errors; Caddy: no other handle and no handle_response; CDN: no WAF rule, cache rule or error page for it",
		"回调没有到达：可以发起登录，但 %v 不能结束登录；请检查各实例的密钥（WithFlowKeys）是否相同，以及该路径是否有特殊配置；nginx：与登录使用相同的 proxy_pass，不用 proxy_intercept_errors；Caddy：不单独使用 handle 和 handle_response；CDN：该路径没有 WAF 规则、缓存规则和错误页。",
	}
	cached = &fault{
		"responses are cached: two requests got the same response, so users share logins or see each other's pages; nginx: remove Cache-Control, Expires, Set-Cookie and Vary from proxy_ignore_headers, or set proxy_cache off; Caddy: exclude the application from cache; CDN: respect Cache-Control of the origin, or bypass the cache",
		"响应被缓存：两个请求得到同一个响应，用户会共用登录或看到其他用户的页面；nginx：从 proxy_ignore_headers 中去掉 Cache-Control、Expires、Set-Cookie 和 Vary，或设置 proxy_cache off；Caddy：缓存中排除本应用；CDN：遵循源站的 Cache-Control，或绕过缓存。",
	}
	cacheControl = &fault{
		"Cache-Control is changed: it is %q and lacks no-store, so browsers and caches may store the responses of logins; nginx: remove proxy_hide_header Cache-Control, expires and add_header Cache-Control; Caddy: remove header Cache-Control; CDN: do not set a browser TTL",
		"Cache-Control 被修改：其值是 %q，没有 no-store，浏览器和缓存可能会保存登录的响应；nginx：删除 proxy_hide_header Cache-Control、expires 和 add_header Cache-Control；Caddy：删除 header Cache-Control；CDN：不设置浏览器缓存时间。",
	}
	tooLarge = &fault{
		"large headers are rejected: %v for a request and a response with 5 KiB of headers each, as several pending logins make; nginx: proxy_buffer_size 16k and proxy_buffers 8 16k, and at least 8k in large_client_header_buffers; Caddy: no max_header_size or max_response_header below 16KB; CDN: raise the limits of request and response headers",
		"较大的头部被拒绝：请求头和响应头各 5 KiB 时得到 %v，多个登录同时进行时会出现这样的大小；nginx：proxy_buffer_size 16k、proxy_buffers 8 16k，large_client_header_buffers 不小于 8k；Caddy：max_header_size 和 max_response_header 不低于 16KB；CDN：提高请求头和响应头的上限。",
	}
	noPost = &fault{
		"POST does not arrive: a form gets %v instead of a redirect, so users can neither log out nor give consent; nginx: no limit_except, and no return or rewrite for POST; Caddy: no method matcher before reverse_proxy; CDN: allow POST, and forward its body and Origin",
		"POST 没有到达：表单得到 %v 而不是跳转，用户无法退出登录，也无法授权；nginx：不用 limit_except，不对 POST 使用 return 或 rewrite；Caddy：reverse_proxy 之前没有 method 匹配；CDN：允许 POST，并传递正文和 Origin。",
	}
	originRemoved = &fault{
		"Origin is removed: a form of another site is accepted, because the header Origin does not arrive, so in browsers without Sec-Fetch-Site any site can post forms for a user; nginx: remove proxy_set_header Origin; Caddy: remove header_up -Origin; CDN: forward Origin to the application",
		"Origin 被删除：请求头 Origin 没有到达，其他网站的表单因此被接受；在不发送 Sec-Fetch-Site 的浏览器中，任何网站都可以代用户提交表单；nginx：删除 proxy_set_header Origin；Caddy：删除 header_up -Origin；CDN：回源时传递 Origin。",
	}
	plainHTTP = &fault{
		"plain http is not redirected: a login starts over http, where browsers reject its cookies, and ends with flow_cookie_missing; nginx: return 301 https://$host$request_uri in the server that listens on 80; Caddy: no auto_https disable_redirects; CDN: redirect http to https",
		"明文 http 没有跳转：通过 http 可以发起登录，但浏览器会拒绝其 Cookie，登录因 flow_cookie_missing 失败；nginx：在监听 80 的 server 中 return 301 https://$host$request_uri；Caddy：不用 auto_https disable_redirects；CDN：把 http 跳转到 https。",
	}
	otherKeys = &fault{
		"flow keys differ: the cookie of a login cannot be opened with the keys of this process, so an instance with another AppID, AppSecret, WithFlowKeys or WithPathPrefix responds, or another application; give all instances the same settings; nginx: check the servers of upstream; Caddy: check the addresses of reverse_proxy; CDN: check the origin",
		"登录密钥不一致：本进程的密钥不能解密登录 Cookie，说明响应的实例使用其他 AppID、AppSecret、WithFlowKeys 或 WithPathPrefix，或者是其他应用；请让所有实例使用相同的设置；nginx：检查 upstream 中的服务器；Caddy：检查 reverse_proxy 的地址；CDN：检查源站。",
	}
	clockDiffers = &fault{
		"clocks differ: the header %v has a time that differs by %v from this machine's, so logins expire too early; synchronize the clocks with NTP on all machines; nginx: also on its machine; Caddy: also on its machine; CDN: if only Date differs, the response may be an old one from its cache",
		"时钟不一致：响应头 %v 中的时间与本机相差 %v，登录会过早过期；请在所有机器上用 NTP 同步时钟；nginx：包括其所在的机器；Caddy：包括其所在的机器；CDN：如果只有 Date 不同，可能是缓存中的旧响应。",
	}
)

// Unlisted returns the finding of a program with many accounts, none of which
// is known.
func Unlisted() *store.Finding {
	return &store.Finding{
		English: "site: nothing was checked: the resolver of WithAccounts lists no accounts, so no base URL has a login to check; give it the method Accounts, see AccountResolver",
		Chinese: "站点：未做检查：WithAccounts 的解析器没有列出账号，没有可以检查登录的 base URL；请为它实现 Accounts 方法，参见 AccountResolver。",
	}
}

// add adds a finding.
func (c *check) add(f *fault, args ...any) {
	if c.err != nil && f != unreachable {
		return // of a request that was not sent
	}
	found := &store.Finding{
		English: fmt.Sprintf("site %v: ", c.Base) + fmt.Sprintf(f.english, args...),
		Chinese: fmt.Sprintf("站点 %v：", c.Base) + fmt.Sprintf(f.chinese, args...),
	}
	switch f {
	case unreachable:
		found.Err = c.err
	case otherKeys:
		found.Err = ErrKeys
	}
	c.found = append(c.found, found)
	c.faults = append(c.faults, f)
}
