package client

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"time"
)

// A PhoneNumber is the result of [Client.PhoneNumber].
type PhoneNumber struct {
	Number      string    // with the country code if it is a foreign number
	PureNumber  string    // without the country code
	CountryCode string    // such as "86"
	IssuedAt    time.Time // from the watermark; zero if there is none
}

// PhoneNumber exchanges the code from a mini program's getPhoneNumber button
// for the user's phone number:
// https://developers.weixin.qq.com/miniprogram/dev/server/API/user-info/phone-number/api_getphonenumber.html.
// This code differs from that of wx.login. It is valid for five minutes and for
// one use, and is sent at most once with a valid account token. A response for
// another AppID is an error.
func (c *Client) PhoneNumber(ctx context.Context, code string) (*PhoneNumber, error) {
	req := request{endpoint: "wxa/business/getuserphonenumber", once: true,
		query: url.Values{}, json: map[string]any{"code": code}}
	if !isCode(code) {
		return nil, req.notSentError(KindRestart, ErrCodeInvalid)
	}
	obj, err := c.callAsAccount(ctx, req)
	if err != nil {
		return nil, err
	}
	return obj.phoneNumber(c.appID)
}

func (o *jsonObject) phoneNumber(appID string) (*PhoneNumber, error) {
	if len(o.fields["phone_info"]) > maxText {
		return nil, o.badResponse(errors.New("has a phone_info longer than 16 KiB"))
	}
	fields, err := parseObject(o.fields["phone_info"], payloadKeys)
	if err != nil {
		return nil, o.badResponse(errors.New("has no phone_info"))
	}
	if watermark(fields) != appID {
		return nil, o.badResponse(errors.New("is for another AppID"))
	}
	info := &jsonObject{endpoint: o.endpoint, fields: fields}
	p := &PhoneNumber{
		Number:      info.plain("phoneNumber"),
		PureNumber:  info.plain("purePhoneNumber"),
		CountryCode: info.plain("countryCode"),
		IssuedAt:    issuedAt(fields["watermark"]),
	}
	if p.Number == "" {
		return nil, o.badResponse(errors.New("has no phone number"))
	}
	return p, nil
}

func issuedAt(watermark json.RawMessage) time.Time {
	fields, err := parseObject(watermark, watermarkKeys)
	if err != nil {
		return time.Time{}
	}
	n, ok := (&jsonObject{fields: fields}).integer("timestamp")
	if !ok || n <= 0 || n > 1<<40 {
		return time.Time{}
	}
	return time.Unix(n, 0)
}
