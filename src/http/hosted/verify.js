// onceward.verify(url) shows the hosted page of a session that was made with EmbedOrigin. It resolves to { code, state },
// or fails with "canceled", "too_many_attempts", "closed" or "ended". After "ended" the frame stays until the next call:
// it says what happened. Where the browser blocks the frame or its cookie, a button opens a window.
(() => {
  "use strict";
  const PATIENCE = 5000;
  // Of a session, in milliseconds.
  const LIFE = 15 * 60 * 1000;
  let ended = null;

  const verify = (url, { container = document.body, label = "Verify in a new window" } = {}) =>
    new Promise((resolve, reject) => {
      if (ended) ended.remove();
      const server = new URL(url).origin;
      const frame = document.createElement("iframe");
      let popup = null;
      let watch = 0;

      const end = () => {
        clearTimeout(patience);
        clearTimeout(life);
        clearInterval(watch);
        window.removeEventListener("message", listen);
        button.remove();
      };

      const fail = (reason) => {
        end();
        if (reason === "ended") ended = frame;
        else frame.remove();
        reject(new Error(reason));
      };

      const button = document.createElement("button");
      button.type = "button";
      button.textContent = label;
      button.addEventListener("click", () => {
        popup = window.open(url, "onceward", "popup,width=480,height=720");
        if (!popup) return;
        clearInterval(watch);
        let wasClosed = false;
        watch = setInterval(() => {
          // What a window told before it closed may come a little later.
          if (wasClosed) fail("closed");
          wasClosed = popup.closed;
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
        if (data.height && !popup) frame.style.height = `${data.height}px`;
        if (data.error) fail(data.error);
        if (!data.code) return;
        end();
        frame.remove();
        resolve({ code: data.code, state: data.state });
      };

      const patience = setTimeout(useWindow, PATIENCE);
      const life = setTimeout(() => {
        frame.src = url;
        fail("ended");
      }, LIFE);
      window.addEventListener("message", listen);
      frame.src = url;
      frame.title = "Verification";
      frame.allow = "otp-credentials";
      frame.style.cssText = "border:0;width:100%;max-width:30rem;height:36rem";
      container.appendChild(frame);
    });

  window.onceward = { verify };
})();
