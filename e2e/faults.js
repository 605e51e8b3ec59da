// Problems for a user of the current page: a list of sentences, empty if there
// are none.
(() => {
  const faults = [];
  // Chromium 78 has no checkVisibility, and no boxes in closed <details>.
  const shown = (e) => e.checkVisibility ? e.checkVisibility() : e.getClientRects().length > 0 && getComputedStyle(e).visibility === "visible";
  const root = document.scrollingElement;
  if (root.scrollWidth > innerWidth) faults.push(`scrolls sideways: ${root.scrollWidth}px wide in ${innerWidth}px`);
  if (!document.title) faults.push("has no title");

  for (const target of document.querySelectorAll("button, a, input:not([type=hidden])")) {
    if (!shown(target)) continue;
    const box = target.getBoundingClientRect();
    if (box.height < 44) faults.push(`"${target.innerText || target.name}" is ${box.height}px high, too little for a finger`);
  }

  // WCAG 2.2, 1.4.3: 4.5 to 1, and 3 to 1 for large text.
  const rgba = (css) => {
    const [r, g, b, a = 1] = css.match(/[\d.]+/g).map(Number);
    return { r, g, b, a };
  };
  const over = (top, ground) => ({
    r: top.r * top.a + ground.r * (1 - top.a),
    g: top.g * top.a + ground.g * (1 - top.a),
    b: top.b * top.a + ground.b * (1 - top.a),
    a: 1,
  });
  const ground = (e) => {
    if (!e) return rgba(matchMedia("(prefers-color-scheme: dark)").matches ? "rgb(18, 18, 18)" : "rgb(255, 255, 255)");
    const own = rgba(getComputedStyle(e).backgroundColor);
    return own.a === 1 ? own : over(own, ground(e.parentElement));
  };
  const light = ({ r, g, b }) => {
    const [R, G, B] = [r, g, b].map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * R + 0.7152 * G + 0.0722 * B;
  };
  for (const e of document.body.querySelectorAll("*")) {
    const ownText = [...e.childNodes].some((n) => n.nodeType === Node.TEXT_NODE && n.data.trim());
    if (!ownText || !shown(e) || e.closest("[aria-hidden=true]")) continue;
    const style = getComputedStyle(e), behind = ground(e);
    const [a, b] = [light(over(rgba(style.color), behind)), light(behind)];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
    if (ratio < (large ? 3 : 4.5)) faults.push(`"${e.innerText}" has a contrast of ${ratio.toFixed(2)}`);
  }
  return faults;
})()
