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

// What is followed, such as a log, shows its end, unless the reader went up in it: then it stays there.
function followed(place) {
  return new Map([...place.querySelectorAll("[data-follow][id]")].map((one) =>
    [one.id, one.scrollTop + one.clientHeight >= one.scrollHeight - 4 ? -1 : one.scrollTop]));
}
function follow(places) {
  for (const one of document.querySelectorAll("[data-follow]")) {
    const place = places.get(one.id) ?? -1;
    one.scrollTop = place < 0 ? one.scrollHeight : place;
  }
}
follow(new Map());
document.addEventListener("htmx:beforeSwap", () => {
  const places = followed(document);
  document.addEventListener("htmx:afterSwap", () => follow(places), {once: true});
});

// A part that cannot be renewed says so, rather than showing old numbers as if they were new.
const stale = (is) => document.body.classList.toggle("stale", is);
document.addEventListener("htmx:sendError", () => stale(true));
document.addEventListener("htmx:responseError", () => stale(true));
document.addEventListener("htmx:afterSwap", () => stale(false));

// A list that somebody chooses from, or writes into, is not renewed under their hands.
document.addEventListener("htmx:beforeRequest", (event) => {
  const list = event.detail.elt;
  if (!list.matches(".live")) return;
  const inUse = list.contains(document.activeElement) && document.activeElement.matches("input, select, textarea");
  const isWritten = [...list.querySelectorAll("input:not([type=hidden]), textarea")].some(
    (field) => field.value !== field.defaultValue);
  const isTicked = list.querySelector("input[data-row]:checked") !== null;
  const isRead = list.querySelector("details[data-hold][open]") !== null;  // opened by the reader: it renews itself
  const isHidden = list.closest("details:not([open])") !== null;
  list.classList.toggle("paused", isWritten);
  if (inUse || isWritten || isTicked || isRead || isHidden) event.preventDefault();
});

// After an action on a page one is where one was before.
const PLACE = "iceprod-place";
document.addEventListener("submit", (event) => {
  if (event.target.method !== "post") return;
  sessionStorage.setItem(PLACE, JSON.stringify({page: location.pathname + location.search, y: window.scrollY}));
});
const before = JSON.parse(sessionStorage.getItem(PLACE) ?? "null");
sessionStorage.removeItem(PLACE);
if (before?.page === location.pathname + location.search && !location.hash) {
  window.addEventListener("load", () => window.scrollTo(0, before.y), {once: true});
}

// In a narrow window a table is a list of cards; there each cell says itself what it is.
function labelCells() {
  for (const table of document.querySelectorAll(".scroll table")) {
    const titles = [...table.querySelectorAll("thead th")].map(
      (title) => title.querySelector(".unseen") ? "" : title.textContent.trim());
    for (const row of table.querySelectorAll("tbody tr")) {
      [...row.children].forEach((cell, number) => {
        if (cell.tagName === "TD" && titles[number] && cell.colSpan === 1 && !cell.dataset.label) cell.dataset.label = titles[number];
      });
    }
  }
}
labelCells();
document.addEventListener("htmx:afterSettle", labelCells);

// What is to be copied is copied by a button; without scripts it can be marked by hand.
for (const button of document.querySelectorAll("[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const field = document.getElementById(button.dataset.copy);
    field.select();
    let copied = false;
    try {
      await navigator.clipboard.writeText(field.value);
      copied = true;
    } catch {
      copied = document.execCommand("copy");  // over plain http there is no clipboard but this
    }
    document.querySelector("[data-copied]").textContent = copied ? "Copied." : "It is marked: copy it by the keyboard.";
  });
}
