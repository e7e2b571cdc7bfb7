// The feeder on a plane of its own coordinates: grey where all is well, colour only near a limit. One MultiLineString a class:
// thousands of wires are six features. The table under it says the same in words.
import { Circle, controls, Feature, Fill, interactions, Map as OlMap, MultiLineString, MultiPoint, Point, Projection, RegularShape, Stroke, Style, VectorLayer, VectorSource, View } from "./vendor/ol/ol.js";

const NEAR = 0.9;
const css = (name) => {
  const probe = document.createElement("i");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const colour = getComputedStyle(probe).color;
  probe.remove();
  return colour;
};

class FeederMap {
  constructor(box) {
    this.box = box;
    this.source = new VectorSource();
    this.layer = new VectorLayer({ source: this.source });
    this.say = document.querySelector("#m-say");
  }

  async start() {
    this.wires = await (await fetch(this.box.dataset.wires)).json();
    const { lines, buses } = this.wires;
    if (!lines.length) {
      this.box.textContent = "This model has no wires to draw: the table has the same facts.";
      this.box.classList.add("empty");
      await this.show();
      return;
    }
    if (this.wires.one_line) {
      const note = Object.assign(document.createElement("p"), { className: "dim small", textContent: "One-line form: this model states too few coordinates. To the right: elements from the head; a line of its own for each end." });
      this.box.before(note);
    }
    const xs = lines.flatMap((l) => [l[1], l[3]]);
    const ys = lines.flatMap((l) => [l[2], l[4]]);
    this.extent = [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
    this.size = Math.max(this.extent[2] - this.extent[0], this.extent[3] - this.extent[1], 1e-6);
    const projection = new Projection({ code: "feeder", units: "m", extent: this.extent });
    this.spots = new Map(buses.filter((b) => b[1] !== null).map((b) => [b[0], [b[1], b[2]]]));
    this.amps = Math.max(...this.wires.elements.map((e) => e[3]));
    this.map = new OlMap({
      target: this.box, layers: [this.layer], controls: controls({ attribution: false, rotate: false }),
      interactions: interactions({ onFocusOnly: true, altShiftDragRotate: false, pinchRotate: false }),
      view: new View({ projection, center: [(this.extent[0] + this.extent[2]) / 2, (this.extent[1] + this.extent[3]) / 2], resolution: this.size / 600, maxResolution: this.size / 200, minResolution: this.size / 200000 }),
    });
    this.map.on("singleclick", (event) => this.pick(event.coordinate));
    new ResizeObserver(() => { if (!this.fitted && this.box.clientHeight) { this.fitted = true; this.fit(); } }).observe(this.box);
    document.querySelector("#m-fit")?.addEventListener("click", () => this.fit());
    document.querySelector("#m-site")?.addEventListener("click", () => this.toSite());
    addEventListener("headroom:theme", () => this.draw());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    this.draw();
    await this.show();
  }

  fit() { this.map.updateSize(); this.map.getView().fit(this.extent, { padding: [18, 18, 18, 18] }); }

  toSite() {
    const spot = this.spots?.get(this.box.dataset.bus);
    if (spot) { this.map.getView().setCenter(spot); this.map.getView().setResolution(this.size / 4000); }
  }

  async show() {
    const hour = document.querySelector("#m-hour")?.value ?? this.box.dataset.hour ?? "0";
    const side = document.querySelector("#m-side")?.value ?? "none";
    this.say.textContent = "solving…";
    const answer = await fetch(`${this.box.dataset.state}?${new URLSearchParams({ hour, side })}`);
    const state = await answer.json();
    if (!answer.ok) { this.say.textContent = state.error ?? "the hour cannot be solved"; return; }
    this.state = state;
    this.say.textContent = `hour ${state.hour}, head ${state.head_kw[1].toLocaleString("en")} kW`;
    this.draw();
    this.table();
  }

  grade(place) {
    const loading = this.state?.loading[place] ?? 0;
    const limit = this.state?.thermal ?? 1;
    return loading >= limit ? "past" : loading >= NEAR * limit ? "near" : "calm";
  }

  draw() {
    if (!this.map) return;
    const groups = { thin: [], thick: [], near: [], past: [] };
    for (const [place, x1, y1, x2, y2] of this.wires.lines) {
      const grade = this.grade(place);
      const kind = grade !== "calm" ? grade : this.wires.elements[place][3] > this.amps * 0.4 ? "thick" : "thin";
      groups[kind].push([[x1, y1], [x2, y2]]);
    }
    const styles = {
      thin: new Style({ stroke: new Stroke({ color: css("--equip"), width: 1.1 }) }),
      thick: new Style({ stroke: new Stroke({ color: css("--equip"), width: 2.6 }) }),
      near: new Style({ stroke: new Stroke({ color: css("--p2"), width: 4, lineDash: [7, 4], lineCap: "butt" }), zIndex: 2 }),
      past: new Style({ stroke: new Stroke({ color: css("--alarm"), width: 5.5 }), zIndex: 3 }),
    };
    this.source.clear();
    for (const [kind, lines] of Object.entries(groups)) {
      const feature = new Feature(new MultiLineString(lines));
      feature.setStyle(styles[kind]);
      this.source.addFeature(feature);
    }
    const marks = { near: [], past: [] };
    for (const [place, x, y] of this.wires.spots) {
      const grade = this.grade(place);
      if (grade !== "calm") marks[grade].push([x, y]);
    }
    for (const [kind, spots] of Object.entries(marks)) {
      if (!spots.length) continue;
      const feature = new Feature(new MultiPoint(spots));
      const colour = css(kind === "past" ? "--alarm" : "--p2");
      feature.setStyle(new Style({ image: new Circle({ radius: 5, fill: kind === "past" ? new Fill({ color: colour }) : undefined, stroke: new Stroke({ color: colour, width: 2 }) }), zIndex: 3 }));
      this.source.addFeature(feature);
    }
    const out = this.outside().map((o) => this.spots.get(o.bus)).filter(Boolean);
    if (out.length) {
      const feature = new Feature(new MultiPoint(out));
      feature.setStyle(new Style({ image: new RegularShape({ points: 3, radius: 6, fill: new Fill({ color: css("--alarm") }), stroke: new Stroke({ color: css("--panel"), width: 1 }) }), zIndex: 4 }));
      this.source.addFeature(feature);
    }
    const site = this.spots.get(this.box.dataset.bus);
    if (site) {
      const feature = new Feature(new Point(site));
      feature.setStyle(new Style({ image: new RegularShape({ points: 4, angle: Math.PI / 4, radius: 9, fill: new Fill({ color: css("--accent") }), stroke: new Stroke({ color: css("--panel"), width: 2 }) }), zIndex: 5 }));
      this.source.addFeature(feature);
    }
    if (this.picked) {
      const feature = new Feature(new Point(this.picked));
      feature.setStyle(new Style({ image: new Circle({ radius: 11, stroke: new Stroke({ color: css("--focus"), width: 2 }) }), zIndex: 6 }));
      this.source.addFeature(feature);
    }
  }

  outside() {
    if (!this.state) return [];
    const [low, high] = this.state.band;
    return this.state.v.flatMap((volts, place) => {
      const worst = volts.filter((v) => v < low || v > high);
      return worst.length ? [{ bus: this.wires.buses[place][0], v: worst.reduce((a, b) => (Math.abs(b - 1) > Math.abs(a - 1) ? b : a)) }] : [];
    });
  }

  pick([x, y]) {
    let best = null;
    let least = Infinity;
    for (const line of this.wires.lines) {
      const [place, x1, y1, x2, y2] = line;
      const dx = x2 - x1;
      const dy = y2 - y1;
      const t = Math.max(0, Math.min(1, ((x - x1) * dx + (y - y1) * dy) / (dx * dx + dy * dy)));
      const far = (x - x1 - t * dx) ** 2 + (y - y1 - t * dy) ** 2;
      if (far < least) { least = far; best = [place, x1 + t * dx, y1 + t * dy]; }
    }
    if (!best) return;
    this.picked = best.slice(1);
    const [name, bus1, bus2, amps, origin] = this.wires.elements[best[0]];
    const loading = this.state ? `${(this.state.loading[best[0]] * 100).toFixed(1)} % of ` : "";
    this.say.textContent = `${name}, ${bus1} to ${bus2}: ${loading}${amps} A (${origin})`;
    this.draw();
  }

  table() {
    const rows = this.state.loading.map((loading, place) => ({ loading, element: this.wires.elements[place] })).sort((a, b) => b.loading - a.loading).slice(0, 8);
    const make = (caption, heads, lines) => {
      const table = document.createElement("table");
      table.className = "dense";
      table.createCaption().textContent = caption;
      const head = table.createTHead().insertRow();
      heads.forEach((text, i) => { const cell = document.createElement("th"); cell.scope = "col"; cell.textContent = text; if (i) cell.className = "number"; head.append(cell); });
      const body = table.createTBody();
      lines.forEach((line) => { const row = body.insertRow(); line.forEach((text, i) => { const cell = row.insertCell(); cell.textContent = text; if (i) cell.className = "number"; }); });
      return table;
    };
    const box = document.querySelector("#m-table");
    box.className = "two";
    const out = this.outside();
    box.replaceChildren(
      make("Most loaded elements", ["Element", "Loading", "Rating"], rows.map((r) => [r.element[0], `${(r.loading * 100).toFixed(1)} %`, `${r.element[3]} A (${r.element[4]})`])),
      make(out.length ? `Voltages outside the band: ${out.length} buses` : "Voltages outside the band: none", ["Bus", "pu"], out.slice(0, 8).map((o) => [o.bus, o.v.toFixed(4)])),
    );
  }
}

for (const box of document.querySelectorAll('[data-island="map"]')) {
  const island = new FeederMap(box);
  // Solved when it comes into sight, not before: the page is there at once.
  const watcher = new IntersectionObserver(async (entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    watcher.disconnect();
    await island.start();
    document.querySelector("#m-show")?.addEventListener("click", () => island.show());
    document.querySelector("#m-side")?.addEventListener("change", () => island.show());
    box.dataset.ready = "yes";
  }, { rootMargin: "200px" });
  watcher.observe(box);
}
