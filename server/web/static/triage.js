// Lists that are gone through by keys: j and k move, others press what the row has for them (data-key).
// Without scripts there are the same links and buttons.
"use strict";

const CHOSEN = "iceprod-triage"; // where one was before the page was left by an action
const NAMES = {o: "page to open", s: "thing to save", f: "star", r: "thing to reject", c: "place for comments"};
const help = document.querySelector("[data-keys]");
const said = document.querySelector("[data-keys-said]");
const rowsNow = () => [...document.querySelectorAll("table[data-triage] tr[data-row-key]")];
let chosen = null; // {key, index} of the row

function choose(row, index, {quietly = false} = {}) {
  for (const other of document.querySelectorAll("tr[aria-current]")) other.removeAttribute("aria-current");
  row.setAttribute("aria-current", "true");
  row.tabIndex = -1;
  row.focus({preventScroll: true});
  if (!quietly) row.scrollIntoView({block: "nearest"});
  chosen = {key: row.dataset.rowKey, index};
  said.textContent = "";
}

// The row that was chosen; where it went, the one that has its place now.
function again(from, options) {
  const rows = rowsNow();
  if (!from || !rows.length) return;
  const found = rows.findIndex((row) => row.dataset.rowKey === from.key);
  const index = found >= 0 ? found : Math.min(from.index, rows.length - 1);
  choose(rows[index], index, options);
}

function move(step) {
  const rows = rowsNow();
  if (!rows.length) return;
  const here = chosen ? rows.findIndex((row) => row.dataset.rowKey === chosen.key) : -1;
  const index = here < 0 ? 0 : Math.max(0, Math.min(rows.length - 1, here + step));
  choose(rows[index], index);
}

function press(key) {
  const row = document.querySelector("tr[aria-current]");
  const target = row?.querySelector(`[data-key="${key}"]`);
  if (!row) said.textContent = "Choose a row first: j";
  else if (!target) said.textContent = `This row has no ${NAMES[key]}`;
  else if (target.matches("summary")) write(target);
  else target.click();
}

function write(summary) {
  summary.parentElement.open = true;
  summary.parentElement.querySelector("textarea").focus();
}

function leave(box) {
  const row = box.closest("tr[data-row-key]");
  if (!row) return;
  box.closest("details").open = false;
  choose(row, rowsNow().indexOf(row));
}

const toggleHelp = () => help.open ? help.close() : help.showModal();

const isWriting = (target) => target.matches("input, select, textarea, [contenteditable]");

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing) return;
  if (isWriting(event.target)) {
    if (event.key === "Escape" && event.target.matches("tr textarea")) leave(event.target);
    return;
  }
  if (event.key === "?") toggleHelp();
  else if (help.open) return;
  else if (event.key === "j" || event.key === "k") move(event.key === "j" ? 1 : -1);
  else if (event.key in NAMES) press(event.key);
  else return;
  event.preventDefault();
});

// A click or a Tab into a row chooses it too.
document.addEventListener("focusin", (event) => {
  const row = event.target.closest?.("table[data-triage] tr[data-row-key]");
  if (!row || row.hasAttribute("aria-current")) return;
  for (const other of document.querySelectorAll("tr[aria-current]")) other.removeAttribute("aria-current");
  row.setAttribute("aria-current", "true");
  chosen = {key: row.dataset.rowKey, index: rowsNow().indexOf(row)};
});

document.querySelector("[data-keys-line]").hidden = false;
document.querySelector("[data-keys-button]").addEventListener("click", toggleHelp);

document.addEventListener("submit", (event) => {
  if (event.target.method !== "post" || !event.target.closest("table[data-triage]")) return;
  sessionStorage.setItem(CHOSEN, JSON.stringify({...chosen, page: location.pathname + location.search}));
});
const left = JSON.parse(sessionStorage.getItem(CHOSEN) ?? "null");
sessionStorage.removeItem(CHOSEN);
if (left?.page === location.pathname + location.search) {
  window.addEventListener("load", () => again(left, {quietly: true}), {once: true});
}

// A list that is renewed keeps the chosen row.
document.addEventListener("htmx:afterSettle", () => {
  const isLost = document.activeElement === document.body;
  if (chosen && isLost) again(chosen, {quietly: true});
});
