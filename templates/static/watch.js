// News over a WebSocket once a second: who controls, alarm counts, new cycles. What changed is fetched from the server as it
// draws it. If news stop, this page says so by its own clock: what is on the screen is fresh or is marked as old.
const OLD_S = 10;
const BLIND_S = 20;
const banner = document.querySelector("#banner");
const state = document.querySelector("#control-state");
const count = document.querySelector("#alarm-count");
const speech = document.querySelector("#alarm-speech");
const live = document.querySelector("#live");
const freeze = document.querySelector("#freeze");
const part = document.querySelector("#part");
const SHAPES = ["", "M10 1 19.5 18.5H.5Z", "M10 .5 19.5 10 10 19.5.5 10Z", "M1.5 1.5H18.5V18.5H1.5Z", "M10 1A9 9 0 1 0 10 19A9 9 0 1 0 10 1Z"];
const seen = { cycle: null, alarms: null, audit: null, unacknowledged: null };
let heard = performance.now();
let frozen = false;
let refused = false;
let fetching = false;
let wanted = false;

function sayBanner(kind, text, then) {
  if (banner.dataset.state !== kind || banner.hidden) banner.dataset.state = kind;
  const node = banner.querySelector("[data-banner]");
  if (node.textContent !== text) node.textContent = text;
  banner.querySelector("[data-then]").textContent = then;
  banner.hidden = false;
}

function sayState(kind) {
  state.dataset.state = kind;
  state.querySelector("[data-control]").textContent = kind;
}

function sayControl(control) {
  sayState(control.state);
  state.title = control.message || control.note || "every counter moves";
  if (control.calm) banner.hidden = true;
  else sayBanner(control.state, control.message, control.state === "not controlling" ? "Sites hold their leases, then fall to their failsafe limits." : "");
}

function sayAlarms(alarms) {
  count.querySelector("[data-standing]").textContent = alarms.standing;
  const marks = alarms.priorities.filter((p) => p.unacknowledged).map((p) =>
    `<svg class="prio p${p.priority} new" viewBox="0 0 20 20" width="16" height="16" role="img" aria-label="${p.unacknowledged} unacknowledged of priority ${p.priority}"><path d="${SHAPES[p.priority]}"/><text x="10" y="${p.priority === 1 ? 16 : 14}" text-anchor="middle">${p.priority}</text></svg>${p.unacknowledged}`);
  const counts = count.querySelector("[data-counts]");
  const text = marks.join(" ");
  if (counts.dataset.shown !== text) { counts.innerHTML = text; counts.dataset.shown = text; }
  if (seen.unacknowledged !== null && alarms.unacknowledged > seen.unacknowledged) {
    speech.textContent = alarms.flood ? `Alarm flood: ${alarms.unacknowledged} unacknowledged` : `New alarm: ${alarms.unacknowledged} unacknowledged`;
  }
  seen.unacknowledged = alarms.unacknowledged;
}

// What the page depends on moved: fetch it anew, once at a time, keeping focus, open folds and marks.
function moved(name, value) {
  const changed = seen[name] !== null && seen[name] !== value;
  seen[name] = value;
  if (changed && part && part.dataset.on.split(" ").includes(name)) refresh();
}

async function refresh() {
  if (frozen || refused) return;
  if (fetching) { wanted = true; return; }
  fetching = true;
  try {
    const answer = await fetch(part.dataset.refresh, { headers: { "X-Requested-With": "watch" }, redirect: "error" });
    if (answer.ok && !busy()) swap(await answer.text());
  } catch { /* the timer below says that news stopped */ } finally {
    fetching = false;
    if (wanted) { wanted = false; setTimeout(refresh, 300); }
  }
}

const busy = () => part.contains(document.activeElement) && document.activeElement.matches("input[type=search], input:not([type]), select, textarea");

function swap(html) {
  const open = [...part.querySelectorAll("details[open] > summary[id]")].map((node) => node.id);
  const marked = [...part.querySelectorAll("input[type=checkbox]:checked")].map((node) => node.id);
  const at = part.querySelector("tr.at")?.id;
  const focus = part.contains(document.activeElement) ? where(document.activeElement) : null;
  part.innerHTML = html;
  window.htmx?.process(part);
  for (const id of open) document.getElementById(id)?.parentElement.setAttribute("open", "");
  for (const id of marked) { const node = document.getElementById(id); if (node) node.checked = true; }
  if (at) document.getElementById(at)?.classList.add("at");
  if (focus) find(focus)?.focus({ preventScroll: true });
  dispatchEvent(new Event("headroom:drawn"));
}

const where = (node) => ({ id: node.id, row: node.closest("tr[id]")?.id, tag: node.tagName, href: node.getAttribute("href"), text: node.textContent });
function find(was) {
  if (was.id) return document.getElementById(was.id);
  const root = (was.row && document.getElementById(was.row)) || part;
  return [...root.querySelectorAll(was.tag)].find((node) => node.getAttribute("href") === was.href && node.textContent === was.text);
}

function take(news) {
  heard = performance.now();
  part?.classList.remove("blind");
  sayControl(news.control);
  if (news.blind) { sayLive("old", news.blind); return; }
  sayAlarms(news.alarms);
  const own = part?.dataset.feeder;
  const shown = news.feeders.filter((f) => !own || f.feeder === own);
  moved("cycle", shown.map((f) => `${f.feeder} ${f.snapshot} ${f.stale}`).join());
  moved("alarms", news.alarms.version);
  moved("audit", news.audit);
  if (!frozen) sayLive("live", "live");
}

function sayLive(kind, words) {
  if (!live) return;
  live.dataset.live = kind;
  live.querySelector("[data-words]").textContent = words;
}

function tick() {
  const silent = (performance.now() - heard) / 1000;
  for (const node of document.querySelectorAll("time[data-age]")) {
    const age = Number(node.dataset.age) + (performance.now() - drawn) / 1000;
    const old = age > Number(node.dataset.old);
    node.textContent = `${old ? "✕ " : ""}${Math.round(age)} s`;
    node.classList.toggle("abnormal", old);
  }
  if (refused || silent < OLD_S) return;
  sayLive("old", `no news for ${Math.round(silent)} s`);
  if (silent < BLIND_S) return;
  sayState("blind");
  part?.classList.add("blind");
  sayBanner("not controlling", `NOT CONTROLLING FROM HERE: no news from the server for ${Math.round(silent)} s`, "What this page shows is old. Use another display or SCADA.");
}

let drawn = performance.now();
addEventListener("headroom:drawn", () => { drawn = performance.now(); });
freeze?.addEventListener("click", () => {
  frozen = !frozen;
  freeze.setAttribute("aria-pressed", String(frozen));
  freeze.textContent = frozen ? "Go on" : "Freeze";
  part?.classList.toggle("frozen", frozen);
  sayLive(frozen ? "frozen" : "live", frozen ? `frozen at ${new Date().toISOString().slice(11, 19)} UTC` : "live");
  if (!frozen) refresh();
});

addEventListener("click", (event) => {
  const opens = event.target.closest?.("[data-opens]");
  if (opens) document.getElementById(opens.dataset.opens)?.showModal();
  if (event.target.closest?.("[data-closes]")) event.target.closest("dialog")?.close();
});

let wait = 500;
function connect() {
  const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws/board/`);
  socket.onmessage = (event) => { wait = 500; take(JSON.parse(event.data)); };
  socket.onclose = (event) => {
    refused = event.code === 4403;
    if (refused) return;
    setTimeout(connect, wait);
    wait = Math.min(wait * 2, 5000);
  };
}
connect();
setInterval(tick, 1000);
