// Problems of the layout: a list of sentences, empty if there are none.
(() => {
  const faults = [];
  const root = document.scrollingElement;
  if (root.scrollWidth > innerWidth) faults.push(`scrolls sideways: ${root.scrollWidth}px wide in ${innerWidth}px`);
  for (const e of document.querySelectorAll("h1, p, li, dd, a, button, label")) {
    if (e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0) faults.push(`"${e.textContent.slice(0, 20)}" is ${e.scrollWidth}px wide in ${e.clientWidth}px`);
  }
  // A line of Chinese never begins with one of these.
  const closing = /[，。、；：？！）》」』”’…]/;
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = texts.nextNode(); node; node = texts.nextNode()) {
    if (node.parentElement.closest("script, style, noscript, .url")) continue;
    const top = (i) => {
      const range = document.createRange();
      range.setStart(node, i);
      range.setEnd(node, i + 1);
      const box = range.getClientRects()[0];
      return box ? box.top : NaN;
    };
    for (let i = 1; i < node.data.length; i++) {
      if (closing.test(node.data[i]) && top(i) > top(i - 1) + 4) faults.push(`a line begins with "${node.data.slice(i, i + 8)}"`);
    }
  }
  return faults;
})()
