"use strict";
// Resources are made, read, changed, listed and deleted, and every field of the answers has the type that the package's
// own declarations give it.

const assert = require("node:assert/strict");
const { readFileSync } = require("node:fs");
const path = require("node:path");
const { test } = require("node:test");
const own = require("./own-server");

const library = path.join(path.dirname(require.resolve("twilio")), "rest", "verify", "v2");
const verify = own.client().verify.v2;

/** The fields of a class in a declaration file, and their types. */
function documented(file, name) {
  const text = readFileSync(path.join(library, file), "utf8");
  const body = text.split(`export declare class ${name} {`)[1].split("\n}")[0];
  return [...body.matchAll(/^ {4}(\w+): ([^;(]+);$/gm)].map(([, field, type]) => [field, type]);
}

/** Whether a value is of a type. Names that the package declares itself are those of texts. */
function fits(value, type) {
  switch (true) {
    case ["string", "number", "boolean"].includes(type):
      return typeof value === type;
    case type === "Date":
      return value instanceof Date && !Number.isNaN(value.getTime());
    case type.startsWith("Array<"):
      return Array.isArray(value) && value.every((item) => fits(item, type.slice(6, -1)));
    case type.startsWith("Record<"):
      return typeof value === "object" && value !== null;
    case type === "any":
      return true;
    default:
      return /^\w+$/.test(type) && typeof value === "string";
  }
}

function check(file, instance, mayBeNull = []) {
  const name = instance.constructor.name;
  const fields = documented(file, name);
  assert.ok(fields.length > 2, `the declarations of ${name} are read`);
  for (const [field, type] of fields) {
    const value = instance[field];
    if (value === null && mayBeNull.includes(field)) continue;
    assert.ok(value !== null && value !== undefined && fits(value, type), `${name}.${field}: ${value} is no ${type}`);
  }
}

/** Creates an instance, fetches it, updates and lists it if there are `changes`, and removes it. */
async function lives(file, list, key, wishes, changes) {
  const has = (instance, values) => {
    check(file, instance);
    for (const [name, value] of Object.entries(values)) assert.deepEqual(instance[name], value, name);
  };
  const made = await list.create(wishes);
  has(made, wishes);
  const one = list(made[key]);
  assert.deepEqual((await one.fetch()).toJSON(), made.toJSON());
  if (changes) {
    has(await one.update(changes), { ...wishes, ...changes });
    assert.ok((await list.list()).some((listed) => listed[key] === made[key]));
  }
  assert.equal(await one.remove(), true);
  await own.refused(20404, 404, one.fetch(), "was not found");
}

test("each resource", async (t) => {
  const [template] = await verify.templates.list({ friendlyName: "With its time" });
  check("template.d.ts", template);
  const wishes = {
    friendlyName: "Owl Bank",
    codeLength: 8,
    customCodeEnabled: true,
    defaultTemplateSid: template.sid,
    doNotShareWarningEnabled: true,
    dtmfInputRequired: false,
    lookupEnabled: true,
    skipSmsToLandlines: true,
    ttsName: "Owl",
  };
  await lives("service.d.ts", verify.services, "sid", wishes, { codeLength: 7 });
  const service = await own.service(t);
  const session = { uniqueName: "session", description: "one a session" };
  await lives("service/rateLimit.d.ts", service.rateLimits, "sid", session, { description: "a few" });
  const limit = await service.rateLimits.create(session);
  const to = own.number();
  const wish = { to, channel: "sms", rateLimits: { session: "one" } };
  check("service/verification.d.ts", await service.verifications.create(wish), ["amount", "payee", "sna"]);
  const code = await own.codeFor(to);
  check("service/verificationCheck.d.ts", await service.verificationChecks.create({ to, code }), ["amount", "payee", "snaAttemptsErrorCodes"]);
  await lives("service/rateLimit/bucket.d.ts", service.rateLimits(limit.sid).buckets, "sid", { max: 5, interval: 60 }, { max: 6 });
  const eventTypes = ["verification.created", "verification.approved"];
  const webhook = { friendlyName: "events", eventTypes, webhookUrl: "https://hooks.example.com/", version: "v2" };
  await lives("service/webhook.d.ts", service.webhooks, "sid", webhook, { status: "disabled" });
  const configurations = service.messagingConfigurations;
  // The refusal names the configured gateways, and a client learns their ids from it.
  const error = await configurations.create({ country: "DE", messagingServiceSid: `MG${"0".repeat(32)}` }).catch((error) => error);
  const gateway = { messagingServiceSid: /(MG[0-9a-f]{32}) \(Simulator\)/.exec(error.message)[1] };
  await lives("service/messagingConfiguration.d.ts", configurations, "country", { country: "DE", ...gateway }, gateway);
  await lives("safelist.d.ts", verify.safelist, "phoneNumber", { phoneNumber: own.number() });
  const [attempt] = await verify.verificationAttempts.list({ verifyServiceSid: service.sid });
  check("verificationAttempt.d.ts", attempt);
  check("verificationAttemptsSummary.d.ts", await verify.verificationAttemptsSummary().fetch());
});

test("a documented type can be missed", () => {
  assert.equal(fits("5", "number"), false);
  assert.equal(fits(new Date("owl"), "Date"), false);
  assert.equal(fits([1], "Array<string>"), false);
});
