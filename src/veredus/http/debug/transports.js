// The three transports. Each is given a panel to tell: state(words, kind), note, event, error.

import { WEBSOCKET } from "./jmap.js";
import { Keys, fromBase64, toBase64url } from "./webpush.js";

const FIRST_RETRY_MS = 1000;
const LONGEST_RETRY_MS = 15_000;

/** Connects again after a while, until it is disconnected; a subclass has open(isWanted) and close(). */
class Reconnecting {
  #timer;
  #attempt = 0;
  #delay = FIRST_RETRY_MS;

  constructor(jmap, panel) {
    [this.jmap, this.panel] = [jmap, panel];
    this.isWanted = false;
  }

  async connect() {
    const attempt = ++this.#attempt;
    this.isWanted = true;
    this.panel.state("connecting", "busy");
    try {
      await this.open(() => this.isWanted && attempt === this.#attempt);
    } catch (error) {
      this.panel.error(error.message);
      this.retry();
      await this.#end();
    }
  }

  connected() {
    this.#delay = FIRST_RETRY_MS;
    this.panel.state("connected", "on");
  }

  retry() {
    if (!this.isWanted) return;
    this.panel.state(`connecting again in ${this.#delay / 1000} s`, "busy");
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.connect(), this.#delay);
    this.#delay = Math.min(2 * this.#delay, LONGEST_RETRY_MS);
  }

  async disconnect() {
    this.isWanted = false;
    clearTimeout(this.#timer);
    this.panel.state("not connected", "off");
    await this.#end();
  }

  #end() {
    return this.close().catch((error) => this.panel.error(error.message));
  }
}

export class EventSourceTransport extends Reconnecting {
  static title = "EventSource";
  static hint = "GET of eventSourceUrl with a one-time ticket; the id of each event holds the state.";
  #source;
  #last = "";

  async open(isWanted) {
    const url = this.jmap.session.eventSourceUrl
      .replace("{types}", "*").replace("{closeafter}", "no").replace("{ping}", "30");
    // The browser would connect again with the same URL, whose ticket is used up: so we do it ourselves.
    const source = new EventSource(await this.jmap.admitted(url, { lastEventId: this.#last }));
    if (!isWanted()) return source.close();
    this.#source = source;
    source.onopen = () => this.connected();
    source.onerror = () => {
      source.close();
      this.panel.note("The stream has ended.");
      this.retry();
    };
    source.addEventListener("ping", (event) => this.panel.note(`ping ${event.data}`));
    source.addEventListener("state", (event) => {
      this.#last = event.lastEventId;
      this.panel.event(JSON.parse(event.data), { id: event.lastEventId });
    });
  }

  async close() {
    this.#source?.close();
  }
}

export class WebSocketTransport extends Reconnecting {
  static title = "WebSocket";
  static hint = "Subprotocol jmap with a one-time ticket; WebSocketPushEnable for all types.";
  #socket;
  #last;

  async open(isWanted) {
    const found = this.jmap.session.capabilities[WEBSOCKET];
    if (!found) throw new Error("This server has no WebSocket.");
    const socket = new WebSocket(await this.jmap.admitted(found.url), "jmap");
    if (!isWanted()) return socket.close();
    this.#socket = socket;
    socket.onopen = () => {
      this.connected();
      const enable = { "@type": "WebSocketPushEnable", dataTypes: null, pushState: this.#last };
      socket.send(JSON.stringify(enable));
    };
    socket.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      if (message["@type"] !== "StateChange") return this.panel.error(`Not expected: ${data}`);
      this.#last = message.pushState ?? this.#last;
      this.panel.event(message);
    };
    socket.onclose = ({ code, reason }) => {
      this.panel.note(`Closed with ${code} ${reason}`);
      this.retry();
    };
  }

  async close() {
    this.#socket?.close();
  }
}

export class WebPushTransport extends Reconnecting {
  static title = "Web push";
  static hint = "A PushSubscription whose URL is this server's own sink; decrypted in this page.";
  #source;
  #subscription;

  async open(isWanted) {
    const keys = await Keys.made();
    const id = toBase64url(crypto.getRandomValues(new Uint8Array(18)));
    const url = `${location.origin}/debug/push/sink?id=${id}`;
    if (!isWanted()) return;
    const source = this.#source = new EventSource(url);
    await new Promise((resolve, reject) => {
      source.onopen = resolve;
      source.onerror = () => reject(new Error("The sink cannot be read."));
    });
    source.onerror = () => {
      source.close();  // the server ends a subscription whose sink is not there
      this.panel.note("The sink has ended.");
      this.retry();
    };
    source.onmessage = ({ data }) =>
      this.#receive(keys, JSON.parse(data)).catch((error) => this.panel.error(error.message));
    const subscription = { deviceClientId: `debug-${id}`, url, keys, types: null };
    this.panel.state("waiting for the code", "busy");
    const response = await this.jmap.call("PushSubscription/set", { create: { new: subscription } }, false);
    this.#subscription = response.created.new.id;
  }

  async #receive(keys, { fields, body }) {
    const octets = fromBase64(body);
    const message = JSON.parse(await keys.decrypt(octets));
    const how = { ...fields, octets: octets.length };
    if (message["@type"] !== "PushVerification") return this.panel.event(message, how);
    this.panel.note("A PushVerification came; its code goes back.");
    const update = { [message.pushSubscriptionId]: { verificationCode: message.verificationCode } };
    await this.jmap.call("PushSubscription/set", { update }, false);
    this.connected();
  }

  async close() {
    this.#source?.close();
    const id = this.#subscription;
    this.#subscription = undefined;
    if (id) await this.jmap.call("PushSubscription/set", { destroy: [id] }, false);
  }
}
