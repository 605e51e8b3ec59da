// The mini program's part of the login: request replaces wx.request.
//
//   const { request, login, webViewURL, logout } = require('./auth').create({ wx, baseURL: 'https://m.example.com' })
//   request({ url: '/api/me' }).then(res => console.log(res.data.openid))
//
// It logs in when necessary, keeps the token in the storage, and logs in again
// if the server rejects the token. Concurrent requests share one wx.login,
// because a code is valid for one use.
'use strict'

const KEY = 'wechatauth.token'

function create({ wx, baseURL }) {
  let pending = null

  // call wraps a wx function with success and fail callbacks.
  const call = (name, options) => new Promise((success, fail) => wx[name]({ ...options, success, fail }))

  const send = (options, token) => call('request', {
    ...options,
    url: baseURL + options.url,
    header: { ...options.header, ...(token ? { Authorization: 'Bearer ' + token } : {}) },
  })

  // login logs in again, which is also necessary after a session_key_stale
  // response. Afterwards, get the data from WeChat again.
  const login = () => {
    const exchange = ({ code }) => send({ url: '/wechat/mini/login', method: 'POST', data: { code } })
    if (!pending) {
      pending = call('login', {}).then(exchange)
        // The request reached the server twice, and the first response was lost.
        .then(res => res.statusCode === 401 ? call('login', {}).then(exchange) : res)
        .then(res => {
          if (res.statusCode !== 200) {
            throw Object.assign(new Error('login failed'), { reason: res.data && res.data.reason, statusCode: res.statusCode })
          }
          wx.setStorageSync(KEY, res.data.token)
          return res.data.token
        })
        .finally(() => { pending = null })
    }
    return pending
  }

  // request is wx.request with a login, as a promise. options.url is a path.
  const request = async options => {
    const token = pending ? await pending : wx.getStorageSync(KEY) || await login()
    const res = await send(options, token)
    if (res.statusCode !== 401) return res
    // Another request may have logged in in the meantime.
    const now = wx.getStorageSync(KEY)
    return send(options, now && now !== token ? now : await login())
  }

  // webViewURL returns a URL for <web-view src> that opens target logged in. It
  // is valid for one minute and one use.
  const webViewURL = async target => {
    const res = await request({ url: '/wechat/mini/ticket', method: 'POST', data: { target } })
    if (res.statusCode !== 200) throw new Error('no ticket')
    return res.data.url
  }

  // logout ends the session on the server. If that fails, the token is kept for
  // another attempt, and the promise is rejected.
  const logout = async () => {
    const token = wx.getStorageSync(KEY)
    if (!token) return
    const res = await send({ url: '/wechat/logout', method: 'POST' }, token)
    if (res.statusCode !== 204) throw Object.assign(new Error('logout failed'), { statusCode: res.statusCode })
    wx.removeStorageSync(KEY)
  }

  return { request, login, webViewURL, logout }
}

module.exports = { create }
