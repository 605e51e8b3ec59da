package wechattest

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// An Option configures a simulator.
type Option func(*config)

type config struct {
	actors
	clock         func() time.Time
	seed          *int64
	quirks        map[Quirk]bool
	anyBrowser    bool
	strictDomains bool
	pollHold      time.Duration
	environment   Environment
	quotas        map[string]Quota
	faults        map[string][]Fault
	tls           bool
	site          string
	scenes        scenes
	err           error // the first error of an option
}

// actors are the accounts, the people and the companies.
type actors struct {
	accounts []Account
	people   []Person
	corps    []Corp
}

// scenes is the scenarios to set up, and the changes that they make.
type scenes struct {
	names  []string
	person *Person          // becomes the current person
	corp   []func(*Corp)    // for the corp of DefaultCorpID
	change []func(*Account) // for each official account
}

// WithAccount adds accounts. They replace [DefaultAccounts]. The option may be
// used several times.
func WithAccount(accounts ...Account) Option {
	return func(c *config) { c.accounts = append(c.accounts, accounts...) }
}

// WithPerson adds people. They replace [DefaultPeople]; the first is the
// current person.
func WithPerson(people ...Person) Option {
	return func(c *config) { c.people = append(c.people, people...) }
}

// WithClock sets the clock for lifetimes, rids and quotas. The default is
// time.Now.
func WithClock(now func() time.Time) Option { return func(c *config) { c.clock = now } }

// WithSeed makes codes, tokens, session keys and rids depend only on seed and
// the order of calls. By default, the seed is random.
func WithSeed(seed int64) Option {
	return func(c *config) { c.seed = &seed }
}

// WithAnyBrowser allows the authorize page outside WeChat, for local
// development with a desktop browser.
func WithAnyBrowser() Option { return func(c *config) { c.anyBrowser = true } }

// WithStrictDomains applies WeChat's rule for callbacks also to accounts
// without Domains: no callback is allowed (10003). By default, they may use any
// loopback host and port.
func WithStrictDomains() Option { return func(c *config) { c.strictDomains = true } }

// WithTLS makes NewServer use TLS with a certificate that [Server.Client]
// trusts.
func WithTLS() Option { return func(c *config) { c.tls = true } }

// WithSite sets the URL of the application under test, to which the control page
// links. The default is the origin of the last callback.
func WithSite(url string) Option { return func(c *config) { c.site = url } }

// WithPollHold sets how long the long poll of the QR code page waits for a
// change. The default is 25 seconds of real time.
func WithPollHold(d time.Duration) Option { return func(c *config) { c.pollHold = d } }

// WithQuirks turns quirks on.
func WithQuirks(quirks ...Quirk) Option {
	return func(c *config) {
		for _, q := range quirks {
			c.quirks[q] = true
		}
	}
}

func (c *config) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

func newConfig(opts []Option) (config, error) {
	c := config{clock: time.Now, quirks: map[Quirk]bool{}, pollHold: 25 * time.Second,
		environment: Normal, quotas: map[string]Quota{}, faults: map[string][]Fault{}}
	for _, opt := range opts {
		opt(&c)
	}
	for _, name := range c.scenes.names {
		c.setUp(name)
	}
	if c.accounts == nil {
		c.accounts = DefaultAccounts()
	}
	if c.people == nil {
		c.people = DefaultPeople()
	}
	if c.corps == nil {
		c.corps = DefaultCorps()
	}
	c.apply()
	if c.seed == nil {
		now := time.Now().UnixNano()
		c.seed = &now
	}
	return c, c.complete()
}

// apply applies what a scenario has set.
func (c *config) apply() {
	c.accounts = slices.Clone(c.accounts)
	for i := range c.accounts {
		if kind := c.accounts[i].Kind; kind == OfficialAccount || kind == "" {
			for _, change := range c.scenes.change {
				change(&c.accounts[i])
			}
		}
	}
	c.corps = slices.Clone(c.corps)
	for i, corp := range c.corps {
		if corp.CorpID == DefaultCorpID {
			c.corps[i].Apps, c.corps[i].Members = slices.Clone(corp.Apps), slices.Clone(corp.Members)
			for _, change := range c.scenes.corp {
				change(&c.corps[i])
			}
		}
	}
	if c.scenes.person != nil {
		others := slices.DeleteFunc(slices.Clone(c.people), func(p Person) bool { return p.Name == c.scenes.person.Name })
		c.people = append([]Person{*c.scenes.person}, others...)
	}
}

func (c *config) complete() (err error) {
	if c.err != nil {
		return c.err
	}
	known := endpointNames()
	for endpoint := range c.quotas {
		if !slices.Contains(known, endpoint) {
			return fmt.Errorf("quota: unknown endpoint %q", endpoint)
		}
		if strings.HasPrefix(endpoint, "connect/") && endpoint != authorizePath {
			return fmt.Errorf("quota: WeChat has no known limit for %q", endpoint)
		}
	}
	for endpoint := range c.faults {
		if !slices.Contains(known, endpoint) {
			return fmt.Errorf("fault: unknown endpoint %q", endpoint)
		}
	}
	apps := map[string]bool{}
	for i, a := range c.accounts {
		if c.accounts[i], err = a.complete(); err != nil {
			return err
		}
		if apps[a.AppID] {
			return fmt.Errorf("duplicate account %s", a.AppID)
		}
		apps[a.AppID] = true
	}
	names := map[string]bool{}
	for i, p := range c.people {
		if c.people[i], err = p.complete(); err != nil {
			return err
		}
		if names[p.Name] {
			return fmt.Errorf("duplicate person %s", p.Name)
		}
		names[p.Name] = true
	}
	if err := c.completeCorps(); err != nil {
		return err
	}
	if u, err := url.Parse(c.site); c.site != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
		return fmt.Errorf("site %q: must be an http or https URL", c.site)
	}
	if !knownEnvironment(c.environment) {
		return fmt.Errorf("unknown environment %q", c.environment)
	}
	for q := range c.quirks {
		if !knownQuirk(q) {
			return fmt.Errorf("unknown quirk %q", q)
		}
	}
	return nil
}
