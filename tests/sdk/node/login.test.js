"use strict";
// Codes of other systems: a login through better-auth, as docs/guides/login-libraries.md has it, and Supabase's hook as the
// library of Standard Webhooks signs it.

const assert = require("node:assert/strict");
const { test } = require("node:test");
const { betterAuth } = require("better-auth");
const { memoryAdapter } = require("better-auth/adapters/memory");
const { phoneNumber } = require("better-auth/plugins");
const { Webhook } = require("standardwebhooks");
const own = require("./own-server");

const authorization = "Basic " + Buffer.from(`${own.accountSid}:${own.authToken}`).toString("base64");

test("a person signs in through better-auth, with onceward as sender and outcome", async (t) => {
  const { sid } = await own.service(t);
  const answers = [];
  async function onceward(resource, fields) {
    const body = new URLSearchParams(fields);
    const answer = await fetch(`${own.url}/v2/Services/${sid}/${resource}`, { method: "POST", headers: { authorization }, body });
    answers.push([resource, answer.status, (await answer.json()).status]);
    if (!answer.ok) throw new Error(`onceward: ${answer.status}`);
  }
  const auth = betterAuth({
    baseURL: "http://localhost:3000",
    secret: "0123456789abcdef0123456789abcdef",
    database: memoryAdapter({ user: [], session: [], account: [], verification: [] }),
    telemetry: { enabled: false },
    plugins: [phoneNumber({
      sendOTP: ({ phoneNumber: To, code: Code }) => onceward("Messages", { To, Code }),
      callbackOnVerification: ({ phoneNumber: To }) => onceward("Outcomes", { To }),
      signUpOnVerification: { getTempEmail: (number) => `${number.slice(1)}@example.com` },
    })],
  });
  const to = own.number();
  await auth.api.sendPhoneNumberOTP({ body: { phoneNumber: to } });
  const code = await own.codeFor(to);
  await assert.rejects(auth.api.verifyPhoneNumber({ body: { phoneNumber: to, code: own.wrong(code) } }));
  const signedIn = await auth.api.verifyPhoneNumber({ body: { phoneNumber: to, code } });
  assert.equal(signedIn.user.phoneNumber, to);
  assert.deepEqual(answers, [["Messages", 201, "accepted"], ["Outcomes", 200, "counted"]]);
});

test("the library of Standard Webhooks signs as the hook expects", async () => {
  // As tests/it/sdk.rs configures it.
  const webhook = new Webhook("whsec_c3VwYWJhc2Utc2VjcmV0LW9uZS1mb3ItdGVzdHM=");
  const to = own.number();
  const body = JSON.stringify({ user: { phone: to.slice(1) }, sms: { otp: "271828" } });
  const post = (id, at, signature) =>
    fetch(`${own.url}/hooks/supabase`, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        "webhook-id": id,
        "webhook-timestamp": String(Math.floor(at.getTime() / 1000)),
        "webhook-signature": signature,
      },
      body,
    });
  const now = new Date();
  const forged = await post("msg_2", now, webhook.sign("msg_1", now, body));
  assert.equal(forged.status, 401);
  const sent = await post("msg_1", now, webhook.sign("msg_1", now, body));
  assert.deepEqual([sent.status, await sent.json()], [200, {}]);
  assert.equal(await own.codeFor(to), "271828");
});
