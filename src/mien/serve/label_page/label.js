"use strict";

const face = document.getElementById("face");
const answers = document.getElementById("answers");
const undo = document.getElementById("undo");
const problem = document.getElementById("problem");
let state = null;
let busy = false;

async function ask(address, body) {
  if (busy) return;
  busy = true;
  try {
    const reply = await fetch(address, body === undefined ? {} : { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
    const next = await reply.json();
    problem.textContent = next.error ?? (reply.ok ? "" : "Another page has voted, so nothing was changed here.");
    if (next.answers) show(next);
  } catch {
    problem.textContent = `The ${body === undefined ? "first face was not read" : "vote was not saved"}. Is mien label still running?`;
  } finally {
    busy = false;
  }
}

function show(next) {
  state = next;
  const done = next.image === null;
  document.getElementById("progress").textContent = `${next.person}: votes ${next.votes}, faces left ${next.left}`;
  document.getElementById("question").textContent = done ? "Done. Every face has your vote. You can close this page." : "Which expression do you see?";
  face.parentElement.hidden = answers.hidden = done;
  if (!done) face.src = `image/${next.number}`;
  undo.disabled = next.votes === 0;
  if (!answers.children.length) {
    next.answers.forEach((name, at) => {
      const button = document.createElement("button");
      const key = document.createElement("kbd");
      button.type = "button";
      key.textContent = (at + 1) % 10;
      button.append(key, ` ${name}`);
      button.addEventListener("click", () => vote(at));
      answers.append(button);
    });
  }
}

function vote(at) {
  // The face before it is still shown, or this one cannot be.
  if (!face.complete || !face.naturalWidth) return;
  if (state && state.image !== null && at >= 0 && at < state.answers.length) {
    ask("vote", { image: state.image, answer: state.answers[at], votes: state.votes });
  }
}

function takeBack() {
  if (state) ask("undo", { votes: state.votes });
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.key === "Backspace") takeBack();
  else if (/^[0-9]$/.test(event.key)) vote((Number(event.key) + 9) % 10);
});
for (const buttons of [answers, undo]) {
  // A held Enter or space would vote on the next faces too.
  buttons.addEventListener("keydown", (event) => event.repeat && event.key !== "Tab" && event.preventDefault());
}
undo.addEventListener("click", takeBack);
// Before the first face, and for one that cannot be shown, a browser would show a broken image.
face.addEventListener("load", () => {
  face.hidden = false;
});
face.addEventListener("error", () => {
  face.hidden = true;
  problem.textContent = `${state.image} cannot be shown. Restore it, and reload this page.`;
});
ask("next");
