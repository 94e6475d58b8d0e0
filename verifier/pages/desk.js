// Waits for the state of a case to change, and then shows the page that belongs to the new one.
"use strict";
const waiting = document.querySelector("[data-events]");
if (waiting) {
  const events = new EventSource(waiting.dataset.events);
  events.addEventListener("state", (event) => {
    if (event.data !== waiting.dataset.state) {
      events.close();
      location.reload();
    }
  });
  window.addEventListener("pagehide", () => events.close());
}
