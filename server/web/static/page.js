// What all pages share: a box that ticks all boxes of its table, how many are ticked, and keeping what the
// reader opened while a part of the page is renewed.
"use strict";

function countTicked(form) {
  const boxes = [...form.querySelectorAll("input[data-row]")];
  const ticked = boxes.filter((box) => box.checked).length;
  for (const place of form.querySelectorAll("[data-ticked]")) place.textContent = ticked;
  const all = form.querySelector("input[data-all]");
  if (all) {
    all.checked = ticked > 0 && ticked === boxes.length;
    all.indeterminate = ticked > 0 && ticked < boxes.length;
  }
}

document.addEventListener("change", (event) => {
  const box = event.target;
  const form = box.form;
  if (!form || !box.matches("input[data-all], input[data-row]")) return;
  if (box.matches("[data-all]")) {
    for (const row of form.querySelectorAll("input[data-row]")) row.checked = box.checked;
  } else {
    const chosen = form.querySelector('input[name="which"][value="ticked"]');
    if (chosen) chosen.checked = true;
  }
  countTicked(form);
});

// A form that filters sends itself when a choice is made; without scripts there is its button.
document.addEventListener("change", (event) => {
  if (event.target.matches("form[data-filter] select")) event.target.form.requestSubmit();
});

// Parts that are renewed keep what was opened in them.
document.addEventListener("htmx:beforeSwap", (event) => {
  const opened = [...event.target.querySelectorAll("details[open][id]")].map((one) => one.id);
  if (!opened.length) return;
  document.addEventListener("htmx:afterSwap", () => {
    for (const id of opened) document.getElementById(id)?.setAttribute("open", "");
  }, {once: true});
});

// A part that cannot be renewed says so, rather than showing old numbers as if they were new.
const stale = (is) => document.body.classList.toggle("stale", is);
document.addEventListener("htmx:sendError", () => stale(true));
document.addEventListener("htmx:responseError", () => stale(true));
document.addEventListener("htmx:afterSwap", () => stale(false));
