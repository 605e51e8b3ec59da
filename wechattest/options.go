package wechattest

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// An Option configures a simulator.
type Option func(*config)

type config struct {
	accounts      []Account
	people        []Person
	corps         []Corp
	clock         func() time.Time
	seed          int64
	seeded        bool
	quirks        map[Quirk]bool
	anyBrowser    bool
	strictDomains bool
	pollHold      time.Duration
	environment   Environment
	quotas        map[string]Quota
	faults        map[string][]Fault
	tls           bool
	err           error // the first error of an option
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
	return func(c *config) { c.seed, c.seeded = seed, true }
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
	if c.accounts == nil {
		c.accounts = DefaultAccounts()
	}
	if c.people == nil {
		c.people = DefaultPeople()
	}
	if c.corps == nil {
		c.corps = DefaultCorps()
	}
	if !c.seeded {
		c.seed = time.Now().UnixNano()
	}
	return c, c.complete()
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
