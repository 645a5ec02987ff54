// onceward.verify(url) shows the hosted page of a session that was made with EmbedOrigin. It resolves to { code, state },
// and fails with "canceled" or "closed". Where the browser blocks the frame or its cookie, a button opens a window.
(() => {
  "use strict";
  const PATIENCE = 5000;

  const verify = (url, { container = document.body, label = "Verify in a new window" } = {}) =>
    new Promise((resolve, reject) => {
      const server = new URL(url).origin;
      const frame = document.createElement("iframe");
      let popup = null;
      let watch = 0;

      const end = () => {
        clearTimeout(patience);
        clearInterval(watch);
        window.removeEventListener("message", listen);
        container.removeChild(container.contains(frame) ? frame : button);
      };

      const button = document.createElement("button");
      button.type = "button";
      button.textContent = label;
      button.addEventListener("click", () => {
        popup = window.open(url, "onceward", "popup,width=480,height=720");
        if (!popup) return;
        clearInterval(watch);
        watch = setInterval(() => {
          if (!popup.closed) return;
          end();
          reject(new Error("closed"));
        }, 1000);
      });

      const useWindow = () => {
        clearTimeout(patience);
        if (container.contains(frame)) container.replaceChild(button, frame);
      };

      const listen = ({ origin, source, data }) => {
        const isOurs = source === (popup || frame.contentWindow);
        if (origin !== server || !isOurs || !data || data.type !== "onceward") return;
        clearTimeout(patience);
        if (data.step === "blocked") useWindow();
        if (!data.code && !data.error) return;
        end();
        if (data.code) resolve({ code: data.code, state: data.state });
        else reject(new Error(data.error));
      };

      const patience = setTimeout(useWindow, PATIENCE);
      window.addEventListener("message", listen);
      frame.src = url;
      frame.title = "Verification";
      frame.allow = "otp-credentials";
      frame.style.cssText = "border:0;width:100%;max-width:30rem;height:36rem";
      container.appendChild(frame);
    });

  window.onceward = { verify };
})();
