// Keeps a scan's page up to date: asks for progress, which the server answers when there is some.
"use strict";

const scan = document.getElementById("scan");
const root = "/web/scans/" + encodeURIComponent(scan.dataset.scan);
let version = Number(scan.dataset.version);
let drawn = 0;

const place = (name) => scan.querySelector(`[data-show="${name}"]`);
const put = (name, text) => { place(name).textContent = text; };
const number = (value, digits, unit = "") => value == null ? "–" : value.toFixed(digits) + unit;
const area = (value) => value == null ? "–" : value.toPrecision(4) + " deg²";

function stateClass(state) {
  const first = state.split("__")[0].toLowerCase();
  if (["scan_has_final_result", "finished"].includes(first)) return "good";
  if (first === "in_progress") return "busy";
  return ["aborted", "stopped"].includes(first) ? "bad" : "wait";
}

function showLevels(levels) {
  place("levels").replaceChildren(...levels.map((level) => {
    const row = document.createElement("tr");
    for (const [tag, value] of [["th", level.nside], ["td", level.done], ["td", level.total]]) {
      const cell = row.appendChild(document.createElement(tag));
      cell.textContent = value;
      if (tag === "td") cell.className = "number";
    }
    return row;
  }));
}

function show(view) {
  const state = place("state");
  state.textContent = view.state.replace("__", ": ").replaceAll("_", " ").toLowerCase();
  state.className = "state " + stateClass(view.state);
  put("reason", view.state_reason);
  if (view.event) put("event", `Run ${view.event.run_id} · Event ${view.event.event_id} · ${view.event.event_type}`);
  place("bar").max = Math.max(view.pixels_total, 1);
  place("bar").value = view.pixels_done;
  put("pixels", `${view.pixels_done} of ${view.pixels_total}`);
  put("rate", number(view.rate, 1, " pixels/s"));
  put("left", number(view.eta_s, 0, " s"));
  put("wall", number(view.wall_s, 1, " s"));
  put("cpu", number(view.cpu_s, 1, " s"));
  const best = view.best_fit || {};
  put("ra", number(best.ra_deg, 4, "°"));
  put("dec", (best.dec_deg > 0 ? "+" : "") + number(best.dec_deg, 4, "°"));
  put("llh", number(best.llh, 2));
  put("area50", area(view.area_50_deg2));
  put("area90", area(view.area_90_deg2));
  showLevels(view.levels);
}

// A picture costs the server a moment: while the scan runs, not more than one in two seconds.
function draw(view) {
  const hasMap = view.best_fit != null || view.is_final;
  place("pictures").hidden = place("files").hidden = !hasMap;
  if (!hasMap || (!view.is_final && Date.now() - drawn < 2000)) return;
  drawn = Date.now();
  for (const image of scan.querySelectorAll("img[data-picture]")) {
    const fresh = new Image();
    fresh.onload = () => { image.src = fresh.src; };
    fresh.src = `${image.dataset.picture}?n=${view.version}`;
  }
}

const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

async function follow() {
  for (;;) {
    try {
      const answer = await fetch(`${root}/progress?wait=20&since=${version}`, {redirect: "error"});
      if (!answer.ok) return;
      const view = await answer.json();
      version = view.version;
      show(view);
      draw(view);
      if (view.is_final || /^(ABORTED|STOPPED)/.test(view.state)) return;
      await pause(300);
    } catch {
      await pause(3000);
    }
  }
}

if (scan.dataset.final !== "yes") follow();
