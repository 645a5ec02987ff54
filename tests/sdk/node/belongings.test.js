"use strict";
// Resources of a service or of the account: webhooks, messaging configurations, templates, the safe list.

const assert = require("node:assert/strict");
const { test } = require("node:test");
const own = require("./own-server");

const verify = own.client().verify.v2;

test("a webhook is made, read, changed, listed and deleted", async (t) => {
  const service = await own.service(t);
  const webhookUrl = "https://hooks.example.com/verify";
  const eventTypes = ["verification.created", "verification.approved"];
  const made = await service.webhooks.create({ friendlyName: "events", eventTypes, webhookUrl });
  own.isSid("YW", made.sid);
  assert.deepEqual([made.status, made.version, made.webhookMethod, made.webhookUrl], ["enabled", "v2", "POST", webhookUrl]);
  assert.deepEqual(made.eventTypes.toSorted?.() ?? made.eventTypes.slice().sort(), eventTypes.slice().sort());
  const webhook = service.webhooks(made.sid);
  assert.equal((await webhook.update({ status: "disabled" })).status, "disabled");
  assert.equal((await webhook.fetch()).friendlyName, "events");
  assert.deepEqual((await service.webhooks.list({ pageSize: 1 })).map((w) => w.sid), [made.sid]);
  assert.equal(await webhook.remove(), true);
  await own.refused(20404, 404, webhook.fetch());
  const bad = { friendlyName: "events", eventTypes: ["owl.seen"], webhookUrl };
  await own.refused(60200, 400, service.webhooks.create(bad), "EventTypes");
});

test("a messaging configuration is made, read, changed, listed and deleted", async (t) => {
  const service = await own.service(t);
  const create = (messagingServiceSid, country = "DE") => service.messagingConfigurations.create({ country, messagingServiceSid });
  // The refusal names the configured gateways, and a client learns their ids from it.
  const error = await create(`MG${"0".repeat(32)}`).catch((error) => error);
  const gateway = /(MG[0-9a-f]{32}) \(Simulator\)/.exec(error.message)[1];
  assert.equal((await create(gateway)).messagingServiceSid, gateway);
  const one = service.messagingConfigurations("DE");
  assert.equal((await one.update({ messagingServiceSid: gateway })).country, "DE");
  await create(gateway, "FR");
  const listed = await service.messagingConfigurations.list({ pageSize: 1 });
  assert.deepEqual(listed.map((c) => c.country).sort(), ["DE", "FR"]);
  await own.refused(60213, 400, create(gateway));
  assert.equal(await one.remove(), true);
  await own.refused(20404, 404, one.fetch());
});

test("templates are listed with their translations", async () => {
  const [login] = await verify.templates.list({ friendlyName: "login" });
  own.isSid("HJ", login.sid);
  assert.equal(login.translations.en.text, "{code} opens {{door}} of {friendly_name}");
  assert.ok((await verify.templates.list({ pageSize: 1 })).length >= 3);
});

test("a number is put on the safe list, found and taken off", async () => {
  const to = own.number();
  const made = await verify.safelist.create({ phoneNumber: to });
  own.isSid("GN", made.sid);
  assert.equal((await verify.safelist(to).fetch()).sid, made.sid);
  assert.equal(await verify.safelist(to).remove(), true);
  await own.refused(20404, 404, verify.safelist(to).fetch());
});
