// The map of a scan in a canvas that can be moved and zoomed: by mouse, touch, keys and buttons.
import {Mollweide, Surroundings, readMap, wrapped} from "./sky.js";

const DEGREE = Math.PI / 180;
const WHOLE = 360, WIDEST = 120, NARROWEST = 0.02;  // degrees across; wider than WIDEST is the whole sky
const RAMP = [[253, 231, 37], [122, 209, 81], [34, 168, 132], [42, 120, 142], [65, 68, 135], [48, 12, 72], [24, 6, 36]];
const COLOURS = makeColours(512);
const MARKS = {  // what a mark looks like, by its kind; the legend in the style sheet has the same colours
  online: {colour: "#4db5ff", draw: "x"}, truth: {colour: "#3ddc97", draw: "star"},
  scan: {colour: "#ffb454", draw: "square"}, catalog: {colour: "#ff8fd8", draw: "dot"},
};

/** Colours from the best fit to the worst. */
function makeColours(count) {
  return Uint32Array.from({length: count}, (_, place) => {
    const at = place / (count - 1) * (RAMP.length - 1), first = Math.min(RAMP.length - 2, Math.floor(at));
    const mixed = RAMP[first].map((value, channel) => value + (at - first) * (RAMP[first + 1][channel] - value));
    return (255 << 24 | mixed[2] << 16 | mixed[1] << 8 | mixed[0]) >>> 0;
  });
}

class Viewer {
  constructor(box) {
    this.box = box;
    this.canvas = box.querySelector("canvas");
    this.out = box.querySelector("output");
    this.view = {ra: Math.PI, dec: 0, across: WHOLE};
    this.map = null;
    this.marks = readMarks();
    this.inset = document.createElement("canvas");  // the whole sky, beside a part of it
    this.held = new Map();  // fingers and buttons that are down
    this.listen();
  }

  get height() { return this.canvas.height; }
  get width() { return this.canvas.width; }

  /** What turns places of the canvas into directions, and its size: units of the projection per pixel. */
  projection() {
    const {ra, dec, across} = this.view;
    if (across > WIDEST) return {sky: new Mollweide(ra), unit: 4.1 / this.width};
    return {sky: new Surroundings(ra, dec), unit: across * DEGREE / this.width};
  }

  direction(x, y) {
    const {sky, unit} = this.projection();
    return sky.at((x - this.width / 2) * unit, (this.height / 2 - y) * unit);
  }

  place(ra, dec) {
    const {sky, unit} = this.projection();
    const found = sky.place(ra, dec);
    return found && [this.width / 2 + found[0] / unit, this.height / 2 - found[1] / unit];
  }

  /** Take in a map as the server sends it; the first one that has a best fit is opened on its region. */
  show(data) {
    this.map = data.map;
    this.best = data.best_fit;
    this.regions = data.regions;
    this.threshold = (this.regions.find(({level}) => level === 0.9) ?? this.regions[0])?.threshold ?? 10;
    this.drawWhole();
    if (!this.seen && this.best) {
      this.seen = true;
      this.toBest();
    }
    if (this.told) this.tell(...this.told);
    this.later();
  }

  /** Draw soon, and once only however much happens until then. */
  later(coarse = false) {
    this.coarse = coarse;
    cancelAnimationFrame(this.frame);
    clearTimeout(this.timer);
    this.frame = requestAnimationFrame(() => this.draw());
    if (coarse) this.timer = setTimeout(() => this.later(), 150);
  }

  draw() {
    const width = Math.round(this.canvas.clientWidth * Math.min(devicePixelRatio, 1.5)) || 800;
    if (this.canvas.width !== width) {
      this.canvas.width = width;
      this.canvas.height = Math.round(width * (this.canvas.clientWidth < 520 ? 0.85 : 0.6));
    }
    if (!this.map) return;
    const pen = this.canvas.getContext("2d");
    this.drawPixels(pen, this.coarse ? 3 : 1);
    this.drawGrid(pen);
    this.drawRegions(pen);
    this.drawMarks(pen);
    if (this.best) this.drawBest(pen);
    this.drawBar(pen);
    if (this.view.across <= WIDEST) this.drawInset(pen);
    this.canvas.dataset.drawn = "yes";
    this.canvas.dataset.across = this.view.across;
  }

  /** How 2Δ ln L becomes a colour: over a part of the sky even up to about the 90 % threshold. */
  scale(isWhole = this.view.across > WIDEST) {
    const top = isWhole ? this.map.top : Math.min(Math.max(this.map.top, 1e-6), 40 * this.threshold);
    const linear = isWhole ? top / 30 : Math.min(2 * this.threshold, top);
    return {top, linear, whole: Math.asinh(top / linear)};
  }

  /** `step` draws only every so many places. */
  drawPixels(pen, step) {
    const wide = Math.ceil(this.width / step), high = Math.ceil(this.height / step);
    const {sky, unit} = this.projection(), {map} = this;
    const picture = new ImageData(wide, high), colours = new Uint32Array(picture.data.buffer);
    const {linear, whole} = this.scale();
    for (let row = 0, place = 0; row < high; row++) {
      const y = (this.height / 2 - (row + 0.5) * step) * unit;
      for (let column = 0; column < wide; column++, place++) {
        const found = sky.at(((column + 0.5) * step - this.width / 2) * unit, y);
        if (!found) continue;  // outside of the sky
        const [delta] = map.at(found[0], found[1]);
        colours[place] = delta === Infinity ? 0xff9a948e
          : COLOURS[Math.min(511, Math.floor(511 * Math.asinh(delta / linear) / whole))];
      }
    }
    this.buffer ??= document.createElement("canvas");
    this.buffer.width = wide;
    this.buffer.height = high;
    this.buffer.getContext("2d").putImageData(picture, 0, 0);
    pen.imageSmoothingEnabled = false;
    pen.clearRect(0, 0, this.width, this.height);
    pen.drawImage(this.buffer, 0, 0, wide * step, high * step);
  }

  /** The outlines of the regions, as the files of the map have them: the inner one red, the others white. */
  drawRegions(pen) {
    const scale = this.width / Math.max(1, this.canvas.clientWidth);
    this.regions.forEach(({rings}, number) => {
      for (const [width, colour] of [[3.5, "rgba(0,0,0,.5)"], [2, number ? "#fff" : "#f22"]]) {
        pen.lineWidth = width * scale;
        pen.strokeStyle = colour;
        for (const ring of rings) this.line(pen, ring);
      }
    });
  }

  /** The whole sky once for each map, small. */
  drawWhole() {
    const wide = this.inset.width = 240, high = this.inset.height = 120;
    const sky = new Mollweide(this.best ? this.best[0] : Math.PI), {linear, whole} = this.scale(true);
    const picture = new ImageData(wide, high), colours = new Uint32Array(picture.data.buffer);
    for (let place = 0; place < wide * high; place++) {
      const found = sky.at((place % wide + 0.5) / wide * 4 - 2, 1 - (Math.floor(place / wide) + 0.5) / high * 2);
      if (!found) continue;
      const [delta] = this.map.at(found[0], found[1]);
      colours[place] = delta === Infinity ? 0xff9a948e
        : COLOURS[Math.min(511, Math.floor(511 * Math.asinh(delta / linear) / whole))];
    }
    this.inset.getContext("2d").putImageData(picture, 0, 0);
  }

  /** The whole sky in a corner, with where one looks. */
  drawInset(pen) {
    const scale = this.width / Math.max(1, this.canvas.clientWidth);
    const wide = Math.min(190 * scale, this.width / 3.4), high = wide / 2, gap = 8 * scale;
    const left = this.width - wide - gap, top = gap;
    pen.fillStyle = "rgba(255,255,255,.75)";
    pen.fillRect(left - 3 * scale, top - 3 * scale, wide + 6 * scale, high + 6 * scale);
    pen.imageSmoothingEnabled = true;
    pen.drawImage(this.inset, left, top, wide, high);
    const place = new Mollweide(this.best ? this.best[0] : Math.PI).place(this.view.ra, this.view.dec);
    const half = Math.max(4 * scale, this.view.across / 2 * DEGREE / Math.PI * wide);
    pen.strokeStyle = "#f22";
    pen.lineWidth = 1.5 * scale;
    pen.strokeRect(left + (place[0] + 2) / 4 * wide - half, top + (1 - place[1]) / 2 * high - half * this.height / this.width,
                   2 * half, 2 * half * this.height / this.width);
  }

  /** The bar of colours, with what they mean. */
  drawBar(pen) {
    const scale = this.width / Math.max(1, this.canvas.clientWidth);
    const long = Math.min(210 * scale, this.width / 2.2), thick = 9 * scale, gap = 10 * scale;
    const top = this.height - gap - thick - 13 * scale, {top: most, linear, whole} = this.scale();
    pen.fillStyle = "rgba(0,0,0,.55)";
    pen.fillRect(0, top - 18 * scale, long + 3.2 * gap, this.height - top + 18 * scale);
    for (let x = 0; x < long; x++) {
      const colour = COLOURS[Math.floor(511 * x / long)];
      pen.fillStyle = `rgb(${colour & 255},${colour >> 8 & 255},${colour >> 16 & 255})`;
      pen.fillRect(gap + x, top, 1.5, thick);
    }
    pen.font = `${Math.round(11 * scale)}px system-ui, sans-serif`;
    pen.fillStyle = "#fff";
    pen.textAlign = "left";
    pen.fillText("2Δ ln L to the best fit", gap, top - 5 * scale);
    pen.textAlign = "center";
    for (const tick of ticksOf(most, linear, whole)) {
      const x = gap + long * Math.asinh(tick / linear) / whole;
      pen.fillRect(x, top, 1, thick + 3 * scale);
      pen.fillText(String(tick), x, top + thick + 13 * scale);
    }
  }

  /** What the best fit is compared with, and what the catalogue has. */
  drawMarks(pen) {
    const scale = this.width / Math.max(1, this.canvas.clientWidth), size = 7 * scale;
    pen.font = `${Math.round(11 * scale)}px system-ui, sans-serif`;
    for (const {kind, ra, dec, number} of this.marks) {
      const at = this.place(ra, dec);
      if (!at || at[0] < 0 || at[0] > this.width || at[1] < 0 || at[1] > this.height) continue;
      const {colour, draw} = MARKS[kind];
      for (const [width, ink] of [[4.5, "#000"], [2.2, colour]]) {
        pen.lineWidth = width * scale;
        pen.strokeStyle = ink;
        pen.beginPath();
        shapes[draw](pen, at[0], at[1], size);
        pen.stroke();
      }
      if (number) {
        pen.lineWidth = 3 * scale;
        pen.strokeStyle = "#000";
        pen.strokeText(number, at[0] + 1.6 * size, at[1] - 0.6 * size);
        pen.fillStyle = colour;
        pen.fillText(number, at[0] + 1.6 * size, at[1] - 0.6 * size);
      }
    }
  }

  drawGrid(pen) {
    const {ra, dec, across} = this.view, whole = across > WIDEST;
    const step = whole ? (this.canvas.clientWidth < 520 ? 60 : 30) : [30, 20, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005]
      .find((one) => one * 5 <= across) || 0.002;
    const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
    pen.strokeStyle = "rgba(255,255,255,.35)";
    const scale = this.width / Math.max(1, this.canvas.clientWidth);
    pen.lineWidth = 1;
    pen.font = `${Math.round(12 * this.width / Math.max(1, this.canvas.clientWidth))}px system-ui, sans-serif`;
    pen.textAlign = "center";
    const middle = Math.round((whole ? 0 : dec / DEGREE) / step) * step;
    const tall = whole ? 90 : across / 3, broad = whole ? 180 : Math.min(180, across / Math.max(0.05, Math.cos(dec)));
    const centre = Math.round(ra / DEGREE / step) * step;
    for (let d = Math.ceil((middle - tall) / step) * step; d <= middle + tall + 1e-9; d += step) {
      if (Math.abs(d) >= 90 - 1e-9) continue;
      const along = range(ra / DEGREE - broad, ra / DEGREE + broad, 96).map((r) => [r, d]);
      this.line(pen, along);
      const at = whole ? this.place(ra, d * DEGREE) : this.edge(along, (x) => x, 24 * scale);
      this.label(pen, at, `${d > 0 ? "+" : ""}${d.toFixed(digits)}°`);
    }
    for (let r = centre - Math.ceil(broad / step) * step; r < centre + broad; r += step) {
      if (whole && Math.abs(wrapped((r * DEGREE) - ra)) > 179.9 * DEGREE) continue;
      const along = range(Math.max(-90, middle - tall), Math.min(90, middle + tall), 64).map((d) => [r, d]);
      this.line(pen, along);
      const at = whole ? this.place(r * DEGREE, middle * DEGREE) : this.edge(along, (x, y) => -y, 24 * scale);
      this.label(pen, at, `${(((r % 360) + 360) % 360).toFixed(digits)}°`);
    }
  }

  line(pen, points) {
    let last = null;
    pen.beginPath();
    for (const [ra, dec] of points) {
      const here = this.place(ra * DEGREE, dec * DEGREE);
      if (here && last && Math.abs(here[0] - last[0]) < this.width / 3) pen.lineTo(...here);
      else if (here) pen.moveTo(...here);
      last = here;
    }
    pen.stroke();
  }

  /** Where a line leaves the canvas, by what is to be least there; so that labels are out of the way. */
  edge(points, least, rim) {
    let found = null;
    for (const [ra, dec] of points) {
      const at = this.place(ra * DEGREE, dec * DEGREE);
      const inside = at && at[0] > rim && at[0] < this.width - rim && at[1] > rim && at[1] < this.height - 6;
      if (inside && (!found || least(...at) < least(...found))) found = at;
    }
    return found;
  }

  label(pen, at, text) {
    if (!at || at[0] < 15 || at[0] > this.width - 15 || at[1] < 14 || at[1] > this.height - 6) return;
    pen.lineWidth = 3;
    pen.strokeStyle = "rgba(0,0,0,.55)";
    pen.strokeText(text, at[0], at[1] - 3);
    pen.fillStyle = "#fff";
    pen.fillText(text, at[0], at[1] - 3);
    pen.lineWidth = 1;
    pen.strokeStyle = "rgba(255,255,255,.35)";
  }

  drawBest(pen) {
    const at = this.place(...this.best);
    if (!at) return;
    const size = 9 * this.width / Math.max(1, this.canvas.clientWidth);
    for (const [width, colour] of [[4, "#000"], [2, "#fff"]]) {
      pen.lineWidth = width;
      pen.strokeStyle = colour;
      pen.beginPath();
      for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
        pen.moveTo(at[0] + dx * size / 3, at[1] + dy * size / 3);
        pen.lineTo(at[0] + dx * size, at[1] + dy * size);
      }
      pen.stroke();
    }
  }

  // -- moving

  zoom(factor, x = this.width / 2, y = this.height / 2) {
    const under = this.direction(x, y);
    const before = this.view.across;
    let across = before * factor;
    if (before > WIDEST && factor < 1) across = WIDEST;
    else if (across > WIDEST) across = WHOLE;
    this.view.across = Math.max(NARROWEST, across);
    if (before > WIDEST && across <= WIDEST && under) {  // into the ellipse: to where one points
      [this.view.dec, this.view.ra] = [Math.asin(under[0]), under[1]];
    } else if (across <= WIDEST && under) {  // what is under the pointer stays there
      const at = this.place(under[1], Math.asin(under[0]));
      if (at) this.move(at[0] - x, at[1] - y);
    }
    this.later(true);
  }

  /** Look so many pixels further to the right and down. */
  move(dx, dy) {
    if (this.view.across > WIDEST) {
      this.view.ra -= dx * 4.1 / this.width * Math.PI / 2;
    } else {
      const found = this.direction(this.width / 2 + dx, this.height / 2 + dy);
      this.view.ra = found[1];
      this.view.dec = Math.max(-89.9 * DEGREE, Math.min(89.9 * DEGREE, Math.asin(found[0])));
    }
    this.later(true);
  }

  whole() {
    this.view.across = WHOLE;
    if (this.best) this.view.ra = this.best[0];
    this.later();
  }

  toBest() {
    if (!this.best) return;
    [this.view.ra, this.view.dec] = this.best;
    const across = 3.4 * this.reach() * this.width / this.height;
    this.view.across = Math.min(WIDEST, Math.max(across, 12 * 58.6 / this.map.finest));  // some pixels at least
    this.later();
  }

  /** How far the largest region reaches from the best fit, in degrees. */
  reach() {
    const [ra, dec] = this.best, rings = this.regions.flatMap((region) => region.rings).flat();
    let least = 1;
    for (const [r, d] of rings) {
      least = Math.min(least, Math.sin(dec) * Math.sin(d * DEGREE)
        + Math.cos(dec) * Math.cos(d * DEGREE) * Math.cos(r * DEGREE - ra));
    }
    return rings.length ? Math.acos(Math.max(-1, least)) / DEGREE : 10;
  }

  /** Say what is at a place of the canvas. */
  tell(x, y) {
    this.told = [x, y];
    const found = this.map && this.direction(x, y);
    if (!found) { this.out.textContent = ""; return; }
    const [delta, nside] = this.map.at(...found);
    const ra = ((found[1] / DEGREE) % 360 + 360) % 360, dec = Math.asin(found[0]) / DEGREE;
    const what = delta === Infinity ? "no result here" : `2Δ ln L = ${delta.toFixed(2)} (nside ${nside})`;
    this.out.textContent = `RA ${ra.toFixed(3)}°, Dec ${dec > 0 ? "+" : ""}${dec.toFixed(3)}°: ${what}`;
  }

  listen() {
    const {canvas} = this;
    const at = (event) => {
      const box = canvas.getBoundingClientRect(), scale = canvas.width / box.width;
      return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
    };
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.held.set(event.pointerId, at(event));
    });
    canvas.addEventListener("pointermove", (event) => {
      const now = at(event), before = this.held.get(event.pointerId);
      if (!before) { this.tell(...now); return; }
      const other = [...this.held].find(([id]) => id !== event.pointerId);
      if (other) {  // two fingers: pinch
        const far = (point) => Math.hypot(point[0] - other[1][0], point[1] - other[1][1]);
        this.zoom(far(before) / Math.max(1, far(now)), (now[0] + other[1][0]) / 2, (now[1] + other[1][1]) / 2);
      } else {
        this.move(before[0] - now[0], before[1] - now[1]);
      }
      this.held.set(event.pointerId, now);
    });
    for (const name of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(name, (event) => this.held.delete(event.pointerId));
    }
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(event.deltaY < 0 ? 0.8 : 1.25, ...at(event));
    }, {passive: false});
    canvas.addEventListener("keydown", (event) => this.key(event));
    for (const [name, action] of Object.entries({in: () => this.zoom(0.6), out: () => this.zoom(1 / 0.6),
                                                 whole: () => this.whole(), best: () => this.toBest()})) {
      this.box.querySelector(`[data-sky="${name}"]`).addEventListener("click", () => {
        action();
        this.tell(this.width / 2, this.height / 2);
      });
    }
    new ResizeObserver(() => this.later()).observe(canvas);
  }

  key(event) {
    const far = this.width / 12;
    const actions = {
      ArrowLeft: () => this.move(-far, 0), ArrowRight: () => this.move(far, 0),
      ArrowUp: () => this.move(0, -far), ArrowDown: () => this.move(0, far),
      "+": () => this.zoom(0.6), "=": () => this.zoom(0.6), "-": () => this.zoom(1 / 0.6),
      0: () => this.whole(), b: () => this.toBest(),
    };
    if (!actions[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    actions[event.key]();
    this.tell(this.width / 2, this.height / 2);
  }
}

const shapes = {
  x: (pen, x, y, r) => { pen.moveTo(x - r, y - r); pen.lineTo(x + r, y + r); pen.moveTo(x + r, y - r); pen.lineTo(x - r, y + r); },
  square: (pen, x, y, r) => pen.rect(x - 0.8 * r, y - 0.8 * r, 1.6 * r, 1.6 * r),
  dot: (pen, x, y, r) => pen.arc(x, y, 0.6 * r, 0, 2 * Math.PI),
  star: (pen, x, y, r) => {
    for (let point = 0; point <= 10; point++) {
      const out = point % 2 ? 0.5 * r : 1.3 * r, angle = point * Math.PI / 5;
      pen[point ? "lineTo" : "moveTo"](x + out * Math.sin(angle), y - out * Math.cos(angle));
    }
  },
};

/** The rows of the page that are places on the sky; those of a catalogue are numbered as there. */
function readMarks() {
  let number = 0;
  return [...document.querySelectorAll("[data-mark]")].map(({dataset}) => ({
    kind: dataset.mark, ra: Number(dataset.ra) * DEGREE, dec: Number(dataset.dec) * DEGREE,
    number: dataset.mark === "catalog" ? String(++number) : "",
  }));
}

/** Round numbers that lie clear of each other on the bar of colours. */
function ticksOf(top, linear, whole) {
  const found = [0];
  for (let decade = 10 ** (Math.floor(Math.log10(top)) - 2); decade <= top; decade *= 10) {
    for (const step of [1, 2, 5]) {
      const tick = Number((step * decade).toPrecision(1));
      if (tick <= top && (Math.asinh(tick / linear) - Math.asinh(found.at(-1) / linear)) / whole > 0.16) found.push(tick);
    }
  }
  return found;
}

function range(first, last, count) {
  return Array.from({length: count + 1}, (_, place) => first + (last - first) * place / count);
}

/** The page's viewer, which fetches the map when told that there is a newer one. */
const box = document.querySelector("[data-skymap]");
const viewer = new Viewer(box);
let fetching = false, wanted = false;

async function fetchMap() {
  wanted = true;
  if (fetching) return;
  fetching = true;
  try {
    while (wanted) {
      wanted = false;
      const levels = box.querySelector("select").value;
      const answer = await fetch(`${box.dataset.skymap}?levels=${encodeURIComponent(levels)}`).catch(() => null);
      if (answer?.ok) viewer.show(readMap(await answer.arrayBuffer()));
      const isBusy = !answer || answer.status === 429 || answer.status >= 500;
      if (isBusy) wanted = true;  // the last map would never come: nothing is told after it
      await new Promise((resolve) => setTimeout(resolve, isBusy ? 3000 : 1000));  // not more often, however fast pixels come
    }
  } finally {
    fetching = false;
  }
}

box.querySelector("select").addEventListener("change", fetchMap);
document.addEventListener("scan:news", (event) => {
  box.dataset.area = event.detail.area_90_deg2 ?? "";
  viewer.marks = readMarks();
  if (event.detail.pixels_done || event.detail.is_final) {
    box.hidden = false;
    fetchMap();
  }
});
if (!box.hidden) fetchMap();
window.addEventListener("pagehide", () => { wanted = false; });
