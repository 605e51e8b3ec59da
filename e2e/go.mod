module github.com/wechatauth/wechatauth/e2e

go 1.25.0

require (
	github.com/chromedp/cdproto v0.159.0
	github.com/chromedp/chromedp v0.23.0
	github.com/stretchr/testify v1.12.1
	github.com/wechatauth/wechatauth v0.0.0
)

require (
	github.com/go-json-experiment/json v0.0.0-20260213210345-44df1a37e875 // indirect
	github.com/gomodule/redigo v1.9.3 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
)

replace github.com/wechatauth/wechatauth => ../
