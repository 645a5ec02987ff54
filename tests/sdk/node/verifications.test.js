"use strict";
// Verifications with every parameter, and delivery attempts.

const assert = require("node:assert/strict");
const { test } = require("node:test");
const own = require("./own-server");

const verify = own.client().verify.v2;

test("every parameter of a verification arrives", async (t) => {
  const service = await own.service(t, { customCodeEnabled: true });
  const [login] = await verify.templates.list({ friendlyName: "login" });
  const limit = await service.rateLimits.create({ uniqueName: "session" });
  await service.rateLimits(limit.sid).buckets.create({ max: 1, interval: 3600 });
  const to = own.number();
  const begin = (wishes) => service.verifications.create({ to, channel: "sms", ...wishes });
  const wishes = {
    appHash: "FA+9qCX9VSu",
    customCode: "K7m2Pq",
    customFriendlyName: "Barn Owls",
    deviceIp: "192.0.2.7",
    locale: "de",
    rateLimits: { session: "a" },
    riskCheck: "disable",
    tags: JSON.stringify({ campaign: "autumn" }),
    templateCustomSubstitutions: JSON.stringify({ door: "A 7" }),
    templateSid: login.sid,
  };
  await begin(wishes);
  assert.equal((await own.inbox(to))[0].text, "K7m2Pq öffnet A 7 von Barn Owls\nFA+9qCX9VSu");
  await own.refused(20429, 429, begin(wishes));
  const refused = { amount: "10 EUR", deviceIp: "owl", payee: "Owl", riskCheck: "perhaps", sendDigits: "abc", tags: "[1]" };
  for (const [name, value] of Object.entries(refused)) {
    await own.refused(60200, 400, begin({ [name]: value }), name[0].toUpperCase() + name.slice(1));
  }
});

test("attempts are listed, found and counted", async (t) => {
  const service = await own.service(t);
  const to = own.number();
  const made = await service.verifications.create({ to, channel: "sms" });
  assert.equal((await service.verifications(to).fetch()).sid, made.sid);
  await service.verifications.create({ to: own.number(), channel: "call" });
  await service.verificationChecks.create({ verificationSid: made.sid, code: await own.codeFor(to) });
  const of = { verifyServiceSid: service.sid };
  const whole = await verify.verificationAttempts.list(of);
  assert.equal(whole.length, 2);
  const paged = await verify.verificationAttempts.list({ ...of, pageSize: 1 });
  assert.deepEqual(paged.map((attempt) => attempt.sid), whole.map((attempt) => attempt.sid));
  const converted = await verify.verificationAttempts.list({ ...of, status: "converted" });
  assert.deepEqual(converted.map((attempt) => attempt.channelData.to), [to]);
  const since = await verify.verificationAttempts.list({ ...of, dateCreatedAfter: new Date(Date.now() - 3_600_000) });
  assert.equal(since.length, 2);
  const attempt = await verify.verificationAttempts(made.sendCodeAttempts[0].attempt_sid).fetch();
  assert.deepEqual([attempt.verificationSid, attempt.conversionStatus, attempt.channel], [made.sid, "converted", "sms"]);
  own.isRecent(attempt.dateCreated);
  const summary = await verify.verificationAttemptsSummary().fetch(of);
  assert.deepEqual([summary.totalAttempts, summary.totalConverted, summary.totalUnconverted], [2, 1, 1]);
  assert.equal(Number(summary.conversionRatePercentage), 50);
});
