// Command wechatcheck looks at a configuration before visitors do: AppIDs and
// AppSecrets, base URL, and the Redis of the sessions. It tells every finding
// at once, each with what to do, and what has to stand in WeChat's console. It
// spends nothing and disturbs no login.
//
//	export WECHAT_APP_ID=wx0123456789abcdef WECHAT_APP_SECRET=…
//	export BASE_URL=https://m.example.com REDIS_URL=redis://127.0.0.1:6379/0
//	go run ./cmd/wechatcheck
//
// The settings come from the environment or, except for secrets, from flags.
// Secrets come from the environment or from files, never from flags, which
// other users of a machine can read, and are never printed:
//
//	WECHAT_APP_ID          -app-id       the official account
//	WECHAT_APP_SECRET      -secret-file  its AppSecret, or a file with it
//	WECHAT_WEBSITE_APP_ID, WECHAT_WEBSITE_APP_SECRET   a website application
//	WECHAT_MINI_APP_ID, WECHAT_MINI_APP_SECRET         a mini program
//	BASE_URL               -base-url     where visitors reach the application
//	REDIS_URL              -redis-file   the Redis of the sessions, or a file with its URL
//	WECHAT_URL             -wechat       a simulated WeChat, such as http://127.0.0.1:8081
//
// An account without an AppSecret, for which a third-party platform logs in, is
// not asked about; it is the platform's 公众号开发域名 that counts then.
//
// It speaks the language of -lang or LANG: zh or en. It exits with 0 if nothing
// was found, with 1 if something was, and with 2 if it was not understood.
package main

import (
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
	"github.com/wechatauth/wechatauth/store"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Getenv, os.Stdout))
}

// Exit codes.
const (
	nothingFound  = 0
	found         = 1
	notUnderstood = 2
)

// settings are what is checked.
type settings struct {
	appID, secret string
	baseURL       string
	redisURL      string
	wechat        string
	chinese       bool
	timeout       time.Duration
	getenv        func(string) string
}

// run checks, and returns the exit code.
func run(ctx context.Context, args []string, getenv func(string) string, out io.Writer) int {
	s, err := parse(args, getenv, out)
	if errors.Is(err, flag.ErrHelp) {
		return nothingFound
	}
	if err != nil {
		fmt.Fprintln(out, err)
		return notUnderstood
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	_, wrong := wechatauth.New(s.options()...)
	all := append(settingFindings(wrong), s.checkRedis(ctx)...)
	auth := s.usable()
	if auth != nil {
		all = append(all, findingsOf(auth.Check(ctx))...)
	}
	code := s.report(out, all)
	s.reportDomains(out, auth)
	return code
}

func parse(args []string, getenv func(string) string, out io.Writer) (*settings, error) {
	s := &settings{getenv: getenv, secret: getenv("WECHAT_APP_SECRET"), redisURL: getenv("REDIS_URL")}
	lang := langOf(args, getenv("LANG"))
	s.chinese = strings.HasPrefix(strings.ToLower(lang), "zh")
	flags := flag.NewFlagSet("wechatcheck", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Usage = func() {} // told below
	flags.StringVar(&s.appID, "app-id", getenv("WECHAT_APP_ID"), s.say("公众号的 AppID（WECHAT_APP_ID）", "AppID of the official account (WECHAT_APP_ID)"))
	flags.StringVar(&s.baseURL, "base-url", getenv("BASE_URL"), s.say("访客访问应用的地址（BASE_URL）", "where visitors reach the application (BASE_URL)"))
	flags.StringVar(&s.wechat, "wechat", getenv("WECHAT_URL"), s.say("用模拟微信代替真实微信（WECHAT_URL）", "a simulated WeChat in place of the real one (WECHAT_URL)"))
	secretFile := flags.String("secret-file", "", s.say("存有 AppSecret 的文件（`file`），代替 WECHAT_APP_SECRET", "a `file` with the AppSecret, instead of WECHAT_APP_SECRET"))
	redisFile := flags.String("redis-file", "", s.say("存有会话 Redis 的 URL 的文件（`file`），代替 REDIS_URL", "a `file` with the URL of the sessions' Redis, instead of REDIS_URL"))
	flags.StringVar(&lang, "lang", lang, s.say("zh 或 en", "zh or en"))
	flags.DurationVar(&s.timeout, "timeout", 15*time.Second, s.say("全部检查最多等待多久", "how long to wait for everything"))
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(out, s.say("wechatcheck 的参数：", "Usage of wechatcheck:"))
			flags.SetOutput(out)
			flags.PrintDefaults()
			return nil, err
		}
		return nil, fmt.Errorf(s.say("%w；请参阅 wechatcheck -h", "%w; see wechatcheck -h"), err)
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf(s.say("无法识别 %q；只接受参数，请参阅 wechatcheck -h", "%q is not understood; there are only flags, see wechatcheck -h"), flags.Arg(0))
	}
	for file, into := range map[string]*string{*secretFile: &s.secret, *redisFile: &s.redisURL} {
		if file == "" {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		*into = strings.TrimSpace(string(text))
	}
	return s, nil
}

// langOf finds the language before anything is told.
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

// options are all settings.
func (s *settings) options() []wechatauth.Option {
	opts := append(s.around(s.baseURL), s.official())
	opts = append(opts, s.others()...)
	if s.redisURL != "" {
		opts = append(opts, wechatauth.WithRedisURL(s.redisURL))
	}
	return opts
}

// around is what every gate needs beside its accounts.
func (s *settings) around(baseURL string) []wechatauth.Option {
	opts := []wechatauth.Option{
		wechatauth.WithBaseURL(baseURL),
		wechatauth.WithLogger(slog.New(slog.DiscardHandler)),
	}
	if s.wechat != "" {
		opts = append(opts, wechatauth.WithEndpoints(client.Endpoints{Open: s.wechat, API: s.wechat}))
	}
	return opts
}

func (s *settings) official() wechatauth.Option { return wechatauth.WithApp(s.appID, s.secret) }

// others are the accounts beside the official one.
func (s *settings) others() (opts []wechatauth.Option) {
	if id := s.getenv("WECHAT_WEBSITE_APP_ID"); id != "" {
		opts = append(opts, wechatauth.WithWebsiteApp(id, s.getenv("WECHAT_WEBSITE_APP_SECRET")))
	}
	if id := s.getenv("WECHAT_MINI_APP_ID"); id != "" {
		opts = append(opts, wechatauth.WithMiniProgram(id, s.getenv("WECHAT_MINI_APP_SECRET")))
	}
	return opts
}

// standIn is a base URL for a gate that only asks WeChat about its accounts.
const standIn = "https://example.com"

// usable is a gate with those of the settings that are right; nil where the
// official account's are not. One mistake shall not hide what can be checked
// all the same. Its sessions are in memory: Redis is checked by itself.
func (s *settings) usable() *wechatauth.Auth {
	for _, base := range []string{s.baseURL, standIn} {
		opts := append(s.around(base), s.official())
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

// checkRedis looks at the sessions' Redis.
func (s *settings) checkRedis(ctx context.Context) []*store.Finding {
	if s.redisURL == "" {
		return nil
	}
	pool, err := store.NewPool(s.redisURL)
	if err != nil {
		return nil // New has said so
	}
	defer pool.Close()
	return findingsOf(store.New(pool).Check(ctx))
}

// findingsOf are the findings in an error.
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

// report says what was found.
func (s *settings) report(out io.Writer, all []*store.Finding) (code int) {
	n := 0
	for _, f := range all {
		if !f.Note {
			n++
			fmt.Fprintf(out, "%d. %s\n", n, s.say(f.Chinese, f.English))
		}
	}
	if n == 0 {
		fmt.Fprintln(out, s.say("检查通过，没有发现问题。", "Nothing was found."))
	} else {
		code = found
	}
	for _, f := range all {
		if f.Note {
			fmt.Fprintf(out, s.say("注意：%s\n", "Note: %s\n"), s.say(f.Chinese, f.English))
		}
	}
	if s.redisURL == "" {
		fmt.Fprintln(out, s.say("未设置 REDIS_URL：会话存放在内存中，重启即失效，也不能在多个实例间共享。", "REDIS_URL is not set: sessions are in memory, end with the program, and are not shared between instances."))
	}
	return code
}

// reportDomains says what has to stand in WeChat's consoles.
func (s *settings) reportDomains(out io.Writer, auth *wechatauth.Auth) {
	if s.appID != "" && s.secret == "" {
		fmt.Fprintln(out, s.say("没有 AppSecret 的账号（由第三方平台代为登录）不在此检查；须填写的是第三方平台的“公众号开发域名”，而不是该账号的网页授权域名。", "An account without an AppSecret, for which a third-party platform logs in, is not asked about; what has to have the host then is the platform's own 公众号开发域名, and not the account's 网页授权域名."))
	}
	if auth == nil || "https://"+auth.CallbackDomain() == standIn {
		return // the base URL is wrong
	}
	fmt.Fprintf(out, s.say("请在微信公众平台“网页授权域名”中填写：%s\n", "In WeChat's console, enter as 网页授权域名: %s\n"), auth.CallbackDomain())
	if s.getenv("WECHAT_WEBSITE_APP_ID") != "" {
		fmt.Fprintf(out, s.say("请在微信开放平台网站应用的“授权回调域”中填写：%s\n", "For the website application, enter as 授权回调域: %s\n"), auth.CallbackDomain())
	}
}

// say chooses between two languages.
func (s *settings) say(chinese, english string) string {
	if s.chinese {
		return chinese
	}
	return english
}
