package main

import (
	"encoding/json"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/redistest"
)

// command returns the JSON list that follows a key in a Dockerfile or a compose
// file.
func command(t *testing.T, file, key string) (args []string) {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	found := regexp.MustCompile(`(?m)^\s*` + key + ` (\[.*\])$`).FindSubmatch(text)
	require.NotNil(t, found, "%s has no %s", file, key)
	require.NoError(t, json.Unmarshal(found[1], &args))
	return args
}

// TestContainers starts the commands of the containers on free ports,
// with a Redis that has the options of the compose file.
func TestContainers(t *testing.T) {
	compose := "../../compose.yaml"
	text, err := os.ReadFile(compose)
	require.NoError(t, err)
	all := regexp.MustCompile(`(?m)^    command: (\[.*\])$`).FindAllSubmatch(text, -1)
	require.Len(t, all, 2, "site and Redis")
	var options []string
	require.NoError(t, json.Unmarshal(all[1][1], &options))
	require.Equal(t, "redis-server", options[0])
	redis := redistest.Start(t, options[1:]...)

	for name, args := range map[string][]string{
		"Dockerfile":   command(t, "../../Dockerfile", "CMD"),
		"compose.yaml": command(t, compose, "command:"),
	} {
		t.Run(name, func(t *testing.T) {
			for i, arg := range args {
				switch {
				case strings.HasPrefix(arg, "0.0.0.0:"):
					assert.Contains(t, string(text), `"127.0.0.1:`+strings.TrimPrefix(arg, "0.0.0.0:")+`:`, "the port is published only on this machine")
					args[i] = "0.0.0.0:0"
				case strings.HasPrefix(arg, "redis://redis:6379"):
					args[i] = redis.URL()
				}
			}
			p := start(t, nil, args...)
			found := openLine.FindStringSubmatch(p.line)
			require.NotNil(t, found, p.line)
			resp, body := get(t, curl(t), found[1]+"/")
			assert.Equal(t, http.StatusOK, resp.StatusCode)
			assert.Contains(t, body, openID)
		})
	}
}
