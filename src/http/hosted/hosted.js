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

  // Proof of work: find the number whose SHA-256, after the salt, is the hash.
  const proof = document.querySelector("form[data-salt]");
  if (proof) {
    const search = ({ data: { salt, hash, most } }) => {
      const primes = [2];
      for (let n = 3; primes.length < 64; n += 2) if (primes.every((prime) => n % prime)) primes.push(n);
      const fraction = (root) => (root % 1) * 2 ** 32 | 0;
      const start = primes.slice(0, 8).map((prime) => fraction(Math.sqrt(prime)));
      const rounds = Int32Array.from(primes, (prime) => fraction(Math.cbrt(prime)));
      const turn = (word, bits) => word >>> bits | word << 32 - bits;
      const words = new Int32Array(64);
      const [first, second] = [0, 8].map((at) => parseInt(hash.slice(at, at + 8), 16) | 0);
      // Compares the SHA-256 of a text that fits into one block.
      const fits = (text) => {
        words.fill(0, 0, 16);
        for (let i = 0; i < text.length; i += 1) words[i >> 2] |= text.charCodeAt(i) << 24 - i % 4 * 8;
        words[text.length >> 2] |= 128 << 24 - text.length % 4 * 8;
        words[15] = text.length * 8;
        for (let i = 16; i < 64; i += 1) {
          const x = words[i - 15];
          const y = words[i - 2];
          words[i] = words[i - 16] + (turn(x, 7) ^ turn(x, 18) ^ x >>> 3)
            + words[i - 7] + (turn(y, 17) ^ turn(y, 19) ^ y >>> 10);
        }
        let [a, b, c, d, e, f, g, h] = start;
        for (let i = 0; i < 64; i += 1) {
          const x = h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + (e & f ^ ~e & g) + rounds[i] + words[i] | 0;
          const y = x + (turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + (a & b ^ a & c ^ b & c) | 0;
          h = g; g = f; f = e; e = d + x | 0; d = c; c = b; b = a; a = y;
        }
        return (a + start[0] | 0) === first && (b + start[1] | 0) === second;
      };
      let answer = 0;
      while (answer < most && !fits(salt + answer)) answer += 1;
      postMessage(answer);
    };
    const worker = new Worker(URL.createObjectURL(new Blob([`onmessage = ${search}`])));
    worker.onmessage = ({ data }) => {
      proof.elements.proof.value = data;
      proof.submit();
    };
    worker.postMessage({ ...proof.dataset });
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
