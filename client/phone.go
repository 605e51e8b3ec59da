package client

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"time"
)

// PhoneNumber is the answer to [Client.PhoneNumber].
type PhoneNumber struct {
	Number      string    // with the country code if it is a foreign one
	PureNumber  string    // without country code
	CountryCode string    // such as "86"
	IssuedAt    time.Time // of the watermark; zero if WeChat sent none
}

// PhoneNumber turns the code of a mini program's getPhoneNumber button into the
// user's number. That code is not the one of wx.login; it lives five minutes,
// works once and reaches WeChat at most once with a valid account token:
// https://developers.weixin.qq.com/miniprogram/dev/server/API/user-info/phone-number/api_getphonenumber.html.
// An answer for another AppID is refused.
func (c *Client) PhoneNumber(ctx context.Context, code string) (*PhoneNumber, error) {
	req := request{endpoint: "wxa/business/getuserphonenumber", once: true,
		query: url.Values{}, json: map[string]any{"code": code}}
	if !isCode(code) {
		return nil, req.unsent(KindRestart, ErrCodeInvalid)
	}
	ans, err := c.callAsAccount(ctx, req)
	if err != nil {
		return nil, err
	}
	return ans.phoneNumber(c.appID)
}

func (a *answer) phoneNumber(appID string) (*PhoneNumber, error) {
	if len(a.fields["phone_info"]) > maxText {
		return nil, a.refused(errors.New("has a phone_info longer than 16 KiB"))
	}
	fields, err := parseObject(a.fields["phone_info"], payloadKeys)
	if err != nil {
		return nil, a.refused(errors.New("has no phone_info"))
	}
	if watermark(fields) != appID {
		return nil, a.refused(errors.New("is for another AppID"))
	}
	info := &answer{endpoint: a.endpoint, fields: fields}
	p := &PhoneNumber{
		Number:      info.plain("phoneNumber"),
		PureNumber:  info.plain("purePhoneNumber"),
		CountryCode: info.plain("countryCode"),
		IssuedAt:    issuedAt(fields["watermark"]),
	}
	if p.Number == "" {
		return nil, a.refused(errors.New("has no phone number"))
	}
	return p, nil
}

func issuedAt(watermark json.RawMessage) time.Time {
	fields, err := parseObject(watermark, watermarkKeys)
	if err != nil {
		return time.Time{}
	}
	n, ok := (&answer{fields: fields}).integer("timestamp")
	if !ok || n <= 0 || n > 1<<40 {
		return time.Time{}
	}
	return time.Unix(n, 0)
}
