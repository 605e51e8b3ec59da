// Problems with forced colors, where backgrounds are the page's own color: a
// list of sentences, empty if there are none.
(() => {
  const faults = [];
  if (!matchMedia("(forced-colors: active)").matches) faults.push("colors are not forced");
  for (const e of document.querySelectorAll(".button, button, input:not([type=hidden])")) {
    const style = getComputedStyle(e);
    if (e.getClientRects().length > 0 && (style.borderTopStyle === "none" || parseFloat(style.borderTopWidth) < 1)) faults.push(`"${e.textContent || e.name}" has no edge`);
  }
  for (const e of document.querySelectorAll("main svg")) {
    if (e.getClientRects().length > 0 && getComputedStyle(e).stroke !== getComputedStyle(document.body).color) faults.push(`an icon is ${getComputedStyle(e).stroke}`);
  }
  return faults;
})()
