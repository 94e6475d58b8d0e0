// Makes and uses passkeys (Web Authentication). The secret of an invitation is in the fragment of the address, which no server sees.
"use strict";

const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
const descriptors = (list) => (list || []).map((d) => ({...d, id: bytes(d.id)}));

async function send(path, body) {
  const answer = await fetch(path, {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(body)});
  if (!answer.ok) {
    throw new Error("refused: " + answer.status);
  }
  return answer.status === 204 ? null : answer.json();
}

async function make() {
  const invitation = location.hash.slice(1);
  const begun = await send("/signin/passkey/make/begin", {invitation});
  const o = begun.options;
  const made = await navigator.credentials.create({publicKey: {
    ...o, challenge: bytes(o.challenge), user: {...o.user, id: bytes(o.user.id)}, excludeCredentials: descriptors(o.excludeCredentials),
  }});
  await send("/signin/passkey/make/finish", {invitation, ceremony: begun.ceremony, credential: {
    id: made.id, rawId: text(made.rawId), type: made.type,
    response: {clientDataJSON: text(made.response.clientDataJSON), attestationObject: text(made.response.attestationObject)},
  }});
}

async function signIn() {
  const begun = await send("/signin/passkey/begin", {});
  const o = begun.options;
  const used = await navigator.credentials.get({publicKey: {...o, challenge: bytes(o.challenge), allowCredentials: descriptors(o.allowCredentials)}});
  const r = used.response;
  await send("/signin/passkey/finish", {ceremony: begun.ceremony, credential: {
    id: used.id, rawId: text(used.rawId), type: used.type,
    response: {clientDataJSON: text(r.clientDataJSON), authenticatorData: text(r.authenticatorData), signature: text(r.signature), userHandle: r.userHandle ? text(r.userHandle) : null},
  }});
}

for (const button of document.querySelectorAll("[data-passkey]")) {
  const trouble = document.querySelector("[data-trouble]");
  button.hidden = !window.PublicKeyCredential;
  trouble.hidden = !button.hidden;
  button.addEventListener("click", async () => {
    button.disabled = true;
    trouble.hidden = true;
    try {
      await (button.dataset.passkey === "make" ? make() : signIn());
      location.replace(button.dataset.next);
    } catch {
      trouble.hidden = false;
      button.disabled = false;
    }
  });
}
