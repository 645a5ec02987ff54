"use strict";
// A program written for Twilio, unchanged: the machine says where verify.twilio.com is, and which authority to trust.
//
// Run by tests/it/sdk.rs, which resolves the name to the server under test. ONCEWARD_INBOX is where that server shows the
// messages that it would have sent.

const assert = require("node:assert/strict");
const { test } = require("node:test");
const twilio = require("twilio");

// Without it the requests would go to Twilio.
if (!process.env.ONCEWARD_INBOX) {
  console.error("unchanged.js: run it with cargo nextest run --test it sdk::, which sets ONCEWARD_INBOX");
  process.exit(64);
}

const { verify } = twilio(process.env.TWILIO_ACCOUNT_SID, process.env.TWILIO_AUTH_TOKEN);

async function codeFor(to) {
  const answer = await fetch(`${process.env.ONCEWARD_INBOX}?to=${encodeURIComponent(to)}`);
  return (await answer.json()).messages[0].code;
}

const wrong = (code) => code.slice(0, -1) + ((Number(code.at(-1)) + 1) % 10);
const refused = (code, status, promise) => assert.rejects(promise, { code, status });

test("a program that knows only verify.twilio.com is served", async () => {
  const service = await verify.v2.services.create({ friendlyName: "Owl Bank" });
  assert.equal(service.url, `https://verify.twilio.com/v2/Services/${service.sid}`);
  const own = verify.v2.services(service.sid);

  const to = "+14155550181";
  const begun = await own.verifications.create({ to, channel: "sms" });
  assert.deepEqual([begun.status, begun.to, begun.valid], ["pending", to, false]);
  const code = await codeFor(to);
  assert.equal((await own.verificationChecks.create({ to, code: wrong(code) })).status, "pending");
  const approved = await own.verificationChecks.create({ to, code });
  assert.deepEqual([approved.sid, approved.status, approved.valid], [begun.sid, "approved", true]);
  await refused(20404, 404, own.verificationChecks.create({ to, code }));

  const other = await own.verifications.create({ to: "+14155550182", channel: "sms" });
  assert.equal((await own.verifications(other.sid).fetch()).status, "pending");
  assert.equal((await own.verifications(other.sid).update({ status: "canceled" })).status, "canceled");

  const limit = await own.rateLimits.create({ uniqueName: "end_user_ip" });
  await own.rateLimits("end_user_ip").buckets.create({ max: 1, interval: 60 });
  const rateLimits = { end_user_ip: "192.0.2.1" };
  await own.verifications.create({ to: "+14155550183", channel: "sms", rateLimits });
  await refused(20429, 429, own.verifications.create({ to: "+14155550184", channel: "sms", rateLimits }));
  assert.equal(await own.rateLimits(limit.sid).remove(), true);

  const webhook = await own.webhooks.create({
    friendlyName: "shop",
    eventTypes: ["verification.approved"],
    webhookUrl: "https://shop.example/hooks",
  });
  assert.equal((await own.webhooks(webhook.sid).update({ status: "disabled" })).status, "disabled");
  assert.deepEqual((await own.webhooks.list({ pageSize: 1 })).map((listed) => listed.sid), [webhook.sid]);
  assert.equal(await own.webhooks(webhook.sid).remove(), true);

  await refused(60223, 400, own.verifications.create({ to: "+14155550185", channel: "call" }));
  assert.equal(await own.remove(), true);
});
