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

function span(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
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
  row.querySelector(".age").textContent = `${span(now - message.receivedAtMs)} ago`;
  row.querySelector(".life").textContent = left > 0 ? `good for ${span(left)}` : "expired";
  row.classList.toggle("live", left > 0);
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
  if (polling) return;
  polling = true;
  clearTimeout(timer);
  let next = POLL_MS;
  try {
    const response = await fetch("/inbox/messages" + location.search, {
      cache: "no-store",
      signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
    });
    if (!response.ok) throw new Error(`HTTP ${response.status}`);
    show(await response.json());
  } catch (error) {
    next = POLL_WHEN_DOWN_MS;
    const silent = error instanceof TypeError || error.name === "TimeoutError";
    const reason = silent ? "the server does not answer" : `the server answered ${error.message}`;
    say(`The messages could not be loaded: ${reason}. Trying again …`, true);
  }
  polling = false;
  if (!document.hidden) timer = setTimeout(poll, next);
}

document.addEventListener("visibilitychange", () => {
  clearTimeout(timer);
  if (!document.hidden) poll();
});

const example = byId("example");
example.textContent = `curl ${location.origin}/api/send-otp -d '{"phoneNumber":"+14155552671"}'`;
byId("copy-example").addEventListener("click", (event) => copy(example.textContent, event.currentTarget));

poll();
