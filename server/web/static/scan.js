// Keeps a scan's page up to date: asks for progress, which the server answers when there is some.
const scan = document.getElementById("scan");
const root = "/web/scans/" + encodeURIComponent(scan.dataset.scan);
let version = Number(scan.dataset.version);

const place = (name) => scan.querySelector(`[data-show="${name}"]`);
const put = (name, text) => { if (place(name).textContent !== text) place(name).textContent = text; };
const whole = (value) => String(value).replace(/\B(?=(\d{3})+$)/g, "\u202f");
const number = (value, digits, unit) => value == null ? "–" : `${Number(value.toPrecision(digits))}\u00a0${unit}`;

/** A span of time in the unit that fits. */
function seconds(value) {
  if (value == null) return "–";
  const [size, unit] = value < 100 ? [1, "s"] : value < 6000 ? [60, "min"] : value < 172800 ? [3600, "h"] : [86400, "d"];
  return number(value / size, value / size < 10 ? 2 : 3, unit);
}

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
      cell.textContent = tag === "td" ? whole(value) : value;
      if (tag === "td") cell.className = "number";
      else cell.scope = "row";
    }
    return row;
  }));
}

function show(view) {
  const state = place("state");
  put("state", view.state.replace("__", ": ").replaceAll("_", " ").toLowerCase());
  state.className = "state wrap " + stateClass(view.state);
  put("reason", view.state_reason);
  if (view.event) put("event", `Run ${view.event.run_id} · Event ${view.event.event_id} · ${view.event.event_type}`);
  place("bar").max = Math.max(view.pixels_total, 1);
  place("bar").value = view.pixels_done;
  put("pixels", `${whole(view.pixels_done)} of ${whole(view.pixels_total)}`);
  put("rate", number(view.rate, 3, "pixels/s"));
  put("left", seconds(view.eta_s));
  put("wall", seconds(view.wall_s));
  put("cpu", seconds(view.cpu_s));
  put("workers", `${whole(view.workers)} running`);
  showLevels(view.levels);
  for (const [name, text] of Object.entries(view.texts)) {  // as the server writes them in the page
    if (place(name)) put(name, text);
  }
  place("bestcard").hidden = !view.best_fit;
  place("files").hidden = !view.best_fit && !view.is_final;
  document.dispatchEvent(new CustomEvent("scan:news", {detail: view}));
}

/** When the scan is over: what may be done and had is another than before. The map stays as the reader has it. */
async function renew() {
  const answer = await fetch(location.href);
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of document.querySelectorAll("[data-end]")) {
    const other = fresh.querySelector(`[data-end="${part.dataset.end}"]`);
    if (other) part.replaceWith(document.importNode(other, true));
    else part.remove();
  }
  scan.dataset.over = "yes";
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
      scan.dataset.final = view.is_final ? "yes" : "no";
      if (view.is_final || /^(ABORTED|STOPPED|FINISHED)/.test(view.state)) return await renew();
      await pause(300);
    } catch {
      await pause(3000);
    }
  }
}

if (scan.dataset.final !== "yes") follow();
