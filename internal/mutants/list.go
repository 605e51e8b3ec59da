package main

// mutants are faults that a change could introduce by mistake or as a supposed
// improvement, by file. Each removes or weakens one defense.
var mutants = []mutant{
	{
		name: "a return URL may begin with two slashes", about: "returnto",
		search: "return !strings.HasPrefix(p, \"//\") &&",
		broken: "return",
		killer: "^TestJudge_hostile$",
	},
	{
		name: "a return URL may have a backslash", about: "returnto",
		search: "&& !strings.Contains(p, `\\`) ",
		broken: "",
		killer: "^TestJudge_hostile$",
	},
	{
		name: "a return URL may have control bytes in its path", about: "returnto",
		search: "if hasControl(p) ||",
		broken: "if",
		killer: "^TestJudge_hostile$",
	},
	{
		name: "a return URL may have a Unicode line separator", about: "returnto",
		search: " || hasC1Control(p)",
		broken: "",
		killer: "^TestJudge_hostile$",
	},
	{
		name: "a return URL is checked without decoding", about: "returnto", in: "internal/returnto",
		search: "for range 3 {",
		broken: "for range 1 {",
		killer: "^TestJudge_hostile$",
	},
	{
		name: "a return URL is decoded only once", about: "returnto", in: "internal/returnto",
		search: "for range 3 {",
		broken: "for range 2 {",
		killer: "^TestJudge_hostile$",
	},
	{
		name: "a return URL may have dot segments", about: "returnto",
		search: `if segment == "." || segment == ".." {`,
		broken: `if segment == "." && segment == ".." {`,
		killer: "^TestJudge_hostile$",
	},
	{
		name: "a return URL may lead to an endpoint", about: "returnto",
		search: "case s.isOwnEndpoint(decoded):",
		broken: "case false:",
		killer: "^TestJudge_hostile$",
	},
	{
		name: "endpoints are recognized in lower case only", about: "returnto",
		search: "p = strings.ToLower(path.Clean(p))",
		broken: "p = path.Clean(p)",
		killer: "^TestJudge_hostile$",
	},
	{
		name: "a return URL may have control bytes in its query", about: "returnto",
		search: " || hasControl(rest) {",
		broken: " {",
		killer: "^TestJudge_hostile$",
	},
	{
		name: "a return URL may be twice as long", about: "returnto",
		search: "const MaxBytes = 2048",
		broken: "const MaxBytes = 4096",
		killer: "^TestJudge_length$",
	},
	{
		name: "a return URL need not begin with a slash", about: "returnto",
		search: `if !strings.HasPrefix(rawPath, "/") {`,
		broken: `if !strings.HasPrefix(rawPath, "/") && raw == "" {`,
		killer: "^TestJudge_hostile$",
	},
	{
		name: "an incomplete escape is accepted", about: "returnto",
		search: " || !validEscapes(rawPath)",
		broken: "",
		killer: "^TestJudge_hostile$",
	},
	{
		name: "a backslash stays unescaped in Location", about: "returnto",
		search: `if c == ' ' || c == '\\' || c >= utf8.RuneSelf {`,
		broken: "if c == ' ' || c >= utf8.RuneSelf {",
		killer: "^TestJudge_honest$",
	},
	{
		name: "a slash of another script is accepted", about: "returnto",
		search: " && !isSlashLookalike(second)",
		broken: " && second != '\\\\'",
		killer: "^TestJudge_hostile$",
	},
	{
		name: "code and state stay in the return URL", about: "returnto",
		search: "stripPair(query, looksLikeCode, looksLikeState); ok {",
		broken: "stripPair(query, looksLikeCode, looksLikeState); ok && false {",
		killer: "^TestRequestURL$",
	},
	{
		name: "a code of WeChat's stays if the state is not WeChat's", about: "returnto",
		search: "stripPair(query, looksLikeWeChatCode, isAnything)",
		broken: "stripPair(query, looksLikeWeChatCode, looksLikeCode)",
		killer: "^TestCode/T21_on_another_page_is_removed_and_not_used$|^TestCode_Application/T21_parameter_named_code_is_not_touched$",
	},
	{
		name: "an unusual return URL loses its origin", about: "returnto",
		search: "return s.origin() + target, nil",
		broken: "return target, nil",
		killer: "^TestOddReturnURLs$",
	},
	{
		name: "an unusual return URL needs no origin", about: "returnto",
		search: "case odd && !absolute:",
		broken: "case odd && !absolute && raw == target:",
		killer: "^TestJudge_hostile$",
	},
	{
		name: "a request's URL is re-encoded", about: "returnto",
		search: "	raw := r.RequestURI\n",
		broken: "	raw := r.URL.RequestURI()\n",
		killer: "^TestReturnURL_RoundTrip$",
	},
	{
		name: "a form may be a page visit", about: "navigation",
		search: "return IsRead(r) && !breaksOnRedirect(r) &&",
		broken: "return !breaksOnRedirect(r) &&",
		killer: "^TestIsPageVisit$",
	},
	{
		name: "a request with Authorization may be a page visit", about: "navigation",
		search: `return hasOwnCredentials(r) || Has`,
		broken: "return Has",
		killer: "^TestIsPageVisit$",
	},
	{
		name: "a WebSocket may be a page visit", about: "navigation",
		search: `|| Has(h, "Upgrade") `,
		broken: "",
		killer: "^TestIsPageVisit$",
	},
	{
		name: "a prefetch may be a page visit", about: "navigation",
		search: " || isSpeculative(h) ||",
		broken: " ||",
		killer: "^TestIsPageVisit$",
	},
	{
		name: "a preflight needs no Origin", about: "navigation",
		search: `&& Has(r.Header, "Origin") `,
		broken: "",
		killer: "^TestIsPreflight$",
	},
	{
		name: "a preflight may be any OPTIONS", about: "navigation",
		search: ` && Has(r.Header, "Access-Control-Request-Method")`,
		broken: "",
		killer: "^TestIsPreflight$",
	},
	{
		name: "an iframe is a page visit", about: "navigation",
		search: `return dest == "document" || `,
		broken: "return true || ",
		killer: "^TestIsPageVisit$",
	},
	{
		name: "a fetch without a destination is a page visit", about: "navigation",
		search: `(dest == "" || dest == "empty") && acceptsType(h, "text/html")`,
		broken: `(dest == "" || dest == "empty")`,
		killer: "^TestIsPageVisit$",
	},
	{
		name: "a request with our bearer token may be a page visit", about: "middleware",
		search: `return token == "" && navigation.IsPageVisit(r)`,
		broken: `return token != "x" && navigation.IsPageVisit(r)`,
		killer: "^TestIsPageVisit$",
	},
	{
		name: "credentials without a navigation may be a page visit", about: "navigation",
		search: `return Has(r.Header, "Authorization") && Header(r.Header, "Sec-Fetch-Mode") != "navigate"`,
		broken: `return false`,
		killer: "^TestIsPageVisit$",
	},
	{
		name: "an empty header counts", about: "navigation",
		search: `if value = strings.TrimSpace(value); value != "" {`,
		broken: `if value = strings.TrimSpace(value); true {`,
		killer: "^TestIsPageVisit$",
	},
	{
		name: "a fetch with POST gets a page", about: "navigation",
		search: ` && (mode == "" || mode == "navigate")`,
		broken: ` && (mode == "" || mode != "")`,
		killer: "^TestRules$",
	},
	{
		name: "a sealed value is not bound to its context", about: "seal",
		search: `		ad = append(ad, part...)
`,
		broken: `		_ = part
`,
		killer: "^TestRing_place$",
	},
	{
		name: "the parts of a context are not separated", about: "seal",
		search: `		ad = binary.BigEndian.AppendUint32(ad, uint32(len(part)))
`,
		broken: `		_ = binary.BigEndian
`,
		killer: "^TestRing_place$",
	},
	{
		name: "the version of a sealed value is not checked", about: "seal",
		search: " || box[0] != sealVersion",
		broken: "",
		killer: "^TestRing_Open_corrupt$",
	},
	{
		name: "purposes share a key", about: "seal",
		search: `"wechatauth v2 "+purpose`,
		broken: `"wechatauth v2 "+purpose[:0]`,
		killer: "^TestNew_purpose$",
	},
	{
		name: "only the newest key opens", about: "seal",
		search: "for _, k := range ring.keys {",
		broken: "for _, k := range ring.keys[:1] {",
	},
	{
		name: "the oldest key seals", about: "seal",
		search: "k := ring.keys[0]",
		broken: "k := ring.keys[len(ring.keys)-1]",
	},
	{
		name: "every sealed value has the same nonce", about: "seal",
		search: `	rand.Read(nonce) //`,
		broken: `	_ = rand.Reader //`,
	},
	{
		name: "half of a nonce is random", about: "seal",
		search: `	rand.Read(nonce) //`,
		broken: `	rand.Read(nonce[:12]) //`,
	},
	{
		name: "text that is nearly base64 opens", about: "seal",
		search: "base64.RawURLEncoding.Strict().DecodeString(text)",
		broken: "base64.RawURLEncoding.DecodeString(text)",
	},
	{
		name: "the state of a flow is not compared", about: "flow",
		search: "subtle.ConstantTimeCompare([]byte(f.State), []byte(state)) != 1",
		broken: "subtle.ConstantTimeCompare([]byte(f.State), []byte(state)) > 1",
		killer: "^TestInvalidCallback/T24_never_reaches_WeChat_or_Redis$",
	},
	{
		name: "a pending login never expires", about: "flow",
		search: "return age <= ttl && ",
		broken: "return ",
		killer: "^TestCallback_flowCookie$",
	},
	{
		name: "a pending login may be from the future", about: "flow",
		search: "age <= ttl && age >= -Skew",
		broken: "age <= ttl",
		killer: "^TestCallback_flowCookie$",
	},
	{
		name: "a pending login lasts twice as long", about: "flow",
		search: "\tLoginTTL = 10 * time.Minute",
		broken: "\tLoginTTL = 20 * time.Minute",
		killer: "^TestLateCallback$",
	},
	{
		name: "a flow cookie can be read by scripts", about: "flow",
		search: `	line.WriteString("; HttpOnly")
`,
		broken: "",
		killer: "^TestCallback/T02_planted_pending_login$",
	},
	{
		name: "a flow cookie goes over plain http", about: "flow",
		search: `	if j.Secure {
		line`,
		broken: `	if j.Secure && false {
		line`,
		killer: "^TestCallback/T02_planted_pending_login$",
	},
	{
		name: "a flow cookie is sent from other sites", about: "flow",
		search: `"; SameSite=Lax")
	w.Header()`,
		broken: `"; SameSite=None")
	w.Header()`,
		killer: "^TestCallback/T02_planted_pending_login$",
	},
	{
		name: "the oldest flows are opened first", about: "flow",
		search: "range slices.Backward(r.Cookies()) {",
		broken: "range slices.All(r.Cookies()) {",
		killer: "^TestTabs/T09_newest_five_of_one_second_are_kept$",
	},
	{
		name: "any number of flows", about: "flow",
		search: "kept >= MaxFlows || ",
		broken: "",
		killer: "^TestJar_Put_limit$",
	},
	{
		name: "any size of flow cookies", about: "flow",
		search: " || size > cookie.MaxBytes {",
		broken: " {",
		killer: "^TestTabs/T09_do_not_overwrite_each_other$",
	},
	{
		name: "any number of decryptions for one state", about: "flow",
		search: `		if tried++; tried > cookie.MaxOpened {
			break
		}
`,
		broken: `		tried++
`,
		killer: "^TestFlood/T59_eight_decryptions_of_each_kind_at_most$",
	},
	{
		name: "the oldest flows stay", about: "flow",
		search: "return cmp.Compare(b.Flow.IssuedAt, a.Flow.IssuedAt)",
		broken: "return cmp.Compare(a.Flow.IssuedAt, b.Flow.IssuedAt)",
		killer: "^TestLogin_twentyTabs$",
	},
	{
		name: "a planted flow cookie hides the real one", about: "flow",
		search: `			continue
		}
		if subtle.`,
		broken: `			break
		}
		if subtle.`,
		killer: "^TestCallback/T02_planted_pending_login$",
	},
	{
		name: "a state of any length", about: "flow",
		search: `	if len(s) != StateLength {
		return false
	}
`,
		broken: `	if len(s) < StateLength {
		return false
	}
`,
		killer: "^FuzzState$",
	},
	{
		name: "a state of any characters", about: "flow",
		search: `return strings.Trim(s, stateAlphabet) == ""`,
		broken: "return true",
		killer: "^FuzzState$",
	},
	{
		name: "a state that does not vary", about: "flow",
		search: `		rand.Read(buf) // never`,
		broken: `		_ = rand.Reader // never`,
		killer: "^TestLogin_fiveTabs$",
	},
	{
		name: "a flow is not bound to AppID and callback", about: "flow",
		search: "return append(append(make([]string, 0, 2+len(j.Bound)), purpose, name), j.Bound...)",
		broken: "return append(append(make([]string, 0, 2+len(j.Bound)), purpose, name), j.Bound[:0]...)",
	},
	{
		name: "a loop is never rejected", about: "trail",
		search: "MaxLogins = 3",
		broken: "MaxLogins = 1000",
		killer: "^TestRedirectLoop$",
	},
	{
		name: "the login counter never expires", about: "trail",
		search: "t.At, LoginCounterTTL+2*LoginTTL-cookie.Skew)",
		broken: "t.At, 1<<62)",
	},
	{
		name: "logins whose response was lost are not counted", about: "trail",
		search: "if found && o.Token != \"\" {",
		broken: "if found && o.Token != \"\" && false {",
		killer: "^TestRedirectLoop/T30_rejected_after_three_logins$|^TestRedirectLoop/T30_long_return_URLs$",
	},
	{
		name: "a logout is not remembered", about: "trail",
		search: `	j.Set(w, j.LoggedOutName(), "1", LoggedOutTTL)
`,
		broken: "",
		killer: "^TestLogout$",
	},
	{
		name: "every callback gets the lease", about: "claim",
		search: `		if won || err != nil {`,
		broken: `		if won || err != nil || true {`,
		killer: "^TestGroup_Join_waits$",
	},
	{
		name: "a lease never ends", about: "claim",
		search: "Lease = 10 * time.Second",
		broken: "Lease = 10 * time.Hour",
		killer: "^TestDuplicateCallback/T06_leader_dies$",
	},
	{
		name: "a duplicate gives up before the lease ends", about: "claim",
		search: "JoinTimeout = Lease + 2*time.Second",
		broken: "JoinTimeout = Lease - 2*time.Second",
		killer: "^TestDuplicateCallback/T06_leader_dies$",
	},
	{
		name: "a refresh stores tokens of a user who was revoked meanwhile", about: "tokens",
		search: "case err == nil && !revoked:",
		broken: "case err == nil && (revoked || !revoked):",
		killer: "^TestRevokeUser_StoredSecrets$",
	},
	{
		name: "RevokeUser does not delete the session_key", about: "tokens",
		search: "mini.SessionKeyMark(user)",
		broken: "mini.SessionKeyMark(\"\")",
		killer: "^TestRevokeUser_StoredSecrets$",
	},
	{
		name: "any number of requests wait for one login", about: "claim",
		search: "g.waiting[key] >= maxWaitingForOne || ",
		broken: "",
		killer: "^TestT88_Wait",
	},
	{
		name: "any number of requests wait for logins", about: "claim",
		search: " || g.all >= maxWaiting {",
		broken: " {",
		killer: "^TestT88_Wait",
	},
	{
		name: "a request that waited is counted forever", about: "claim",
		search: "\t\tg.all--\n",
		broken: "",
		killer: "^TestT88_Wait",
	},
	{
		name: "a request that waits polls without backoff", about: "claim",
		search: "pause = min(pause*3/2, MaxPoll)",
		broken: "pause = min(pause, MaxPoll)",
		killer: "^TestT88_Wait",
	},
	{
		name: "cached states of QR codes are never dropped", about: "scan",
		search: "if now.Sub(l.at).Abs() < Pause {",
		broken: "if l != nil {",
		killer: "^TestLooks_At$",
	},
	{
		name: "a wait does not end when the client disconnects", about: "claim",
		search: "ctx, cancel := context.WithTimeout(r.Context(), singleflight.JoinTimeout)",
		broken: "ctx, cancel := detachedContext(r, singleflight.JoinTimeout)",
		killer: "^TestDuplicateCallback/T88_waiting_ends_when_the_client_disconnects$",
	},
	{
		name: "a page of a gate inside another may be cached for all users", about: "headers",
		search: "(w.visit.In() || w.visit.shows.Load())",
		broken: "w.visit.In()",
		killer: "^TestHandler/T94_page_inside_nested_gates_is_private$",
	},
	{
		name: "a scan whose hook panics stays pending", about: "scan",
		search: "if c.Spent && p.ended != nil {",
		broken: "if c.Spent && p.ended != nil && false {",
		killer: "^TestHookPanic/T99_lease_is_released$|^TestPanic/T99_in_every_call$",
	},
	{
		name: "a completed login is an error on the phone", about: "scan",
		search: "	how = \"\"\n\tif err != nil {",
		broken: "	if err != nil {",
		killer: "^TestPanic/T99_in_every_call$",
	},
	{
		name: "a panic while reading a QR code's state ends the process", about: "scan",
		search: "defer func() { l.panicked = recover() }()",
		broken: "",
		killer: "^TestPanic/T99_in_every_call$",
	},
	{
		name: "a confirmation whose state was lost shows no number", about: "scan",
		search: "(state == Waiting || state == Scanned || state == \"\") {",
		broken: "state == \"forged\" {",
		killer: "^TestPanic/T99_in_every_call$",
	},
	{
		name: "a panic while acquiring the lease leaves it held", about: "claim",
		search: "		if claiming {",
		broken: "		if claiming && false {",
		killer: "^TestPanic/T99_in_every_call$",
	},
	{
		name: "a panic while using a web-view ticket leaves it used", about: "mini",
		search: "		if replied {\n			return\n",
		broken: "		if replied || true {\n			return\n",
		killer: "^TestPanic/T99_in_every_call$",
	},
	{
		name: "a web-view ticket without a saved session is used", about: "mini",
		search: "	saved = true // an",
		broken: "	// an",
		killer: "^TestMiniLogin/T86|^TestWebView_TicketOfEndedSession$|^TestGET/T80|^TestWebViewTicket/T80|^TestPanic/T99",
	},
	{
		name: "each poll scans all QR codes", about: "scan",
		search: "max(maxLooks, 2*s.kept)",
		broken: "max(maxLooks, s.kept)",
		killer: "^TestLooks_dropping$",
	},
	{
		name: "any callback can release the lease", about: "claim",
		search: "!bytes.Equal(mark, c.holder)",
		broken: "bytes.Equal(mark, nil)",
	},
	{
		name: "the state is in the store", about: "claim", in: "internal/singleflight",
		search: "return base64.RawURLEncoding.EncodeToString(h.Sum(nil))",
		broken: "return base64.RawURLEncoding.EncodeToString(h.Sum(nil)) + state",
		killer: "^TestLeakStore/T44_web-view_ticket$",
	},
	{
		name: "all accounts share a lease", about: "claim",
		search: "[]string{appID, state}",
		broken: `[]string{"", state}`,
	},
	{
		name: "a shared result is kept for an hour", about: "claim",
		search: "resultTTL = time.Minute",
		broken: "resultTTL = time.Hour",
	},
	{
		name: "the result of a failed login is kept for a minute", about: "claim",
		search: "shortTTL = 3 * time.Second",
		broken: "shortTTL = time.Minute",
	},
	{
		name: "a callback may have two states", about: "callback",
		search: `len(values["state"]) != 1`,
		broken: `len(values["state"]) < 1`,
		killer: "^TestCallback_noFlowCookie$",
	},
	{
		name: "a callback may have two codes", about: "callback",
		search: ` || len(values["code"]) > 1`,
		broken: "",
		killer: "^TestCallback_noFlowCookie$",
	},
	{
		name: "a state of a callback may be anything of 32 bytes", about: "callback",
		search: `	if !ValidState(q.State) {
		return Callback{}, false
	}
`,
		broken: `	if len(q.State) != StateLength {
		return Callback{}, false
	}
`,
		killer: "^FuzzState$",
	},
	{
		name: "a code may be anything", about: "callback",
		search: ` && strings.Trim(code, stateAlphabet+"-_") == ""`,
		broken: ` && !strings.Contains(code, "\x00")`,
		killer: "^TestCallback_noFlowCookie$",
	},
	{
		name: "a code may be of any length", about: "callback",
		search: " && len(code) <= maxCodeBytes",
		broken: "",
		killer: "^TestInvalidCallback/T24_never_reaches_WeChat_or_Redis$",
	},
	{
		name: "a query of a callback may be of any length", about: "callback",
		search: `	if len(rawQuery) > maxQueryBytes {
		return Callback{}, false
	}
`,
		broken: "",
		killer: "^TestCallback_noFlowCookie$",
	},
	{
		name: "a denial of consent is exchanged", about: "callback",
		search: ` || q.Code == "authdeny"`,
		broken: "",
		killer: "^TestCallback_denied$",
	},
	{
		name: "an error is exchanged", about: "callback",
		search: `if values.Has("error") || q.Code == ""`,
		broken: `if q.Code == ""`,
		killer: "^TestInvalidCallback/T24_denied_by_the_user$",
	},
	{
		name: "a pending login of another AppID is finished", about: "callback",
		search: `	if err == nil && !known {
		err = flow.ErrMismatch
	}
`,
		broken: `	_ = known
`,
		killer: "^FuzzFlowCookie$",
	},
	{
		name: "an expired pending login is an error for a logged-in user", about: "callback",
		search: "errors.Is(err, flow.ErrMissing) || errors.Is(err, flow.ErrExpired):",
		broken: "errors.Is(err, flow.ErrMissing):",
	},
	{
		name: "another user may come back from a step-up", about: "callback",
		search: `f.OpenID != "" && f.OpenID != id.OpenID`,
		broken: `f.OpenID != "" && f.OpenID == ""`,
		killer: "^TestStepUp_otherUser$",
	},
	{
		name: "an error of WithOnLogin is ignored", about: "callback",
		search: "	return hookReason(err), err",
		broken: `	return "", err`,
		killer: "^TestMini_OnLogin$|^TestWithOnLogin_Forbidden$",
	},
	{
		name: "a virtual user is logged in", about: "callback",
		search: `	if token.Snapshot {
		return identity.Identity{}, nil, ReasonSnapshotUser, nil
	}
`,
		broken: "",
		killer: "^TestSnapshot$",
	},
	{
		name: "a session is not saved before the response", about: "callback",
		search: `		saved, err = g.sessions.SaveLogin(w, v)
`,
		broken: `		saved, _ = g.sessions.SaveLogin(w, v)
		err = nil
`,
		killer: "^TestLogin_NotSaved/T64_user_logs_in_again$",
	},
	{
		name: "a save that was denied is retried", about: "callback",
		search: "store.ClassOf(err) == store.ClassConfiguration || g.logins.Wait(ctx, pause) != nil",
		broken: "g.logins.Wait(ctx, pause) != nil",
		killer: "^TestLogin_SaveRejected$",
	},
	{
		name: "a sealed return URL is not checked", about: "callback",
		search: `	target, err := g.checkReturnURL(target)
	if err != nil {`,
		broken: `	if _, err := g.checkReturnURL(target); err != nil && false {`,
		killer: "^TestReturnURL/T28_sealed_value_is_checked_again$",
	},
	{
		name: "the code is exchanged before the shared result is read", about: "callback",
		search: `	case c.Sealed != nil:
		respond(w, r, g.follow(p, c))
`,
		broken: "",
		killer: "^TestClientDisconnects/T65_reload_finds_the_login$",
	},
	{
		name: "the flow cookie stays after a login", about: "callback",
		search: `	g.cookies.DropIfSent(w, r, g.cookies.CookieName(f.State)) // a scan has none
`,
		broken: "",
		killer: "^TestCallback/T05_repeated_in_the_same_browser$",
	},
	{
		name: "a login is not counted", about: "callback",
		search: `	g.cookies.CountLogin(w, r)
`,
		broken: "",
		killer: "^TestRedirectLoop/T30_rejected_after_three_logins$",
	},
	{
		name: "a used code restarts the login again and again", about: "callback",
		search: " && f.Attempt == 0 {",
		broken: " {",
		killer: "^TestExchange/T25_errors$",
	},
	{
		name: "a shared result opens with any key", about: "callback", in: "internal/singleflight",
		search: `g.Keys.With("outcome", secret)`,
		broken: `g.Keys.With("outcome", secret[:0])`,
		killer: "^TestOutcome_open",
	},
	{
		name: "the return URL of a shared result opens for every session", about: "callback", in: "internal/singleflight",
		search: `g.Keys.With("outcome target", []byte(token))`,
		broken: `g.Keys.With("outcome target", []byte(token[:1]))`,
		killer: "^TestOutcome_open",
	},
	{
		name: "a shared result is stored in clear", about: "callback", in: "internal/singleflight",
		search: ".Seal(plain, c.Key)}",
		broken: ".Seal(plain, c.Key) + string(plain)}",
		killer: "^TestOutcome_open",
	},
	{
		name: "RequireWeChat ignores WithAccessCheck", about: "middleware",
		search: `	case actionPass:
		if err := g.checkAccess(v.Context(), v.Identity); err != nil {`,
		broken: `	case actionPass:
		if err := g.checkAccess(v.Context(), v.Identity); err != nil && false {`,
		killer: "^TestWithAccessCheck$",
	},
	{
		name: "LoadWeChat ignores WithAccessCheck", about: "middleware",
		search: `			v.LoggedIn = false
`,
		broken: "",
		killer: "^TestWithAccessCheck$",
	},
	{
		name: "a narrower scope passes", about: "middleware",
		search: "if v.LoggedIn && v.Identity.Grants(want) {",
		broken: "if v.LoggedIn {",
		killer: "^TestResponse/T36_is_not_cached$",
	},
	{
		name: "a logout is undone by the next page", about: "middleware",
		search: `	case g.cookies.RecentlyLoggedOut(r):
		return actionStop, ReasonLoggedOut
`,
		broken: "",
		killer: "^TestResponse/T36_is_not_cached$",
	},
	{
		name: "a fetch is redirected", about: "middleware",
		search: `	case !page:
		return actionStop, ReasonNoSession
`,
		broken: "",
		killer: "^TestResponse/T36_is_not_cached$",
	},
	{
		name: "WithPageVisit may redirect forms", about: "middleware",
		search: "return navigation.IsRead(r) && a.pageVisit(r)",
		broken: "return a.pageVisit(r)",
	},
	{
		name: "an image of an old browser starts a login at the login endpoint", about: "navigation",
		search: `return accept == "" || accept == "*/*" ||`,
		broken: `return accept != "" ||`,
		killer: "^TestRules$",
	},
	{
		name: "a callback at a wrong path starts another login", about: "middleware",
		search: "ok && !g.strayCallback(w, r) {",
		broken: "ok {",
		killer: "^TestStrayCallback$",
	},
	{
		name: "another browser's callback is reported as a misconfiguration", about: "middleware",
		search: `if err != nil && !errors.Is(err, flow.ErrExpired) {`,
		broken: `if err != nil && !errors.Is(err, flow.ErrExpired) && false {`,
		killer: "^TestStrayCallback$",
	},
	{
		name: "the gate owns all paths below its prefix", about: "accounts",
		search: "return appID, slices.Contains(ownEndpoints, name)\n",
		broken: "return appID, true\n",
		killer: "^TestPathsBelowThePrefix$",
	},
	{
		name: "a prefetch uses a code", about: "navigation",
		search: `return !isSpeculative(r.Header) && (mode == ""`,
		broken: `return (mode == ""`,
		killer: "^TestRules$",
	},
	{
		name: "an image uses a code", about: "navigation",
		search: `(mode == "" || strings.HasSuffix(mode, "navigate"))`,
		broken: `(mode == "" || mode != "")`,
		killer: "^TestRules$",
	},
	{
		name: "a page's path selects the account", about: "accounts",
		search: `ok && appID != "" {`,
		broken: `(ok || true) && appID != "" {`,
		killer: "^TestAccounts_Crossing$",
	},
	{
		name: "an anonymous request carries forged identity headers", about: "upstream",
		search: "	r.Header = headerForUpstream(r.Header, session)\n",
		broken: "	if !loggedIn {\n		return r\n	}\n	r.Header = headerForUpstream(r.Header, session)\n",
	},
	{
		name: "a personal page may be cached", about: "middleware",
		search: "if !said && (w.visit.In() || w.visit.shows.Load()) {",
		broken: "if !said && false {",
		killer: "^TestResponse/T36_is_not_cached$",
	},
	{
		name: "a personal page is shown again without a request", about: "response",
		search: `w.cacheControl[0] = "private, no-cache"`,
		broken: `w.cacheControl[0] = "private"`,
		killer: "^TestCacheControl$",
	},
	{
		name: "a session cookie may be cached", about: "middleware",
		search: "if w.visit.sessions.cookieSet(w.ResponseWriter) || w.visit.mode == modeOuter && w.visit.sessions.changed(w.visit) {",
		broken: "if w.visit.mode == modeOuter && w.visit.sessions.changed(w.visit) {",
		killer: "^TestCacheControl/T94_public_page_with_a_session_cookie$",
	},
	{
		name: "a session cookie that scs sets may be cached", about: "response",
		search: "if w.visit.sessions.cookieSet(w.ResponseWriter) || w.visit.mode == modeOuter && w.visit.sessions.changed(w.visit) {",
		broken: "if w.visit.sessions.cookieSet(w.ResponseWriter) {",
		killer: "^TestCacheControl/T94_public_page_with_a_session_cookie$",
	},
	{
		name: "public stays with a session cookie", about: "response",
		search: `return name == "public" || name`,
		broken: `return name`,
		killer: "^TestCacheControl/T94_public_page_with_a_session_cookie$",
	},
	{
		name: "a preflight has no session", about: "middleware",
		search: "next.ServeHTTP(w, a.sessions.WithEmpty(r))",
		broken: "next.ServeHTTP(w, r)",
		killer: "^TestHandler/T85_always_has_a_session$",
	},
	{
		name: "an error handler has no session", about: "failure",
		search: "g.errorHandler(w, g.sessions.WithEmpty(r), f)",
		broken: "g.errorHandler(w, r, f)",
		killer: "^TestHandler/T85_error_handler_has_a_session$",
	},
	{
		name: "a change of a session that could not be loaded is lost", about: "session",
		search: `	case v.down != nil:
		return v.down
`,
		broken: "",
		killer: "^TestStoreDown_Session/T63_empty_session_is_not_saved$",
	},
	{
		name: "scs's own Cache-Control counts as the handler's", about: "middleware",
		search: "d != `no-cache=\"Set-Cookie\"` && ",
		broken: "",
		killer: "^TestCacheControl/T36_behind_a_shared_cache$",
	},
	{
		name: "a store error makes a request anonymous", about: "middleware",
		search: `		g.rejectReported(w, r, Event{Reason: ReasonStoreUnavailable, Err: err}, g.showsPage(r))
		return
	}
	act`,
		broken: `		v, _ = g.sessions.NewSession(r.Context(), &g.audience)
	}
	act`,
		killer: "^TestResponse/T36_is_not_cached$",
	},
	{
		name: "forms of other sites are accepted", about: "handler",
		search: "err := g.origin.Check(navigation.Origin(r))\n",
		broken: "err := g.origin.Check(navigation.Origin(r))\n\terr = nil\n",
		killer: "^TestResponse/T36_is_not_cached$",
	},
	{
		name: "a form may be of any size", about: "handler",
		search: `	r.Body = http.MaxBytesReader(w, r.Body, maxFormBytes)
`,
		broken: "",
		killer: "^TestResponse/T36_is_not_cached$",
	},
	{
		name: "a rejected form leaves no record", about: "handler",
		search: "		g.rejectReported(w, r, Event{Reason: reason, Err: err}, g.showsPage(r))\n",
		broken: "		g.reject(w, r, Failure{Reason: reason, Page: g.showsPage(r), Err: err})\n",
		killer: "^TestMaxBytesReader$",
	},
	{
		name: "a rejection leaves no record", about: "handler",
		search: "	g.reportRejected(r, e)\n	g.reject(w, r, Failure{Reason: e.Reason,",
		broken: "	g.reject(w, r, Failure{Reason: e.Reason,",
		killer: "^TestRejected_Records$",
	},
	{
		name: "a next parameter is not checked", about: "handler",
		search: "	target, err := g.checkReturnURL(raw)\n",
		broken: "	target, err := raw, error(nil)\n",
		killer: "^TestPage/T39_echoes_nothing_of_the_request$",
	},
	{
		name: "a loop continues", about: "handler",
		search: "if t := g.cookies.LoginCounter(r); t.Logins >= flow.MaxLogins && !lasts {",
		broken: "if t := g.cookies.LoginCounter(r); t.Logins >= flow.MaxLogins && !lasts && false {",
		killer: "^TestResponse/T36_is_not_cached$",
	},
	{
		name: "a step-up forgets its user", about: "handler",
		search: `		l.openID = v.Identity.OpenID
`,
		broken: `		_ = v.Identity.OpenID
`,
		killer: "^TestStepUp_otherUser$",
	},
	{
		name: "a logout by GET", about: "handler",
		search: `case "logout POST":`,
		broken: `case "logout POST", "logout GET":`,
		killer: "^TestResponse/T36_is_not_cached$",
	},
	{
		name: "a callback by POST", about: "handler",
		search: `case "callback GET":`,
		broken: `case "callback GET", "callback POST":`,
		killer: "^TestResponse/T36_is_not_cached$",
	},
	{
		name: "another site makes a logged-in browser log in again", about: "handler",
		search: "!(again && navigation.IsOwnWish(r)) {",
		broken: "!(again && (navigation.IsOwnWish(r) || true)) {",
		killer: "^TestLoginAgain$",
	},
	{
		name: "a fetch starts a login", about: "handler",
		search: "if !g.isEndpointVisit(r) {",
		broken: "if !g.isEndpointVisit(r) && false {",
		killer: "^TestResponse/T36_is_not_cached$",
	},
	{
		name: "a logout deletes nothing", about: "handler",
		search: "ended, err := g.sessions.LogOut(w, r, &g.audience)",
		broken: "ended, err := false, error(nil)",
	},
	{
		name: "a logout is not marked", about: "handler",
		search: `	g.cookies.MarkLoggedOut(w)
`,
		broken: "",
		killer: "^TestResponse/T36_is_not_cached$",
	},
	{
		name: "a login is canceled with its request", about: "handler",
		search: "context.WithoutCancel(r.Context())",
		broken: "r.Context()",
		killer: "^TestDuplicateCallback/T06_leader_dies$",
	},
	{
		name: "a Host writes control characters into the log", about: "handler",
		search: "if c < 0x20 || c > 0x7e {",
		broken: "if c == 0 {",
		killer: "^FuzzHeaderValues$",
	},
	{
		name: "a login keeps the old token", about: "session",
		search: `	if err := s.renew(v); err != nil {
		return err
	}
	for`,
		broken: `	for`,
		killer: "^TestLogin_renewsToken$|^TestLogin/T13_planted_session$",
	},
	{
		name: "a login keeps another user's values", about: "session",
		search: "	if v.LoggedIn && !same {",
		broken: "	if v.LoggedIn && !same && false {",
	},
	{
		name: "an identity of another AppID is accepted", about: "session",
		search: "return record.Prefix + appID",
		broken: "return record.Prefix + appID[:0]",
		killer: "^TestKey$",
	},
	{
		name: "a session lasts as long as the store keeps it", about: "session",
		search: "if !v.loaded.deadline.After(s.now()) {",
		broken: "if !v.loaded.deadline.After(s.now()) && false {",
	},
	{
		name: "two users in one request", about: "session",
		search: "case len(found) > 0 && ofOneUser(found):",
		broken: "case len(found) > 0:",
		killer: "^TestSessionCookie/T17_tossed_by_another_host$",
	},
	{
		name: "any number of session cookies", about: "session",
		search: "&& len(tokens) < maxSessionCookies ",
		broken: "",
		killer: "^TestSessionCookie/T17_tossed_by_another_host$",
	},
	{
		name: "a session cookie may be anything", about: "session",
		search: "if ValidToken(value) && ",
		broken: "if ",
		killer: "^TestSessionCookie/T18_invalid_token_never_reaches_Redis$",
	},
	{
		name: "a corrupt record is kept", about: "session",
		search: `	if _, err := s.drop(ctx, token); err != nil {
		return errors.Join`,
		broken: `	if _, err := s.drop(ctx, ""); err != nil {
		return errors.Join`,
	},
	{
		name: "a bearer token is a cookie too", about: "session",
		search: "case v != nil && !v.Bearer:",
		broken: "case v != nil:",
	},
	{
		name: "a cookie is a bearer token too", about: "session",
		search: "if v != nil && v.Bearer {",
		broken: "if v != nil {",
	},
	{
		name: "a session cookie for a mini program", about: "session",
		search: "if v.mode != modeOuter && !v.Bearer {",
		broken: "if v.mode != modeOuter {",
	},
	{
		name: "a late reader may write", about: "session",
		search: "case v.Unsaved() || v.down != nil:",
		broken: "case v.down != nil:",
		killer: "^TestLateReader_Writes$",
	},
	{
		name: "an empty session is saved while the store is down", about: "session",
		search: "case v.Unsaved() || v.down != nil:",
		broken: "case v.Unsaved():",
	},
	{
		name: "a replaced token names the new one in clear", about: "session",
		search: `return []byte(renewedRing(old).Seal(append(plain, token...), "token"))`,
		broken: `return []byte(token + renewedRing(old).Seal(append(plain, token...), "token"))`,
	},
	{
		name: "a login is not added to the index", about: "session",
		search: `return User(appID, id.OpenID), err == nil`,
		broken: `return User(appID, id.OpenID+"another"), err == nil`,
	},
	{
		name: "a failed logout is reported as successful", about: "session",
		search: `		if err != nil {
			return ended, fmt.Errorf("delete session: %w", err)`,
		broken: `		if err != nil && token == "" {
			return ended, fmt.Errorf("delete session: %w", err)`,
	},
	{
		name: "a session that has ended is written", about: "guard",
		search: "if err == nil && !found {\n		return ErrGone",
		broken: "if err == nil && !found && false {\n		return ErrGone",
	},
	{
		name: "scs writes a session that has ended", about: "guard",
		search: "write = g.overwrite",
		broken: "write = g.inner.CommitCtx",
		killer: "^TestUngated/T79_ended_session_is_not_written$",
	},
	{
		name: "scs writes a session that ended under a new token", about: "guard",
		search: "ended = ended || !found && g.hasRead(ctx, token)",
		broken: "_ = found",
		killer: "^TestUngated/T79_ended_session_is_not_written$",
	},
	{
		name: "scs deletes a session before its successor is saved", about: "guard",
		search: "data != nil && savesNext {",
		broken: "data != nil && savesNext && false {",
		killer: "^TestUngated/T79_ended_session_is_not_written$",
	},
	{
		name: "a session that scs gave another token is not in the index", about: "guard",
		search: "g.inner.AddSession(ctx, user, token, deadline)",
		broken: "g.inner.AddSession(ctx, user, token+token, deadline)",
		killer: "^TestUngated/T79_live_session_is_saved$",
	},
	{
		name: "the tokens that a request has read are never freed", about: "guard",
		search: "runtime.AddCleanup(memory, ts.forget, key)",
		broken: "runtime.AddCleanup(memory, func(traceKey) {}, key)",
		killer: "^TestTraces_garbage$",
	},
	{
		name: "a context remembers any number of tokens", about: "guard",
		search: "if len(t.read) == maxTraced {",
		broken: "if false {",
		killer: "^TestTraces_bound$",
	},
	{
		name: "a session that has ended continues under a new token", about: "guard",
		search: "t.ended = t.ended || !found && (token == t.token || slices.Contains(t.merged, token))",
		broken: "_ = found",
	},
	{
		name: "a merged session that ended is forgotten", about: "guard",
		search: "(token == t.token || slices.Contains(t.merged, token))",
		broken: "(token == t.token)",
		killer: "^TestEndedSession/T79_has_no_successor$",
	},
	{
		name: "an application's manager is not guarded", about: "guard",
		search: "		g.serve(m)\n",
		broken: "		g.manager, g.dataKey = m, dataKeyOf(m)\n",
		killer: "^TestEndedSession/T79_has_no_successor$",
	},
	{
		name: "a merged user is not in the index", about: "session",
		search: " || t.merges() {",
		broken: " {",
		killer: "^TestRevokeUser/T79_merged_session$",
	},
	{
		name: "a session that a handler has saved comes back", about: "guard",
		search: "	t.wrote(token)\n",
		broken: "",
		killer: "^TestSave_CommittedByHandler$",
	},
	{
		name: "a session that a handler gave another token is not in the index", about: "guard",
		search: "t.token != \"\" && t.token != token || t.merges()",
		broken: "t.merges()",
		killer: "^TestSave_CommittedByHandler$",
	},
	{
		name: "another session is treated as the request's", about: "guard",
		search: "ok && t.isOf(g.dataIn(ctx))",
		broken: "ok",
		killer: "^TestDelete_OtherSessions$",
	},
	{
		name: "deletions of the application are delayed", about: "guard",
		search: "byScs && t.hold(token)",
		broken: "(byScs || !byScs) && t.hold(token)",
		killer: "^TestDelete_OtherSessions$",
	},
	{
		name: "a canceled request loads a session without recording it", about: "guard",
		search: "case !isTracked && ctx.Err() != nil:",
		broken: "case false:",
		killer: "^TestUngated_CanceledLoad$",
	},
	{
		name: "a login keeps a revoked identity of another account", about: "session",
		search: "err != nil || !t.isOver() {",
		broken: "err != nil || true {",
		killer: "^TestRevokeUser/T79_login_at_another_gate_meanwhile$",
	},
	{
		name: "a revocation reads the index once", about: "session",
		search: "if len(keys) == 0 {\n\t\t\treturn n, nil",
		broken: "if len(keys) == 0 || len(tried) > 0 {\n\t\t\treturn n, nil",
		killer: "^TestRevokeUser/T79_session_that_gets_a_new_token_meanwhile$",
	},
	{
		name: "a key without a record is tried once", about: "revoke",
		search: "const twice = 2",
		broken: "const twice = 1",
		killer: "^TestRevoke_betweenTwoDeletions$",
	},
	{
		name: "a bearer token is a cookie behind two gates", about: "session",
		search: "if s.manager.GetBool(v.ctx, BearerKey) != v.Bearer {",
		broken: "if false {",
		killer: "^TestBearer/T87_not_accepted_as_a_cookie_behind_nested_gates$",
	},
	{
		name: "a gate without a mini program takes bearer tokens", about: "session",
		search: "if held.Bearer && !a.Bearer {",
		broken: "if false {",
		killer: "^TestBearer/T87_not_inherited_by_a_gate_without_a_mini_program$",
	},
	{
		name: "tokens are stored in clear", about: "session", in: "internal/session",
		search: "m.HashTokenInStore = true",
		broken: "m.HashTokenInStore = false",
		killer: "^TestRedisReader/T98_finds_no_valid_token$",
	},
	{
		name: "scripts may read the session cookie", about: "options",
		search: "	if !c.HttpOnly {",
		broken: "	if false {",
		killer: "^TestWithSessionManager/T93_unsafe_cookie_settings$",
	},
	{
		name: "SameSite may be unset", about: "options",
		search: "	case http.SameSiteLaxMode:\n	case http.SameSiteStrictMode:\n",
		broken: "	case http.SameSiteLaxMode, 0, http.SameSiteDefaultMode:\n	case http.SameSiteStrictMode:\n",
		killer: "^TestWithSessionManager/T93_unsafe_cookie_settings$",
	},
	{
		name: "a late reader continues under another token", about: "guard",
		search: "return t.late || t.ended",
		broken: "return t.ended",
	},
	{
		name: "an idle session does not expire", about: "guard",
		search: "if idle := g.now().Add(g.idle); idle.Before(expiry) {",
		broken: "if idle := g.now().Add(g.idle); idle.Before(expiry) && false {",
	},
	{
		name: "the old session is deleted before the new one is saved", about: "guard",
		search: "c.track.holds = true",
		broken: "c.track.holds = false",
	},
	{
		name: "the old session is never deleted", about: "guard",
		search: "held, t.held = t.held, nil\n	return",
		broken: "held, t.held = nil, nil\n	return",
	},
	{
		name: "a response begins before its session is saved", about: "response",
		search: `	if w.begin() == nil {
		w.ResponseWriter.WriteHeader(status)
	}
`,
		broken: `	w.ResponseWriter.WriteHeader(status)
	_ = w.begin()
`,
	},
	{
		name: "a body begins before its session is saved", about: "response",
		search: `func (w *responseWriter) Write(b []byte) (int, error) {
	if err := w.begin(); err != nil {
		return 0, err
	}
`,
		broken: `func (w *responseWriter) Write(b []byte) (int, error) {
`,
	},
	{
		name: "Flush is not noticed", about: "response",
		search: `	if err := w.begin(); err != nil {
		return err
	}
	return http.NewResponseController(w.ResponseWriter).Flush()`,
		broken: `	return http.NewResponseController(w.ResponseWriter).Flush()`,
	},
	{
		name: "the handler's headers stay on an error", about: "response",
		search: `		clear(h)
`,
		broken: "",
	},
	{
		name: "responses may be cached", about: "failure",
		search: `"no-store", "no-cache", "no-referrer"}`,
		broken: `"no-cache", "no-cache", "no-referrer"}`,
	},
	{
		name: "responses may be cached by old caches", about: "failure",
		search: `h["Cache-Control"], h["Pragma"], h["Referrer-Policy"] = values[0:1:1], values[1:2:2], values[2:3:3]`,
		broken: `h["Cache-Control"], h["Referrer-Policy"] = values[0:1:1], values[2:3:3]`,
	},
	{
		name: "responses leak their URL in Referer", about: "failure",
		search: `h["Cache-Control"], h["Pragma"], h["Referrer-Policy"] = values[0:1:1], values[1:2:2], values[2:3:3]`,
		broken: `h["Cache-Control"], h["Pragma"] = values[0:1:1], values[1:2:2]`,
	},
	{
		name: "JSON may be sniffed", about: "failure",
		search: `h["Content-Type"], h["X-Content-Type-Options"], h["Content-Length"] = values[0:1:1], values[1:2:2], values[2:3:3]`,
		broken: `h["Content-Type"], h["Content-Length"] = values[0:1:1], values[2:3:3]`,
	},
	{
		name: "a redirect keeps the method POST", about: "failure", in: "internal/respond",
		search: "w.WriteHeader(http.StatusSeeOther)",
		broken: "w.WriteHeader(http.StatusTemporaryRedirect)",
	},
	{
		name: "Vary names Cookie each time", about: "failure",
		search: "if strings.EqualFold(strings.TrimSpace(field), name) {",
		broken: "if strings.EqualFold(strings.TrimSpace(field), name) && false {",
	},
	{
		name: "forged identity headers pass", about: "upstream",
		search: "r.Header = headerForUpstream(r.Header, session)",
		broken: "r.Header = r.Header.Clone()",
	},
	{
		name: "underscores pass as identity headers", about: "upstream",
		search: "if 'a' <= c && c <= 'z' || '0' <= c && c <= '9' {",
		broken: "if 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '_' {",
	},
	{
		name: "capitals pass as identity headers", about: "upstream",
		search: "strings.ToLower(strings.TrimSpace(name))",
		broken: "strings.TrimSpace(name)",
	},
	{
		name: "Connection drops our headers", about: "upstream",
		search: "values = withoutOurNames(values)",
		broken: "values = values[:len(values):len(values)]",
	},
	{
		name: "a forged trailer passes", about: "upstream",
		search: `	stripTrailer(r)
`,
		broken: "",
	},
	{
		name: "a forged trailer that was not announced passes", about: "upstream",
		search: `	if err != nil {
		b.read()
	}
`,
		broken: "",
	},
	{
		name: "the upstream gets the session cookie", about: "upstream",
		search: "name == session || ",
		broken: "",
		killer: "/T92_",
	},
	{
		name: "the upstream gets sealed cookies", about: "upstream",
		search: " || strings.HasPrefix(name, cookiePrefix)",
		broken: "",
		killer: "/T92_",
	},
	{
		name: "the upstream gets sealed cookies over https", about: "upstream",
		search: " || strings.HasPrefix(name, hostCookiePrefix)",
		broken: "",
		killer: "/T92_",
	},
	{
		name: "the upstream gets the bearer token", about: "upstream",
		search: `slices.DeleteFunc(slices.Clone(values), isOurToken)`,
		broken: `slices.Clone(values)`,
		killer: "/T92_",
	},
	{
		name: "a form for the account in the path is accepted", about: "auth",
		search: "if c.accountsSet && !haveOneHost(c.accounts) {",
		broken: "if c.accountsSet && !haveOneHost(c.accounts) && false {",
		killer: "^TestAccounts_Form/T84_from_another_tenant$|^TestAccounts_Form/T84_behind_a_proxy_that_rewrites_Host$",
	},
	{
		name: "a relay redirects to any path", about: "relay",
		search: "!h.callbacks[callback] && !(h.callbacks[dir] && siteurl.IsAppID(name))",
		broken: "!h.callbacks[callback] && !(h.callbacks[dir] && siteurl.IsAppID(name)) && !strings.HasPrefix(callback, dir)",
		killer: "/T95_",
	},
	{
		name: "a relay accepts any account", about: "relay",
		search: "(h.callbacks[dir] && siteurl.IsAppID(name))",
		broken: "h.callbacks[dir]",
		killer: "/T95_",
	},
	{
		name: "a nickname ends its header", about: "upstream",
		search: "url.PathEscape(id.Nickname)",
		broken: "url.PathEscape(id.Nickname)[:0] + id.Nickname",
	},
	{
		name: "plain http in production", about: "options",
		search: `case parsed.Scheme != "https":`,
		broken: `case parsed.Scheme != "https" && parsed.Scheme != "http":`,
	},
	{
		name: "a base URL with a path", about: "options",
		search: ` || (u.Path != "" && u.Path != "/")`,
		broken: "",
	},
	{
		name: "a base URL with a user", about: "options",
		search: "if u.User != nil || u.RawQuery",
		broken: "if u.RawQuery",
	},
	{
		name: "a base URL prints its password", about: "options",
		search: `if strings.Contains(raw, "@") {`,
		broken: `if strings.Contains(raw, "@@") {`,
	},
	{
		name: "a short flow key", about: "options",
		search: "if len(key) < 32 {",
		broken: "if len(key) < 3 {",
	},
	{
		name: "a typed flow key", about: "options",
		search: "if len(seen) < 10 {",
		broken: "if len(seen) < 1 {",
	},
	{
		name: "a cookie for every site", about: "options",
		search: `	case http.SameSiteNoneMode:
		bad(`,
		broken: `	case http.SameSiteDefaultMode - 9:
		bad(`,
	},
	{
		name: "a cookie that never comes back", about: "options",
		search: `	case http.SameSiteStrictMode:
		bad(`,
		broken: `	case http.SameSiteDefaultMode - 9:
		bad(`,
	},
	{
		name: "a session cookie over plain http", about: "options",
		search: "if !c.Secure && https {",
		broken: "if !c.Secure && https && false {",
	},
	{
		name: "an AppSecret as AppID", about: "options",
		search: "if check.LooksLikeAppID(pair[1]) && !check.LooksLikeAppID(pair[0]) {",
		broken: "if check.LooksLikeAppID(pair[1]) && false {",
	},
	{
		name: "sessions of 240 years", about: "options",
		search: "maxLifetime = 400 * 24 * time.Hour",
		broken: "maxLifetime = 240 * 365 * 24 * time.Hour",
	},
	{
		name: "a prefix with dot segments", about: "options",
		search: `segment == "" || segment == "." || segment == ".." ||`,
		broken: `segment == "" ||`,
	},
	{
		name: "an error contains a session token", about: "observe",
		search: `	e.Err = redact.Tokens(e.Err)
`,
		broken: "",
		killer: "^TestLeak/T40_no_secret_reaches_any_sink$",
	},
	{
		name: "a hook's error contains the openid", about: "redact",
		search: "text = strings.ReplaceAll(text, whole, OpenID(whole))",
		broken: "text = strings.ReplaceAll(text, whole, whole)",
		killer: "^TestOpenIDs$",
	},
	{
		name: "a log has the whole openid", about: "identity",
		search: `return openID[:6] + "…"`,
		broken: "return openID",
	},
	{
		name: "an identity of a context passes a gate", about: "identity",
		search: "r.Context().Value(identityKey{}).(*Identity); id == nil {",
		broken: "r.Context().Value(identityKey{}).(*Identity); id == nil || id.OpenID != \"\" {",
		killer: "^TestContextWithIdentity_Gate$",
	},
	{
		name: "a login lasts by another clock", about: "session",
		search: "s.manager.SetDeadline(v.ctx, s.now().Add(s.manager.Lifetime).UTC()) // scs's clock is time.Now",
		broken: "",
		killer: "^TestWithClock$",
	},
	{
		name: "a verify file of any name", about: "verifyfile",
		search: "if !fileName.MatchString(name) {",
		broken: `if name == "" {`,
	},
	{
		name: "the token of a WeCom app is stored in clear", about: "wecom",
		search: "[]byte(c.Keys.Seal(plain, tokenMark(key)))",
		broken: "plain",
		killer: "^TestCache_Sealed$",
	},
	{
		name: "a forged token of a WeCom app is used", about: "wecom",
		search: "plain, err := c.Keys.Open(string(sealed), tokenMark(key))\n\tif err != nil ||",
		broken: "plain, err := c.Keys.Open(string(sealed), tokenMark(key))\n\tif err != nil {\n\t\tplain = sealed\n\t}\n\tif",
		killer: "^TestCache_Sealed$",
	},
	{
		name: "the token of a WeCom app can be moved to another app", about: "wecom",
		search: `func tokenMark(key string) string { return "wecom token " + key }`,
		broken: `func tokenMark(key string) string { return "wecom token " + key[:0] }`,
		killer: "^TestCache_Sealed$",
	},
	{
		name: "every instance gets a token of a WeCom app", about: "wecom",
		search: "won, err := c.Marks.PutMarkNX(ctx, leaseMark(key), holder, Lease)",
		broken: "won, err := true, error(nil)",
		killer: "^TestCache_DeadInstance$",
	},
	{
		name: "a stale token of a WeCom app is kept", about: "wecom",
		search: "return !stale.Equal(client.NewSecret(r.Token)) || r.Forced &&",
		broken: "return true || r.Forced &&",
		killer: "^TestCache_Stale$",
	},
	{
		name: "instances replace a rejected token of a WeCom app without end", about: "wecom",
		search: "|| r.Forced && now.Before(time.UnixMilli(r.Fetched).Add(rejectedTime))",
		broken: "",
		killer: "^TestCache_Stale$",
	},
	{
		name: "an instance replaces a rejected token of a WeCom app without end", about: "wecom",
		search: "if replaces && s.forced && s.recent() {",
		broken: "if replaces && s.forced && !s.recent() {",
		killer: "^TestToken_NoLoop$",
	},
	{
		name: "instances repeat a wrong secret of a WeCom app", about: "wecom",
		search: "wecom.Rejected(err) && errors.As(err, &e)",
		broken: "!wecom.Rejected(err) && errors.As(err, &e)",
		killer: "^TestCache_WrongSecret$",
	},
	{
		name: "an instance repeats a wrong secret of a WeCom app", about: "wecom",
		search: "\tif Rejected(err) {\n",
		broken: "\tif !Rejected(err) {\n",
		killer: "^TestToken_WrongSecret$",
	},
	{
		name: "apps of a company share a token", about: "wecom",
		search: `sha256.Sum256([]byte(c.corpID + "\x00" + c.secret()))`,
		broken: `sha256.Sum256([]byte(c.corpID))`,
		killer: "^TestTokenCache_Key$",
	},
	{
		name: "a user of WeCom may have two identities", about: "wecom",
		search: `case u.UserID != "" && u.OpenID != "":`,
		broken: `case false:`,
		killer: "^TestClient_UserInfo_Ambiguous$",
	},
	{
		name: "a userid in two spellings is read as the second", about: "wecom",
		search: "return known, value, nil",
		broken: "return key, value, nil",
		killer: "^TestClient_Do$",
	},
	{
		name: "a mini program logs in members of other companies", about: "wecom",
		search: "if corp != c.corpID {",
		broken: `if corp == "" {`,
		killer: "^TestClient_Code2Session$",
	},
	{
		name: "the details of another member are accepted", about: "wecom",
		search: `got == "" || FoldUserID(got) != FoldUserID(want)`,
		broken: `got == "" || want == ""`,
		killer: "^TestClient_Member$",
	},
	{
		name: "a web-view ticket is in the store", about: "mini",
		search: `return kind + " " + base64.RawURLEncoding.EncodeToString(sum[:])`,
		broken: `_ = sum; return kind + " " + ticket`,
	},
	{
		name: "a scan code is in the store", about: "scan",
		search: `return "scan " + kind + " " + base64.RawURLEncoding.EncodeToString(sum[:])`,
		broken: `return "scan " + kind + " " + ticket + string(sum[:0])`,
		killer: "^TestMarkKeys/T98_hold_no_valid_secret$",
	},
	{
		name: "a restored result logs in", about: "mini", in: "internal/singleflight",
		search: "|| g.Now().Add(-cookie.Skew).UnixMilli() > o.Until {",
		broken: "|| g.Now().Add(-cookie.Skew).UnixMilli() < 0 {",
		killer: "^TestMiniLogin/T86_restored_result$",
	},
	{
		name: "a replaced token leads to its successor as long as the store keeps it", about: "session",
		search: "return token, fresh && ValidToken(token)",
		broken: "_ = fresh; return token, ValidToken(token)",
		killer: "^TestRedisWriter_ReplacedToken/T81_valid_for_seconds$",
	},
	{
		name: "a web-view ticket can be used twice", about: "mini",
		search: `g.miniStore().Use(ctx, ticket); err != nil || !won {`,
		broken: `g.miniStore().Use(ctx, ticket); err != nil || (!won && false) {`,
	},
	{
		name: "a web-view ticket outlives its session", about: "mini",
		search: "	reason, err = g.checkSource(ctx, e.Session)\n",
		broken: "",
		killer: "^TestWebView_TicketOfEndedSession$",
	},
	{
		name: "a confirmed QR code outlives the phone's session", about: "mini",
		search: "if reason, err := g.checkSource(ctx, end.Session); reason != \"\" {",
		broken: "if reason, err := g.checkSource(ctx, end.Session); err != nil {",
		killer: "^TestScan_EndedSession$",
	},
	{
		name: "a login outlives the session that it came from", about: "revoke",
		search: "	reason, err = g.checkSource(ctx, p.source)\n",
		broken: "",
		killer: "^TestRevokeUser_DuringLoginFromSession$",
	},
	{
		name: "any number logs the browser in", about: "scan",
		search: "	if !right {\n\t\treturn identity.Identity{}, ReasonScanWrongNumber, nil\n\t}\n",
		broken: "",
		killer: "^TestScan_Number/T96_one_attempt$",
	},
	{
		name: "a number may be entered again", about: "scan",
		search: "\tif !won {\n\t\treturn identity.Identity{}, ReasonScanUsed, nil\n\t}\n",
		broken: "\t_ = won\n",
		killer: "^TestScan_Attacks$",
	},
	{
		name: "duplicates of a scan need no number", about: "scan",
		search: "		case !right:\n\t\t\tg.rejectScan(w, r, sc, ReasonScanWrongNumber, again)\n",
		broken: "",
		killer: "^TestScan_Attacks$",
	},
	{
		name: "the phone of another user sees the number", about: "scan",
		search: " || v.Identity.OpenID != id.OpenID {",
		broken: " || id.OpenID == \"\" {",
		killer: "^TestScan_Attacks$",
	},
	{
		name: "the number's form may come from another site", about: "scan",
		search: "func (g *gate) serveScanNumber(w http.ResponseWriter, r *http.Request) {\n\tvalues, ok := g.readForm(w, r)",
		broken: "func (g *gate) serveScanNumber(w http.ResponseWriter, r *http.Request) {\n\tvalues, ok := r.URL.Query(), r.ParseForm() == nil\n\tvalues = r.Form",
		killer: "^TestScan_Attacks$",
	},
	{
		name: "the marks of a scan are interchangeable", about: "scan",
		search: "box := []byte(t.Keys.Seal(plain, mark, t.AppID))",
		broken: "box := []byte(t.Keys.Seal(plain, \"scan\", t.AppID))",
		killer: "^TestScan$",
	},
	{
		name: "any text names the phone's scan code", about: "scan",
		search: "plain, err := g.keys.Open(sealed, scanPhonePlace, g.official.appID)",
		broken: "plain, err := []byte(sealed), error(nil)",
		killer: "^TestScan_Attacks$",
	},
	{
		name: "each poll of a scan reads the store", about: "scan",
		search: "fresh := ok && now.Sub(l.at).Abs() < Pause; !fresh",
		broken: "fresh := false && ok; !fresh",
		killer: "^TestScan_Polls/T88_one_read_per_pause$",
	},
	{
		name: "a shared read ends with the request that started it", about: "scan",
		search: "state(context.WithoutCancel(ctx), ticket)",
		broken: "state(ctx, ticket)",
		killer: "^TestLooks_At$",
	},
	{
		name: "a logout keeps the QR code", about: "handler",
		search: "\t\tg.cookies.DropIfSent(w, r, g.cookies.ScanName()) // it may be confirmed, and would log the next person in\n",
		broken: "",
		killer: "^TestScan_Logout$",
	},
	{
		name: "a web-view ticket is written before it is checked", about: "mini",
		search: `	e, reason, err := g.openEnter(ctx, ticket)
`,
		broken: `	e, reason, err := g.openEnter(ctx, ticket)
	_ = g.sessions.Marks().PutMark(ctx, "seen "+ticket, []byte("1"), mini.TTL)
`,
		killer: "^TestWebView_GuessedTicket$",
	},
	{
		name: "a web-view's cookie is a mini program's token", about: "mini",
		search: "|| !v.LoggedIn || !v.Bearer {\n\t\treturn nil, ErrNotMiniProgram",
		broken: "|| !v.LoggedIn {\n\t\treturn nil, ErrNotMiniProgram",
		killer: "^TestMini_RequestOfBrowser$",
	},
	{
		name: "a web-view ticket can be used from another site", about: "mini",
		search: `return site == "" || site == "none" || site == "same-origin"`,
		broken: `return site == "" || site != ""`,
		killer: "^TestRules$",
	},
	{
		name: "a web-view ticket is used by an image", about: "mini",
		search: `from == navigation.Elsewhere || !IsPageVisit(r) {`,
		broken: `from == navigation.Elsewhere {`,
		killer: "^TestGET/T80_changes_nothing_unless_it_is_a_page_visit$",
	},
	{
		name: "an old browser needs no confirmation", about: "mini",
		search: ` || !Has(r.Header, "Sec-Fetch-Site") && !miniProgramWebView:`,
		broken: ":",
		killer: "^TestRules$",
	},
	{
		name: "another user's session is replaced without confirmation", about: "mini",
		search: ` || v.LoggedIn && !v.Identity.SameUser(e.Identity)`,
		broken: "",
		killer: "^TestWebViewTicket/T80_session_of_another_user_needs_a_confirmation$",
	},
	{
		name: "any site can post the confirmation of a web-view", about: "mini",
		search: `	if r.Method == http.MethodPost {
		if _, ok := g.readForm(w, r); !ok {
			return
		}
	} else`,
		broken: `	if r.Method != http.MethodPost {
		from = navigation.Here
	}
	if r.Method == http.MethodPost {
	} else`,
		killer: "^TestWebViewTicket/T80_session_of_another_user_needs_a_confirmation$",
	},
	{
		name: "stored values open without the flow key", about: "seal",
		search: "secrets[i] = append(slices.Clone(k.key), key...)",
		broken: "secrets[i] = append(slices.Clone(k.key[:0]), key...)",
		killer: "^TestRing_With$",
	},
	{
		name: "the AppSecret seals stored values", about: "auth",
		search: "		secrets = c.sessionKeys //",
		broken: "		_ = c.sessionKeys //",
		killer: "^TestRedisWriter/T78_cannot_choose_a_key$",
	},
	{
		name: "a web-view ticket in the store has no expiry", about: "mini",
		search: ` || !cookie.Fresh(s.Now(), r.IssuedAt, TTL+cookie.Skew) {`,
		broken: " {",
		killer: "^TestWebViewTicket/T81_expires_even_if_the_store_keeps_it$",
	},
	{
		name: "a used web-view ticket is forgotten early", about: "mini",
		search: "usedTTL = TTL + 2*cookie.Skew",
		broken: "usedTTL = TTL",
		killer: "^TestWebViewTicket/T81_use_is_remembered_until_it_has_expired$",
	},
	{
		name: "a used code gets a token", about: "mini",
		search: "res.unopened || res.late && res.Reason == \"\" {",
		broken: "res.unopened {",
		killer: "^TestMiniLogin/T86",
	},
	{
		name: "a session_key is kept in clear", about: "mini",
		search: `[]byte(s.Keys.Seal([]byte(key), "session_key", user))`,
		broken: `[]byte(s.Keys.Seal([]byte(key), "session_key", user) + key)`,
	},
	{
		name: "a user in snapshot mode is logged in", about: "snapshot",
		search: "v.Identity = identity.Identity{Snapshot: true}",
		broken: "v.Identity, v.LoggedIn = identity.Identity{Snapshot: true}, true",
	},
	{
		name: "an accent may hide the text on buttons", about: "pages",
		search: `if c.contrast(textOn(c)) >= minRatio {`,
		broken: `if true {`,
		killer: "^TestBrand_Check$",
	},
	{
		name: "a logo may be an HTML page", about: "pages",
		search: `case !strings.HasPrefix(rest, "<?xml") && !strings.HasPrefix(rest, "<!DOCTYPE svg"):`,
		broken: `case false:`,
		killer: "^TestBrand_Check$",
	},
	{
		name: "a logo extends the policy of a page", about: "pages",
		search: "return cspOrigin(logo)\n",
		broken: "return logo\n",
		killer: "^TestPage_logoPolicy$",
	},
	{
		name: "a link to the home page may be a script", about: "pages",
		search: `b.HomeURL != "" && (Link(b.HomeURL) == "" || err == nil && u.User != nil)`,
		broken: `b.HomeURL != "" && err == nil && u.User != nil`,
		killer: "^TestBrand_Check$",
	},
	{
		name: "a name may reverse the text after it", about: "pages",
		search: `!unicode.IsGraphic(r) || strings.ContainsRune(fillers, r)`,
		broken: `unicode.IsControl(r) || strings.ContainsRune(fillers, r)`,
		killer: "^TestBrand_Check$",
	},
	{
		name: "the phone shows a name without its host", about: "pages",
		search: `return p.Brand.Name + " · " + p.Hints.Host`,
		broken: `return p.Brand.Name`,
		killer: "^TestPage_brand$",
	},
	{
		name: "the brand of an account is not checked", about: "pages",
		search: `, linesOf("WithBrand: ", page.Brand(account.Brand).Check()))`,
		broken: `)`,
		killer: "^TestNew_wrongOptions$",
	},
	{
		name: "a page may load anything", about: "pages",
		search: `	policy := "default-src 'none'; style-src "`,
		broken: `	policy := "style-src "`,
		killer: "^TestWrite_headers$",
	},
	{
		name: "a page may be framed", about: "pages",
		search: `; base-uri 'none'; frame-ancestors " + ancestors`,
		broken: `; base-uri 'none'; frame-ancestors *" + ancestors[:0]`,
		killer: "^TestWrite_headers$",
	},
	{
		name: "a page may send its form anywhere", about: "pages",
		search: `	return "; form-action " + actions + "; base-uri`,
		broken: `	return "; base-uri`,
		killer: "^TestWrite_headers$",
	},
	{
		name: "a page may be cached", about: "pages",
		search: `	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache")
	h.Set("Referrer-Policy", referrerPolicy(p))
`,
		broken: `	h.Set("Cache-Control", "private")
	h.Set("Pragma", "no-cache")
	h.Set("Referrer-Policy", referrerPolicy(p))
`,
		killer: "^TestWrite_headers$",
	},
	{
		name: "a page leaks its URL, which may have a code", about: "pages",
		search: `	return "no-referrer"
`,
		broken: `	return "origin-when-cross-origin"
`,
		killer: "^TestWrite_headers$",
	},
	{
		name: "a page's link may be a script", about: "pages",
		search: "page.Link(p.RetryURL), page.Link(p.ActionURL), page.Link(p.URL)",
		broken: "p.RetryURL, p.ActionURL, p.URL",
		killer: "^TestPages_links$",
	},
	{
		name: "a page repeats a form's request by itself", about: "pages",
		search: "f.Status == http.StatusServiceUnavailable && navigation.IsRead(r) && p.RetryURL",
		broken: "f.Status == http.StatusServiceUnavailable && p.RetryURL",
		killer: "^TestHeal_Retry/T100_only_where_a_reload_is_harmless$",
	},
	{
		name: "a page repeats a login for which the quota of the day is used up", about: "pages",
		search: " && wait <= retryAfterMinuteSeconds {",
		broken: " && wait > 0 {",
		killer: "^TestHeal_Retry/T100_only_where_a_reload_is_harmless$",
	},
	{
		name: "old browsers send the form to log out without an origin", about: "pages",
		search: ` || p.Kind == Message && p.ActionURL != "" {`,
		broken: " {",
		killer: "^TestHeal_Logout/T102_form_to_log_out_is_of_this_site_only$",
	},
	{
		name: "any user learns that a login was denied", about: "scan",
		search: `if reason, err := g.bindScan(ctx, ticket, v.Identity, false); reason != "" || err != nil {`,
		broken: `if reason, err := g.bindScan(ctx, ticket, v.Identity, false); reason != "" && err != nil {`,
		killer: "^TestScan_Denied$",
	},
	{
		name: "each failed poll is reported", about: "scan",
		search: "if now.Sub(s.complained).Abs() < Quiet {",
		broken: "if now.Sub(s.complained).Abs() < 0 {",
		killer: "^TestScan_PollsReported$",
	},
	{
		name: "a page shows any text as its reason", about: "pages",
		search: `		return texts.Unknown, ""
`,
		broken: `		return texts.Unknown, p.Reason
`,
		killer: "^TestPage_unknownReason$",
	},
	{
		name: "a wrong AppSecret is retried forever", about: "failure",
		search: `		return ReasonBadConfig
	case client.KindUserBlocked`,
		broken: `		return ReasonCodeExpired
	case client.KindUserBlocked`,
	},
	{
		name: "a 503 has no Retry-After", about: "failure",
		search: "	if f.Status == http.StatusServiceUnavailable {\n",
		broken: "	if f.Status == http.StatusServiceUnavailable && false {\n",
	},
	{
		name: "a login on another host starts there", about: "middleware",
		search: `	case g.isOtherHost(r):
		return actionHop, ""
`,
		broken: "",
		killer: "^TestRequestHeaders/T33_redirect_uri_does_not_depend_on_them$",
	},
	{
		name: "a proxy that rewrites Host makes a loop", about: "middleware",
		search: `	_, err := r.Cookie(g.cookies.OtherHostName())
	return err != nil
`,
		broken: "	return true\n",
		killer: "^TestOtherHost/T30_proxy_that_rewrites_Host$",
	},
	{
		name: "a login starts on plain http, where its cookie is dropped", about: "middleware",
		search: `if base.Scheme == "https" && strings.EqualFold(strings.TrimSpace(proto), "http") {`,
		broken: `if base.Scheme == "https" && strings.EqualFold(strings.TrimSpace(proto), "never") {`,
		killer: "^TestPlainHTTP$",
	},
	{
		name: "the return URL expires with the pending login", about: "flow",
		search: "CookieLife = 24 * time.Hour",
		broken: "CookieLife = 10 * time.Minute",
		killer: "^TestLateCallback$",
	},
	{
		name: "the cookie of a QR code can be forged", about: "seal",
		search: "return own && flow",
		broken: "return (own || true) && flow",
		killer: "^TestForgedCookies/T77_scan_cookie_from_a_QR_code$",
	},
	{
		name: "every error of a hook is a rejection", about: "callback",
		search: "	case errors.Is(err, ErrForbidden):",
		broken: "	case errors.Is(err, err):",
		killer: "^TestHookError$",
	},
	{
		name: "values of a hook outlive its rejection", about: "session",
		search: "	_ = s.manager.Clear(v.ctx) // in memory, and without an error\n",
		broken: "",
		killer: "^TestOnLogin_RejectsUnderLoadAndSave$",
	},
	{
		name: "a hook sees another user's values", about: "session",
		search: "	if wasIn && !v.isUser(id) {",
		broken: "	if wasIn && !v.isUser(id) && false {",
		killer: "^TestOnLogin_SeesSession$",
	},
	{
		name: "a panic leaves the lease held", about: "claim",
		search: "	case c.Spent:\n		err = c.Share(ctx, singleflight.Result{Reason: string(*how)}, p.flow.Key, shortTTL, nil, store.Batch{})",
		broken: "	case c.Spent:\n		_ = store.Batch{}",
		killer: "^TestHookPanic/T99_lease_is_released$",
	},
	{
		name: "a panic before the code is used leaves the lease held", about: "claim",
		search: "	default:\n		err = c.Release(ctx)",
		broken: "	default:",
		killer: "^TestHookPanic/T99_lease_is_released$",
	},
	{
		name: "a duplicate callback loses RememberMe", about: "callback",
		search: "	if saved.Remember {",
		broken: "	if saved.Remember && false {",
		killer: "^TestRememberMe/T89_duplicate_callback_sets_the_same_cookie$",
	},
}

// likely has the tests to run first, by subject.
var likely = map[string]string{
	"returnto":   "ReturnTarget|RequestTarget|ReturnURL|T2[1267]|T31|HonestLinks|T03",
	"navigation": "PageVisit|Preflight|preflight|Navigation|T10|T32|T80_(changes|finishes)",
	"seal":       "Box|NewestKey|T0[1-5]|T0[789]|T24|AFlowCookie|T34",
	"flow":       "T0[1-5]|T0[789]|T13|T24|T58|T59|AFlowCookie|Tabs|several_tabs|UsesHostCookies",
	"trail":      "T30|Loop|Logout|T11",
	"claim":      "AClaim|AnOutcome|Lease|T0[56]|T07_a|T45|T65|T70|T86_restored|ALoginIs|HundredCallbacks|Reload|TwoAccounts|Accounts_(One|Two)Host",
	"callback":   "T0[1-9]|T1[349]|T2[0-9]|T30|T38|T45|T6[45]|Callback|Refus|Hook|StepUp|Reload|OnLogin|Snapshot|NotSaved",
	"middleware": "T10|T11|T3[0-9]|AccessCheck|Authorize|Script|StepUp|RedisIsDown",
	"handler":    "T0[1-5]|T0[789]|T1[01]|T2[26]|T3[0-9]|T43|Logout|AnotherSite|StepUp|Loop|T73|T75",
	"session":    "T0[68]|T1[3-9]|T2[36]|T3[013]|T4[45]|T58|T6[578]|T7[04689]|T8[578]|T9[49]|Session|Bearer|Login|Corrupt|RenewToken|Destroy|LateReader|Save|SCS|InFlight|Revoke|Grace|Accounts|WithLifetime|WithIdleTimeout",
	"guard":      "T1[4-8]|InFlight|IdleTimeout|LoggedOut|Renews|RenewToken|LateReader|Grace|SCS/(idle|deadline)|CostsNothing",
	"response":   "Save|Response|Hijack|SCS|OnLogin_Puts|T36|T63|T74|T79|T90",
	"pages":      "Page|CSP|CacheControl|OpenInWeChat|T32|T36|T39|T43|T80|T9[46]|Policy|Reason|LinksThat",
	"failure":    "T20|T3[69]|T43|T89|Callback|Script",
	"upstream":   "T34|FuzzIdentity",
	"options":    "Configuration|T42|Lifetime",
	"observe":    "T40",
	"redact":     "T4[045]|OpenIDs|Tokens|HashToken",
	"identity":   "T23|T40|AccessCheck|Authorize",
	"verifyfile": "Verify",
	"wecom":      "Cache|Token|UserInfo",
	"mini":       "Mini|WebView|T4[45]|SessionKey|Platform_Account",
	"snapshot":   "T19|Snapshot",
}
