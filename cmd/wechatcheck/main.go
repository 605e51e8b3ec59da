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
	auth, err := wechatauth.New(s.options()...)
	if err != nil {
		fmt.Fprintln(out, s.say("设置有误：", "The settings are wrong:"))
		fmt.Fprintln(out, err)
		return found
	}
	return s.report(out, auth, auth.Check(ctx))
}

func parse(args []string, getenv func(string) string, out io.Writer) (*settings, error) {
	s := &settings{getenv: getenv, secret: getenv("WECHAT_APP_SECRET"), redisURL: getenv("REDIS_URL")}
	flags := flag.NewFlagSet("wechatcheck", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&s.appID, "app-id", getenv("WECHAT_APP_ID"), "AppID of the official account (WECHAT_APP_ID)")
	flags.StringVar(&s.baseURL, "base-url", getenv("BASE_URL"), "where visitors reach the application (BASE_URL)")
	flags.StringVar(&s.wechat, "wechat", getenv("WECHAT_URL"), "a simulated WeChat in place of the real one (WECHAT_URL)")
	secretFile := flags.String("secret-file", "", "a `file` with the AppSecret, instead of WECHAT_APP_SECRET")
	redisFile := flags.String("redis-file", "", "a `file` with the URL of the sessions' Redis, instead of REDIS_URL")
	lang := flags.String("lang", getenv("LANG"), "zh or en")
	flags.DurationVar(&s.timeout, "timeout", 15*time.Second, "how long to wait for everything")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			flags.SetOutput(out)
			flags.Usage()
			return nil, err
		}
		return nil, fmt.Errorf("%w; see wechatcheck -h", err)
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("%q is not understood; there are only flags, see wechatcheck -h", flags.Arg(0))
	}
	s.chinese = strings.HasPrefix(strings.ToLower(*lang), "zh")
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

func (s *settings) options() []wechatauth.Option {
	opts := []wechatauth.Option{
		wechatauth.WithApp(s.appID, s.secret),
		wechatauth.WithBaseURL(s.baseURL),
		wechatauth.WithLogger(slog.New(slog.DiscardHandler)),
	}
	if id := s.getenv("WECHAT_WEBSITE_APP_ID"); id != "" {
		opts = append(opts, wechatauth.WithWebsiteApp(id, s.getenv("WECHAT_WEBSITE_APP_SECRET")))
	}
	if id := s.getenv("WECHAT_MINI_APP_ID"); id != "" {
		opts = append(opts, wechatauth.WithMiniProgram(id, s.getenv("WECHAT_MINI_APP_SECRET")))
	}
	if s.redisURL != "" {
		opts = append(opts, wechatauth.WithRedisURL(s.redisURL))
	}
	if s.wechat != "" {
		opts = append(opts, wechatauth.WithEndpoints(client.Endpoints{Open: s.wechat, API: s.wechat}))
	}
	return opts
}

// report says what was found.
func (s *settings) report(out io.Writer, auth *wechatauth.Auth, err error) int {
	code := nothingFound
	var findings []*store.Finding
	var all *wechatauth.CheckError
	if errors.As(err, &all) {
		code, findings = found, all.Findings
	}
	for i, f := range findings {
		fmt.Fprintf(out, "%d. %s\n", i+1, s.say(f.Chinese, f.English))
	}
	if code == nothingFound {
		fmt.Fprintln(out, s.say("检查通过，没有发现问题。", "Nothing was found."))
	}
	if s.redisURL == "" {
		fmt.Fprintln(out, s.say("未设置 REDIS_URL：会话存放在内存中，重启即失效，也不能在多个实例间共享。", "REDIS_URL is not set: sessions are in memory, end with the program, and are not shared between instances."))
	}
	fmt.Fprintf(out, s.say("请在微信公众平台“网页授权域名”中填写：%s\n", "In WeChat's console, enter as 网页授权域名: %s\n"), auth.CallbackDomain())
	if s.getenv("WECHAT_WEBSITE_APP_ID") != "" {
		fmt.Fprintf(out, s.say("请在微信开放平台网站应用的“授权回调域”中填写：%s\n", "For the website application, enter as 授权回调域: %s\n"), auth.CallbackDomain())
	}
	return code
}

// say chooses between two languages.
func (s *settings) say(chinese, english string) string {
	if s.chinese {
		return chinese
	}
	return english
}
