(() => {
  const line = document.getElementById("wait");
  const seconds = line.textContent.match(/\d+/); // the application may have another text
  if (!seconds) return;
  const first = parseInt(seconds[0], 10);
  const key = "wechatauth-retry";
  // At most five times in a row, each after twice the time: the tab counts. In a
  // browser that keeps no count, only the button tries again.
  const most = 5, row = 300000;
  let tries = 0;
  try {
    const last = JSON.parse(sessionStorage.getItem(key)) || { tries: 0, at: 0 };
    if (Date.now() - last.at < row) tries = last.tries;
  } catch (e) {
    return;
  }
  if (tries >= most) return;
  let left = first * 2 ** tries + Math.floor(Math.random() * first * tries);
  const show = () => { line.textContent = line.textContent.replace(/\d+/, left); };
  const tick = () => {
    if (document.hidden) return;
    left -= 1;
    if (left > 0) return show();
    clearInterval(timer);
    try {
      sessionStorage.setItem(key, JSON.stringify({ tries: tries + 1, at: Date.now() }));
    } catch (e) {
      line.hidden = true;
      return;
    }
    location.replace(line.dataset.url);
  };
  show();
  line.hidden = false;
  const timer = setInterval(tick, 1000);
})();
