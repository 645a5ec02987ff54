"use strict";

// The guard's allowance is used up: the hosted page does a proof of work, or says that it needs scripts.

const assert = require("node:assert/strict");
const test = require("node:test");
const axe = require("axe-core");
const puppeteer = require("puppeteer-core");

const { ONCEWARD_URL: server, ONCEWARD_CHROMIUM: executablePath } = process.env;
const { ONCEWARD_USER: user, ONCEWARD_SECRET: secret } = process.env;

let browser;
let service;

test.before(async () => {
  service = (await api("/Services", { FriendlyName: "Owl Bank", ReturnUrls: "https://app.example/" })).sid;
  browser = await puppeteer.launch({
    executablePath,
    headless: "shell",
    timeout: 300_000,
    protocolTimeout: 600_000,
    args: ["--no-sandbox", "--disable-dev-shm-usage"],
  });
});

test.after(() => browser?.close());

test("a message passes with a proof, and not without scripts", async () => {
  for (const number of ["+14155550100", "+14155550101"]) {
    const first = await asked(number, true);
    assert.ok(await first.$("#code"), "the allowance has two messages");
  }

  const without = await asked("+14155550102", false);
  assert.match(await without.$eval("main", ({ textContent }) => textContent), /This step needs JavaScript/);
  await without.setJavaScriptEnabled(true);
  await without.evaluate(axe.source);
  const { violations } = await without.evaluate(() => window.axe.run(document));
  assert.deepEqual(violations.map(({ id }) => id), []);
  const started = Date.now();
  await without.reload();
  await without.waitForSelector("#code", { timeout: 300_000 });
  console.log(`a proof took ${Date.now() - started} ms`);

  const last = await asked("+14155550103", true);
  await last.waitForSelector("#code", { timeout: 300_000 });
});

// The page after a person has asked for a code.
async function asked(number, scripts) {
  const { url } = await api(`/Services/${service}/HostedSessions`, { ReturnUrl: "https://app.example/" });
  const page = await (await browser.createBrowserContext()).newPage();
  page.setDefaultTimeout(300_000);
  page.on("pageerror", (error) => assert.fail(error));
  page.on("console", (line) => assert.notEqual(line.type(), "error", line.text()));
  await page.setJavaScriptEnabled(scripts);
  await page.goto(url);
  await Promise.all([page.waitForNavigation(), page.click("button")]);
  await page.type("#number", number);
  await Promise.all([page.waitForNavigation(), page.keyboard.press("Enter")]);
  return page;
}

async function api(place, form) {
  const authorization = `Basic ${Buffer.from(`${user}:${secret}`).toString("base64")}`;
  const body = new URLSearchParams(form);
  const answer = await fetch(`${server}/v2${place}`, { method: "POST", headers: { authorization }, body });
  assert.ok(answer.ok, `${place}: ${answer.status}`);
  return answer.json();
}
