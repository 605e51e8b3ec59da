// Command wechatcheck checks a configuration before users log in: AppIDs and
// AppSecrets, the base URL and the session store. It reports all problems at
// once, each with what to do, and prints what to enter in WeChat's console. It
// uses up no code and does not affect logins.
//
//	export WECHAT_APP_ID=wx0123456789abcdef WECHAT_APP_SECRET=…
//	export BASE_URL=https://m.example.com REDIS_URL=redis://127.0.0.1:6379/0
//	go run ./cmd/wechatcheck
//
// Settings come from the environment or from flags. Secrets come from the
// environment or from files, but not from flags, which other users of the
// machine can read; they are never printed:
//
//	WECHAT_APP_ID          -app-id       the official account
//	WECHAT_APP_SECRET      -secret-file  its AppSecret, or a file that contains it
//	WECHAT_WEBSITE_APP_ID, WECHAT_WEBSITE_APP_SECRET   a website application
//	WECHAT_MINI_APP_ID, WECHAT_MINI_APP_SECRET         a mini program
//	BASE_URL               -base-url     the URL of the application
//	REDIS_URL              -redis-file   the Redis for sessions, or a file that contains its URL
//	WECHAT_URL             -wechat       a WeChat simulator, such as http://127.0.0.1:8081
//	PATH_PREFIX            -path-prefix  the prefix of WithPathPrefix
//
// With -site, the command instead requests the base URL as a browser does, and
// finds what a proxy or a CDN changes in a login: see Auth.CheckSite. Run it
// where users are, outside of the network of the application. It needs only the
// AppID and the base URL; with the AppSecret, it also compares keys and clocks.
//
// An account without an AppSecret, which logs in through a third-party
// platform, is not checked; for it, the platform's 公众号开发域名 matters.
//
// The output is in Chinese or English, depending on -lang or LANG (zh or en).
// Its last line is PASS if there are no problems, and FAIL if there are. The
// exit code is 0 for PASS, 1 for FAIL, and 2 if the command line is invalid.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/internal/command"
	"github.com/wechatauth/wechatauth/internal/site"
	"github.com/wechatauth/wechatauth/store"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr))
}

const (
	about = `Usage: wechatcheck [flags]

Checks AppIDs and AppSecrets, the base URL and the session store before users
log in, and prints what to enter in WeChat's console. Settings come from the
environment or from flags; AppSecrets come from the environment or from files.
`
	aboutChinese = `用法：wechatcheck [参数]

在用户登录之前检查 AppID 和 AppSecret、base URL 和会话存储，并打印应在微信后台
填写的内容。设置来自环境变量或参数，AppSecret 只来自环境变量或文件。

使用 -site 时，改为像浏览器一样访问 BASE_URL，报告应用之前的 nginx、Caddy 或 CDN
需要修改的配置。请在应用的网络之外运行，需要 WECHAT_APP_ID 和 BASE_URL。
`
)

// settings are the settings to check.
type settings struct {
	appID, secret string
	baseURL       string
	redisURL      string
	wechat        string
	prefix        string
	site          bool // check the way to the base URL only
	chinese       bool
	timeout       time.Duration
	getenv        func(string) string
}

// run checks the settings and returns the exit code.
func run(ctx context.Context, args []string, getenv func(string) string, out, errs io.Writer) int {
	s, err := parse(args, getenv, out)
	if err != nil {
		return command.Code(errs, "wechatcheck", err, s.text("用法见 wechatcheck -h。", ""))
	}
	all, auth := s.check(ctx, errs)
	ok := s.report(out, all)
	if !s.site {
		s.reportSettings(out, auth)
	}
	return command.Verdict(out, ok)
}

// check returns all findings, and an Auth with all valid settings, if there is
// one.
func (s *settings) check(ctx context.Context, errs io.Writer) (all []*store.Finding, auth *wechatauth.Auth) {
	progress := command.StartProgress(errs, func(elapsed time.Duration) string {
		return fmt.Sprintf(s.text("正在检查：%v，最多 %v", "checking for %v of at most %v"), elapsed, s.timeout)
	})
	defer progress.Stop()
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	if s.site {
		return s.checkSite(ctx), nil
	}
	_, wrong := wechatauth.New(s.options()...)
	all = append(settingFindings(wrong), s.checkRedis(ctx)...)
	if auth = s.checkable(); auth != nil {
		all = append(all, findingsOf(auth.Check(ctx))...)
	}
	return all, auth
}

// parse returns settings with a language even with an error.
func parse(args []string, getenv func(string) string, out io.Writer) (*settings, error) {
	s := &settings{getenv: getenv, secret: getenv("WECHAT_APP_SECRET"), redisURL: getenv("REDIS_URL")}
	lang := langOf(args, getenv("LANG"))
	s.chinese = strings.HasPrefix(strings.ToLower(lang), "zh")
	flags := flag.NewFlagSet("wechatcheck", flag.ContinueOnError)
	flags.StringVar(&s.appID, "app-id", getenv("WECHAT_APP_ID"), s.text("公众号的 AppID（WECHAT_APP_ID）", "AppID of the official account (WECHAT_APP_ID)"))
	flags.StringVar(&s.baseURL, "base-url", getenv("BASE_URL"), s.text("应用的访问地址（BASE_URL）", "URL of the application (BASE_URL)"))
	flags.StringVar(&s.wechat, "wechat", getenv("WECHAT_URL"), s.text("用微信模拟器代替真实微信（WECHAT_URL）", "URL of a WeChat simulator (WECHAT_URL)"))
	secretFile := flags.String("secret-file", "", s.text("存有 AppSecret 的文件（`file`），代替 WECHAT_APP_SECRET", "`file` with the AppSecret, instead of WECHAT_APP_SECRET"))
	redisFile := flags.String("redis-file", "", s.text("存有 Redis URL 的文件（`file`），代替 REDIS_URL", "`file` with the URL of the Redis for sessions, instead of REDIS_URL"))
	flags.StringVar(&s.prefix, "path-prefix", cmp.Or(getenv("PATH_PREFIX"), wechatauth.DefaultPathPrefix), s.text("WithPathPrefix 的路径前缀（PATH_PREFIX）", "prefix of WithPathPrefix (PATH_PREFIX)"))
	flags.BoolVar(&s.site, "site", false, s.text("只检查从外部访问 BASE_URL 的路径", "check only the way from outside to BASE_URL"))
	flags.StringVar(&lang, "lang", lang, s.text("zh 或 en", "zh or en"))
	flags.DurationVar(&s.timeout, "timeout", 15*time.Second, s.text("全部检查的超时时间", "timeout for all checks"))
	if err := command.Parse(flags, args, s.text(aboutChinese, about), out); err != nil {
		return s, err
	}
	if flags.NArg() > 0 {
		return s, command.Usagef(s.text("多余的参数 %q", "unexpected argument %q"), flags.Arg(0))
	}
	for file, into := range map[string]*string{*secretFile: &s.secret, *redisFile: &s.redisURL} {
		if file == "" {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return s, &command.UsageError{Err: err}
		}
		*into = strings.TrimSpace(string(text))
	}
	return s, nil
}

// langOf returns the language, which is needed before flags are defined.
func langOf(args []string, otherwise string) string {
	for i, arg := range args {
		name, value, joined := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		switch {
		case name != "lang" || !strings.HasPrefix(arg, "-"):
		case joined:
			return value
		case i+1 < len(args):
			return args[i+1]
		}
	}
	return otherwise
}

// options returns the options for all settings.
func (s *settings) options() []wechatauth.Option {
	opts := append(s.baseOptions(s.baseURL), s.official())
	opts = append(opts, s.others()...)
	if s.redisURL != "" {
		opts = append(opts, wechatauth.WithRedisURL(s.redisURL))
	}
	return opts
}

// baseOptions returns the options other than accounts.
func (s *settings) baseOptions(baseURL string) []wechatauth.Option {
	opts := []wechatauth.Option{
		wechatauth.WithBaseURL(baseURL), wechatauth.WithPathPrefix(s.prefix),
		wechatauth.WithLogger(slog.New(slog.DiscardHandler)),
	}
	if s.wechat != "" {
		opts = append(opts, wechatauth.WithEndpoints(client.Endpoints{Open: s.wechat, API: s.wechat}))
	}
	return opts
}

func (s *settings) official() wechatauth.Option { return wechatauth.WithApp(s.appID, s.secret) }

// others returns the options for all accounts except the official one.
func (s *settings) others() (opts []wechatauth.Option) {
	if id := s.getenv("WECHAT_WEBSITE_APP_ID"); id != "" {
		opts = append(opts, wechatauth.WithWebsiteApp(id, s.getenv("WECHAT_WEBSITE_APP_SECRET")))
	}
	if id := s.getenv("WECHAT_MINI_APP_ID"); id != "" {
		opts = append(opts, wechatauth.WithMiniProgram(id, s.getenv("WECHAT_MINI_APP_SECRET")))
	}
	return opts
}

// placeholderURL is the base URL for checking accounts if the configured one is
// invalid.
const placeholderURL = "https://example.com"

// checkable returns an Auth with all valid settings, so that one mistake does
// not prevent other checks. It returns nil if the official account's settings
// are invalid. Sessions are stored in memory: Redis is checked separately.
func (s *settings) checkable() *wechatauth.Auth {
	for _, base := range []string{s.baseURL, placeholderURL} {
		opts := append(s.baseOptions(base), s.official())
		auth, err := wechatauth.New(opts...)
		if err != nil {
			continue
		}
		for _, other := range s.others() {
			if more, err := wechatauth.New(append(opts, other)...); err == nil {
				opts, auth = append(opts, other), more
			}
		}
		return auth
	}
	return nil
}

// unknownSecret stands for an AppSecret that is not set.
const unknownSecret = "unknown-to-wechatcheck"

// checkSite checks the way to the base URL. The application may have keys that
// are not settings of this command, so a cookie that cannot be opened is a note.
func (s *settings) checkSite(ctx context.Context) []*store.Finding {
	auth, err := wechatauth.New(append(s.baseOptions(s.baseURL), wechatauth.WithApp(s.appID, cmp.Or(s.secret, unknownSecret)))...)
	if err != nil {
		return settingFindings(err)
	}
	all := findingsOf(auth.CheckSite(ctx))
	for i, f := range all {
		if errors.Is(f, site.ErrKeys) {
			all[i] = &store.Finding{
				English: "keys and clocks were not compared: the AppSecret is not set or not the application's, or the application has WithFlowKeys, for which it can call Auth.CheckSite itself",
				Chinese: "未比较密钥和时钟：未设置 AppSecret，或与应用的不同，或应用使用了 WithFlowKeys（可在应用中调用 Auth.CheckSite）。",
				Note:    true,
			}
		}
	}
	return all
}

// checkRedis checks the session store.
func (s *settings) checkRedis(ctx context.Context) []*store.Finding {
	if s.redisURL == "" {
		return nil
	}
	pool, err := store.NewPool(s.redisURL)
	if err != nil {
		return nil // reported by New
	}
	defer pool.Close()
	return findingsOf(store.New(pool).Check(ctx))
}

// findingsOf returns the findings contained in an error.
func findingsOf(err error) (all []*store.Finding) {
	switch e := err.(type) {
	case nil:
	case *store.Finding:
		all = append(all, e)
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			all = append(all, findingsOf(one)...)
		}
	default:
		all = append(all, &store.Finding{English: err.Error(), Chinese: err.Error(), Err: err})
	}
	return all
}

// report prints the findings, and reports whether none of them is a problem.
func (s *settings) report(out io.Writer, all []*store.Finding) (ok bool) {
	n := 0
	for _, f := range all {
		if !f.Note {
			n++
			fmt.Fprintf(out, "%d. %s\n", n, s.text(f.Chinese, f.English))
		}
	}
	if n == 0 {
		fmt.Fprintln(out, s.text("检查通过，未发现问题。", "No problems found."))
	}
	for _, f := range all {
		if f.Note {
			fmt.Fprintf(out, s.text("注意：%s\n", "Note: %s\n"), s.text(f.Chinese, f.English))
		}
	}
	return n == 0
}

// reportSettings prints what follows from the settings: where sessions are, and
// what to enter in WeChat's console.
func (s *settings) reportSettings(out io.Writer, auth *wechatauth.Auth) {
	if s.redisURL == "" {
		fmt.Fprintln(out, s.text("未设置 REDIS_URL：会话保存在内存中，重启后失效，也无法在多个实例间共享。", "REDIS_URL is not set: sessions are stored in memory, are lost when the program exits and are not shared between instances."))
	}
	if s.appID != "" && s.secret == "" {
		fmt.Fprintln(out, s.text("没有 AppSecret 的账号通过第三方平台登录，不做检查；请将域名填写在第三方平台的“公众号开发域名”中，而不是该账号的“网页授权域名”中。", "An account without an AppSecret, which logs in through a third-party platform, is not checked; enter the domain as the platform's 公众号开发域名 instead of the account's 网页授权域名."))
	}
	if auth == nil || "https://"+auth.CallbackDomain() == placeholderURL {
		return // the base URL is invalid
	}
	fmt.Fprintf(out, s.text("请在微信公众平台“网页授权域名”中填写：%s\n", "In WeChat's console, enter as 网页授权域名: %s\n"), auth.CallbackDomain())
	if s.getenv("WECHAT_WEBSITE_APP_ID") != "" {
		fmt.Fprintf(out, s.text("请在微信开放平台网站应用的“授权回调域”中填写：%s\n", "For the website application, enter as 授权回调域: %s\n"), auth.CallbackDomain())
	}
}

// text returns the text in the chosen language.
func (s *settings) text(chinese, english string) string {
	if s.chinese {
		return chinese
	}
	return english
}
