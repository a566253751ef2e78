// The page: a panel for each transport, and a message that is timed on its way to all of them.

import { Jmap } from "./jmap.js";
import { EventSourceTransport, WebPushTransport, WebSocketTransport } from "./transports.js";

const MOST_LINES = 100;
const MOST_RESULTS = 5;

const find = (id) => document.getElementById(id);

/** An element with a text and other properties. */
function make(tag, words, properties = {}) {
  return Object.assign(document.createElement(tag), { textContent: words }, properties);
}

function clock() {
  const now = new Date();
  return `${now.toTimeString().slice(0, 8)}.${String(now.getMilliseconds()).padStart(3, "0")}`;
}

class Panel {
  constructor(transport, jmap, told) {
    this.jmap = jmap;
    this.told = told;
    this.transport = new transport(jmap, this);
    this.section = find("panel").content.cloneNode(true).firstElementChild;
    const part = (selector) => this.section.querySelector(selector);
    const name = transport.title;
    this.section.id = name.toLowerCase().replace(" ", "");
    this.section.setAttribute("aria-label", name);
    part("h2").textContent = name;
    part(".hint").textContent = transport.hint;
    [this.status, this.list] = [part(".state"), part(".events")];
    [this.on, this.off] = [part(".connect"), part(".disconnect")];
    this.list.setAttribute("aria-label", `Events by ${name}`);
    this.on.setAttribute("aria-label", `Connect ${name}`);
    this.off.setAttribute("aria-label", `Disconnect ${name}`);
    this.on.onclick = () => this.connect();
    this.off.onclick = () => this.disconnect();
    find("panels").append(this.section);
  }

  connect() {
    if (!this.transport.isWanted) return this.transport.connect();
  }

  disconnect() {
    return this.transport.disconnect();
  }

  state(words, kind) {
    this.status.textContent = words;
    this.status.dataset.kind = kind;
    this.on.disabled = kind !== "off";
    this.off.disabled = kind === "off";
  }

  note(words) {
    this.#line(words, "note");
  }

  error(words) {
    this.#line(words, "error");
  }

  /** A StateChange or an EmailPush; `how`: what else there is to say of it. */
  event(message, how) {
    this.told(this, message);
    this.#line(this.#inShort(message), "event", how ? { message, how } : { message });
  }

  #inShort(message) {
    if (message["@type"] !== "StateChange") return message["@type"];
    const accounts = Object.entries(message.changed).map(([id, states]) => {
      const types = Object.entries(states).map(([type, state]) => `${type} ${state}`);
      const { name } = this.jmap.session.accounts[id] ?? { name: id };
      return `${name}: ${types.join(", ")}`;
    });
    return accounts.join("; ");
  }

  #line(words, kind, details) {
    const line = make("li", "");
    line.dataset.kind = kind;
    const summary = make(details ? "summary" : "span", "");
    summary.append(make("time", clock()), words);
    if (details) {
      const more = make("details", "");
      more.append(summary, make("pre", JSON.stringify(details, null, 2)));
      line.append(more);
    } else {
      line.append(summary);
    }
    this.list.prepend(line);
    while (this.list.children.length > MOST_LINES) this.list.lastChild.remove();
  }
}

/** One test message, and its row of times. */
class Delivery {
  constructor(jmap, panels) {
    this.jmap = jmap;
    this.subject = `Push test ${clock()}`;
    this.row = make("tr", "");
    this.row.append(make("td", this.subject), make("td", "…"));
    this.cells = new Map(panels.map((panel) => [panel, make("td", panel.transport.isWanted ? "…" : "-")]));
    this.row.append(...this.cells.values());
    const body = find("results").tBodies[0];
    body.prepend(this.row);
    while (body.children.length > MOST_RESULTS) body.lastChild.remove();
    find("results").hidden = false;
  }

  async run() {
    const { ids } = await this.jmap.call("Mailbox/query", { filter: { role: "inbox" } });
    const email = {
      mailboxIds: { [ids[0]]: true },
      from: [{ name: "Push test", email: "push@localhost" }],
      subject: this.subject,
      textBody: [{ partId: "text", type: "text/plain" }],
      bodyValues: { text: { value: "Sent by /debug/push." } },
    };
    this.started = performance.now();
    await this.jmap.call("Email/set", { create: { email } });
    this.row.cells[1].textContent = this.#elapsed();
  }

  told(panel, message) {
    const cell = this.cells.get(panel);
    if (this.started && cell.textContent === "…" && message.changed?.[this.jmap.account]?.Email) {
      cell.textContent = this.#elapsed();
    }
  }

  #elapsed() {
    return (performance.now() - this.started).toFixed(1);
  }
}

function start(jmap) {
  let delivery;
  const told = (panel, message) => delivery?.told(panel, message);
  const transports = [EventSourceTransport, WebSocketTransport, WebPushTransport];
  const panels = transports.map((transport) => new Panel(transport, jmap, told));
  find("who").textContent = jmap.session.username;
  find("login").hidden = true;
  find("deliver").hidden = find("panels").hidden = false;
  find("connect-all").onclick = () => panels.forEach((panel) => panel.connect());
  find("send").onclick = async () => {
    find("send-error").textContent = "";
    delivery = new Delivery(jmap, panels);
    await delivery.run().catch((error) => { find("send-error").textContent = error.message; });
  };
  find("logout").onclick = async () => {
    await Promise.all(panels.map((panel) => panel.disconnect()));
    location.reload();
  };
  find("send").focus();
}

find("login").onsubmit = async (event) => {
  event.preventDefault();
  find("login-error").textContent = "";
  const jmap = new Jmap(find("user").value, find("password").value);
  try {
    await jmap.open();
    start(jmap);
  } catch (error) {
    find("login-error").textContent = error.message;
  }
};
