(() => {
  const main = document.querySelector("main");
  const { events, status, refresh } = main.dataset;
  let left = false;
  const show = (state) => {
    if (left) return;
    if (state === "waiting" || state === "scanned") {
      main.dataset.state = state;
      return;
    }
    left = true;
    location.replace(refresh);
  };
  const poll = () => {
    if (left) return;
    fetch(status, { cache: "no-store" })
      .then((answer) => (answer.ok ? answer.json().then((a) => show(a.state)) : null))
      .catch(() => {})
      .then(() => setTimeout(poll, 1000));
  };
  if (!window.EventSource) return poll();
  let heard = false, polling = false;
  const stream = new EventSource(events);
  const fall = () => {
    stream.close();
    if (!polling) { polling = true; poll(); }
  };
  stream.addEventListener("state", (event) => {
    heard = true;
    if (event.data !== "waiting" && event.data !== "scanned") stream.close();
    show(event.data);
  });
  stream.onerror = fall;
  setTimeout(() => { if (!heard) fall(); }, 3000);
  addEventListener("pageshow", (event) => { if (event.persisted) location.replace(refresh); });
})();
