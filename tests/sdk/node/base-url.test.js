"use strict";
// The official package with one line instead of an HTTP client, as the documents tell users.

const assert = require("node:assert/strict");
const { test } = require("node:test");
const twilio = require("twilio");
const own = require("./own-server");

const { accountSid, authToken, codeFor, number, url } = own;

const client = twilio(accountSid, authToken);
client.verify.baseUrl = url;

async function service(t, friendlyName) {
  const made = await client.verify.v2.services.create({ friendlyName });
  t.after(() => client.verify.v2.services(made.sid).remove());
  return made;
}

test("a number is verified", async (t) => {
  const { sid } = await service(t, "Acme");
  const calls = client.verify.v2.services(sid);
  const to = number();
  const verification = await calls.verifications.create({ to, channel: "sms" });
  const check = await calls.verificationChecks.create({ verificationSid: verification.sid, code: await codeFor(to) });
  assert.equal(check.status, "approved");
});

test("a number is looked up", async () => {
  client.lookups.baseUrl = url;
  const found = await client.lookups.v2.phoneNumbers("+447400123456").fetch({ fields: "line_type_intelligence" });
  assert.deepEqual([found.valid, found.countryCode, found.lineTypeIntelligence.type], [true, "GB", "mobile"]);
  const wrong = await client.lookups.v2.phoneNumbers("+11234567890").fetch();
  assert.deepEqual([wrong.valid, wrong.validationErrors], [false, ["INVALID_BUT_POSSIBLE"]]);
});

test("the HTTP client leads to Lookup too", async () => {
  const found = await own.client().lookups.v2.phoneNumbers("+447400123456").fetch();
  assert.ok(found.url.startsWith(url), found.url);
});

test("further pages come from the server", async (t) => {
  const made = [];
  for (const name of ["one", "two", "three"]) {
    made.push((await service(t, name)).sid);
  }
  const listed = (await client.verify.v2.services.list({ pageSize: 1 })).map((one) => one.sid);
  assert.ok(made.every((sid) => listed.includes(sid)));
});
