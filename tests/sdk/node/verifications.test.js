"use strict";
// Verifications: begin, send again, check, end; and delivery attempts.

const assert = require("node:assert/strict");
const { test } = require("node:test");
const own = require("./own-server");

const verify = own.client().verify.v2;

async function begun(t, wishes = {}) {
  const service = await own.service(t, wishes);
  const to = own.number();
  const made = await service.verifications.create({ to, channel: "sms" });
  const code = await own.codeFor(to);
  const check = (submitted, target = { to }) => service.verificationChecks.create({ code: submitted, ...target });
  return { service, to, made, code, check };
}

test("a code goes out by every channel", async (t) => {
  const service = await own.service(t);
  for (const [channel, asked] of [["sms", "sms"], ["call", "call"], ["whatsapp", "whatsapp"], ["sms", "auto"]]) {
    const to = own.number();
    const made = await service.verifications.create({ to, channel: asked });
    own.isSid("VE", made.sid);
    assert.deepEqual([made.to, made.channel, made.status, made.valid], [to, channel, "pending", false]);
    own.isSid("VL", made.sendCodeAttempts[0].attempt_sid);
    own.isRecent(made.dateCreated);
    assert.deepEqual((await own.inbox(to)).map((message) => message.channel), [channel]);
  }
});

test("a resend keeps id and code", async (t) => {
  const { service, to, made } = await begun(t);
  const again = await service.verifications.create({ to, channel: "call" });
  assert.equal(again.sid, made.sid);
  assert.deepEqual(again.sendCodeAttempts.map((attempt) => attempt.channel), ["SMS", "CALL"]);
  assert.equal(new Set((await own.inbox(to)).map((message) => message.code)).size, 1);
});

test("a wrong code leaves it pending, and the right one approves it once", async (t) => {
  const { made, code, check } = await begun(t);
  let result = await check(own.wrong(code));
  assert.deepEqual([result.sid, result.status, result.valid], [made.sid, "pending", false]);
  result = await check(code);
  assert.deepEqual([result.sid, result.status, result.valid], [made.sid, "approved", true]);
  await own.refused(20404, 404, check(code), "VerificationCheck");
});

test("its id names it too", async (t) => {
  const { service, to, made, code, check } = await begun(t);
  assert.equal((await check(own.wrong(code), { verificationSid: made.sid })).status, "pending");
  for (const target of [made.sid, to]) {
    const found = await service.verifications(target).fetch();
    assert.deepEqual([found.sid, found.to, found.status], [made.sid, to, "pending"]);
    assert.deepEqual(found.dateCreated, made.dateCreated);
  }
  assert.equal((await check(code, { verificationSid: made.sid })).status, "approved");
});

test("it can be canceled, and approved without a code", async (t) => {
  const one = await begun(t);
  const canceled = await one.service.verifications(one.made.sid).update({ status: "canceled" });
  assert.deepEqual([canceled.status, canceled.valid], ["canceled", false]);
  await own.refused(20404, 404, one.check(one.code));
  const two = await begun(t);
  const approved = await two.service.verifications(two.to).update({ status: "approved" });
  assert.deepEqual([approved.status, approved.valid], ["approved", true]);
  await own.refused(20404, 404, two.check(two.code));
});

test("after five wrong codes the right one is refused too", async (t) => {
  for (const byId of [false, true]) {
    const { made, to, code, check } = await begun(t);
    const target = byId ? { verificationSid: made.sid } : { to };
    for (let wrong = 0; wrong < 5; wrong++) await check(own.wrong(code), target);
    await own.refused(60202, 429, check(code, target), "Max check attempts reached");
  }
});

test("a sixth message is refused", async (t) => {
  const { service, to } = await begun(t);
  for (let sent = 1; sent < 5; sent++) await service.verifications.create({ to, channel: "sms" });
  await own.refused(60203, 429, service.verifications.create({ to, channel: "sms" }), "Max send attempts reached");
  assert.equal((await own.inbox(to)).length, 5);
});

test("the caller brings the code where the service allows it", async (t) => {
  const service = await own.service(t, { customCodeEnabled: true });
  const to = own.number();
  await service.verifications.create({ to, channel: "sms", customCode: "90210417" });
  assert.equal((await service.verificationChecks.create({ to, code: "90210417" })).status, "approved");
  const other = await own.service(t);
  await own.refused(60204, 403, other.verifications.create({ to, channel: "sms", customCode: "90210417" }), "CustomCode");
});

test("the message says what the request asks for", async (t) => {
  const service = await own.service(t);
  const template = (await verify.templates.list()).find((template) => template.friendlyName === "login");
  const text = async (wishes) => {
    const to = own.number();
    await service.verifications.create({ to, channel: "sms", ...wishes });
    const [newest] = await own.inbox(to);
    return newest.text.replace(newest.code, "{code}");
  };
  assert.equal(await text({}), "Your Owl Bank verification code is: {code}");
  assert.equal(await text({ customFriendlyName: "Barn Owls" }), "Your Barn Owls verification code is: {code}");
  assert.match(await text({ appHash: "FA+9qCX9VSu" }), /FA\+9qCX9VSu$/);
  const login = { templateSid: template.sid, templateCustomSubstitutions: JSON.stringify({ door: "A 7" }) };
  assert.equal(await text(login), "{code} opens A 7 of Owl Bank");
  assert.equal(await text({ ...login, locale: "de" }), "{code} öffnet A 7 von Owl Bank");
  await text({ tags: JSON.stringify({ campaign: "autumn" }), deviceIp: "192.0.2.7", riskCheck: "disable" });
});

test("a test number is sent nothing and has a known code", async () => {
  const tried = (await verify.services.list()).find((service) => service.friendlyName === "Tried");
  const service = verify.services(tried.sid);
  const to = "+15550100077";
  await service.verifications.create({ to, channel: "sms" });
  assert.deepEqual(await own.inbox(to), []);
  assert.equal((await service.verificationChecks.create({ to, code: "246810" })).status, "approved");
});

test("attempts are listed, found and counted", async (t) => {
  const { service, to, made, code, check } = await begun(t);
  await service.verifications.create({ to: own.number(), channel: "call" });
  await check(code);
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
