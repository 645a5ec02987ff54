"use strict";

// A person verifies a number on the hosted page, with and without scripts, on a phone and at a desk, in the light and
// in the dark, by keyboard only, and in a frame of another origin. axe judges each step by WCAG 2.2, target sizes included,
// also with forced colours and on a narrow screen with a text of twice the size.

const assert = require("node:assert/strict");
const fs = require("node:fs");
const http = require("node:http");
const path = require("node:path");
const test = require("node:test");
const axe = require("axe-core");
const puppeteer = require("puppeteer-core");

const { ONCEWARD_URL: server, ONCEWARD_CHROMIUM: chromium, ONCEWARD_SCREENSHOTS: pictures } = process.env;
const { ONCEWARD_USER: user, ONCEWARD_SECRET: secret } = process.env;

// Not by frames, which is the default: a page that the browser takes for hidden draws none.
const PATIENCE = { timeout: 300_000, polling: 100 };
const EVERYTHING = process.env.ONCEWARD_PAGES === "all";
const TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

let browser;
let site;
let origin;
let service;
let page_of_site = "";
let count = 0;

// The same pages, on another site than the server's.
const elsewhere = () => origin.replace("127.0.0.1", "localhost");

test.before(async () => {
  site = http.createServer((_, answer) => answer.end(page_of_site));
  await new Promise((listening) => { site.listen(0, "127.0.0.1", listening); });
  origin = `http://127.0.0.1:${site.address().port}`;
  const look = { AccentColor: "#ffd400", PrivacyUrl: "https://app.example/privacy", TermsUrl: "https://app.example/terms" };
  const urls = { ReturnUrls: `${origin}/verified`, EmbedOrigins: `${origin} ${elsewhere()}` };
  service = (await api("/Services", { FriendlyName: "Owl Bank", ...look, ...urls })).sid;
  fs.mkdirSync(pictures, { recursive: true });
  browser = await puppeteer.launch({
    executablePath: chromium,
    headless: "shell",
    args: ["--no-sandbox", "--disable-dev-shm-usage"],
    timeout: PATIENCE.timeout,
    protocolTimeout: 600_000,
  });
});

test.after(async () => {
  await browser?.close();
  site.close();
});

// Each width, and each scheme with and without scripts, once; or every combination, with pictures.
const walks = [[390, "light", true], [1280, "dark", true], [390, "dark", false], [1280, "light", false]];
if (EVERYTHING) {
  walks.push([390, "light", false], [1280, "dark", false], [390, "dark", true], [1280, "light", true]);
}
for (const [width, scheme, scripts] of walks) {
  test(`at ${width} px in the ${scheme} ${scripts ? "with" : "without"} scripts`, () => walk(width, scheme, scripts));
}

async function walk(width, scheme, scripts) {
  const { page, problems, close } = await opened(width, scheme, scripts);
  const session = await made({ ReturnUrl: `${origin}/verified`, Locale: scheme === "dark" ? "ar" : "en" });
  const shown = async (name) => {
    if (EVERYTHING) {
      const file = path.join(pictures, `hosted-${name}-${width}-${scheme}.png`);
      await page.screenshot({ path: file, captureBeyondViewport: false });
    }
    assert.deepEqual(problems, [], name);
    if (!scripts) return;
    await fits(page, name);
    await page.evaluate(() => { document.documentElement.style.fontSize = "200%"; });
    for (const narrow of [320, 390]) {
      await page.setViewport({ width: narrow, height: 800 });
      await fits(page, `${name} at ${narrow} px with large text`);
    }
    await page.evaluate(() => { document.documentElement.style.fontSize = ""; });
    await page.setViewport({ width, height: width === 390 ? 844 : 800 });
    const margins = await page.$eval("main", (main) => {
      const { left, right } = main.getBoundingClientRect();
      return [left, document.documentElement.clientWidth - right];
    });
    assert.ok(margins[0] >= 0 && Math.abs(margins[0] - margins[1]) <= 1, `${name} has the margins ${margins}`);
    titles.add(await page.title());
    await judged(page, name);
    const own = { name: "prefers-color-scheme", value: scheme };
    await media(page, [own, { name: "forced-colors", value: "active" }]);
    await judged(page, `${name} with forced colours`);
    const borders = await page.$$eval("input:not([type=hidden]), select, button", (fields) => fields.map((field) => {
      const { borderTopWidth, clipPath } = window.getComputedStyle(field);
      return [field.id, borderTopWidth, clipPath];
    }));
    for (const [id, border, clip] of borders) assert.deepEqual([border, clip], ["1px", "none"], `${name}: ${id}`);
    await media(page, [own]);
  };
  const titles = new Set();
  // By keyboard only: Enter in a field or on the button in focus.
  const enter = () => Promise.all([page.waitForNavigation(PATIENCE), page.keyboard.press("Enter")]);
  const number = `+1415555${1000 + (count += 1)}`;

  await page.goto(session.url);
  await shown("number");
  if (scripts) {
    const names = await page.$$eval("#country option", (options) => options.map(({ text }) => text));
    assert.ok(names.includes(`${scheme === "dark" ? "ألمانيا" : "Germany"} \u200e+49`), names.slice(0, 9).join());
    assert.match(await page.$eval("#country", ({ value }) => value), /^(US|EG)$/);
    if (scheme === "light") {
      // Typing finds a country.
      await page.focus("#country");
      await page.keyboard.type("Germ");
      assert.equal(await page.$eval("#country", ({ value }) => value), "DE");
    }
  }
  await page.focus("#number");
  await page.keyboard.type("12");
  await enter();
  assert.equal(await focused(page), "number", "an error leads to its field");
  await shown("number-wrong");
  await page.$eval("#number", (field) => field.select());
  await page.keyboard.type(number);
  await enter();
  assert.equal(await focused(page), "code");
  if (scripts) assert.ok(await page.$eval(".resend", (button) => button.disabled), "it waits");
  await page.setViewport({ width: 360, height: 800 });
  assert.ok(await page.$eval(".whole", ({ offsetHeight }) => offsetHeight) < 40, "the full stop is beside the number");
  await page.setViewport({ width, height: width === 390 ? 844 : 800 });
  await shown("code");
  // With scripts the last digit submits; a space does no harm.
  const submit = async (text) => {
    const done = page.waitForNavigation(PATIENCE);
    await page.keyboard.type(text);
    if (!scripts) await page.keyboard.press("Enter");
    await done;
  };
  await submit("000 000");
  assert.equal(await focused(page), "code");
  await shown("wrong");
  for (let reload = 0; reload < 5; reload += 1) await page.reload();
  assert.equal(await focused(page), "code", "a reload counts no code");
  if (scripts) assert.equal(titles.size, 4, [...titles].join());
  await submit(await code(number));
  const back = new URL(page.url());
  assert.equal(back.origin + back.pathname, `${origin}/verified`);
  const result = await api(`/Services/${service}/HostedSessions/${session.sid}/Result`, { Code: back.searchParams.get("code") });
  assert.equal(result.to, number);
  await close();
}

test("in a frame of the guide's page, which gets the code", async () => {
  const { page, close } = await opened(1280, "light", true);
  const session = await made({ EmbedOrigin: origin, State: "7" });
  const guide = fs.readFileSync(path.join(__dirname, "../../docs/guides/hosted-page.md"), "utf8");
  const example = guide.match(/```html\n(.+?)```/s)[1].replace("https://codes.example.com", server);
  page_of_site = `<!doctype html><title>Site</title><div id="verify"></div><script>
    const url = ${JSON.stringify(session.url)};
    window.fetch = async (address, { body }) => { window.result = { address, ...Object.fromEntries(body) }; };</script>${example}`;
  const number = `+1415555${1000 + (count += 1)}`;
  await page.goto(origin);
  await (await framed(page, "#number")).type(number);
  await page.keyboard.press("Enter");
  const heights = async () => {
    const inside = page.frames().find((each) => each !== page.mainFrame());
    return [await inside.evaluate(() => document.body.offsetHeight), await page.$eval("iframe", (frame) => frame.clientHeight)];
  };
  await (await framed(page, "#code")).type("000000");
  await framed(page, "#problem");
  const grown = Date.now() + PATIENCE.timeout;
  let [content, frame] = await heights();
  while (content !== frame && Date.now() < grown) [content, frame] = await heights();
  assert.equal(frame, content, "the frame is as high as its page");
  await (await framed(page, "#code")).type(await code(number));
  await page.waitForFunction(() => window.result, PATIENCE);
  const told = await page.evaluate(() => window.result);
  assert.deepEqual([told.address, told.state], ["/verified", "7"]);
  const result = await api(`/Services/${service}/HostedSessions/${session.sid}/Result`, { Code: told.code });
  assert.equal(result.to, number);
  assert.equal(await page.$("iframe"), null);

  // A session that returns to an address is in no frame.
  const other = await made({ ReturnUrl: `${origin}/verified` });
  page_of_site = `<!doctype html><title>Site</title><iframe src="${other.url}"></iframe>`;
  await page.goto(origin);
  const refused = page.frames().find((each) => each !== page.mainFrame());
  assert.equal(await refused.$("form").catch(() => null), null);
  await close();
});

test("on another site, whose frame the browser gives no cookie: a button opens a window", async () => {
  const { page, close } = await opened(1280, "light", true);
  const session = await made({ EmbedOrigin: elsewhere() });
  // The code comes after the first look at a window that is closed.
  page_of_site = `<!doctype html><title>Site</title><script src="${server}/verify.js"></script><script>
    const { addEventListener: on, setInterval: every } = window;
    window.setInterval = (task, pause) => (pause === 1000 ? (window.look = task) : every(task, pause));
    window.addEventListener = (type, listen) => on(type, async (event) => {
      if (event.data.code) {
        while (!event.source.closed) await new Promise((wait) => { setTimeout(wait, 1); });
        look();
      }
      listen(event);
    });
    document.addEventListener("DOMContentLoaded", () => {
      onceward.verify(${JSON.stringify(session.url)}).then(({ code }) => { window.result = code; });
    });</script>`;
  await page.goto(elsewhere());
  const button = await page.waitForSelector("button", PATIENCE);
  const [popup] = await Promise.all([
    new Promise((resolve) => { page.once("popup", resolve); }),
    button.click(),
  ]);
  const number = `+1415555${1000 + (count += 1)}`;
  await (await popup.waitForSelector("#number", PATIENCE)).type(number);
  await popup.keyboard.press("Enter");
  const is_read = () => document.readyState !== "loading" && document.querySelector("#code");
  const field = (await popup.waitForFunction(is_read, PATIENCE)).asElement();
  // The last digit submits: the window may be closed before that key is released.
  await field.type(await code(number)).catch(() => {});
  await page.waitForFunction(() => window.result, PATIENCE);
  await close();
});

test("a button that was pressed says so, and works once", async () => {
  const { page, close } = await opened(390, "light", true);
  const { url } = await made({ ReturnUrl: `${origin}/verified` });
  await page.goto(url);
  await page.type("#number", `+1415555${1000 + (count += 1)}`);
  const [busy, enabled] = await page.evaluate(() => new Promise((resolve) => {
    const button = document.querySelector(".main");
    // As on a slow line, where no answer comes.
    button.form.addEventListener("submit", (event) => event.preventDefault());
    button.click();
    setTimeout(() => resolve([button.getAttribute("aria-busy"), document.querySelectorAll("button:enabled").length]), 50);
  }));
  assert.deepEqual([busy, enabled], ["true", 0]);
  await judged(page, "busy");
  await close();
});

test("in a frame that lost its cookie, which says so and fails the promise", async () => {
  const { page, close } = await opened(1280, "light", true);
  const [lost, next] = [await made({ EmbedOrigin: origin }), await made({ EmbedOrigin: origin })];
  page_of_site = `<!doctype html><title>Site</title><div id="here"></div><script src="${server}/verify.js"></script><script>
    const show = (url) => onceward.verify(url, { container: document.querySelector("#here") })
      .then(() => {}, (error) => { window.result = error.message; });
    show(${JSON.stringify(lost.url)});</script>`;
  await page.goto(origin);
  await (await framed(page, "#number")).type(`+1415555${1000 + (count += 1)}`);
  await page.keyboard.press("Enter");
  const field = await framed(page, "#code");
  const devtools = await page.createCDPSession();
  await devtools.send("Network.clearBrowserCookies");
  await field.type("000000");
  await page.waitForFunction(() => window.result, PATIENCE);
  assert.equal(await page.evaluate(() => window.result), "ended");
  const sentence = await framed(page, "main p");
  assert.match(await sentence.evaluate(({ textContent }) => textContent), /This link has expired/);

  // The next session replaces the frame.
  await page.evaluate((url) => { show(url); }, next.url);
  await framed(page, "#number");
  assert.equal((await page.$$("iframe")).length, 1);
  await close();
});

test("in a frame that stays open for longer than its session", async () => {
  const { page, close } = await opened(1280, "light", true);
  const session = await made({ EmbedOrigin: origin });
  page_of_site = `<!doctype html><title>Site</title><div id="here"></div><script>
    const later = window.setTimeout;
    window.setTimeout = (call, after) => later(call, after === 900000 ? 3000 : after);</script>
    <script src="${server}/verify.js"></script><script>
    onceward.verify(${JSON.stringify(session.url)}, { container: document.querySelector("#here") })
      .catch((error) => { window.result = error.message; });</script>`;
  await page.goto(origin);
  await framed(page, "#number");
  await page.waitForFunction(() => window.result, PATIENCE);
  assert.equal(await page.evaluate(() => window.result), "ended");
  await close();
});

async function opened(width, scheme, scripts) {
  const context = await browser.createBrowserContext();
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE.timeout);
  await page.setViewport({ width, height: width === 390 ? 844 : 800 });
  await page.setJavaScriptEnabled(scripts);
  // verify.js gives a frame 5 s, which a busy machine may exceed.
  await page.evaluateOnNewDocument((patience) => {
    const later = window.setTimeout;
    window.setTimeout = (call, after) => later(call, after === 5000 ? patience : after);
  }, PATIENCE.timeout);
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
  const problems = [];
  page.on("console", (message) => {
    const expected = /status of 400/.test(message.text());
    if (message.type() === "error" && !expected) problems.push(message.text());
  });
  page.on("pageerror", (error) => problems.push(String(error)));
  return { page, problems, close: () => context.close() };
}

// Holds as long as its session.
const media = async (page, features) => {
  page.devtools ??= await page.createCDPSession();
  await page.devtools.send("Emulation.setEmulatedMedia", { features });
};

async function fits(page, name) {
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  assert.ok(overflow <= 0, `${name} is ${overflow} px broader than the window`);
}

async function judged(page, name) {
  await page.evaluate(axe.source);
  const options = { runOnly: TAGS, rules: { "target-size": { enabled: true } }, resultTypes: ["violations"] };
  const { violations } = await page.evaluate((given) => window.axe.run(document, given), options);
  const places = violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" | ")}`);
  assert.deepEqual(places, [], `axe on ${name}`);
}

// Once its page is read: before that its script is not there.
const framed = async (page, selector) => {
  for (let tries = 0; tries < 3000; tries += 1) {
    const frame = page.frames().find((each) => each !== page.mainFrame());
    const is_read = await frame?.evaluate(() => document.readyState !== "loading").catch(() => false);
    const found = is_read && await frame.$(selector).catch(() => null);
    if (found) return found;
    await new Promise((later) => { setTimeout(later, 100); });
  }
  throw new Error(`no ${selector}`);
};

const made = (form) => api(`/Services/${service}/HostedSessions`, form);

// The browser focuses a field some time after the page has loaded. Without scripts nothing in the page can wait for that.
const focused = async (page) => {
  for (const end = Date.now() + PATIENCE.timeout; Date.now() < end;) {
    const element = await page.$(":focus");
    if (element) return element.evaluate(({ id }) => id);
    await new Promise((later) => { setTimeout(later, 50); });
  }
  return null;
};

async function code(number) {
  for (let tries = 0; tries < 3000; tries += 1) {
    const answer = await fetch(`${server}/inbox/messages?to=${encodeURIComponent(number)}`);
    const { messages } = await answer.json();
    if (messages.length > 0) return messages[0].code;
    await new Promise((later) => { setTimeout(later, 100); });
  }
  throw new Error(`no message to ${number}`);
}

async function api(place, form) {
  const authorization = `Basic ${Buffer.from(`${user}:${secret}`).toString("base64")}`;
  const body = new URLSearchParams(form);
  const answer = await fetch(`${server}/v2${place}`, { method: "POST", headers: { authorization }, body });
  assert.ok(answer.ok, `${place}: ${answer.status}`);
  return answer.json();
}
