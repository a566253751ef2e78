// A JMAP client of one user: session, calls and one-time tickets.

const USING = ["urn:ietf:params:jmap:core", "urn:ietf:params:jmap:mail"];
export const TICKET = "urn:veredus:jmap:ticket";
export const WEBSOCKET = "urn:ietf:params:jmap:websocket";

export class Jmap {
  #authorization;

  constructor(user, password) {
    const octets = new TextEncoder().encode(`${user}:${password}`);
    this.#authorization = "Basic " + btoa(String.fromCharCode(...octets));
  }

  async open() {
    this.session = await this.#fetch("/.well-known/jmap");
    this.account = this.session.primaryAccounts["urn:ietf:params:jmap:mail"];
  }

  /** The arguments of the response to one call; `accountId` is added when `account` is not false. */
  async call(name, args, account = this.account) {
    const filled = account ? { accountId: account, ...args } : args;
    const body = JSON.stringify({ using: USING, methodCalls: [[name, filled, "c"]] });
    const headers = { "content-type": "application/json" };
    const answer = await this.#fetch(this.session.apiUrl, { method: "POST", body, headers });
    const [[found, response]] = answer.methodResponses;
    if (found === "error") throw new Error(`${name}: ${response.type} ${response.description ?? ""}`);
    const refused = Object.values({ ...response.notCreated, ...response.notUpdated })[0];
    if (refused) throw new Error(`${name}: ${refused.type} ${refused.description ?? ""}`);
    return response;
  }

  /** `url` with a ticket that lets one request in, and with these variables. */
  async admitted(url, variables = {}) {
    const { ticket } = await this.#fetch(this.session.capabilities[TICKET].url, { method: "POST" });
    const made = new URL(url);
    for (const [name, value] of Object.entries({ ...variables, ticket })) {
      if (value) made.searchParams.set(name, value);
    }
    return made;
  }

  async #fetch(url, options = {}) {
    const headers = { ...options.headers, authorization: this.#authorization };
    // credentials: else the browser asks for a password itself when this one is wrong.
    const request = fetch(url, { ...options, headers, cache: "no-store", credentials: "omit" });
    const answer = await request.catch(() => { throw new Error("The server cannot be reached."); });
    if (answer.status === 401) throw new Error("The user or the password is wrong.");
    if (!answer.ok) throw new Error(`${new URL(answer.url).pathname} answered ${answer.status}.`);
    return answer.json();
  }
}
