// A hash router, and an API that requires a login.
const routes = { "/": home, "/me": account("/api/me"), "/profile": account("/api/profile") };

// LoginNeeded means that the middleware responded with 401 (no session) or 403
// (no profile). login_url is where to log in.
class LoginNeeded extends Error {
  constructor({ reason, login_url }) {
    super(reason);
    this.reason = reason;
    // The server never sees the fragment, so it is passed in next.
    const here = location.pathname + location.search + location.hash;
    this.url = login_url + "?next=" + encodeURIComponent(here);
  }
}

async function api(path) {
  const response = await fetch(path, { headers: { Accept: "application/json" } });
  const body = await response.json();
  if (response.ok) return body;
  if (body.login_url) throw new LoginNeeded(body);
  throw new Error(body.reason);
}

function show(template) {
  const main = document.querySelector("main");
  main.textContent = "";
  main.append(document.getElementById(template).content.cloneNode(true));
  return (selector) => main.querySelector(selector);
}

// A route loads its data and returns a function that shows it.
async function home() {
  return () => show("home");
}

function account(path) {
  return async () => {
    const user = await api(path);
    return () => {
      const $ = show("account");
      $("h1").textContent = user.nickname || "Logged in";
      $("#openid").textContent = user.openid;
      if (user.avatar) Object.assign($(".avatar"), { src: user.avatar, hidden: false });
    };
  };
}

// After a logout, the page asks before it logs in again. Otherwise it redirects
// to the login immediately. location.replace keeps the login out of the history.
const loggedOut = "logged out";
addEventListener("submit", () => sessionStorage.setItem(loggedOut, "yes"));

function login(needed) {
  if (!sessionStorage.getItem(loggedOut)) {
    location.replace(needed.url);
    return;
  }
  const $ = show("login");
  $("h1").textContent = "You are logged out";
  $("p").textContent = "Log in again to see your account.";
  $("#to-login").href = needed.url;
  $("#to-login").addEventListener("click", () => sessionStorage.removeItem(loggedOut));
}

// The last click wins: only the latest route is shown or redirects to the login,
// even if the response of an earlier one arrives later.
let current = 0;
async function route() {
  const mine = ++current;
  const path = location.hash.slice(1) || "/";
  for (const a of document.querySelectorAll("nav a")) {
    if (a.hash.slice(1) === path) a.setAttribute("aria-current", "page");
    else a.removeAttribute("aria-current");
  }
  let next;
  try {
    next = await (routes[path] || home)();
  } catch (error) {
    next = () => (error instanceof LoginNeeded ? login(error) : trouble(error));
  }
  if (mine === current) next();
}

function trouble(error) {
  const $ = show("trouble");
  $("p").textContent = error.message;
  $("#again").addEventListener("click", route);
}

addEventListener("hashchange", route);
// A page from the back/forward cache may be older than a logout.
addEventListener("pageshow", route);
