// What a page does better with a script; it does without one, too.
"use strict";
for (const button of document.querySelectorAll("[data-print]")) {
  button.hidden = false;
  button.addEventListener("click", () => window.print());
}
// A link into a drawer opens it: browsers do that for details by themselves, older ones do not.
function openTarget() {
  const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const drawer = target && target.closest("details");
  if (drawer && !drawer.open) {
    drawer.open = true;
    target.scrollIntoView();
  }
}
window.addEventListener("hashchange", openTarget);
openTarget();
