package wechattest

import "encoding/json"

// readBody decodes members of a JSON object into the given pointers and reports
// whether that succeeded. Names are case-sensitive: encoding/json alone also
// accepts "Code" for "code", which WeChat does not. Absent and null members
// leave their targets unchanged.
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
