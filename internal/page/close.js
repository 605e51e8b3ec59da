(() => {
  const button = document.getElementById("close");
  const show = () => { button.hidden = false; };
  button.addEventListener("click", () => WeixinJSBridge.call("closeWindow"));
  if (window.WeixinJSBridge) show();
  else document.addEventListener("WeixinJSBridgeReady", show);
})();
