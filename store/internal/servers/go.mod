module github.com/wechatauth/wechatauth/store/internal/servers

go 1.25.0

require (
	github.com/alicebob/miniredis/v2 v2.40.0
	github.com/gomodule/redigo v1.9.3
	github.com/redis/go-redis/v9 v9.22.0
	github.com/redis/rueidis v1.0.79
	github.com/stretchr/testify v1.12.1
	github.com/wechatauth/wechatauth v0.0.0
	github.com/wechatauth/wechatauth/store/goredisstore v0.0.0
	github.com/wechatauth/wechatauth/store/rueidisstore v0.0.0
)

require (
	github.com/alexedwards/scs/redisstore v0.0.0-20251002162104-209de6e426de // indirect
	github.com/alexedwards/scs/v2 v2.9.0 // indirect
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/yuin/gopher-lua v1.1.1 // indirect
	go.uber.org/atomic v1.11.0 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/crypto v0.54.0 // indirect
	golang.org/x/sys v0.47.0 // indirect
)

replace (
	github.com/wechatauth/wechatauth => ../../..
	github.com/wechatauth/wechatauth/store/goredisstore => ../../goredisstore
	github.com/wechatauth/wechatauth/store/rueidisstore => ../../rueidisstore
)
