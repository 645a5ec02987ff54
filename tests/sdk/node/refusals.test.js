"use strict";
// A refusal is an exception of the package with Twilio's error code.

const { test } = require("node:test");
const own = require("./own-server");

const verify = own.client().verify.v2;
const none = (prefix) => prefix + "0".repeat(32);

test("a wrong credential is 20003", async () => {
  for (const [account, token] of [[own.accountSid, "0".repeat(32)], [none("AC"), own.authToken]]) {
    const stranger = own.client(account, token).verify.v2;
    await own.refused(20003, 401, stranger.services.list());
    await own.refused(20003, 401, stranger.services(none("VA")).verifications.create({ to: own.number(), channel: "sms" }));
  }
});

test("what does not exist is 20404", async (t) => {
  const nowhere = verify.services(none("VA"));
  const service = await own.service(t);
  for (const ask of [
    () => nowhere.fetch(),
    () => nowhere.verifications.create({ to: own.number(), channel: "sms" }),
    () => nowhere.verificationChecks.create({ to: own.number(), code: "123456" }),
    () => nowhere.rateLimits.list(),
    () => service.verifications(none("VE")).fetch(),
    () => service.verificationChecks.create({ to: own.number(), code: "123456" }),
    () => verify.verificationAttempts(none("VL")).fetch(),
  ]) {
    await own.refused(20404, 404, ask(), "was not found");
  }
  await own.refused(20404, 404, service.entities.list(), "not served here");
});

test("parameters that cannot be are 60200", async (t) => {
  const service = await own.service(t);
  const create = (wishes) => service.verifications.create({ to: own.number(), channel: "sms", ...wishes });
  for (const to of ["owl", "4155550100", "+1", "+999123456789"]) await own.refused(60200, 400, create({ to }), "To");
  for (const channel of ["sna", "owl"]) await own.refused(60200, 400, create({ channel }), "Channel");
  await own.refused(60217, 400, create({ channel: "email" }), "Channel");
  await own.refused(60200, 400, create({ customCode: "123" }), "CustomCode");
  await own.refused(60200, 400, create({ amount: "10 EUR" }), "Amount");
  await own.refused(60200, 400, verify.services.create({ friendlyName: "Owl Bank", codeLength: 3 }), "CodeLength");
  const made = await create({});
  await own.refused(60200, 400, service.verifications(made.sid).update({ status: "pending" }), "Status");
});
