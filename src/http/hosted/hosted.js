"use strict";
(() => {
  const { origin, code, state, error, cookie } = document.body.dataset;
  const { opener } = window;
  const frame = window.parent === window ? null : window.parent;
  const parent = opener || frame;
  // An ended session may have no origin: the page tells any parent that it ended, and nothing else.
  if (parent && (code || error)) {
    parent.postMessage({ type: "onceward", code, state, error }, code ? origin : origin || "*");
    if (error !== "ended") {
      if (opener) window.close();
      return;
    }
  }
  if (parent && cookie) {
    // If the browser blocks this cookie in the frame, it blocks that of the session: a new window then has the page.
    document.cookie = `onceward-test=1; ${cookie}`;
    const works = opener || document.cookie.includes("onceward-test=1");
    parent.postMessage({ type: "onceward", step: works ? "open" : "blocked" }, origin);
  }
  if (frame && window.ResizeObserver) {
    const tell = () => frame.postMessage({ type: "onceward", height: document.body.offsetHeight }, origin || "*");
    new ResizeObserver(tell).observe(document.body);
  }

  const country = document.querySelector("#country");
  if (country && Intl.DisplayNames) {
    const { lang } = document.documentElement;
    const names = new Intl.DisplayNames([lang], { type: "region" });
    const options = [...country.options];
    const chosen = country.value;
    // The mark keeps the + of +20 before its digits, also after a name that is read from right to left.
    options.forEach((option) => {
      option.text = option.text.replace(`${option.value} `, `${names.of(option.value)} \u200e`);
    });
    country.append(...options.sort((one, other) => one.text.localeCompare(other.text, lang)));
    country.value = chosen;
  }

  // A button that was pressed says so, and works once.
  const buttons = document.querySelectorAll("button");
  document.addEventListener("submit", ({ submitter }) => {
    setTimeout(() => buttons.forEach((button) => { button.disabled = true; }));
    if (submitter) submitter.setAttribute("aria-busy", "true");
  });
  window.addEventListener("pageshow", ({ persisted }) => { if (persisted) window.location.reload(); });

  // The server says how long the resend buttons wait. A screen reader hears only the end.
  const wait = document.querySelector("[data-wait]");
  if (wait) {
    const ends = Date.now() + 1000 * Number(wait.dataset.wait);
    const resend = document.querySelectorAll(".resend");
    const tick = () => {
      const left = Math.ceil((ends - Date.now()) / 1000);
      resend.forEach((button) => { button.disabled = left > 0; });
      wait.textContent = left > 0 ? wait.dataset.text.replace("{}", left) : "";
      if (left > 0) setTimeout(tick, 1000);
      else document.querySelector("[role=status]").textContent = resend[0].textContent;
    };
    tick();
  }

  const field = document.querySelector(".code");
  if (!field) return;
  const submit = () => field.form.requestSubmit(field.form.querySelector("button"));
  // After the last digit, however it came. A text with letters is left to the person.
  field.addEventListener("input", () => {
    const digits = field.value.replace(/[\s\p{Pd}\p{Cf}]/gu, "");
    if (/^\p{Nd}+$/u.test(digits) && [...digits].length === Number(field.dataset.digits)) submit();
  });
  if ("OTPCredential" in window) {
    navigator.credentials.get({ otp: { transport: ["sms"] } }).then((otp) => {
      field.value = otp.code;
      submit();
    }).catch(() => {});
  }
})();
