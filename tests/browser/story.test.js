"use strict";

// The first hour of an operator, with an installed server: a code is sent and checked on the inbox page, and the
// dashboard and Prometheus show it. `scripts/package-test` runs it against the package. The server must be new.
// ONCEWARD_USER and ONCEWARD_SECRET are the account's credentials, PROMETHEUS_URL is a Prometheus that scrapes it.

const assert = require("node:assert/strict");
const test = require("node:test");
const { setTimeout: pause } = require("node:timers/promises");
const puppeteer = require("puppeteer-core");

const { ONCEWARD_URL: server, ONCEWARD_CHROMIUM: chromium, ONCEWARD_USER: user, ONCEWARD_SECRET: secret } = process.env;
const { PROMETHEUS_URL: prometheus } = process.env;

// Not by frames, which is the default: a page that the browser takes for hidden draws none.
const PATIENCE = { timeout: 300_000, polling: 100 };

test("a code sent from the inbox page is on the dashboard and in Prometheus", async () => {
  const browser = await puppeteer.launch({
    executablePath: chromium,
    headless: "shell",
    args: ["--no-sandbox", "--disable-dev-shm-usage"],
    timeout: PATIENCE.timeout,
    protocolTimeout: 600_000,
  });
  try {
    const page = await browser.newPage();
    page.setDefaultTimeout(PATIENCE.timeout);
    const press = (selector) => Promise.all([page.waitForNavigation(PATIENCE), page.click(selector)]);
    const says = (words) =>
      page.waitForFunction((wanted) => document.body.innerText.includes(wanted), PATIENCE, words);

    await page.goto(`${server}/inbox`);
    await press("button[value='send']");
    await page.waitForSelector(".messages .code", PATIENCE);
    await page.type("#code", await page.$eval(".messages .code", (element) => element.textContent.trim()));
    await press("button[value='check']");
    await says("the number is verified");

    await page.goto(`${server}/admin`);
    await page.type("#user", user);
    await page.type("#secret", secret);
    await press("form[action='/admin/sign-in'] button");
    await page.waitForSelector("#figures", PATIENCE);
    const figures = await page.$$eval("#figures li", (items) => items.map((item) => item.innerText.split("\n")));
    const shown = Object.fromEntries(figures);
    assert.equal(shown["Messages sent"], "1", JSON.stringify(shown));
    assert.equal(shown["Numbers verified"], "1", JSON.stringify(shown));
  } finally {
    await browser.close();
  }
  assert.equal(await measured('sum(onceward_sends_total{outcome="accepted"})'), 1);
  assert.equal(await measured("sum(onceward_verifications_approved_total)"), 1);
});

// The value of an expression, once Prometheus has one above zero.
async function measured(expression) {
  for (let tries = 0; tries < 60; tries += 1) {
    const answer = await fetch(`${prometheus}/api/v1/query?query=${encodeURIComponent(expression)}`);
    const [found] = (await answer.json()).data.result;
    if (found && Number(found.value[1]) > 0) return Number(found.value[1]);
    await pause(500);
  }
  throw new Error(`Prometheus has no value for ${expression}`);
}
