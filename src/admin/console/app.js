// The console: wires the panels of index.html to the venue's REST API and event stream.
//
// The stream is conflated by the venue; here the newest state is kept in plain objects and drawn at
// most once a frame. What a role may not do is shown disabled; the venue decides all the same.

import { Api, Problem } from "./api.js";
import { Charts } from "./chart.js";
import { Rows, byId, count, make, onFrame, say, timeOfDay } from "./dom.js";

const LEVELS = 12;
const TRADES = 60;
const ROLES = ["viewer", "trader-support", "risk", "operator"];
const PHASES = ["closed", "pre-open", "opening-auction", "continuous", "halted", "volatility-auction", "closing-auction"];
/** Scopes of the kill switch, and what its targets are called. */
const SCOPES = ["instrument", "session", "user", "firm", "venue"];
/** How long to wait before the stream is asked for again, milliseconds. */
const AGAIN_FIRST = 500;
const AGAIN_MAX = 8_000;
/** How often what the stream does not carry is asked for, milliseconds. */
const LOOK_EVERY = 5_000;

const market = new Map();
const trades = [];
const sessions = new Map();
const rates = new Map();
const firms = new Map();
let book = null;
let symbol = null;
let venue = null;
let blocks = [];
let streams = [];
let pulse = null;
let lookTimer = 0;

const api = new Api((why) => showLogin(why));
const charts = new Charts(byId("charts"));

// ---- drawing ----------------------------------------------------------------------------------

function phaseClass(phase, stopped) {
  if (stopped || phase === "halted") return "chip stop";
  if (phase === "continuous") return "chip open";
  return phase?.includes("auction") ? "chip auction" : "chip";
}

function phaseText(of) {
  const words = [of.phase ?? "unknown"];
  if (of.held) words.push("by hand");
  if (of.blocked) words.push("blocked");
  return words.join(", ");
}

const cell = (name = "") => make("td", { className: name });

const marketRows = new Rows(
  byId("markets-table").tBodies[0],
  (of) => of.symbol,
  (of) => {
    const pick = make("button", { type: "button", className: "pick", click: () => choose(of.symbol) }, of.symbol);
    return make("tr", {}, make("td", {}, pick), make("td", {}, make("span", { className: "chip" })), cell("n bid"), cell("n ask"), cell("n"), cell("n wide"));
  },
  (row, of) => {
    const cells = row.cells;
    const chip = cells[1].firstChild;
    say(chip, phaseText(of));
    chip.className = phaseClass(of.phase, of.blocked);
    say(cells[2], of.bid?.price);
    say(cells[3], of.ask?.price);
    say(cells[4], of.last);
    say(cells[5], count(of.volume));
    row.classList.toggle("on", of.symbol === symbol);
    cells[0].firstChild.setAttribute("aria-pressed", of.symbol === symbol);
  },
);

const drawMarkets = onFrame(() => {
  const find = byId("find").value.trim().toUpperCase();
  const all = [...market.values()].filter((of) => of.symbol.toUpperCase().includes(find));
  all.sort((a, b) => (a.symbol < b.symbol ? -1 : 1));
  marketRows.show(all);
});

const ladder = byId("ladder").tBodies[0];
for (let at = 0; at < 2 * LEVELS + 1; at += 1) {
  if (at === LEVELS) ladder.append(make("tr", { className: "gap" }, make("td", { colSpan: 5 })));
  else ladder.append(make("tr", {}, cell("o n"), cell("b n"), cell("p"), cell("a"), cell("o")));
}

const drawBook = onFrame(() => {
  const of = market.get(symbol);
  say(byId("book-title"), symbol ?? "Book");
  if (!of) return;
  const chip = byId("book-phase");
  say(chip, phaseText(of));
  chip.className = phaseClass(of.phase, of.blocked);
  const facts = [];
  if (of.last) facts.push(`last ${of.last}`);
  if (of.high) facts.push(`high ${of.high}`, `low ${of.low}`);
  if (of.volume !== undefined) facts.push(`volume ${count(of.volume)}`, `${count(of.trades)} trades`);
  if (of.reference_price) facts.push(`reference ${of.reference_price}`);
  const would = of.indicative;
  if (would?.price) facts.push(`auction at ${would.price} for ${count(would.volume)}${would.imbalance_side ? `, ${count(would.imbalance)} left to ${would.imbalance_side}` : ""}`);
  say(byId("book-facts"), facts.join(" · "));
  const halted = of.held || of.phase === "halted";
  byId("halt").hidden = halted;
  byId("resume").hidden = !halted;

  const bids = book?.symbol === symbol ? book.bids.slice(0, LEVELS) : [];
  const asks = book?.symbol === symbol ? book.asks.slice(0, LEVELS) : [];
  const most = Math.max(1e-12, ...[...bids, ...asks].map((level) => Number(level.quantity)));
  for (let at = 0; at < LEVELS; at += 1) {
    fill(ladder.rows[LEVELS - 1 - at], asks[at], "ask", most);
    fill(ladder.rows[LEVELS + 1 + at], bids[at], "bid", most);
  }
  const spread = bids.length && asks.length ? (Number(asks[0].price) - Number(bids[0].price)).toFixed(decimals(asks[0].price)) : null;
  say(ladder.rows[LEVELS].cells[0], spread === null ? "one side is empty" : `spread ${spread}`);
});

const decimals = (price) => (price.split(".")[1] ?? "").length;

function fill(row, level, side, most) {
  const [bidOrders, bid, price, ask, askOrders] = row.cells;
  const share = level ? `${((100 * Number(level.quantity)) / most).toFixed(1)}%` : "0%";
  say(price, level?.price);
  price.className = `p ${side}`;
  const [quantity, orders, other, otherOrders] = side === "bid" ? [bid, bidOrders, ask, askOrders] : [ask, askOrders, bid, bidOrders];
  say(quantity, level ? count(level.quantity) : "");
  say(orders, level?.orders);
  say(other, "");
  say(otherOrders, "");
  quantity.style.setProperty("--w", share);
  other.style.setProperty("--w", "0%");
}

const tradeRows = new Rows(
  byId("trades").tBodies[0],
  (trade) => trade.trade_id,
  (trade) =>
    make(
      "tr",
      { className: "new" },
      make("td", { title: trade.at }, timeOfDay(trade.at)),
      make("td", { className: trade.aggressor === "sell" ? "ask" : "bid" }, trade.aggressor ?? "auction"),
      cell("n"),
      make("td", { className: "n" }, count(trade.quantity)),
    ),
  (row, trade) => {
    say(row.cells[2], trade.state === "busted" ? `${trade.price} busted` : (trade.corrected_price ?? trade.price));
    row.classList.toggle("gone", trade.state === "busted");
  },
);

const drawTrades = onFrame(() => {
  tradeRows.show(trades);
  byId("trades-empty").hidden = trades.length > 0;
});

const firmName = (firm) => firms.get(firm) ?? (firm ? `firm ${firm}` : "");

const sessionRows = new Rows(
  byId("sessions-table").tBodies[0],
  (of) => of.id,
  (of) => {
    const close = make("button", { type: "button", click: () => disconnect(of.id) }, "Close");
    close.dataset.role = "trader-support";
    close.setAttribute("aria-label", `Disconnect ${of.name}`);
    return make("tr", {}, cell(), cell(), cell(), cell(), cell("n"), cell("n"), cell("n"), cell("n"), make("td", { className: "n" }, close));
  },
  (row, of) => {
    const rate = rates.get(of.id);
    const connected = rate?.connected ?? of.connected;
    const texts = [of.name, firmName(of.firm), of.protocol, connected ? "connected" : "away", perSecond(rate?.orders_per_second), perSecond(rate?.messages_per_second), count(rate?.fills ?? 0), count(rate?.unsent ?? 0)];
    texts.forEach((text, at) => say(row.cells[at], text));
    row.cells[3].className = connected ? "bid" : "quiet";
    const close = row.cells[8].firstChild;
    close.hidden = !connected;
    close.disabled = !may("trader-support");
  },
);

const perSecond = (rate) => count(Math.round(rate ?? 0));

const drawSessions = onFrame(() => {
  const all = [...sessions.values()];
  const on = (of) => rates.get(of.id)?.connected ?? of.connected;
  all.sort((a, b) => on(b) - on(a) || a.id - b.id);
  sessionRows.show(all);
  say(byId("sessions-count"), `${all.filter(on).length} of ${all.length} connected`);
});

const drawVenue = onFrame(() => {
  const line = byId("venue");
  if (!venue) return;
  const bad = venue.status && venue.status !== "ok";
  const words = [bad ? venue.status : null, `Sequence ${count(venue.sequence)}`, `durable ${count(venue.durable_sequence)}`, `${perSecond(venue.orders_per_second)} orders/s`, `${perSecond(venue.fills_per_second)} fills/s`];
  // Read out once, not with every number.
  line.setAttribute("aria-live", "off");
  say(line, words.filter(Boolean).join(" · "));
  line.classList.toggle("bad", Boolean(bad));
  const environment = byId("environment");
  environment.hidden = !venue.environment;
  say(environment, venue.environment);
  environment.className = venue.environment === "production" ? "chip stop" : "chip";
  charts.draw();
});

const blockRows = new Rows(
  byId("blocks"),
  (of) => `${of.scope} ${of.target} ${of.firm} ${of.by_venue}`,
  (of) => {
    const name = targetName(of.scope, of.target);
    const release = make("button", { type: "button", click: () => kill(of.scope, of.target, true) }, "Release…");
    release.setAttribute("aria-label", `Release ${name}`);
    release.dataset.role = "risk";
    return make("li", {}, make("span", {}, make("span", { className: "chip stop" }, of.scope), ` ${name}${of.by_venue ? "" : " (by the firm's desk)"}`), release);
  },
  (row, of) => {
    row.lastChild.disabled = !may("risk");
  },
);

function drawBlocks() {
  blockRows.show(blocks);
  byId("blocks-empty").hidden = blocks.length > 0;
}

/** `KillSwitch` as words. */
const sentence = (name) => name.replace(/(?!^)([A-Z])/g, " $1").toLowerCase();

const auditRows = new Rows(
  byId("audit"),
  (of) => `${of.sequence} ${of.index}`,
  (of) => make("li", {}, make("time", { dateTime: of.at }, timeOfDay(of.at)), ` ${of.actor}: ${sentence(of.action)}${of.target ? ` ${of.target}` : ""}${of.detail ? ` (${of.detail})` : ""}${of.reason ? `, refused: ${of.reason}` : ""}`),
  () => {},
);

// ---- what may be done ---------------------------------------------------------------------------

function may(role) {
  return ROLES.indexOf(api.who?.role) >= ROLES.indexOf(role);
}

function applyRole() {
  for (const element of document.querySelectorAll("[data-role]")) {
    const allowed = may(element.dataset.role);
    const fields = element.matches("form") ? element.elements : [element];
    for (const field of fields) field.disabled = !allowed;
    if (allowed) element.removeAttribute("title");
    else element.title = `needs the role ${element.dataset.role}`;
  }
}

function toast(text, bad = false) {
  const line = make("p", { className: bad ? "bad" : "" }, text);
  byId("toasts").append(line);
  setTimeout(() => line.remove(), bad ? 9_000 : 4_000);
}

/** Asks before something that traders feel. `word`: has to be typed, too. */
function confirm(title, text, word = null) {
  const dialog = byId("confirm");
  const input = byId("confirm-input");
  const yes = byId("confirm-yes");
  say(byId("confirm-title"), title);
  say(byId("confirm-text"), text);
  byId("confirm-typed").hidden = word === null;
  say(byId("confirm-word"), word);
  input.value = "";
  yes.disabled = word !== null;
  input.oninput = () => {
    yes.disabled = word !== null && input.value.trim() !== word;
  };
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

/** Does it, says how it went, and looks at what changed. */
async function act(what, method, path, body) {
  try {
    const answer = await api.send(method, path, body);
    toast(answer?.sequence ? `${what}: done at Sequence ${count(answer.sequence)}.` : `${what}: done.`);
  } catch (problem) {
    toast(`${what}: ${problem.message}`, true);
  }
  look();
}

async function halt(resume) {
  const of = symbol;
  const text = resume ? "It goes back to the phase of the trading day." : "Nothing trades until it is resumed. Orders stay and can be canceled.";
  if (await confirm(`${resume ? "Resume" : "Halt"} ${of}?`, text)) await act(`${resume ? "Resume" : "Halt"} ${of}`, "POST", `/instruments/${encodeURIComponent(of)}/${resume ? "resume" : "halt"}`);
}

async function disconnect(session) {
  const name = sessions.get(session)?.name ?? session;
  if (await confirm(`Disconnect ${name}?`, "Its connection is closed; its client may log on again. Cancel on disconnect applies.")) await act(`Disconnect ${name}`, "POST", `/sessions/${session}/disconnect`);
}

function targetName(scope, target) {
  if (scope === "session") return sessions.get(Number(target))?.name ?? `session ${target}`;
  if (scope === "firm") return firmName(Number(target));
  if (scope === "instrument") return target;
  return scope === "venue" ? "the venue" : `user ${target}`;
}

async function kill(scope, target, release) {
  const name = targetName(scope, target);
  const text = release ? "It may trade again. Nothing that was canceled comes back." : "Every order and quote in this scope is canceled at once, and new ones are refused until the block is released.";
  if (await confirm(release ? `Release ${name}?` : `Kill ${name}?`, text, release ? null : name)) await act(release ? `Release ${name}` : `Kill ${name}`, "POST", "/kill-switch", scope === "venue" ? { scope, release } : { scope, target: String(target), release });
}

function showTargets() {
  const form = byId("kill");
  const scope = form.scope.value;
  const users = new Set([...sessions.values()].map((of) => of.user).filter(Boolean));
  const lists = {
    instrument: [...market.keys()].sort().map((name) => [name, name]),
    session: [...sessions.values()].map((of) => [of.id, of.name]),
    user: [...users].map((user) => [user, `user ${user}`]),
    firm: [...firms],
    venue: [["", "the venue"]],
  };
  const kept = form.target.value;
  form.target.replaceChildren(...lists[scope].map(([value, text]) => make("option", { value: String(value) }, text)));
  if ([...form.target.options].some((option) => option.value === kept)) form.target.value = kept;
}

// ---- the venue ------------------------------------------------------------------------------------

function merge(of) {
  const known = market.get(of.symbol);
  if (known) Object.assign(known, of);
  else market.set(of.symbol, of);
}

function choose(next) {
  if (next === symbol) return;
  symbol = next;
  book = null;
  trades.length = 0;
  history.replaceState(null, "", `#${encodeURIComponent(next)}`);
  drawMarkets();
  drawBook();
  drawTrades();
  follow();
}

/** What is told of all instruments: their best prices and their status, and the venue itself. */
const ofAll = {
  book(of) {
    merge({ symbol: of.symbol, bid: of.bids[0], ask: of.asks[0] });
    drawMarkets();
  },
  status(of) {
    merge(of);
    drawMarkets();
    if (of.symbol === symbol) drawBook();
  },
  venue(of) {
    note(of);
    drawVenue();
    drawSessions();
  },
};

/** What is told of the instrument that is shown. */
const ofOne = {
  book(of) {
    if (of.symbol !== symbol) return;
    book = of;
    drawBook();
  },
  trade: addTrade,
  missed(of) {
    toast(`${count(of.trades)} trades came too fast to be shown.`);
  },
};

/** A trade, or what became of one. */
function addTrade(of) {
  if (of.symbol !== symbol) return;
  const known = trades.findIndex((trade) => trade.trade_id === of.trade_id);
  if (of.state === "traded") {
    if (known < 0) trades.push(of);
  } else if (known >= 0) {
    // It stays the trade it was, in its place.
    trades[known] = { ...trades[known], state: of.state, corrected_price: of.corrected_price };
  }
  trades.sort((a, b) => b.sequence - a.sequence || Number(b.trade_id) - Number(a.trade_id));
  trades.length = Math.min(trades.length, TRADES);
  drawTrades();
}

/** One second of the venue: its counts become rates beside those of the second before. */
function note(of) {
  const at = Date.parse(of.at);
  const seconds = pulse ? (at - pulse.at) / 1_000 : 0;
  const before = pulse?.counts ?? new Map();
  const counts = new Map(before);
  const all = { orders: 0, fills: 0 };
  for (const [id, rate] of rates) rates.set(id, { ...rate, connected: false, unsent: 0, orders_per_second: 0, messages_per_second: 0 });
  for (const now of of.sessions) {
    const then = before.get(now.id) ?? now;
    // The counts of a venue that was started again begin anew.
    const rate = (name) => (seconds > 0 ? Math.max(0, now[name] - then[name]) / seconds : 0);
    rates.set(now.id, { connected: now.connected, fills: now.fills, unsent: now.unsent_bytes, orders_per_second: rate("orders"), messages_per_second: rate("messages") });
    all.orders += rate("orders");
    all.fills += rate("fills");
    counts.set(now.id, now);
  }
  pulse = { at, counts };
  venue = { ...of.venue, orders_per_second: all.orders, fills_per_second: all.fills };
  const second = (of, name) => (of.count > 0 ? of[name] / 1e6 : null);
  charts.add(of.stages.map((of) => ({ stage: of.stage, p50: second(of, "p50_us"), p99: second(of, "p99_us"), p999: second(of, "p999_us") })));
}

/** Begins a stream in the place of the one that was there before. */
function listen(place, path, handlers) {
  streams[place]?.abort();
  const stop = new AbortController();
  streams[place] = stop;
  keepOpen(stop, path, handlers);
}

function stopStreams() {
  for (const stream of streams) stream?.abort();
  streams = [];
}

/** Follows the instrument that is shown: its newest trades, then what changes. */
async function follow() {
  const of = symbol;
  listen(1, `/stream?symbols=${encodeURIComponent(of)}&depth=${LEVELS}`, ofOne);
  try {
    const newest = await api.get(`/instruments/${encodeURIComponent(of)}/trades?limit=${TRADES}`);
    newest.items.forEach(addTrade);
  } catch {
    // The stream's own end says what is wrong.
  }
}

/** Keeps a stream open until there is another wish or the login ends. The venue ends each now and then. */
async function keepOpen(stop, path, handlers) {
  let pause = AGAIN_FIRST;
  while (!stop.signal.aborted && api.who) {
    const begun = Date.now();
    try {
      await api.stream(path, stop.signal, (event, data) => {
        pause = AGAIN_FIRST;
        handlers[event]?.(data);
      });
      if (Date.now() - begun > AGAIN_MAX) continue;
    } catch (problem) {
      if (stop.signal.aborted) return;
      if (problem instanceof Problem && problem.status < 500 && problem.status !== 429) {
        if (api.who) toast(problem.message, true);
        return;
      }
    }
    if (stop.signal.aborted || !api.who) return;
    const line = byId("venue");
    line.setAttribute("aria-live", "polite");
    line.classList.add("bad");
    say(line, "No connection to the venue, trying again");
    await new Promise((resolve) => setTimeout(resolve, pause));
    pause = Math.min(pause * 2, AGAIN_MAX);
  }
}

/** All pages of a list. */
async function all(path) {
  const items = [];
  let cursor = null;
  do {
    const page = await api.get(`${path}?limit=500${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`);
    items.push(...page.items);
    cursor = page.next;
  } while (cursor);
  return items;
}

/** What the stream does not carry. */
async function look() {
  clearTimeout(lookTimer);
  if (!api.who) return;
  try {
    const [listed, people, connections, blocked] = await Promise.all([all("/instruments"), all("/firms"), all("/sessions"), api.get("/kill-switches")]);
    for (const of of listed) merge({ symbol: of.symbol, phase: of.phase, held: of.held, blocked: of.blocked, reference_price: of.reference_price });
    firms.clear();
    for (const firm of people) firms.set(firm.id, firm.name);
    sessions.clear();
    for (const of of connections) sessions.set(of.id, { id: of.id, connected: of.connected, blocked: of.blocked, ...of.definition });
    blocks = blocked.items;
    if (!symbol && market.size > 0) choose(wished() ?? [...market.keys()].sort()[0]);
    showTargets();
    drawMarkets();
    drawBook();
    drawSessions();
    drawBlocks();
    applyRole();
    // History may be away while the venue trades.
    const page = await api.get("/audit?limit=20").catch(() => null);
    if (page) {
      auditRows.show(page.items);
      byId("audit-empty").hidden = page.items.length > 0;
    }
  } catch (problem) {
    if (api.who && problem instanceof Problem) toast(problem.message, true);
  }
  if (api.who) lookTimer = setTimeout(look, LOOK_EVERY);
}

function wished() {
  try {
    const name = decodeURIComponent(location.hash.slice(1));
    return market.has(name) ? name : null;
  } catch {
    return null; // somebody typed it
  }
}

// ---- the page -----------------------------------------------------------------------------------

function showLogin(why = "") {
  stopStreams();
  clearTimeout(lookTimer);
  byId("desk").hidden = true;
  byId("who").hidden = true;
  byId("logout").hidden = true;
  byId("login").hidden = false;
  say(byId("venue"), "");
  say(byId("login-error"), why);
  byId("login").username.focus();
}

function showDesk() {
  byId("login").hidden = true;
  byId("desk").hidden = false;
  byId("logout").hidden = false;
  byId("who").hidden = false;
  say(byId("who"), `${api.who.username} (${api.who.role})`);
  applyRole();
  look();
  listen(0, "/stream?depth=1", ofAll);
  if (symbol) follow();
}

byId("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.currentTarget;
  const button = form.querySelector("button");
  button.disabled = true;
  say(byId("login-error"), "");
  try {
    await api.login(form.username.value, form.password.value);
    form.reset();
    showDesk();
  } catch (problem) {
    say(byId("login-error"), problem.message);
    form.password.select();
  } finally {
    button.disabled = false;
  }
});
byId("logout").addEventListener("click", () => api.logout());
byId("find").addEventListener("input", drawMarkets);
byId("halt").addEventListener("click", () => halt(false));
byId("resume").addEventListener("click", () => halt(true));
byId("kill").scope.append(...SCOPES.map((scope) => make("option", { value: scope }, scope)));
byId("kill").scope.addEventListener("change", showTargets);
byId("kill").addEventListener("submit", (event) => {
  event.preventDefault();
  const form = event.currentTarget;
  kill(form.scope.value, form.target.value, false);
});
byId("phases").phase.append(...PHASES.map((phase) => make("option", { value: phase }, phase)));
byId("phases").addEventListener("submit", async (event) => {
  event.preventDefault();
  const phase = event.currentTarget.phase.value;
  if (await confirm(`All instruments to ${phase}?`, "Instruments that were halted by name stay halted.", phase)) await act(`Phase ${phase}`, "POST", "/phases", { phase });
});

const theme = byId("theme");
theme.value = localStorage.getItem("trading-engine.theme") ?? "auto";
document.documentElement.dataset.theme = theme.value;
theme.addEventListener("change", () => {
  localStorage.setItem("trading-engine.theme", theme.value);
  document.documentElement.dataset.theme = theme.value;
});

if (api.who) showDesk();
else showLogin();
