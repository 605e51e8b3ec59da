(() => {
  const main = document.querySelector("main");
  const left = document.getElementById("left");
  const renew = document.getElementById("renew");
  const { status, refresh } = main.dataset;
  const steps = ["waiting", "scanned", "confirmed"];
  const seconds = left && left.textContent.match(/\d+/); // the application may have another text
  const end = seconds ? Date.now() + 1000 * parseInt(seconds[0], 10) : Infinity;
  const remaining = () => Math.max(0, Math.ceil((end - Date.now()) / 1000));
  const tick = () => { left.textContent = left.textContent.replace(/\d+/, remaining()); };
  const timer = seconds && setInterval(tick, 1000);
  let failures = 0;
  const expire = () => {
    clearInterval(timer);
    main.classList.remove("away");
    main.dataset.state = "expired";
  };
  const show = (state) => {
    const step = steps.indexOf(state);
    if (renew && (state === "scan_expired" || failures && !remaining())) return expire();
    if (step === 1 && main.dataset.state === "waiting") main.dataset.state = state;
    if (step < 0 || step > steps.indexOf(main.dataset.state)) location.replace(refresh);
    else setTimeout(poll, 1000 * Math.min(1 + failures, 5));
  };
  const poll = () => fetch(status, { cache: "no-store" })
    .then((response) => {
      if (!response.ok) throw response;
      return response.json();
    })
    .then(({ state }) => {
      if (typeof state !== "string") throw state;
      failures = 0;
      return state;
    })
    .catch(() => {
      failures += 1;
      return main.dataset.state;
    })
    .then((state) => {
      main.classList.toggle("away", failures > 1);
      show(state);
    });
  setTimeout(poll, 1000); // so that no response can make the page reload more often
  if (renew) {
    renew.addEventListener("click", (event) => {
      event.preventDefault();
      location.replace(renew.href);
    });
  }
  addEventListener("pageshow", (event) => { if (event.persisted) location.replace(refresh); });
})();
