"use strict";

// Every text that comes from a message is inserted with textContent, never as HTML.

const POLL_MS = 1000;
// A server that is down is asked less often.
const POLL_WHEN_DOWN_MS = 3000;
const REQUEST_TIMEOUT_MS = 5000;

const byId = (id) => document.getElementById(id);
const list = byId("messages");
const status = byId("status");
const announcement = byId("announcement");
const template = byId("message");

// Rows on the page by message id.
const rows = new Map();
let loaded = false;
let timer = 0;
let polling = false;
// Set when asking again cannot help.
let stopped = false;

// `round` is Math.floor for what has passed and Math.ceil for what is left, so that a code that
// was sent just now shows its whole life. Under two minutes seconds matter.
function span(ms, round) {
  const seconds = Math.max(0, round(ms / 1000));
  if (seconds < 120) return `${seconds} s`;
  const minutes = round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

async function copy(text, button) {
  const before = button.dataset.label || button.textContent;
  button.dataset.label = before;
  let done = false;
  try {
    await navigator.clipboard.writeText(text);
    done = true;
  } catch {
    // Browsers offer the clipboard on https and localhost only; elsewhere the old way works.
    const field = document.createElement("textarea");
    field.value = text;
    field.className = "unseen";
    document.body.append(field);
    field.select();
    done = document.execCommand("copy");
    field.remove();
    button.focus();
  }
  button.textContent = done ? "Copied" : "Select and copy";
  setTimeout(() => { button.textContent = before; }, 1500);
}

function addRow(message) {
  const row = template.content.firstElementChild.cloneNode(true);
  const part = (name) => row.querySelector(name);
  part(".to").textContent = message.to + (message.channel === "sms" ? "" : ` · ${message.channel}`);
  part(".text").textContent = message.text;
  part(".code").textContent = message.code;
  const received = new Date(message.receivedAtMs);
  part(".age").dateTime = received.toISOString();
  part(".age").title = received.toLocaleString();
  const button = part(".copy");
  button.setAttribute("aria-label", `Copy the code for ${message.to}`);
  button.addEventListener("click", () => copy(message.code, button));
  row.classList.toggle("fresh", loaded);
  rows.set(message.id, row);
  return row;
}

// Shows how old a message is and how long its code lasts, by the server's clock.
function refresh(row, message, now) {
  const left = message.expiresAtMs - now;
  row.querySelector(".age").textContent = `${span(now - message.receivedAtMs, Math.floor)} ago`;
  row.querySelector(".life").textContent = left > 0 ? `expires in ${span(left, Math.ceil)}` : "expired";
  row.querySelector(".life").classList.toggle("good", left > 0);
  row.classList.toggle("ended", left <= 0);
}

function show({ messages, nowMs }) {
  const present = new Set(messages.map((message) => message.id));
  for (const [id, row] of rows) {
    if (!present.has(id)) {
      row.remove();
      rows.delete(id);
    }
  }
  const news = messages.filter((message) => !rows.has(message.id));
  // Oldest first, each on top: rows that stay are not touched, so a selection in them stays too.
  for (const message of [...news].reverse()) list.prepend(addRow(message));
  for (const message of messages) refresh(rows.get(message.id), message, nowMs);
  if (loaded && news.length > 0) {
    announcement.textContent = `New message to ${news[0].to}: ${news[0].text}`;
  }
  byId("empty").hidden = messages.length > 0;
  loaded = true;
  const count = messages.length === 1 ? "1 message" : `${messages.length} messages, the newest first`;
  say(messages.length === 0 ? "Waiting for the first message." : `${count}. Updated every second.`);
}

function say(text, problem = false) {
  if (status.textContent === text) return;
  status.textContent = text;
  status.classList.toggle("problem", problem);
  if (problem) announcement.textContent = text;
}

async function poll() {
  if (polling || stopped) return;
  polling = true;
  clearTimeout(timer);
  let next = POLL_MS;
  try {
    const response = await fetch("/inbox/messages" + location.search, {
      cache: "no-store",
      signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
    });
    if (response.ok) {
      show(await response.json());
    } else {
      const answer = await response.json().catch(() => ({}));
      const words = answer.message || `the server answered HTTP ${response.status}.`;
      // The address of this page is wrong; only another one helps.
      stopped = response.status === 400;
      next = POLL_WHEN_DOWN_MS;
      say(`The messages could not be loaded: ${words}${stopped ? "" : " Trying again …"}`, true);
    }
  } catch (error) {
    next = POLL_WHEN_DOWN_MS;
    const silent = error instanceof TypeError || error.name === "TimeoutError";
    const reason = silent ? "the server does not answer" : "the answer cannot be read";
    say(`The messages could not be loaded: ${reason}. Trying again …`, true);
  }
  polling = false;
  if (!document.hidden && !stopped) timer = setTimeout(poll, next);
}

document.addEventListener("visibilitychange", () => {
  clearTimeout(timer);
  if (!document.hidden) poll();
});

// A `+` that was not escaped is read as a space; the server takes it for the `+` that it was.
const filter = new URLSearchParams(location.search).get("to")?.replace(/^ /, "+");
if (filter !== undefined) {
  byId("filter").hidden = false;
  byId("filter-to").textContent = filter;
}

const example = byId("example");
// The command is for a shell: no text of the address gets into it that is not a plain number.
const number = /^\+[0-9]{5,15}$/.test(filter) ? filter : "+14155552671";
example.textContent = `curl ${location.origin}/api/send-otp -d '{"phoneNumber":"${number}"}'`;
byId("copy-example").addEventListener("click", (event) => copy(example.textContent, event.currentTarget));

poll();
