(() => {
  const main = document.querySelector("main");
  const { status, refresh } = main.dataset;
  const steps = ["waiting", "scanned", "confirmed"];
  const show = (state) => {
    const step = steps.indexOf(state);
    if (step === 1 && main.dataset.state === "waiting") main.dataset.state = state;
    if (step < 0 || step > steps.indexOf(main.dataset.state)) location.replace(refresh);
    else setTimeout(poll, 1000);
  };
  const poll = () => fetch(status, { cache: "no-store" })
    .then((response) => (response.ok ? response.json() : main.dataset))
    .catch(() => main.dataset)
    .then(({ state }) => show(state));
  poll();
  addEventListener("pageshow", (event) => { if (event.persisted) location.replace(refresh); });
})();
