"use strict";
// Codes of other systems: the examples of docs/guides/login-libraries.md with their libraries, and Supabase's hook as the
// library of Standard Webhooks signs it.

const assert = require("node:assert/strict");
const { once } = require("node:events");
const fs = require("node:fs");
const http = require("node:http");
const path = require("node:path");
const { test } = require("node:test");
const { betterAuth } = require("better-auth");
const { memoryAdapter } = require("better-auth/adapters/memory");
const { Webhook } = require("standardwebhooks");
const SuperTokens = require("supertokens-node");
const Passwordless = require("supertokens-node/recipe/passwordless");
const own = require("./own-server");

/** Runs with a copy of examples/login beside the packages that its files import, and the address and the key of a service. */
test("the examples of login libraries", async (t) => {
  const { sid } = await own.service(t);
  const service = `${own.url}/v2/Services/${sid}`;
  Object.assign(process.env, { ONCEWARD_SERVICE: service, KEY_ID: own.accountSid, KEY_SECRET: own.authToken });
  const copy = fs.mkdtempSync(path.join(process.env.ONCEWARD_SDK_HOME, "login-"));
  t.after(() => fs.rmSync(copy, { recursive: true }));
  fs.cpSync(path.join(__dirname, "../../../examples/login"), copy, { recursive: true });
  const example = (name) => import(path.join(copy, name));
  const code = "271828";
  const wasSentOnce = async (to) => assert.deepEqual((await own.inbox(to)).map((message) => message.code), [code]);

  await t.test("better-auth signs a person in, and reports the outcome", async (t) => {
    const answers = [];
    const { fetch } = globalThis;
    t.mock.method(globalThis, "fetch", async (url, options) => {
      const answer = await fetch(url, options);
      if (url.startsWith(service)) {
        answers.push([url.slice(service.length), answer.status, (await answer.clone().json()).status]);
      }
      return answer;
    });
    const to = own.number();
    const now = new Date();
    const person = { id: "1", name: "A", email: "a@example.com", phoneNumber: to, createdAt: now, updatedAt: now };
    // The application has the rest of the configuration.
    const auth = betterAuth({
      ...(await example("better-auth.mjs")).auth.options,
      baseURL: "http://localhost:3000",
      database: memoryAdapter({ user: [person], session: [], account: [], verification: [] }),
    });
    await auth.api.sendPhoneNumberOTP({ body: { phoneNumber: to } });
    const sent = await own.codeFor(to);
    await assert.rejects(auth.api.verifyPhoneNumber({ body: { phoneNumber: to, code: own.wrong(sent) } }));
    const signedIn = await auth.api.verifyPhoneNumber({ body: { phoneNumber: to, code: sent } });
    assert.equal(signedIn.user.phoneNumber, to);
    assert.deepEqual(answers, [["/Messages", 201, "accepted"], ["/Outcomes", 200, "counted"]]);
  });

  await t.test("SuperTokens has the override send", async () => {
    const { passwordless } = await example("supertokens.mjs");
    const origin = "http://localhost:3000";
    SuperTokens.init({
      telemetry: false,
      // Only sign-ins ask the core.
      supertokens: { connectionURI: origin },
      appInfo: { appName: "Owl Bank", apiDomain: origin, websiteDomain: origin },
      recipeList: [passwordless],
    });
    const to = own.number();
    const session = { codeLifetime: 900_000, preAuthSessionId: "p", tenantId: "public", isFirstFactor: true };
    await Passwordless.sendSms({ type: "PASSWORDLESS_LOGIN", phoneNumber: to, userInputCode: code, ...session });
    await wasSentOnce(to);
  });

  await t.test("Cognito's function sends what its library decrypts", async (t) => {
    const to = own.number();
    const kms = await keyManagement(t);
    Object.assign(process.env, kms, { AWS_ACCESS_KEY_ID: "AKIA", AWS_SECRET_ACCESS_KEY: "secret" });
    const { buildClient, CommitmentPolicy, KmsKeyringNode } = require("@aws-crypto/client-node");
    const keyring = new KmsKeyringNode({ generatorKeyId: kms.KEY_ALIAS, keyIds: [kms.KEY_ARN] });
    const { encrypt } = buildClient(CommitmentPolicy.REQUIRE_ENCRYPT_ALLOW_DECRYPT);
    const { result } = await encrypt(keyring, code);
    const { handler } = await example("cognito.mjs");
    // https://docs.aws.amazon.com/cognito/latest/developerguide/user-pool-lambda-custom-sms-sender.html
    await handler({
      triggerSource: "CustomSMSSender_Authentication",
      userName: "anna",
      request: {
        type: "customSMSSenderRequestV1",
        code: result.toString("base64"),
        userAttributes: { phone_number: to, phone_number_verified: "true" },
      },
      response: {},
    });
    await wasSentOnce(to);
  });

  await t.test("the Action of Auth0 sends, and reports a refusal", async () => {
    const { onExecuteCustomPhoneProvider } = require("../../../examples/login/auth0.js");
    const { ONCEWARD_SERVICE, KEY_ID, KEY_SECRET } = process.env;
    // https://auth0.com/docs/customize/phone-messages/configure-phone-messaging-providers/actions-triggers-custom-phone-provider-event-object
    const event = (recipient) => ({
      notification: { code, recipient, delivery_method: "text", message_type: "otp_verify", as_text: "a text", locale: "en" },
      secrets: { ONCEWARD_SERVICE, KEY_ID, KEY_SECRET },
    });
    const to = own.number();
    await onExecuteCustomPhoneProvider(event(to));
    const notice = event(to);
    notice.notification = { recipient: to, message_type: "blocked_account" };
    await assert.rejects(onExecuteCustomPhoneProvider(notice), /blocked_account has none/);
    await wasSentOnce(to);
    await assert.rejects(onExecuteCustomPhoneProvider(event("+14")), /onceward: 400 /);
  });
});

/** A double of AWS KMS: its only data key encrypts everything. Returns what a Lambda function has in its environment. */
async function keyManagement(t) {
  const arn = "arn:aws:kms:eu-west-1:111122223333:key/1";
  const key = { KeyId: arn, Plaintext: Buffer.alloc(32, 1).toString("base64"), CiphertextBlob: "c2VhbGVk" };
  const kms = http.createServer((_, answer) => answer.end(JSON.stringify(key))).listen(0, "127.0.0.1");
  await once(kms, "listening");
  t.after(() => kms.close().closeAllConnections());
  const address = `http://127.0.0.1:${kms.address().port}`;
  return { AWS_ENDPOINT_URL_KMS: address, KEY_ALIAS: "arn:aws:kms:eu-west-1:111122223333:alias/owl", KEY_ARN: arn };
}

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
