package wechattest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"go.yaml.in/yaml/v3"
)

// fileConfig is the JSON or YAML form of the options.
type fileConfig struct {
	Accounts      []Account           `json:"accounts"`
	People        []Person            `json:"people"`
	Corps         []Corp              `json:"corps"`
	AnyBrowser    bool                `json:"any_browser"`
	StrictDomains bool                `json:"strict_domains"`
	Environment   Environment         `json:"environment"`
	Scenario      string              `json:"scenario"`
	Seed          *int64              `json:"seed"`
	Switches      []Quirk             `json:"switches"`
	Quotas        map[string]Quota    `json:"quotas"`
	Faults        map[string][]string `json:"faults"` // by endpoint, parsed with ParseFault
}

// ReadConfig reads options from a JSON object or a YAML document, the format of
// the -config file of cmd/wechatsim. Its members, all optional, are accounts,
// people and corps (with the fields of [Account], [Person] and [Corp]), any_browser,
// strict_domains, environment, scenario, seed, switches, quotas and faults
// (both by endpoint). An unknown member is an error, and so are a value for
// which NewServer would panic and anything after the object.
func ReadConfig(r io.Reader) ([]Option, error) {
	f, err := readFile(r)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	opts := []Option{WithAccount(f.Accounts...), WithPerson(f.People...), WithCorp(f.Corps...), WithQuirks(f.Switches...)}
	if f.Scenario != "" {
		opts = append(opts, WithScenario(f.Scenario))
	}
	if f.AnyBrowser {
		opts = append(opts, WithAnyBrowser())
	}
	if f.StrictDomains {
		opts = append(opts, WithStrictDomains())
	}
	if f.Environment != "" {
		opts = append(opts, WithEnvironment(f.Environment))
	}
	if f.Seed != nil {
		opts = append(opts, WithSeed(*f.Seed))
	}
	for endpoint, q := range f.Quotas {
		opts = append(opts, WithQuota(endpoint, q))
	}
	for endpoint, names := range f.Faults {
		for _, name := range names {
			fault, err := ParseFault(name)
			if err != nil {
				return nil, fmt.Errorf("read configuration: %w", err)
			}
			opts = append(opts, WithFault(endpoint, fault))
		}
	}
	if _, err := newConfig(opts); err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return opts, nil
}

func readFile(r io.Reader) (f fileConfig, err error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return f, err
	}
	if !bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) {
		if text, err = jsonOf(text); err != nil {
			return f, err
		}
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&f); err != nil {
		return f, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return f, errors.New("unexpected data after the JSON object")
	}
	return f, nil
}

// jsonOf returns the single document of a YAML text as JSON, so that the same
// rules apply to both formats.
func jsonOf(text []byte) ([]byte, error) {
	var document, second any
	dec := yaml.NewDecoder(bytes.NewReader(text))
	if err := dec.Decode(&document); err != nil {
		return nil, err
	}
	if err := dec.Decode(&second); err != io.EOF {
		return nil, errors.New("unexpected data after the YAML document")
	}
	return json.Marshal(document)
}
