package wechattest_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPostedJSON_CaseSensitive(t *testing.T) {
	sim := simulator(t)
	stable := map[string]any{"grant_type": "client_credential", "appid": miniID, "secret": miniSecret}
	platformToken := map[string]any{"component_appid": platform, "component_appsecret": platformKey, "component_verify_ticket": sim.VerifyTicket(platform)}
	phone := map[string]any{"code": sim.GetPhoneNumber(miniID, "Lin")}
	number := numberPath + "?access_token=" + accountToken(t, sim, miniID, miniSecret)
	tests := map[string]struct {
		path        string
		in          map[string]any
		name, wrong string
		want        int
	}{
		"grant_type":              {"cgi-bin/stable_token", stable, "grant_type", "Grant_Type", 40002},
		"appid":                   {"cgi-bin/stable_token", stable, "appid", "AppID", 41002},
		"secret":                  {"cgi-bin/stable_token", stable, "secret", "SECRET", 41004},
		"component_appid":         {"cgi-bin/component/api_component_token", platformToken, "component_appid", "Component_AppID", 41018},
		"component_appsecret":     {"cgi-bin/component/api_component_token", platformToken, "component_appsecret", "component_appSecret", 41004},
		"component_verify_ticket": {"cgi-bin/component/api_component_token", platformToken, "component_verify_ticket", "component_verify_Ticket", 61006},
		"code":                    {number, phone, "code", "Code", 40029},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			in := map[string]any{}
			for member, value := range tt.in {
				if member == tt.name {
					member = tt.wrong
				}
				in[member] = value
			}
			require.Equal(t, tt.want, post(t, sim, tt.path, in).errcode())
		})
	}
	require.Equal(t, 47001, post(t, sim, number, map[string]any{"code": 1}).errcode())
	require.Zero(t, post(t, sim, number, phone).errcode(), "correct names work")
}

func TestPostedJSON_ForceRefresh(t *testing.T) {
	sim := simulator(t)
	call := func(force string) string {
		return post(t, sim, "cgi-bin/stable_token", map[string]any{
			"grant_type": "client_credential", "appid": miniID, "secret": miniSecret, force: true,
		}).text("access_token")
	}
	first := call("Force_Refresh")
	require.Equal(t, first, call("Force_Refresh"))
	require.NotEqual(t, first, call("force_refresh"))
}
