module github.com/wechatauth/wechatauth/examples

go 1.25.0

require github.com/wechatauth/wechatauth v0.0.0

require (
	github.com/go-chi/chi/v5 v5.5.0 // indirect
	github.com/gorilla/mux v1.8.1 // indirect
)

replace github.com/wechatauth/wechatauth => ../
