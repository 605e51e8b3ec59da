// Runs auth.js outside WeChat, for its tests: with a wx based on Node's fetch,
// and with codes and encrypted data from a URL that simulates the phone.
'use strict'

const { create } = require('./auth')

const [baseURL, phone, what] = process.argv.slice(2)
const storage = new Map()
const logins = { count: 0 }

const wx = {
  login: ({ success, fail }) => {
    logins.count++
    fetch(phone).then(r => r.text()).then(code => success({ code }), fail)
  },
  request: ({ url, method = 'GET', data, header, success, fail }) => {
    fetch(url, {
      method,
      headers: { 'content-type': 'application/json', ...header },
      body: data ? JSON.stringify(data) : undefined,
    }).then(async r => {
      const text = await r.text()
      let data = text
      try { data = JSON.parse(text) } catch { /* not JSON */ }
      success({ statusCode: r.status, data })
    }).catch(fail)
  },
  setStorageSync: (key, value) => storage.set(key, value),
  getStorageSync: key => storage.get(key) || '',
  removeStorageSync: key => storage.delete(key),
}

// stale sends data encrypted with a different session_key than the server's.
async function stale() {
  const app = create({ wx, baseURL })
  const profile = async () => {
    const res = await fetch(phone + '/data')
    return app.request({ url: '/api/profile', method: 'POST', data: await res.json() })
  }
  const out = {}
  await app.request({ url: '/api/me' })
  out.fresh = await profile()
  await fetch(phone + '/login') // a login that does not reach this server
  out.stale = await profile()
  out.me = await app.request({ url: '/api/me' })
  out.logins = logins.count
  await app.login()
  out.renewed = await profile()
  console.log(JSON.stringify(out))
}

// main uses all functions of the client.
async function main() {
  const app = create({ wx, baseURL })
  const out = {}

  const together = await Promise.all([1, 2, 3, 4, 5].map(() => app.request({ url: '/api/me' })))
  out.together = together.map(res => res.statusCode)
  out.openid = together[0].data.openid
  out.loginsTogether = logins.count

  wx.setStorageSync('wechatauth.token', 'wxm_' + 'A'.repeat(43))
  const again = await Promise.all([1, 2, 3].map(() => app.request({ url: '/api/me' })))
  out.afterExpiry = again.map(res => res.statusCode)
  out.loginsAfterExpiry = logins.count

  const webView = await app.webViewURL('/orders?id=7')
  out.webView = await (await fetch(phone + '/open?url=' + encodeURIComponent(webView))).json()

  const before = wx.getStorageSync('wechatauth.token')
  await app.logout().catch(err => { out.failedLogout = err.statusCode })
  out.kept = wx.getStorageSync('wechatauth.token') === before
  await app.logout()
  out.storage = [...storage.keys()]
  const dead = await fetch(baseURL + '/api/me', { headers: { authorization: 'Bearer ' + before } })
  out.afterLogout = dead.status

  console.log(JSON.stringify(out))
}

// login sends one request, with the login it requires.
async function login() {
  const res = await create({ wx, baseURL }).request({ url: '/api/me' })
  console.log(JSON.stringify(res.data))
}

const run = { all: main, stale, login }[what]
run().catch(err => { console.error(err); process.exit(1) })
