"use strict";
// The official package with an HTTP client for another server, and the helpers of the tests.
//
// The address and the credentials of the server under test come from the environment:
// ONCEWARD_URL, ONCEWARD_ACCOUNT_SID, ONCEWARD_AUTH_TOKEN.

const assert = require("node:assert/strict");
const twilio = require("twilio");

const missing = ["ONCEWARD_URL", "ONCEWARD_ACCOUNT_SID", "ONCEWARD_AUTH_TOKEN"].filter((name) => !process.env[name]);
if (missing.length > 0) {
  console.error(`own-server.js: set ${missing.join(", ")}: the address and the credentials of a running onceward`);
  process.exit(64);
}
const { ONCEWARD_ACCOUNT_SID: accountSid, ONCEWARD_AUTH_TOKEN: authToken } = process.env;
const url = process.env.ONCEWARD_URL.replace(/\/$/, "");
const TWILIO = /^https:\/\/(verify|lookups)\.twilio\.com/;

/** Sends what is meant for Twilio Verify and Lookup to another address. This is all that a program has to change. */
class OwnServer extends twilio.RequestClient {
  constructor(baseUrl, options) {
    super(options);
    this.baseUrl = baseUrl;
  }

  request(options) {
    // The addresses of further pages come from the server, and are its own already.
    const uri = options.uri.replace(TWILIO, () => this.baseUrl);
    return super.request({ ...options, uri });
  }
}

/** A client of the server under test. */
function client() {
  return twilio(accountSid, authToken, { httpClient: new OwnServer(url) });
}

// Test files run in parallel, each in its own process: each has its own thousand numbers.
const files = ["types", "login", "sign-up"];
const file = files.findIndex((name) => process.argv[1].endsWith(`${name}.test.js`));
let numbers = 5_560_000 + 1_000 * (file + 1);

/** A number that no test has used yet. */
const number = () => `+1415${numbers++}`;

/** The messages to a number, the newest first: the simulator keeps them. */
async function inbox(to) {
  const answer = await fetch(`${url}/inbox/messages?to=${encodeURIComponent(to)}`);
  return (await answer.json()).messages;
}

/** The code in the newest message to a number. */
const codeFor = async (to) => (await inbox(to))[0].code;

/** A code that differs from this one in its last digit. */
const wrong = (code) => code.slice(0, -1) + ((Number(code.at(-1)) + 1) % 10);

/** A new service, as the package's context for it, with its `sid`. Deleted when the test ends. */
async function service(t, wishes = {}) {
  const verify = client().verify.v2;
  const made = await verify.services.create({ friendlyName: "Owl Bank", ...wishes });
  const context = verify.services(made.sid);
  context.sid = made.sid;
  t.after(() => context.remove());
  return context;
}

/** Expects the package's exception with Twilio's number of the error and an HTTP status. */
async function refused(code, status, promise, words = "") {
  const error = await promise.then(
    () => assert.fail(`expected ${code}`),
    (error) => error,
  );
  assert.deepEqual([error.code, error.status], [code, status], error.message);
  assert.equal(error.moreInfo, `https://www.twilio.com/docs/errors/${code}`);
  assert.ok(error.message.includes(words), error.message);
}

module.exports = { accountSid, authToken, client, codeFor, inbox, number, refused, service, url, wrong };
