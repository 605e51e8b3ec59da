package wechattest

import "encoding/json"

// readBody reads members of a JSON object into what they point to, and reports
// whether that went well. Names count as they are written: encoding/json alone
// also takes "Code" for "code", which WeChat does not. What is absent or null
// leaves its target alone.
func readBody(body []byte, members map[string]any) bool {
	var object map[string]json.RawMessage
	if json.Unmarshal(body, &object) != nil {
		return false
	}
	for name, target := range members {
		if raw, ok := object[name]; ok && json.Unmarshal(raw, target) != nil {
			return false
		}
	}
	return true
}
