"use strict";
// The receiver of docs/guides/webhooks.md.

const assert = require("node:assert/strict");
const { once } = require("node:events");
const fs = require("node:fs");
const path = require("node:path");
const { test } = require("node:test");
const { Webhook } = require("standardwebhooks");

test("the receiver takes only events with the signature of its secret", async (t) => {
  const secret = (process.env.WEBHOOK_SECRET = "whsec_c2VjcmV0LW9mLXRoZS1yZWNlaXZlcg==");
  const text = fs.readFileSync(path.join(__dirname, "../../../examples/webhooks/receiver.js"), "utf8");
  const module = {};
  const printed = [];
  const console = { log: (...words) => printed.push(words.join(" ")) };
  new Function("require", "console", "module", text.replace("app.listen(8000)", "module.app = app"))(require, console, module);
  const server = module.app.listen(0, "127.0.0.1");
  t.after(() => server.close().closeAllConnections());
  await once(server, "listening");

  const body = JSON.stringify({ type: "verification.approved", data: { verification_sid: "VE1" } });
  const now = new Date();
  const headers = {
    "content-type": "application/json",
    "webhook-timestamp": String(Math.floor(now.getTime() / 1000)),
    "webhook-signature": new Webhook(secret).sign("msg_1", now, body),
  };
  for (const [id, status] of [["msg_2", 400], ["msg_1", 204]]) {
    const address = `http://127.0.0.1:${server.address().port}/hooks`;
    const answer = await fetch(address, { method: "POST", headers: { ...headers, "webhook-id": id }, body });
    assert.equal(answer.status, status);
  }
  assert.deepEqual(printed, ["msg_1 verification.approved VE1"]);
});
