package main

// mutants are faults that somebody could make, or make up as an improvement, by
// file. Each takes away or weakens one thing that an attack meets.
var mutants = []mutant{
	{
		name: "a return target may begin with two slashes", about: "returnto",
		search: "return !strings.HasPrefix(p, \"//\") &&",
		broken: "return",
		killer: "^TestHostileReturnTargetsAreRefused$",
	},
	{
		name: "a return target may have a backslash", about: "returnto",
		search: "&& !strings.Contains(p, `\\`) ",
		broken: "",
		killer: "^TestHostileReturnTargetsAreRefused$",
	},
	{
		name: "a return target may have control bytes in its path", about: "returnto",
		search: "if hasControl(p) ||",
		broken: "if",
		killer: "^TestHostileReturnTargetsAreRefused$",
	},
	{
		name: "a return target may have a line end of Unicode", about: "returnto",
		search: " || hasC1Control(p)",
		broken: "",
		killer: "^TestHostileReturnTargetsAreRefused$",
	},
	{
		name: "a return target is judged as it stands only", about: "returnto", in: "internal/returnto",
		search: "for range 3 {",
		broken: "for range 1 {",
		killer: "^TestHostileReturnTargetsAreRefused$",
	},
	{
		name: "a return target is decoded once only", about: "returnto", in: "internal/returnto",
		search: "for range 3 {",
		broken: "for range 2 {",
		killer: "^TestHostileReturnTargetsAreRefused$",
	},
	{
		name: "a return target may have dot segments", about: "returnto",
		search: `if segment == "." || segment == ".." {`,
		broken: `if segment == "." && segment == ".." {`,
		killer: "^TestHostileReturnTargetsAreRefused$",
	},
	{
		name: "a return target may lead to an endpoint of ours", about: "returnto",
		search: "case s.isOwnEndpoint(decoded):",
		broken: "case false:",
		killer: "^TestHostileReturnTargetsAreRefused$",
	},
	{
		name: "endpoints are recognised in their own case only", about: "returnto",
		search: "p = strings.ToLower(path.Clean(p))",
		broken: "p = path.Clean(p)",
		killer: "^TestHostileReturnTargetsAreRefused$",
	},
	{
		name: "a return target may have control bytes in its query", about: "returnto",
		search: " || hasControl(rest) {",
		broken: " {",
		killer: "^TestHostileReturnTargetsAreRefused$",
	},
	{
		name: "a return target may be twice as long", about: "returnto",
		search: "const MaxBytes = 2048",
		broken: "const MaxBytes = 4096",
		killer: "^TestReturnTargetLengthIsCountedAsItStandsInLocation$",
	},
	{
		name: "a return target need not begin with a slash", about: "returnto",
		search: `if !strings.HasPrefix(rawPath, "/") {`,
		broken: `if !strings.HasPrefix(rawPath, "/") && raw == "" {`,
		killer: "^TestHostileReturnTargetsAreRefused$",
	},
	{
		name: "a half escape is let through", about: "returnto",
		search: " || !validEscapes(rawPath)",
		broken: "",
		killer: "^TestHostileReturnTargetsAreRefused$",
	},
	{
		name: "a backslash stays unescaped in Location", about: "returnto",
		search: `if c == ' ' || c == '\\' || c >= utf8.RuneSelf {`,
		broken: "if c == ' ' || c >= utf8.RuneSelf {",
		killer: "^TestHonestReturnTargetsAreAccepted$",
	},
	{
		name: "a slash of another script is let through", about: "returnto",
		search: " && !isSlashLookalike(second)",
		broken: " && second != '\\\\'",
		killer: "^TestHostileReturnTargetsAreRefused$",
	},
	{
		name: "code and state stay in the return target", about: "returnto",
		search: "stripPair(query, looksLikeCode, looksLikeState); ok {",
		broken: "stripPair(query, looksLikeCode, looksLikeState); ok && false {",
		killer: "^TestRawRequestTargetsBecomeReturnTargets$",
	},
	{
		name: "a code of WeChat's stays beside a state that is none of WeChat's", about: "returnto",
		search: "stripPair(query, looksLikeWeChatCode, isAnything)",
		broken: "stripPair(query, looksLikeWeChatCode, looksLikeCode)",
		killer: "^TestT21_",
	},
	{
		name: "an odd target loses its origin", about: "returnto",
		search: "return s.origin() + target, nil",
		broken: "return target, nil",
		killer: "^TestOddReturnURLs$",
	},
	{
		name: "an odd target needs no origin", about: "returnto",
		search: "case odd && !absolute:",
		broken: "case odd && !absolute && raw == target:",
		killer: "^TestHostileReturnTargetsAreRefused$",
	},
	{
		name: "a request's URL is written anew", about: "returnto",
		search: "	raw := r.RequestURI\n",
		broken: "	raw := r.URL.RequestURI()\n",
		killer: "^TestReturnURLRoundTrip$",
	},
	{
		name: "a form may be a page visit", about: "navigation",
		search: "return IsRead(r) && !breaksOnRedirect(r) &&",
		broken: "return !breaksOnRedirect(r) &&",
		killer: "^TestIsPageVisitTellsVisitsFromTheRest$",
	},
	{
		name: "a request with Authorization may be a page visit", about: "navigation",
		search: `return hasOwnCredentials(r) || Has`,
		broken: "return Has",
		killer: "^TestIsPageVisitTellsVisitsFromTheRest$",
	},
	{
		name: "a WebSocket may be a page visit", about: "navigation",
		search: `|| Has(h, "Upgrade") `,
		broken: "",
		killer: "^TestIsPageVisitTellsVisitsFromTheRest$",
	},
	{
		name: "a prefetch may be a page visit", about: "navigation",
		search: " || isSpeculative(h) ||",
		broken: " ||",
		killer: "^TestIsPageVisitTellsVisitsFromTheRest$",
	},
	{
		name: "a preflight needs no Origin", about: "navigation",
		search: `&& Has(r.Header, "Origin") `,
		broken: "",
		killer: "^TestPreflightsAreRecognised$",
	},
	{
		name: "a preflight may be any OPTIONS", about: "navigation",
		search: ` && Has(r.Header, "Access-Control-Request-Method")`,
		broken: "",
		killer: "^TestPreflightsAreRecognised$",
	},
	{
		name: "an iframe is a page", about: "navigation",
		search: `return dest == "document" || `,
		broken: "return true || ",
		killer: "^TestIsPageVisitTellsVisitsFromTheRest$",
	},
	{
		name: "a fetch that says it navigates nowhere is a page", about: "navigation",
		search: `(dest == "" || dest == "empty") && acceptsType(h, "text/html")`,
		broken: `(dest == "" || dest == "empty")`,
		killer: "^TestIsPageVisitTellsVisitsFromTheRest$",
	},
	{
		name: "a bearer token of ours may be a page visit", about: "middleware",
		search: `return token == "" && navigation.IsPageVisit(r)`,
		broken: `return token != "x" && navigation.IsPageVisit(r)`,
		killer: "^TestIsPageVisit$",
	},
	{
		name: "credentials without a navigation may be a page visit", about: "navigation",
		search: `return Has(r.Header, "Authorization") && Header(r.Header, "Sec-Fetch-Mode") != "navigate"`,
		broken: `return false`,
		killer: "^TestIsPageVisitTellsVisitsFromTheRest$",
	},
	{
		name: "an empty header counts", about: "navigation",
		search: `if value = strings.TrimSpace(value); value != "" {`,
		broken: `if value = strings.TrimSpace(value); true {`,
		killer: "^TestIsPageVisitTellsVisitsFromTheRest$",
	},
	{
		name: "a script's POST is shown a page", about: "navigation",
		search: ` && (mode == "" || mode == "navigate")`,
		broken: ` && (mode == "" || mode != "")`,
		killer: "^TestRulesOfNavigation$",
	},
	{
		name: "a seal is not bound to its place", about: "seal",
		search: `		ad = append(ad, part...)
`,
		broken: `		_ = part
`,
		killer: "^TestRing_place$",
	},
	{
		name: "the parts of a place run together", about: "seal",
		search: `		ad = binary.BigEndian.AppendUint32(ad, uint32(len(part)))
`,
		broken: `		_ = binary.BigEndian
`,
		killer: "^TestRing_place$",
	},
	{
		name: "a seal's version is not looked at", about: "seal",
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
		name: "the newest key only opens", about: "seal",
		search: "for _, k := range ring.keys {",
		broken: "for _, k := range ring.keys[:1] {",
	},
	{
		name: "the oldest key seals", about: "seal",
		search: "k := ring.keys[0]",
		broken: "k := ring.keys[len(ring.keys)-1]",
	},
	{
		name: "every box has the same nonce", about: "seal",
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
		killer: "^TestT24_WhatIsNoCallbackNeverReachesWeChatOrRedis$",
	},
	{
		name: "a flow lives for ever", about: "flow",
		search: "return age <= ttl && ",
		broken: "return ",
		killer: "^TestAFlowCookieCounts$",
	},
	{
		name: "a flow may come from the future", about: "flow",
		search: "age <= ttl && age >= -Skew",
		broken: "age <= ttl",
		killer: "^TestAFlowCookieCounts$",
	},
	{
		name: "a flow lives twice as long", about: "flow",
		search: "\tTTL = 10 * time.Minute",
		broken: "\tTTL = 20 * time.Minute",
		killer: "^TestALateReturnLeadsToTheTarget$",
	},
	{
		name: "a flow cookie can be read by scripts", about: "flow",
		search: `	line.WriteString("; HttpOnly")
`,
		broken: "",
		killer: "^TestT02_APlantedPendingLoginIsOfNoUse$",
	},
	{
		name: "a flow cookie goes over plain http", about: "flow",
		search: `	if j.Secure {
		line`,
		broken: `	if j.Secure && false {
		line`,
		killer: "^TestT02_APlantedPendingLoginIsOfNoUse$",
	},
	{
		name: "a flow cookie is sent from other sites", about: "flow",
		search: `"; SameSite=Lax")
	w.Header()`,
		broken: `"; SameSite=None")
	w.Header()`,
		killer: "^TestT02_APlantedPendingLoginIsOfNoUse$",
	},
	{
		name: "the oldest flows are opened first", about: "flow",
		search: "range slices.Backward(r.Cookies()) {",
		broken: "range slices.All(r.Cookies()) {",
		killer: "^TestT09_TheNewestFiveStay",
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
		killer: "^TestT09_TabsDoNotOverwriteEachOther$",
	},
	{
		name: "any number of decryptions for one state", about: "flow",
		search: `		if tried++; tried > cookie.MaxOpened {
			break
		}
`,
		broken: `		tried++
`,
		killer: "^TestT59_ACookieFloodCostsEightDecryptionsOfEachKindAtMost$",
	},
	{
		name: "the oldest flows stay", about: "flow",
		search: "return cmp.Compare(b.Flow.IssuedAt, a.Flow.IssuedAt)",
		broken: "return cmp.Compare(a.Flow.IssuedAt, b.Flow.IssuedAt)",
		killer: "^TestTwentyTabsKeepTheNewestFive$",
	},
	{
		name: "a planted flow cookie hides ours", about: "flow",
		search: `			continue
		}
		if subtle.`,
		broken: `			break
		}
		if subtle.`,
		killer: "^TestT02_APlantedPendingLoginIsOfNoUse$",
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
		killer: "^TestFiveTabsLogInSideBySide$",
	},
	{
		name: "a flow is not bound to AppID and callback", about: "flow",
		search: "return append(append(make([]string, 0, 2+len(j.Bound)), purpose, name), j.Bound...)",
		broken: "return append(append(make([]string, 0, 2+len(j.Bound)), purpose, name), j.Bound[:0]...)",
	},
	{
		name: "a loop is never stopped", about: "trail",
		search: "MaxLogins = 3",
		broken: "MaxLogins = 1000",
		killer: "^TestARedirectLoopEndsWithItsCause$",
	},
	{
		name: "a trail lives for ever", about: "trail",
		search: "t.At, TrailTTL+2*TTL-cookie.Skew)",
		broken: "t.At, 1<<62)",
	},
	{
		name: "logins that a browser never learns of are not counted", about: "trail",
		search: "if found && o.Token != \"\" {",
		broken: "if found && o.Token != \"\" && false {",
		killer: "^TestT30_ALoginThatDoesNotLast",
	},
	{
		name: "a logout is forgotten at once", about: "trail",
		search: `	j.Set(w, j.LoggedOutName(), "1", LoggedOutTTL)
`,
		broken: "",
		killer: "^TestLogoutEndsTheSessionAndDoesNotLogInAgainSilently$",
	},
	{
		name: "every callback wins the claim", about: "claim",
		search: `		if won || err != nil {`,
		broken: `		if won || err != nil || true {`,
		killer: "^TestAClaimOfAnotherIsNeverTakenOver$",
	},
	{
		name: "a claim is for ever", about: "claim",
		search: "Lease = 10 * time.Second",
		broken: "Lease = 10 * time.Hour",
		killer: "^TestT06_WhenTheCallbackThatHasTheClaimDiesAnotherFinishesTheLogin$",
	},
	{
		name: "who waits for a claim gives up before its lease ends", about: "claim",
		search: "JoinTimeout = Lease + 2*time.Second",
		broken: "JoinTimeout = Lease - 2*time.Second",
		killer: "^TestT06_WhenTheCallbackThatHasTheClaimDiesAnotherFinishesTheLogin$",
	},
	{
		name: "a refresh stores tokens of a user who was revoked meanwhile", about: "tokens",
		search: "case err == nil && !revoked:",
		broken: "case err == nil && (revoked || !revoked):",
		killer: "^TestRevokeUser_storedSecrets$",
	},
	{
		name: "RevokeUser leaves a session_key", about: "tokens",
		search: "mini.SessionKeyMark(user)",
		broken: "mini.SessionKeyMark(\"\")",
		killer: "^TestRevokeUser_storedSecrets$",
	},
	{
		name: "any number of requests wait for one login", about: "claim",
		search: "g.waiting[key] >= maxWaitingForOne || ",
		broken: "",
		killer: "^TestT88_WaitingForALogin",
	},
	{
		name: "any number of requests wait for logins", about: "claim",
		search: " || g.all >= maxWaiting {",
		broken: " {",
		killer: "^TestT88_WaitingForALogin",
	},
	{
		name: "a request that waited is counted for ever", about: "claim",
		search: "\t\tg.all--\n",
		broken: "",
		killer: "^TestT88_WaitingForALogin",
	},
	{
		name: "a request that waits looks as often as at first", about: "claim",
		search: "pause = min(pause*3/2, MaxPoll)",
		broken: "pause = min(pause, MaxPoll)",
		killer: "^TestT88_WaitingForALogin",
	},
	{
		name: "looks at QR codes are never dropped", about: "scan",
		search: "if now.Sub(l.at).Abs() < Pause {",
		broken: "if l != nil {",
		killer: "^TestT88_ALook",
	},
	{
		name: "a wait for a claim does not end with its client", about: "claim",
		search: "ctx, cancel := context.WithTimeout(r.Context(), singleflight.JoinTimeout)",
		broken: "ctx, cancel := detachedContext(r, singleflight.JoinTimeout)",
		killer: "^TestT88_RequestsThatWait",
	},
	{
		name: "a page of a gate inside another is for everybody", about: "headers",
		search: "(w.visit.In() || w.visit.shows.Load())",
		broken: "w.visit.In()",
		killer: "^TestT94_APageOfAGate",
	},
	{
		name: "a scan whose hook panics goes on", about: "scan",
		search: "if c.Spent && p.ended != nil {",
		broken: "if c.Spent && p.ended != nil && false {",
		killer: "^TestT99_",
	},
	{
		name: "a login that is done is an error on the phone", about: "scan",
		search: "	how = \"\"\n\tif err != nil {",
		broken: "	if err != nil {",
		killer: "^TestT99_PanicInEveryCall$",
	},
	{
		name: "a panic in a look at a QR code ends the process", about: "scan",
		search: "defer func() { l.panicked = recover() }()",
		broken: "",
		killer: "^TestT99_PanicInEveryCall$",
	},
	{
		name: "a confirmation whose state was lost shows no number", about: "scan",
		search: "(state == Waiting || state == Scanned || state == \"\") {",
		broken: "state == \"forged\" {",
		killer: "^TestT99_PanicInEveryCall$",
	},
	{
		name: "a panic in a call that claims leaves the claim held", about: "claim",
		search: "		if claiming {",
		broken: "		if claiming && false {",
		killer: "^TestT99_PanicInEveryCall$",
	},
	{
		name: "a panic in a call that uses a web-view's ticket leaves it used", about: "mini",
		search: "		if answered {\n			return\n",
		broken: "		if answered || true {\n			return\n",
		killer: "^TestT99_PanicInEveryCall$",
	},
	{
		name: "a ticket whose session reached no browser is used", about: "mini",
		search: "	saved = true // an",
		broken: "	// an",
		killer: "^TestT86|^TestATicketIntoTheWebView|^TestT80_|^TestT99_PanicInEveryCall$",
	},
	{
		name: "each poll looks through all QR codes", about: "scan",
		search: "max(maxLooks, 2*s.kept)",
		broken: "max(maxLooks, s.kept)",
		killer: "^TestT88_Dropping",
	},
	{
		name: "the claim is given back by anybody", about: "claim",
		search: "!bytes.Equal(mark, c.owner)",
		broken: "bytes.Equal(mark, nil)",
	},
	{
		name: "the state stands in the store", about: "claim", in: "internal/singleflight",
		search: "return base64.RawURLEncoding.EncodeToString(h.Sum(nil))",
		broken: "return base64.RawURLEncoding.EncodeToString(h.Sum(nil)) + state",
		killer: "^TestT44_TheTicketIntoTheWebViewIsInNoStore$",
	},
	{
		name: "claims of all accounts are one", about: "claim",
		search: "[]string{appID, state}",
		broken: `[]string{"", state}`,
	},
	{
		name: "an outcome lasts an hour", about: "claim",
		search: "outcomeTTL = time.Minute",
		broken: "outcomeTTL = time.Hour",
	},
	{
		name: "a failed login is kept for a minute", about: "claim",
		search: "shortTTL = 3 * time.Second",
		broken: "shortTTL = time.Minute",
	},
	{
		name: "a callback may have two states", about: "callback",
		search: `len(values["state"]) != 1`,
		broken: `len(values["state"]) < 1`,
		killer: "^TestACallbackWithoutItsFlowCookieNeverReachesWeChat$",
	},
	{
		name: "a callback may have two codes", about: "callback",
		search: ` || len(values["code"]) > 1`,
		broken: "",
		killer: "^TestACallbackWithoutItsFlowCookieNeverReachesWeChat$",
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
		killer: "^TestACallbackWithoutItsFlowCookieNeverReachesWeChat$",
	},
	{
		name: "a code may be of any length", about: "callback",
		search: " && len(code) <= maxCodeBytes",
		broken: "",
		killer: "^TestT24_WhatIsNoCallbackNeverReachesWeChatOrRedis$",
	},
	{
		name: "a query of a callback may be of any length", about: "callback",
		search: `	if len(rawQuery) > maxQueryBytes {
		return Callback{}, false
	}
`,
		broken: "",
		killer: "^TestACallbackWithoutItsFlowCookieNeverReachesWeChat$",
	},
	{
		name: "a refusal is exchanged", about: "callback",
		search: ` || q.Code == "authdeny"`,
		broken: "",
		killer: "^TestAVisitorWhoRefusesIsToldSoAndMayTryAgain$",
	},
	{
		name: "an error is exchanged", about: "callback",
		search: `if values.Has("error") || q.Code == ""`,
		broken: `if q.Code == ""`,
		killer: "^TestT24_ARefusalIsToldAndNeverReachesWeChatOrRedis$",
	},
	{
		name: "a flow of another AppID is finished", about: "callback",
		search: `	if err == nil && !known {
		err = flow.ErrMismatch
	}
`,
		broken: `	_ = known
`,
		killer: "^FuzzFlowCookie$",
	},
	{
		name: "a pending login that has ended is an error to who is logged in", about: "callback",
		search: "errors.Is(err, flow.ErrMissing) || errors.Is(err, flow.ErrExpired):",
		broken: "errors.Is(err, flow.ErrMissing):",
	},
	{
		name: "another user may come back from a step-up", about: "callback",
		search: `f.OpenID != "" && f.OpenID != id.OpenID`,
		broken: `f.OpenID != "" && f.OpenID == ""`,
		killer: "^TestStepUpRefusesAnotherUserAndKeepsTheFirst$",
	},
	{
		name: "WithOnLogin is not heard", about: "callback",
		search: "	return hookReason(err), err",
		broken: `	return "", err`,
		killer: "OnLoginMayRefuse",
	},
	{
		name: "a virtual user is logged in", about: "callback",
		search: `	if token.Snapshot {
		return identity.Identity{}, nil, ReasonSnapshotUser, nil
	}
`,
		broken: "",
		killer: "^TestASnapshotVisitorIsNeverLoggedInAndSentToWeChatOnce$",
	},
	{
		name: "a session is not saved before the answer", about: "callback",
		search: `		saved, err = g.sessions.SaveLogin(w, v)
`,
		broken: `		saved, _ = g.sessions.SaveLogin(w, v)
		err = nil
`,
		killer: "^TestALoginWhoseSessionCouldNotBeSavedBeginsAgain$",
	},
	{
		name: "a sealed target is believed", about: "callback",
		search: `	target, err := g.checkReturnURL(target)
	if err != nil {`,
		broken: `	if _, err := g.checkReturnURL(target); err != nil && false {`,
		killer: "^TestT28_ASealedTargetIsJudgedAgain$",
	},
	{
		name: "the code is exchanged before the claim is asked for", about: "callback",
		search: `	case c.Outcome != nil:
		respond(w, r, g.follow(p, c))
`,
		broken: "",
		killer: "^TestAClientThatGoesAwayDuringALoginFindsItOnReload$",
	},
	{
		name: "the flow cookie stays after a login", about: "callback",
		search: `	g.cookies.DropIfSent(w, r, g.cookies.CookieName(f.State)) // a scan has none
`,
		broken: "",
		killer: "^TestT05_ACallbackOnceMoreInTheSameBrowserLeadsToTheTarget$",
	},
	{
		name: "a login is not counted", about: "callback",
		search: `	g.cookies.CountLogin(w, r)
`,
		broken: "",
		killer: "^TestT30_ALoginThatDoesNotLastEndsAfterThreeVisitsWithItsCause$",
	},
	{
		name: "a spent code begins login after login", about: "callback",
		search: " && f.Attempt == 0 {",
		broken: " {",
		killer: "^TestT25_EveryErrorOfTheExchangeEndsTheRightWay$",
	},
	{
		name: "an outcome opens with any key", about: "callback", in: "internal/singleflight",
		search: `g.Keys.With("outcome", secret)`,
		broken: `g.Keys.With("outcome", secret[:0])`,
		killer: "^TestAnOutcomeOpensForItsLogin",
	},
	{
		name: "the outcome's target opens for every session", about: "callback", in: "internal/singleflight",
		search: `g.Keys.With("outcome target", []byte(token))`,
		broken: `g.Keys.With("outcome target", []byte(token[:1]))`,
		killer: "^TestAnOutcomeOpensForItsLogin",
	},
	{
		name: "the outcome is left in clear", about: "callback", in: "internal/singleflight",
		search: ".Seal(plain, c.Key)}",
		broken: ".Seal(plain, c.Key) + string(plain)}",
		killer: "^TestAnOutcomeOpensForItsLogin",
	},
	{
		name: "WithAccessCheck is not heard at the gate", about: "middleware",
		search: `	case actionPass:
		if err := g.checkAccess(v.Context(), v.Identity); err != nil {`,
		broken: `	case actionPass:
		if err := g.checkAccess(v.Context(), v.Identity); err != nil && false {`,
		killer: "^TestAuthorizeStopsWhoIsNotWanted$",
	},
	{
		name: "WithAccessCheck is not heard on open routes", about: "middleware",
		search: `			v.LoggedIn = false
`,
		broken: "",
		killer: "^TestAuthorizeStopsWhoIsNotWanted$",
	},
	{
		name: "a narrower scope passes", about: "middleware",
		search: "if v.LoggedIn && v.Identity.Grants(want) {",
		broken: "if v.LoggedIn {",
		killer: "^TestT36_NoAnswerOfOursMayBeCached$",
	},
	{
		name: "a logout is undone by the next page", about: "middleware",
		search: `	case g.cookies.RecentlyLoggedOut(r):
		return actionStop, ReasonLoggedOut
`,
		broken: "",
		killer: "^TestT36_NoAnswerOfOursMayBeCached$",
	},
	{
		name: "a script is redirected", about: "middleware",
		search: `	case !page:
		return actionStop, ReasonNoSession
`,
		broken: "",
		killer: "^TestT36_NoAnswerOfOursMayBeCached$",
	},
	{
		name: "an own page rule may redirect forms", about: "middleware",
		search: "return navigation.IsRead(r) && a.pageVisit(r)",
		broken: "return a.pageVisit(r)",
	},
	{
		name: "an image of an old browser begins a login at the login's address", about: "navigation",
		search: `return accept == "" || accept == "*/*" ||`,
		broken: `return accept != "" ||`,
		killer: "^TestRulesOfNavigation$",
	},
	{
		name: "a callback at a wrong path begins another login", about: "middleware",
		search: "ok && !g.strayCallback(w, r) {",
		broken: "ok {",
		killer: "^TestStrayCallback$",
	},
	{
		name: "another browser's callback is a misconfiguration", about: "middleware",
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
		name: "a prefetch spends a code", about: "navigation",
		search: `return !isSpeculative(r.Header) && (mode == ""`,
		broken: `return (mode == ""`,
		killer: "^TestRulesOfNavigation$",
	},
	{
		name: "an image spends a code", about: "navigation",
		search: `(mode == "" || strings.HasSuffix(mode, "navigate"))`,
		broken: `(mode == "" || mode != "")`,
		killer: "^TestRulesOfNavigation$",
	},
	{
		name: "a page's path selects the account", about: "accounts",
		search: `ok && appID != "" {`,
		broken: `(ok || true) && appID != "" {`,
		killer: "^TestNothingOfOneAccountPassesAnothersGate$",
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
		killer: "^TestT36_NoAnswerOfOursMayBeCached$",
	},
	{
		name: "a personal page is shown again without a request", about: "response",
		search: `w.cacheControl[0] = "private, no-cache"`,
		broken: `w.cacheControl[0] = "private"`,
		killer: "^TestAPageIsNotShownAgainAfterItsSessionEnded$",
	},
	{
		name: "a session cookie may be cached", about: "middleware",
		search: "if w.visit.sessions.cookieSet(w.ResponseWriter) || w.visit.mode == modeOuter && w.visit.sessions.changed(w.visit) {",
		broken: "if w.visit.mode == modeOuter && w.visit.sessions.changed(w.visit) {",
		killer: "^TestT94_APublicPageWithASessionCookieIsPrivate$",
	},
	{
		name: "a session cookie that scs sets may be cached", about: "response",
		search: "if w.visit.sessions.cookieSet(w.ResponseWriter) || w.visit.mode == modeOuter && w.visit.sessions.changed(w.visit) {",
		broken: "if w.visit.sessions.cookieSet(w.ResponseWriter) {",
		killer: "^TestT94_APublicPageWithASessionCookieIsPrivate$",
	},
	{
		name: "public stays beside a session cookie", about: "response",
		search: `return name == "public" || name`,
		broken: `return name`,
		killer: "^TestT94_APublicPageWithASessionCookieIsPrivate$",
	},
	{
		name: "a preflight has no session", about: "middleware",
		search: "next.ServeHTTP(w, a.sessions.WithEmpty(r))",
		broken: "next.ServeHTTP(w, r)",
		killer: "^TestT85_EveryRequestThatReachesAHandlerHasASession$",
	},
	{
		name: "an error handler has no session", about: "failure",
		search: "g.errorHandler(w, g.sessions.WithEmpty(r), f)",
		broken: "g.errorHandler(w, r, f)",
		killer: "^TestT85_AnErrorHandlerHasASession$",
	},
	{
		name: "a change of a session that could not be loaded is lost", about: "session",
		search: `	case v.down != nil:
		return v.down
`,
		broken: "",
		killer: "^TestT63_AStandInForASessionIsNeverSaved$",
	},
	{
		name: "scs's own Cache-Control counts as the handler's", about: "middleware",
		search: "d != `no-cache=\"Set-Cookie\"` && ",
		broken: "",
		killer: "^TestT36_BehindASharedCacheEverybodySeesHisOwnPages$",
	},
	{
		name: "an error of the store is an anonymous visit", about: "middleware",
		search: `		g.reportRejected(r, Event{Reason: ReasonStoreUnavailable, Err: err})
		g.reject(w, r, Failure{Reason: ReasonStoreUnavailable, Page: g.showsPage(r), Err: err})
		return
	}
	act`,
		broken: `		v, _ = g.sessions.NewSession(r.Context(), &g.audience)
	}
	act`,
		killer: "^TestT36_NoAnswerOfOursMayBeCached$",
	},
	{
		name: "forms of other sites are taken", about: "handler",
		search: "err := g.origin.Check(navigation.Origin(r))\n",
		broken: "err := g.origin.Check(navigation.Origin(r))\n\terr = nil\n",
		killer: "^TestT36_NoAnswerOfOursMayBeCached$",
	},
	{
		name: "a form may be of any size", about: "handler",
		search: `	r.Body = http.MaxBytesReader(w, r.Body, maxFormBytes)
`,
		broken: "",
		killer: "^TestT36_NoAnswerOfOursMayBeCached$",
	},
	{
		name: "a next parameter is believed", about: "handler",
		search: "	target, err := g.checkReturnURL(raw)\n",
		broken: "	target, err := raw, error(nil)\n",
		killer: "^TestT39_NothingOfARequestIsEchoed$",
	},
	{
		name: "a loop goes on", about: "handler",
		search: "if t := g.cookies.LoginCounter(r); t.Logins >= flow.MaxLogins && !lasts {",
		broken: "if t := g.cookies.LoginCounter(r); t.Logins >= flow.MaxLogins && !lasts && false {",
		killer: "^TestT36_NoAnswerOfOursMayBeCached$",
	},
	{
		name: "a step-up forgets who began it", about: "handler",
		search: `		l.openID = v.Identity.OpenID
`,
		broken: `		_ = v.Identity.OpenID
`,
		killer: "^TestStepUpRefusesAnotherUserAndKeepsTheFirst$",
	},
	{
		name: "a logout by GET", about: "handler",
		search: `case "logout POST":`,
		broken: `case "logout POST", "logout GET":`,
		killer: "^TestT36_NoAnswerOfOursMayBeCached$",
	},
	{
		name: "a callback by POST", about: "handler",
		search: `case "callback GET":`,
		broken: `case "callback GET", "callback POST":`,
		killer: "^TestT36_NoAnswerOfOursMayBeCached$",
	},
	{
		name: "another site makes a logged-in browser log in again", about: "handler",
		search: "!(again && navigation.IsOwnWish(r)) {",
		broken: "!(again && (navigation.IsOwnWish(r) || true)) {",
		killer: "^TestLoginAgain$",
	},
	{
		name: "a login by a script begins a flow", about: "handler",
		search: "if !g.isEndpointVisit(r) {",
		broken: "if !g.isEndpointVisit(r) && false {",
		killer: "^TestT36_NoAnswerOfOursMayBeCached$",
	},
	{
		name: "a logout deletes nothing", about: "handler",
		search: "ended, err := g.sessions.LogOut(w, r, &g.audience)",
		broken: "ended, err := false, error(nil)",
	},
	{
		name: "a logout leaves no mark", about: "handler",
		search: `	g.cookies.MarkLoggedOut(w)
`,
		broken: "",
		killer: "^TestT36_NoAnswerOfOursMayBeCached$",
	},
	{
		name: "what was begun ends with the request", about: "handler",
		search: "context.WithoutCancel(r.Context())",
		broken: "r.Context()",
		killer: "^TestT06_WhenTheCallbackThatHasTheClaimDies",
	},
	{
		name: "a Host writes into the log", about: "handler",
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
		killer: "ALoginRenewsTheSessionToken|T13",
	},
	{
		name: "a login keeps what another user had", about: "session",
		search: "	if v.LoggedIn && !same {",
		broken: "	if v.LoggedIn && !same && false {",
	},
	{
		name: "an identity of another AppID passes", about: "session",
		search: "return record.Prefix + appID",
		broken: "return record.Prefix + appID[:0]",
		killer: "^TestKey$",
	},
	{
		name: "a session lives as long as the store keeps it", about: "session",
		search: "if !v.loaded.deadline.After(s.now()) {",
		broken: "if !v.loaded.deadline.After(s.now()) && false {",
	},
	{
		name: "two users in one request", about: "session",
		search: "case len(found) > 0 && ofOneUser(found):",
		broken: "case len(found) > 0:",
		killer: "^TestT17_ATossedSessionCookieIsNoLogin$",
	},
	{
		name: "any number of session cookies", about: "session",
		search: "&& len(tokens) < maxSessionCookies ",
		broken: "",
		killer: "^TestT17_ATossedSessionCookieIsNoLogin$",
	},
	{
		name: "a session cookie may be anything", about: "session",
		search: "if ValidToken(value) && ",
		broken: "if ",
		killer: "^TestT18_WhatIsNoSessionTokenNeverReachesRedis$",
	},
	{
		name: "a damaged record stays", about: "session",
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
		name: "a late reader writes", about: "session",
		search: "case v.Unsaved() || v.down != nil:",
		broken: "case v.down != nil:",
		killer: "^TestALateReaderWhoseHandlerWritesCostsNoLogin$",
	},
	{
		name: "a stand-in is saved", about: "session",
		search: "case v.Unsaved() || v.down != nil:",
		broken: "case v.Unsaved():",
	},
	{
		name: "a replaced token names the new one in clear", about: "session",
		search: `return []byte(renewedRing(old).Seal(append(plain, token...), "token"))`,
		broken: `return []byte(token + renewedRing(old).Seal(append(plain, token...), "token"))`,
	},
	{
		name: "a login is not in the index", about: "session",
		search: `return User(appID, id.OpenID), err == nil`,
		broken: `return User(appID, id.OpenID+"another"), err == nil`,
	},
	{
		name: "a logout that failed counts as one", about: "session",
		search: `		if err != nil {
			return ended, fmt.Errorf("delete session: %w", err)`,
		broken: `		if err != nil && token == "" {
			return ended, fmt.Errorf("delete session: %w", err)`,
	},
	{
		name: "a session that ended is written again", about: "guard",
		search: "if err == nil && !found {\n		return ErrGone",
		broken: "if err == nil && !found && false {\n		return ErrGone",
	},
	{
		name: "scs writes a session that ended again", about: "guard",
		search: "write = g.overwrite",
		broken: "write = g.inner.CommitCtx",
		killer: "^TestT79_NoSessionThatEndedComesBackOnARouteWithoutTheGate$",
	},
	{
		name: "scs writes a session that ended under a new token", about: "guard",
		search: "ended = ended || !found && g.hasRead(ctx, token)",
		broken: "_ = found",
		killer: "^TestT79_NoSessionThatEndedComesBackOnARouteWithoutTheGate$",
	},
	{
		name: "scs deletes a session before its successor is saved", about: "guard",
		search: "data != nil && savesNext {",
		broken: "data != nil && savesNext && false {",
		killer: "^TestT79_NoSessionThatEndedComesBackOnARouteWithoutTheGate$",
	},
	{
		name: "a session that scs gave another token is not in the index", about: "guard",
		search: "g.inner.AddSession(ctx, user, token, deadline)",
		broken: "g.inner.AddSession(ctx, user, token+token, deadline)",
		killer: "^TestT79_WithoutTheGateALivingSessionIsSaved$",
	},
	{
		name: "what a request has read is never forgotten", about: "guard",
		search: "runtime.AddCleanup(memory, ts.forget, key)",
		broken: "runtime.AddCleanup(memory, func(traceKey) {}, key)",
		killer: "^TestTraces_garbage$",
	},
	{
		name: "a context remembers all that it has read", about: "guard",
		search: "if len(t.read) == maxTraced {",
		broken: "if false {",
		killer: "^TestTraces_bound$",
	},
	{
		name: "a session that ended goes on under a new token", about: "guard",
		search: "t.ended = t.ended || !found && (token == t.token || slices.Contains(t.merged, token))",
		broken: "_ = found",
	},
	{
		name: "a merged session that ended is forgotten", about: "guard",
		search: "(token == t.token || slices.Contains(t.merged, token))",
		broken: "(token == t.token)",
		killer: "^TestT79_NoSuccessorOfASessionThatEnded$",
	},
	{
		name: "an own manager is not guarded", about: "guard",
		search: "		g.serve(m)\n",
		broken: "		g.manager, g.dataKey = m, dataKeyOf(m)\n",
		killer: "^TestT79_NoSuccessorOfASessionThatEnded$",
	},
	{
		name: "a merged user is not in the index", about: "session",
		search: " || t.merges() {",
		broken: " {",
		killer: "^TestT79_AMergedUserIsRevokedToo$",
	},
	{
		name: "a session that a handler has saved comes back", about: "guard",
		search: "	t.wrote(token)\n",
		broken: "",
		killer: "^TestSave_committedByHandler$",
	},
	{
		name: "a session that a handler gave another token is not in the index", about: "guard",
		search: "t.token != \"\" && t.token != token || t.merges()",
		broken: "t.merges()",
		killer: "^TestSave_committedByHandler$",
	},
	{
		name: "another session is taken for the request's", about: "guard",
		search: "ok && t.isOf(g.dataIn(ctx))",
		broken: "ok",
		killer: "^TestDelete_otherSessions$",
	},
	{
		name: "what the application deletes waits", about: "guard",
		search: "byScs && t.hold(token)",
		broken: "(byScs || !byScs) && t.hold(token)",
		killer: "^TestDelete_otherSessions$",
	},
	{
		name: "a client that has gone loads a session without a trace", about: "guard",
		search: "case !isTracked && ctx.Err() != nil:",
		broken: "case false:",
		killer: "^TestGuard_canceledLoad$",
	},
	{
		name: "a login keeps a revoked identity of another account", about: "session",
		search: "err != nil || !t.isOver() {",
		broken: "err != nil || true {",
		killer: "^TestT79_ALoginElsewhereKeepsNoRevokedIdentity$",
	},
	{
		name: "a revocation reads the index once", about: "session",
		search: "if len(keys) == 0 {\n\t\t\treturn n, nil",
		broken: "if len(keys) == 0 || len(tried) > 0 {\n\t\t\treturn n, nil",
		killer: "^TestT79_ASessionThatMovesDuringARevocationEndsWithTheOthers$",
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
		killer: "^TestT87_ABearerTokenIsNoCookieBehindAnyGates$",
	},
	{
		name: "a gate without a mini program takes bearer tokens", about: "session",
		search: "if held.Bearer && !a.Bearer {",
		broken: "if false {",
		killer: "^TestT87_AGateThatTakesNoBearerTokensTakesNoneFromAnother$",
	},
	{
		name: "tokens stand in the store", about: "session", in: "internal/session",
		search: "m.HashTokenInStore = true",
		broken: "m.HashTokenInStore = false",
		killer: "^TestT98_AReaderOfRedisFindsNoLiveToken$",
	},
	{
		name: "scripts may read the session cookie", about: "options",
		search: "	if !c.HttpOnly {",
		broken: "	if false {",
		killer: "^TestT93_NewRefusesUnsafeCookiesOfAnOwnManager$",
	},
	{
		name: "SameSite may be unset", about: "options",
		search: "	case http.SameSiteLaxMode:\n	case http.SameSiteStrictMode:\n",
		broken: "	case http.SameSiteLaxMode, 0, http.SameSiteDefaultMode:\n	case http.SameSiteStrictMode:\n",
		killer: "^TestT93_NewRefusesUnsafeCookiesOfAnOwnManager$",
	},
	{
		name: "a late reader goes on under a token of his own", about: "guard",
		search: "return t.late || t.ended",
		broken: "return t.ended",
	},
	{
		name: "an idle session lives on", about: "guard",
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
		name: "an answer begins before its session is saved", about: "response",
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
		name: "answers may be cached", about: "failure",
		search: `"no-store", "no-cache", "no-referrer"}`,
		broken: `"no-cache", "no-cache", "no-referrer"}`,
	},
	{
		name: "answers may be cached by old caches", about: "failure",
		search: `h["Cache-Control"], h["Pragma"], h["Referrer-Policy"] = values[0:1:1], values[1:2:2], values[2:3:3]`,
		broken: `h["Cache-Control"], h["Referrer-Policy"] = values[0:1:1], values[2:3:3]`,
	},
	{
		name: "answers tell their URL", about: "failure",
		search: `h["Cache-Control"], h["Pragma"], h["Referrer-Policy"] = values[0:1:1], values[1:2:2], values[2:3:3]`,
		broken: `h["Cache-Control"], h["Pragma"] = values[0:1:1], values[1:2:2]`,
	},
	{
		name: "JSON may be sniffed", about: "failure",
		search: `h["Content-Type"], h["X-Content-Type-Options"], h["Content-Length"] = values[0:1:1], values[1:2:2], values[2:3:3]`,
		broken: `h["Content-Type"], h["Content-Length"] = values[0:1:1], values[2:3:3]`,
	},
	{
		name: "a login goes on as POST", about: "failure", in: "internal/respond",
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
		name: "a form of the account in the path is taken", about: "auth",
		search: "if c.accountsSet && !haveOneHost(c.accounts) {",
		broken: "if c.accountsSet && !haveOneHost(c.accounts) && false {",
		killer: "^TestT84_",
	},
	{
		name: "a relay leads to any path", about: "relay",
		search: "!h.callbacks[callback] && !(h.callbacks[dir] && siteurl.IsAppID(name))",
		broken: "!h.callbacks[callback] && !(h.callbacks[dir] && siteurl.IsAppID(name)) && !strings.HasPrefix(callback, dir)",
		killer: "/T95_",
	},
	{
		name: "a relay takes any account", about: "relay",
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
		name: "an error repeats a session token", about: "observe",
		search: `	e.Err = redact.Tokens(e.Err)
`,
		broken: "",
		killer: "T40_NoSecret",
	},
	{
		name: "a hook's error repeats the openid", about: "redact",
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
		name: "a verify file for everybody's name", about: "verifyfile",
		search: "if !verifyFile.MatchString(name) {",
		broken: `if name == "" {`,
	},
	{
		name: "a ticket into the web-view stands in the store", about: "mini",
		search: `return kind + " " + base64.RawURLEncoding.EncodeToString(sum[:])`,
		broken: `_ = sum; return kind + " " + ticket`,
	},
	{
		name: "a scan's ticket stands in the store", about: "scan",
		search: `return "scan " + kind + " " + base64.RawURLEncoding.EncodeToString(sum[:])`,
		broken: `return "scan " + kind + " " + ticket + string(sum[:0])`,
		killer: "^TestT98_NoLiveSecretInKeys$",
	},
	{
		name: "an outcome that is put back logs in", about: "mini", in: "internal/singleflight",
		search: "|| g.Now().Add(-cookie.Skew).UnixMilli() > o.Until {",
		broken: "|| g.Now().Add(-cookie.Skew).UnixMilli() < 0 {",
		killer: "^TestT86_AnOutcomeThatIsPutBackGivesNobodyAToken$",
	},
	{
		name: "a replaced token leads on as long as a writer of the store likes", about: "session",
		search: "return token, fresh && ValidToken(token)",
		broken: "_ = fresh; return token, ValidToken(token)",
		killer: "^TestT81_AReplacedTokenLeadsOnForSeconds$",
	},
	{
		name: "a ticket into the web-view opens twice", about: "mini",
		search: `g.sessionKeys().Use(ctx, ticket); err != nil || !won {`,
		broken: `g.sessionKeys().Use(ctx, ticket); err != nil || (!won && false) {`,
	},
	{
		name: "a ticket into the web-view outlives its session", about: "mini",
		search: "	reason, err = g.checkSource(ctx, e.Session)\n",
		broken: "",
		killer: "^TestATicketIntoTheWebViewEndsWithTheSessionThatAskedForIt$",
	},
	{
		name: "a confirmed QR code outlives the phone's session", about: "mini",
		search: "if reason, err := g.checkSource(ctx, end.Session); reason != \"\" {",
		broken: "if reason, err := g.checkSource(ctx, end.Session); err != nil {",
		killer: "^TestScanFromEndedSession$",
	},
	{
		name: "a login outlives the session that it came from", about: "revoke",
		search: "	reason, err = g.checkSource(ctx, p.source)\n",
		broken: "",
		killer: "^TestRevokeUser_duringLoginFromSession$",
	},
	{
		name: "any number logs the browser in", about: "scan",
		search: "	if !right {\n\t\treturn identity.Identity{}, ReasonScanWrongNumber, nil\n\t}\n",
		broken: "",
		killer: "^TestT96_TheNumberOfThePhone",
	},
	{
		name: "a number may be tried again", about: "scan",
		search: "\tif !won {\n\t\treturn identity.Identity{}, ReasonScanUsed, nil\n\t}\n",
		broken: "\t_ = won\n",
		killer: "^TestEveryAttackOnAScan",
	},
	{
		name: "a scan's followers need no number", about: "scan",
		search: "		case !right:\n\t\t\tg.rejectScan(w, r, sc, ReasonScanWrongNumber, again)\n",
		broken: "",
		killer: "^TestEveryAttackOnAScan",
	},
	{
		name: "the phone of another user sees the number", about: "scan",
		search: " || v.Identity.OpenID != id.OpenID {",
		broken: " || id.OpenID == \"\" {",
		killer: "^TestEveryAttackOnAScan",
	},
	{
		name: "the number's form may come from another site", about: "scan",
		search: "func (g *gate) serveScanNumber(w http.ResponseWriter, r *http.Request) {\n\tvalues, ok := g.readForm(w, r)",
		broken: "func (g *gate) serveScanNumber(w http.ResponseWriter, r *http.Request) {\n\tvalues, ok := r.URL.Query(), r.ParseForm() == nil\n\tvalues = r.Form",
		killer: "^TestEveryAttackOnAScan",
	},
	{
		name: "the marks of a scan open in each other's place", about: "scan",
		search: "box := []byte(t.Keys.Seal(plain, mark, t.AppID))",
		broken: "box := []byte(t.Keys.Seal(plain, \"scan\", t.AppID))",
		killer: "^TestAPhoneLogsIn",
	},
	{
		name: "any text names the phone's ticket", about: "scan",
		search: "plain, err := g.keys.Open(sealed, scanPhonePlace, g.official.appID)",
		broken: "plain, err := []byte(sealed), error(nil)",
		killer: "^TestEveryAttackOnAScan",
	},
	{
		name: "each poll of a scan reads the store", about: "scan",
		search: "fresh := ok && now.Sub(l.at).Abs() < Pause; !fresh",
		broken: "fresh := false && ok; !fresh",
		killer: "^TestT88_Polls",
	},
	{
		name: "a look ends with the request that began it", about: "scan",
		search: "state(context.WithoutCancel(ctx), ticket)",
		broken: "state(ctx, ticket)",
		killer: "^TestT88_ALook",
	},
	{
		name: "a logout leaves the QR code", about: "handler",
		search: "\t\tg.cookies.DropIfSent(w, r, g.cookies.ScanName()) // it may be confirmed, and would log the next person in\n",
		broken: "",
		killer: "^TestALogoutLeavesNoConfirmedQRCode",
	},
	{
		name: "a ticket is written down before it is known", about: "mini",
		search: `	e, reason, err := g.openEnter(ctx, ticket)
`,
		broken: `	e, reason, err := g.openEnter(ctx, ticket)
	_ = g.sessions.Marks().PutMark(ctx, "seen "+ticket, []byte("1"), mini.TTL)
`,
		killer: "^TestAGuessedTicketCostsTheStoreNothing$",
	},
	{
		name: "a web-view's cookie is a mini program's token", about: "mini",
		search: "|| !v.LoggedIn || !v.Bearer {\n\t\treturn nil, ErrNotMiniProgram",
		broken: "|| !v.LoggedIn {\n\t\treturn nil, ErrNotMiniProgram",
		killer: "^TestOnlyABearerTokenHasAMiniProgram$",
	},
	{
		name: "a ticket into the web-view opens from another site", about: "mini",
		search: `return site == "" || site == "none" || site == "same-origin"`,
		broken: `return site == "" || site != ""`,
		killer: "^TestRulesOfNavigation$",
	},
	{
		name: "a ticket into the web-view is spent by an image", about: "mini",
		search: `from == navigation.Elsewhere || !IsPageVisit(r) {`,
		broken: `from == navigation.Elsewhere {`,
		killer: "^TestT80_AGETChangesNothing",
	},
	{
		name: "an old browser enters without a question", about: "mini",
		search: ` || !Has(r.Header, "Sec-Fetch-Site") && !miniProgramWebView:`,
		broken: ":",
		killer: "^TestRulesOfNavigation$",
	},
	{
		name: "another user's session is replaced unasked", about: "mini",
		search: ` || v.LoggedIn && !v.Identity.SameUser(e.Identity)`,
		broken: "",
		killer: "^TestT80_AnotherUsers",
	},
	{
		name: "any site posts the form of an entry", about: "mini",
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
		killer: "^TestT80_AnotherUsers",
	},
	{
		name: "what the store keeps opens with what comes with it", about: "seal",
		search: "secrets[i] = append(slices.Clone(k.key), key...)",
		broken: "secrets[i] = append(slices.Clone(k.key[:0]), key...)",
		killer: "^TestRing_With$",
	},
	{
		name: "the AppSecret seals what the store keeps", about: "auth",
		search: "		secrets = c.sessionKeys //",
		broken: "		_ = c.sessionKeys //",
		killer: "^TestT78_NoKey",
	},
	{
		name: "an entry in the store has no time", about: "mini",
		search: ` || !cookie.Fresh(s.Now(), r.IssuedAt, TTL+cookie.Skew) {`,
		broken: " {",
		killer: "^TestT81_AnEntryThat",
	},
	{
		name: "a used entry is forgotten early", about: "mini",
		search: "usedTTL = TTL + 2*cookie.Skew",
		broken: "usedTTL = TTL",
		killer: "^TestT81_AnEntryIs",
	},
	{
		name: "a used code gives a token", about: "mini",
		search: "res.unopened || res.late && res.Reason == \"\" {",
		broken: "res.unopened {",
		killer: "^TestT86_",
	},
	{
		name: "a session_key is kept in clear", about: "mini",
		search: `[]byte(s.Keys.Seal([]byte(key), "session_key", user))`,
		broken: `[]byte(s.Keys.Seal([]byte(key), "session_key", user) + key)`,
	},
	{
		name: "a visitor in snapshot mode is let through as somebody", about: "snapshot",
		search: "v.Identity = identity.Identity{Snapshot: true}",
		broken: "v.Identity, v.LoggedIn = identity.Identity{Snapshot: true}, true",
	},
	{
		name: "a page may load anything", about: "pages",
		search: `	policy := "default-src 'none'; style-src "`,
		broken: `	policy := "style-src "`,
		killer: "^TestPageHeadersAreExact$",
	},
	{
		name: "a page may be framed", about: "pages",
		search: `; base-uri 'none'; frame-ancestors " + ancestors`,
		broken: `; base-uri 'none'; frame-ancestors *" + ancestors[:0]`,
		killer: "^TestPageHeadersAreExact$",
	},
	{
		name: "a page may send its form anywhere", about: "pages",
		search: `	return "; form-action " + actions + "; base-uri`,
		broken: `	return "; base-uri`,
		killer: "^TestPageHeadersAreExact$",
	},
	{
		name: "a page may be kept", about: "pages",
		search: `	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache")
	h.Set("Referrer-Policy", referrerPolicy(p.Kind))
`,
		broken: `	h.Set("Cache-Control", "private")
	h.Set("Pragma", "no-cache")
	h.Set("Referrer-Policy", referrerPolicy(p.Kind))
`,
		killer: "^TestPageHeadersAreExact$",
	},
	{
		name: "a page tells its URL, which may have a code", about: "pages",
		search: `	return "no-referrer"
`,
		broken: `	return "origin-when-cross-origin"
`,
		killer: "^TestPageHeadersAreExact$",
	},
	{
		name: "a page's link may be a script", about: "pages",
		search: "page.Link(p.RetryURL), page.Link(p.ActionURL), page.Link(p.URL)",
		broken: "p.RetryURL, p.ActionURL, p.URL",
		killer: "^TestLinksThatLeadNowhereGoodAreNotShown$",
	},
	{
		name: "a page names any word as its reason", about: "pages",
		search: `		return texts.Unknown, ""
`,
		broken: `		return texts.Unknown, p.Reason
`,
		killer: "^TestReasonOutsideTheListIsNotShown$",
	},
	{
		name: "a wrong AppSecret is tried again and again", about: "failure",
		search: `		return ReasonBadConfig
	case client.KindUserBlocked`,
		broken: `		return ReasonCodeExpired
	case client.KindUserBlocked`,
	},
	{
		name: "a 503 does not say when to come back", about: "failure",
		search: "	if f.Status == http.StatusServiceUnavailable {\n",
		broken: "	if f.Status == http.StatusServiceUnavailable && false {\n",
	},
	{
		name: "a visitor of another host begins his login there", about: "middleware",
		search: `	case g.isOtherHost(r):
		return actionHop, ""
`,
		broken: "",
		killer: "^TestT33_NoHeaderChangesWhereWeChatSendsTheVisitorBack$",
	},
	{
		name: "a proxy that rewrites Host makes a loop", about: "middleware",
		search: `	_, err := r.Cookie(g.cookies.HopName())
	return err != nil
`,
		broken: "	return true\n",
		killer: "^TestT30_AProxyThatRewritesHostIsNoLoop$",
	},
	{
		name: "a login begins on plain http, where its cookie is dropped", about: "middleware",
		search: `if base.Scheme == "https" && strings.EqualFold(strings.TrimSpace(proto), "http") {`,
		broken: `if base.Scheme == "https" && strings.EqualFold(strings.TrimSpace(proto), "never") {`,
		killer: "^TestAVisitByHTTPGoesToHTTPSBeforeItsLoginBegins$",
	},
	{
		name: "the target is forgotten with the pending login", about: "flow",
		search: "Kept = 24 * time.Hour",
		broken: "Kept = 10 * time.Minute",
		killer: "^TestALateReturnLeadsToTheTarget$",
	},
	{
		name: "whoever sees a QR code can make its cookie", about: "seal",
		search: "return own && flow",
		broken: "return (own || true) && flow",
		killer: "^TestT77_AScanCookieIsNotMadeFromTheQRCode$",
	},
	{
		name: "every error of a hook is a refusal", about: "callback",
		search: "	case errors.Is(err, ErrForbidden):",
		broken: "	case errors.Is(err, err):",
		killer: "^TestOneErrorOfAHookIsARefusalAndEveryOtherIsAFailure$",
	},
	{
		name: "what a hook has put outlives its refusal", about: "session",
		search: "	_ = s.manager.Clear(v.ctx) // in memory, and without an error\n",
		broken: "",
		killer: "^TestARejectedLoginLeavesTheSessionOfTheApplicationsManagerAsItWas$",
	},
	{
		name: "a hook sees another user's values", about: "session",
		search: "	if wasIn && !v.isUser(id) {",
		broken: "	if wasIn && !v.isUser(id) && false {",
		killer: "^TestTheHookSeesTheSessionThatItsLoginGets$",
	},
	{
		name: "a panic leaves the claim held", about: "claim",
		search: "	case c.Spent:\n		err = c.Share(ctx, singleflight.Outcome{Reason: string(*how)}, p.flow.Key, shortTTL, nil, store.Batch{})",
		broken: "	case c.Spent:\n		_ = store.Batch{}",
		killer: "^TestT99_APanickingHookReleasesTheLogin$",
	},
	{
		name: "a panic before the code is spent leaves the claim held", about: "claim",
		search: "	default:\n		err = c.Release(ctx)",
		broken: "	default:",
		killer: "^TestT99_APanickingHookReleasesTheLogin$",
	},
	{
		name: "a doubled callback loses RememberMe", about: "callback",
		search: "	if saved.Remember {",
		broken: "	if saved.Remember && false {",
		killer: "^TestT89_ADoubledCallbackSetsTheCookieAsTheFirstDid$",
	},
}

// likely are the tests of a file: those that are asked first.
var likely = map[string]string{
	"returnto":   "ReturnTarget|RequestTarget|T2[1267]|T31|HonestLinks",
	"navigation": "PageVisit|Preflight|Navigation|T10|T32",
	"seal":       "Box|NewestKey|T0[1-5]|T0[789]|T24|AFlowCookie|T34",
	"flow":       "T0[1-5]|T0[789]|T13|T24|T58|T59|AFlowCookie|Tabs|UsesHostCookies",
	"trail":      "T30|Loop|Logout|T11",
	"claim":      "AClaim|AnOutcome|AFailedLogin|T0[56]_A|T06_W|ALoginIs|HundredCallbacks|WeChatsTokens|TestT45|Reload|TwoAccounts",
	"callback":   "T0[1-5]|T0[6789]_A[no]|T0[789]|T1[39]|T2[0-9]|T30|T38|Callback|Refus|StepUp|Reload|OnLogin|Snapshot|CouldNotBeSaved|T14|TestT45",
	"middleware": "T10|T11|T3[0-9]|Authorize|Script|StepUp|RedisIsDown|TestT36",
	"handler":    "T0[1-5]|T0[789]|T1[01]|T2[26]|T3[0-9]|Logout|AnotherSite|StepUp|AbortedRequests|Loop|T73|T75",
	"session":    "T1[3-9]|T4[45]|T74|Session|Bearer|Login|Damaged|InFlight|Revoke|Grace|Accounts",
	"guard":      "T1[4-8]|InFlight|IdleTimeout|LoggedOut|Renews|NewToken|LateReader|CostsNothing",
	"response":   "Save|Response|Hijack|T36|T74",
	"pages":      "Page|T36|T39|T43|Policy|Reason|LinksThat",
	"failure":    "T3[69]|T43|Callback|Script|TestT36",
	"upstream":   "T34|FuzzIdentity",
	"options":    "Configuration|T42|Lifetime",
	"observe":    "T40",
	"redact":     "T40|OpenIDs|Tokens",
	"identity":   "T23|T40_ALeak|Authorize|T40",
	"verifyfile": "Verify",
	"mini":       "Mini|TestATicket|T4[45]|SessionKey",
	"snapshot":   "T19|Snapshot",
}
