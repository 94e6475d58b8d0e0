// The desk's pages. One waits for the state of a case to change, and then shows the page that belongs to the new one. In a browser with the Digital Credentials API the
// page can also ask by that (OpenID4VP 1.0, Appendix A). Without any of this the page is loaded again by hand.
"use strict";
const waiting = document.querySelector("[data-events]");
const pause = 15000; // before asking for events again where there was no room, see Retry-After
let events;

function watch() {
  events = new EventSource(waiting.dataset.events);
  events.addEventListener("state", (event) => {
    if (event.data !== waiting.dataset.state) {
      events.close();
      location.reload();
    }
  });
  events.addEventListener("error", () => {
    if (events.readyState === EventSource.CLOSED) { // refused; otherwise the browser tries again by itself
      setTimeout(watch, pause);
    }
  });
}
if (waiting) {
  watch();
  window.addEventListener("pagehide", () => events.close());
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) { // come back to: it may be long over
      location.reload();
    }
  });
}

// Whoever fills in months means them, and whoever goes back to another period does not.
for (const months of document.querySelectorAll(".months")) {
  const mine = months.closest(".choice").querySelector("[name=period]");
  months.addEventListener("input", () => { mine.checked = true; });
  months.closest("form").addEventListener("change", (event) => {
    if (event.target.name === "period" && event.target !== mine) {
      months.querySelectorAll("input").forEach((month) => { month.value = ""; });
    }
  });
}

const ask = document.querySelector("[data-ask]");

// say shows one of the texts that the page holds, in its live region.
function say(name) {
  for (const text of ask.querySelectorAll("[data-says]")) {
    text.hidden = text.dataset.says !== name;
  }
}

const knows = (protocol) => !DigitalCredential.userAgentAllowsProtocol || DigitalCredential.userAgentAllowsProtocol(protocol);

// words for why the browser brings no answer, by the name of its error.
const words = {AbortError: "cancelled", NotAllowedError: "cancelled", NotSupportedError: "unable", TypeError: "unable"};

// asked hands the request to the browser, and returns what a wallet answers, or the word for why there is none.
async function asked(options) {
  try {
    return await navigator.credentials.get(options) || "nothing";
  } catch (error) {
    return words[error.name] || "nothing";
  }
}

// answer asks and sends on what comes back, and returns the word for what went wrong. Otherwise the page has gone on.
async function answer() {
  const request = await fetch(ask.dataset.ask);
  if (request.status === 429 || request.status >= 500) {
    return "unsent";
  }
  if (!request.ok) { // answered elsewhere, or over: the page says so
    location.reload();
    return "busy";
  }
  const credential = await asked(await request.json());
  if (typeof credential === "string") {
    return credential;
  }
  events.close(); // or the page would leave while it sends
  const sent = await fetch(ask.dataset.ask, {
    method: "POST", headers: {"Content-Type": "application/json"},
    body: JSON.stringify({protocol: credential.protocol, data: credential.data, origin: location.origin}),
  });
  if (sent.status === 429) {
    watch();
    return "unsent";
  }
  location.reload(); // whatever became of it, the page says it
  return "busy";
}

if (ask && window.DigitalCredential && navigator.credentials && ["openid4vp-v1-signed", "openid4vp-v1-unsigned"].some(knows)) {
  ask.hidden = false;
  let busy = false;
  ask.querySelector("button").addEventListener("click", async () => {
    if (busy) {
      return;
    }
    busy = true;
    say("busy");
    try {
      say(await answer());
    } catch { // the network
      if (events.readyState === EventSource.CLOSED) {
        watch();
      }
      say("unsent");
    }
    busy = false;
  });
}
