// The live board: patches values in place over a WebSocket; without it the page stays as the server drew it.
const board = document.querySelector("#board");
const banner = document.querySelector("#banner");
const link = document.querySelector("#link");
const freeze = document.querySelector("#freeze");
let frozen = false;
let last = Date.now();

freeze.addEventListener("click", () => {
  frozen = !frozen;
  freeze.setAttribute("aria-pressed", String(frozen));
  freeze.textContent = frozen ? "Go on" : "Freeze";
});

const say = (root, name, value) => {
  const node = root.querySelector(`[data-f="${name}"]`);
  if (node) node.textContent = value ?? "-";
};
const show = (root, name, visible) => {
  const node = root.querySelector(`[data-f="${name}"]`);
  if (node) node.hidden = !visible;
};

function drawSite(row, s) {
  const put = (name, value) => { row.querySelector(`[data-s="${name}"]`).textContent = value ?? "-"; };
  put("power", s.power_kw);
  put("import", s.import_limit_kw);
  put("export", s.export_limit_kw);
  put("reason", s.reason);
  put("link", s.heard ? `${s.protocol}, ${s.silent_s} s` : `silent ${s.silent_s ?? "always"} s`);
  row.querySelector('[data-s="link"]').className = s.heard ? "" : "abnormal";
  const state = s.stage !== "obeys" ? s.stage : s.in_failsafe ? "failsafe" : "lease";
  put("state", state);
  row.querySelector('[data-s="state"]').className = s.stage !== "obeys" ? "abnormal" : s.in_failsafe ? "caution" : "";
  const scale = (kw) => 110 + 109 * Math.max(-1, Math.min(1, kw > 0 ? kw / (s.flexible_import_kw || 1) : kw / (s.flexible_export_kw || 1)));
  const power = s.power_kw ?? 0;
  const bar = row.querySelector('[data-bar="power"]');
  const end = scale(power);
  bar.setAttribute("x", Math.min(110, end));
  bar.setAttribute("width", Math.abs(end - 110));
  const over = power > s.import_limit_kw * 1.02 + 1 || -power > s.export_limit_kw * 1.02 + 1;
  bar.setAttribute("class", over ? "bar-over" : "bar");
  for (const [name, kw] of [["import", s.import_limit_kw], ["export", -s.export_limit_kw]]) {
    const mark = row.querySelector(`[data-mark="${name}"]`);
    mark.setAttribute("x1", scale(kw));
    mark.setAttribute("x2", scale(kw));
  }
}

function draw(boards) {
  banner.hidden = boards.some((b) => !b.stale);
  for (const b of boards) {
    const root = board.querySelector(`[data-feeder="${CSS.escape(b.feeder)}"]`);
    if (!root) { location.reload(); return; }
    say(root, "mode", b.mode); say(root, "age", `${b.age_s} s old`); show(root, "stale", b.stale);
    say(root, "problem", b.problem); show(root, "problem", Boolean(b.problem));
    say(root, "loading", b.loading_percent); say(root, "element", b.element); say(root, "head", b.head_kw);
    say(root, "vmin", b.v_min_pu); say(root, "vmax", b.v_max_pu); say(root, "scale", b.load_scale); say(root, "snapshot", b.snapshot);
    const bar = root.querySelector('[data-bar="loading"]');
    bar.setAttribute("width", Math.min(199, ((b.loading_percent ?? 0) / 125) * 200));
    bar.setAttribute("class", (b.loading_percent ?? 0) > 100 ? "bar-over" : "bar");
    for (const s of b.sites) {
      const row = root.querySelector(`[data-site="${CSS.escape(s.site)}"]`);
      if (!row) { location.reload(); return; }
      drawSite(row, s);
    }
  }
}

let wait = 500;
function connect() {
  const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws/board/`);
  socket.onopen = () => { wait = 500; link.textContent = "live"; };
  socket.onmessage = (event) => {
    last = Date.now();
    if (!frozen) draw(JSON.parse(event.data).boards);
  };
  socket.onclose = () => {
    link.textContent = "reconnecting";
    setTimeout(connect, wait);
    wait = Math.min(wait * 2, 10000);
  };
}
connect();
setInterval(() => { if (Date.now() - last > 30000) banner.hidden = false; }, 1000);
