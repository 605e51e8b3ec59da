// A hash router, and an API that may ask for a login.
const routes = { "/": home, "/me": account("/api/me"), "/profile": account("/api/profile") };

// LoginNeeded is what the gate answers a script: 401 without a session, 403
// where the profile is missing. Its login_url leads on.
class LoginNeeded extends Error {
  constructor({ reason, login_url }) {
    super(reason);
    this.reason = reason;
    // The server never sees what stands after "#", so it is handed over.
    const here = location.pathname + location.search + location.hash;
    this.url = login_url + "?next=" + encodeURIComponent(here);
  }
}

async function api(path) {
  const response = await fetch(path, { headers: { Accept: "application/json" } });
  const answer = await response.json();
  if (response.ok) return answer;
  if (answer.login_url) throw new LoginNeeded(answer);
  throw new Error(answer.reason);
}

function show(template) {
  const main = document.querySelector("main");
  main.replaceChildren(document.getElementById(template).content.cloneNode(true));
  return (selector) => main.querySelector(selector);
}

async function home() {
  show("home");
}

function account(path) {
  return async () => {
    const user = await api(path);
    const $ = show("account");
    $("h1").textContent = user.nickname || "Logged in";
    $("#openid").textContent = user.openid;
    if (user.avatar) Object.assign($(".avatar"), { src: user.avatar, hidden: false });
  };
}

// Whoever has just logged out is asked: he wants to stay logged out. Everybody
// else is sent to log in at once, and in place of this page: "back" then leads
// past the login.
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

let visit = 0; // the last one wins, however late the others answer
async function route() {
  const mine = ++visit;
  const path = location.hash.slice(1) || "/";
  document.querySelectorAll("nav a").forEach((a) => a.toggleAttribute("aria-current", a.hash.slice(1) === path));
  try {
    await (routes[path] ?? home)();
  } catch (error) {
    if (mine !== visit) return;
    if (error instanceof LoginNeeded) return login(error);
    const $ = show("trouble");
    $("p").textContent = error.message;
    $("#again").addEventListener("click", route);
  }
}

addEventListener("hashchange", route);
// A page that comes out of the browser's memory may be older than a logout.
addEventListener("pageshow", route);
