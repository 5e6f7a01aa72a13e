// Calls of the service: unary ones by POST, streaming ones over a WebSocket.

import { Wire } from "./wire.js";

/** An error that the service or the connection reports; `advice` says what a person can do. */
export class ServiceError extends Error {
  constructor({ code, message, field = "", reason = "", retry_after: retryAfter = null }) {
    super(message);
    Object.assign(this, { code, field, reason, retryAfter });
    // A session that ended, or a token that was revoked: whoever shows the page asks who it is.
    if (code === "UNAUTHENTICATED") window.dispatchEvent(new Event("logged-out"));
  }
}

// Milliseconds; the service itself gives a call up after half of it.
const LONGEST_CALL = 60_000;
const LOST = { code: "UNAVAILABLE", reason: "CONNECTION_LOST", message: "The connection to the service is lost." };

export class Service {
  /** Fetches the schema; rejects with ServiceError while the service is not there. */
  static async connect() {
    const response = await fetchOr("schema.json");
    return new Service(new Wire(await response.json()));
  }

  constructor(wire) {
    this.wire = wire;
  }

  async call(name, request = {}) {
    const [input, output] = this.wire.calls[name];
    const response = await fetchOr(`call/${name}`, {
      method: "POST",
      headers: { "content-type": "application/x-protobuf" },
      body: this.wire.encode(input, request),
    });
    return this.wire.decode(output, new Uint8Array(await response.arrayBuffer()));
  }

  /** Opens a streaming call. on: {open(), message(value), end(error or null)}; returns {send, close, waiting}. */
  stream(name, on) {
    const [input, output] = this.wire.calls[name];
    const address = new URL(`call/${name}`, location.href);
    address.protocol = address.protocol.replace("http", "ws");
    const socket = new WebSocket(address);
    socket.binaryType = "arraybuffer";
    let error = null;
    let over = false;
    socket.onopen = () => on.open?.();
    socket.onmessage = ({ data }) => {
      if (over) return;
      if (typeof data === "string") error = new ServiceError(JSON.parse(data));
      else on.message(this.wire.decode(output, new Uint8Array(data)));
    };
    socket.onclose = ({ code }) => {
      if (over) return;
      over = true;
      on.end(error ?? (code === 1000 ? null : new ServiceError(LOST)));
    };
    return {
      send: (value) => socket.readyState === WebSocket.OPEN && socket.send(this.wire.encode(input, value)),
      close: () => {
        over = true;
        socket.close();
      },
      waiting: () => socket.bufferedAmount,
    };
  }

  /** All messages of a call that answers one request with a stream. */
  async *watch(name, request) {
    const queue = [];
    let wake = () => {};
    const socket = this.stream(name, {
      open: () => socket.send(request),
      message: (value) => {
        queue.push({ value });
        wake();
      },
      end: (error) => {
        queue.push({ error, done: true });
        wake();
      },
    });
    try {
      for (;;) {
        while (!queue.length) await new Promise((resolve) => (wake = resolve));
        const entry = queue.shift();
        if (entry.error) throw entry.error;
        if (entry.done) return;
        yield entry.value;
      }
    } finally {
      socket.close();
    }
  }
}

/** Who is logged in: {required, tokens, issuer, name, tenants, rights}. */
export async function sessionOr() {
  return (await fetchOr("session")).json();
}

/** Sends a document where something changes: the log-in and its end. */
export async function postOr(path, document) {
  await fetchOr(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(document) });
}

async function fetchOr(path, options) {
  let response;
  try {
    response = await fetch(path, { ...options, signal: AbortSignal.timeout(LONGEST_CALL) });
  } catch {
    throw new ServiceError(LOST);
  }
  if (response.ok) return response;
  let document;
  try {
    document = await response.json();
  } catch {
    document = { code: "INTERNAL", message: `the service answered ${response.status}` };
  }
  throw new ServiceError(document);
}
