(() => {
  const button = document.getElementById("copy");
  const url = document.getElementById("url");
  const done = () => { button.textContent = button.dataset.done; };
  const select = () => {
    const range = document.createRange();
    range.selectNodeContents(url);
    const selection = getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
    if (document.execCommand("copy")) done();
  };
  button.hidden = false;
  button.addEventListener("click", () => {
    if (!navigator.clipboard) return select();
    navigator.clipboard.writeText(url.textContent).then(done, select);
  });
})();
