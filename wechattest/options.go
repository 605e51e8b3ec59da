package wechattest

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Option configures a simulator.
type Option func(*config)

type config struct {
	accounts      []Account
	people        []Person
	clock         func() time.Time
	seed          int64
	seeded        bool
	switches      map[Quirk]bool
	anyBrowser    bool
	strictDomains bool
	pollHold      time.Duration
	environment   Environment
	quotas        map[string]Quota
	faults        map[string][]Fault
	tls           bool
	err           error // the first mistake of an option
}

// WithAccount declares accounts. Those that are declared replace
// DefaultAccounts; the option may be given several times.
func WithAccount(accounts ...Account) Option {
	return func(c *config) { c.accounts = append(c.accounts, accounts...) }
}

// WithPerson declares people. Those that are declared replace DefaultPeople;
// the first holds the phone.
func WithPerson(people ...Person) Option {
	return func(c *config) { c.people = append(c.people, people...) }
}

// WithClock sets the clock that lifetimes, rids and quotas go by. The default
// is time.Now.
func WithClock(now func() time.Time) Option { return func(c *config) { c.clock = now } }

// WithSeed makes codes, tokens, session keys and rids a function of seed and
// the order of calls. The default is a new seed each time.
func WithSeed(seed int64) Option {
	return func(c *config) { c.seed, c.seeded = seed, true }
}

// WithAnyBrowser lifts the rule that the authorize page opens in WeChat only,
// for local work with a desktop browser.
func WithAnyBrowser() Option { return func(c *config) { c.anyBrowser = true } }

// WithStrictDomains applies WeChat's rule for callbacks also to accounts
// without Domains: no domain configured, no callback (10003). The default
// allows them every loopback host and port.
func WithStrictDomains() Option { return func(c *config) { c.strictDomains = true } }

// WithTLS makes NewServer listen with a certificate that Server.Client trusts.
func WithTLS() Option { return func(c *config) { c.tls = true } }

// WithPollHold sets how long the long poll of the QR page waits for news,
// default 25 seconds of real time.
func WithPollHold(d time.Duration) Option { return func(c *config) { c.pollHold = d } }

// WithQuirks turns switches on.
func WithQuirks(switches ...Quirk) Option {
	return func(c *config) {
		for _, sw := range switches {
			c.switches[sw] = true
		}
	}
}

func (c *config) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

func newConfig(opts []Option) (config, error) {
	c := config{clock: time.Now, switches: map[Quirk]bool{}, pollHold: 25 * time.Second,
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
			return fmt.Errorf("quota: no endpoint is called %q", endpoint)
		}
		if strings.HasPrefix(endpoint, "connect/") && endpoint != authorizePath {
			return fmt.Errorf("quota: WeChat is not known to limit %q", endpoint)
		}
	}
	for endpoint := range c.faults {
		if !slices.Contains(known, endpoint) {
			return fmt.Errorf("fault: no endpoint is called %q", endpoint)
		}
	}
	apps := map[string]bool{}
	for i, a := range c.accounts {
		if c.accounts[i], err = a.complete(); err != nil {
			return err
		}
		if apps[a.AppID] {
			return fmt.Errorf("account %s is declared twice", a.AppID)
		}
		apps[a.AppID] = true
	}
	names := map[string]bool{}
	for i, p := range c.people {
		if c.people[i], err = p.complete(); err != nil {
			return err
		}
		if names[p.Name] {
			return fmt.Errorf("person %s is declared twice", p.Name)
		}
		names[p.Name] = true
	}
	if !knownEnvironment(c.environment) {
		return fmt.Errorf("unknown environment %q", c.environment)
	}
	for sw := range c.switches {
		if !knownSwitch(sw) {
			return fmt.Errorf("unknown switch %q", sw)
		}
	}
	return nil
}
