package wechattest

// virtual is the identity that a snapshot page gets instead of a person's.
type virtual struct {
	openID, unionID string
}
