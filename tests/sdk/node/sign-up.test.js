"use strict";
// The form of examples/sign-up in React, with a backend that asks the server under test.

const assert = require("node:assert/strict");
const fs = require("node:fs");
const path = require("node:path");
const { test } = require("node:test");
const { Window } = require("happy-dom");
const { transform } = require("sucrase");
const own = require("./own-server");

const window = new Window();
const { document } = window;
for (const name of ["document", "FormData", "navigator"]) {
  Object.defineProperty(globalThis, name, { value: window[name], configurable: true });
}
Object.assign(globalThis, { window, IS_REACT_ACT_ENVIRONMENT: true });
// React looks for a browser when it is loaded.
const { act, createElement } = require("react");
const { createRoot } = require("react-dom/client");

const source = path.join(__dirname, "../../../examples/sign-up/CodeForm.jsx");

/** What the file exports. */
function component() {
  const options = { transforms: ["jsx", "imports"], jsxRuntime: "automatic", production: true };
  const { code } = transform(fs.readFileSync(source, "utf8"), options);
  const module = { exports: {} };
  new Function("require", "module", "exports", code)(require, module, module.exports);
  return module.exports;
}

/** Waits until the page has this text, for a minute by the machine's clock. */
async function shows(text) {
  const end = performance.now() + 60_000;
  while (!document.body.textContent.includes(text)) {
    assert.ok(performance.now() < end, document.body.innerHTML);
    await act(() => new Promise(setImmediate));
  }
}

test("a person enters a wrong code, sends again after 30 seconds, and is verified", async (t) => {
  const service = await own.service(t);
  const to = own.number();
  const send = () => service.verifications.create({ to, channel: "sms" });
  const { sid } = await send();
  const code = await own.codeFor(to);
  const backend = {
    "/api/phone/send": send,
    "/api/phone/check": async ({ code }) => {
      const { status } = await service.verificationChecks.create({ verificationSid: sid, code });
      return status === "approved" ? {} : { message: "This code is wrong." };
    },
  };
  const { fetch } = globalThis;
  t.mock.method(globalThis, "fetch", async (url, options) => {
    if (!backend[url]) return fetch(url, options);
    assert.deepEqual([options.method, options.headers], ["POST", { "Content-Type": "application/json" }]);
    const { message } = await backend[url](JSON.parse(options.body));
    return Response.json({ message }, { status: message ? 400 : 200 });
  });
  t.mock.timers.enable({ apis: ["setTimeout"] });

  const form = document.body.appendChild(document.createElement("div"));
  const root = createRoot(form);
  t.after(() => act(() => root.unmount()));
  const Done = () => createElement("p", {}, "Verified");
  const onVerified = () => root.render(createElement(Done));
  await act(() => root.render(createElement(component().CodeForm, { onVerified })));
  const field = document.querySelector("input");
  assert.equal(field.getAttribute("autocomplete"), "one-time-code");
  const [verify, again] = document.querySelectorAll("button");
  const enter = (code) => {
    field.value = code;
    return act(() => verify.click());
  };

  await enter(own.wrong(code));
  await shows("This code is wrong.");
  for (let second = 30; second > 0; second--) {
    assert.deepEqual([again.disabled, again.textContent], [true, `Send again in ${second} s`]);
    await act(() => t.mock.timers.tick(1000));
  }
  assert.deepEqual([again.disabled, again.textContent], [false, "Send again"]);
  await act(() => again.click());
  await shows("Send again in 30 s");
  assert.equal(document.querySelector("[role=alert]"), null);
  assert.equal((await own.inbox(to)).length, 2);
  await enter(code);
  await shows("Verified");
});
