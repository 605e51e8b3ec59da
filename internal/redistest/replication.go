package redistest

import (
	"strings"
	"time"

	"github.com/gomodule/redigo/redis"
)

// longPatience bounds the waits for several servers to agree.
const longPatience = time.Minute

// await polls until the condition holds. It ends a hung test, and its limit is
// never reached in a good run.
func await(t Host, what string, holds func() bool) {
	t.Helper()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for end := time.Now().Add(longPatience); !holds(); <-ticker.C {
		if time.Now().After(end) {
			t.Fatalf("redistest: after %v still not so: %s", longPatience, what)
		}
	}
}

// inSync reports whether the server is a replica that has its primary's data.
func (s *Server) inSync() bool {
	return s.Info("replication")["master_link_status"] == "up"
}

// killInSync stops the acknowledgment of writes, waits until the replica has
// all acknowledged ones, and kills the primary.
func killInSync(t Host, primary, replica *Server) {
	t.Helper()
	primary.Do("CLIENT", "PAUSE", longPatience.Milliseconds(), "WRITE")
	await(t, "the replica has everything", func() bool {
		return primary.Info("replication")["master_repl_offset"] == replica.Info("replication")["slave_repl_offset"]
	})
	primary.Stop()
}

// Info returns the values of a section of INFO.
func (s *Server) Info(section string) map[string]string {
	s.t.Helper()
	text, err := redis.String(s.Do("INFO", section), nil)
	if err != nil {
		s.t.Fatalf("redistest: INFO %s: %v", section, err)
	}
	return lines(text)
}

// lines parses lines of the form "name:value".
func lines(text string) map[string]string {
	values := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			values[name] = value
		}
	}
	return values
}

// fields returns a reply of names and values as a map.
func (s *Server) fields(command string, args ...any) map[string]string {
	s.t.Helper()
	values, err := redis.StringMap(s.Do(command, args...), nil)
	if err != nil {
		s.t.Fatalf("redistest: %s: %v", command, err)
	}
	return values
}

func addrs(servers []*Server) []string {
	var all []string
	for _, s := range servers {
		all = append(all, s.Addr())
	}
	return all
}
