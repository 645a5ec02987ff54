"use strict";
(() => {
  const { origin, code, state, error } = document.body.dataset;
  const parent = window.opener || (window.parent !== window ? window.parent : null);
  if (origin && parent && (code || error)) {
    parent.postMessage({ type: "onceward", code, state, error }, origin);
    if (window.opener) window.close();
    return;
  }
  // An ended session has no origin: the page tells any parent that it ended, and nothing else.
  if (parent && error) parent.postMessage({ type: "onceward", error }, "*");
  const start = document.querySelector("form[data-start]");
  if (start && origin && parent) {
    // If the browser blocks cookies in the frame, the page keeps the address unused for a new window.
    document.cookie = "onceward-test=1; Path=/verify; SameSite=None; Secure; Partitioned";
    const works = window.opener || document.cookie.includes("onceward-test=1");
    parent.postMessage({ type: "onceward", step: works ? "open" : "blocked" }, origin);
    if (works) start.submit();
  }

  // The server says how long the resend buttons wait. A screen reader hears only the end.
  const wait = document.querySelector("[data-wait]");
  if (wait) {
    const ends = Date.now() + 1000 * Number(wait.dataset.wait);
    const buttons = document.querySelectorAll(".resend");
    const tick = () => {
      const left = Math.ceil((ends - Date.now()) / 1000);
      buttons.forEach((button) => { button.disabled = left > 0; });
      wait.textContent = left > 0 ? wait.dataset.text.replace("{}", left) : "";
      if (left > 0) setTimeout(tick, 1000);
      else document.querySelector("[role=status]").textContent = buttons[0].textContent;
    };
    tick();
  }

  const field = document.querySelector(".code");
  if (field && "OTPCredential" in window) {
    navigator.credentials.get({ otp: { transport: ["sms"] } }).then((otp) => {
      field.value = otp.code;
      field.form.requestSubmit();
    }).catch(() => {});
  }
})();
