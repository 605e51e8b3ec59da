// The mini program's side of the login: one function in place of wx.request.
//
//   const { request, login, webViewURL, logout } = require('./auth').create({ wx, baseURL: 'https://m.example.com' })
//   request({ url: '/api/me' }).then(res => console.log(res.data.openid))
//
// It logs in when it has to, keeps the token in the storage, and logs in once
// more when the server no longer takes it. Requests that start together share
// one wx.login: a code is good for one use.
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

  // login is for after an answer session_key_stale, too: ask WeChat for the data
  // once more when it is done.
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

  // request is wx.request as a promise, logged in. options.url is a path.
  const request = async options => {
    const token = pending ? await pending : wx.getStorageSync(KEY) || await login()
    const res = await send(options, token)
    if (res.statusCode !== 401) return res
    // Another request may have logged in again meanwhile.
    const now = wx.getStorageSync(KEY)
    return send(options, now && now !== token ? now : await login())
  }

  // webViewURL makes a URL for <web-view src>: it opens target logged in, once,
  // within a minute.
  const webViewURL = async target => {
    const res = await request({ url: '/wechat/mini/ticket', method: 'POST', data: { target } })
    if (res.statusCode !== 200) throw new Error('no ticket')
    return res.data.url
  }

  // logout ends the session on the server. Where that cannot be done the token
  // stays, to try again with, and the promise is rejected.
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
