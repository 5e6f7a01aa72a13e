// Protobuf in the browser, driven by the schema that the gateway serves: no generated code, nothing to go stale.
// A message is a plain object with the proto's field names. Absent: [] for repeated fields, undefined for fields with
// presence, the zero value otherwise. 64-bit integers are Numbers (exact up to 2^53); maps are [{key, value}].

const FIXED = { double: 8, float: 4 };
const ZERO = { string: "", bool: false };
const text = new TextDecoder();
const utf8 = new TextEncoder();

/** Reads and writes the messages of a schema ({messages, enums, calls}; see service/gateway/schema.py). */
export class Wire {
  constructor(schema) {
    this.calls = schema.calls;
    this.enums = schema.enums;
    this.fields = schema.messages;
    this.byNumber = {};
    for (const [name, fields] of Object.entries(schema.messages)) {
      this.byNumber[name] = new Map();
      for (const [field, [number, type, rank]] of Object.entries(fields)) {
        this.byNumber[name].set(number, { field, type, rank });
      }
    }
  }

  /** @returns {Uint8Array} */
  encode(name, value) {
    const out = [];
    this.#message(name, value, out);
    return join(out);
  }

  decode(name, bytes) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    return this.#read(name, { bytes, view, at: 0 }, bytes.length);
  }

  #message(name, value, out) {
    for (const [field, given] of Object.entries(value)) {
      const known = this.fields[name][field];
      if (!known) throw new Error(`${name} has no field ${field}`);
      if (given === undefined || given === null) continue;
      const [number, type, rank] = known;
      if (rank === "repeated") {
        this.#repeated(number, type, given, out);
      } else if (rank === "optional" || (given !== 0 && given !== "" && given !== false)) {
        this.#single(number, type, given, out);
      }
    }
  }

  #repeated(number, type, values, out) {
    if (this.fields[type] || type === "string" || type === "bytes") {
      for (const value of values) this.#single(number, type, value, out);
    } else if (values.length) {
      const packed = [];
      for (const value of values) packed.push(scalar(type, value));
      block(number, join(packed), out);
    }
  }

  #single(number, type, value, out) {
    if (this.fields[type]) block(number, this.encode(type, value), out);
    else if (type === "string") block(number, utf8.encode(value), out);
    else if (type === "bytes") block(number, value, out);
    else {
      const kind = FIXED[type] === 8 ? 1 : FIXED[type] === 4 ? 5 : 0;
      out.push(varint(number * 8 + kind), scalar(type, value));
    }
  }

  #read(name, input, end) {
    const value = {};
    for (const [field, [, type, rank]] of Object.entries(this.fields[name])) {
      if (rank === "repeated") value[field] = [];
      else if (rank !== "optional") value[field] = type === "bytes" ? new Uint8Array() : (ZERO[type] ?? 0);
    }
    while (input.at < end) {
      const tag = readVarint(input);
      const known = this.byNumber[name].get(Math.floor(tag / 8));
      const kind = tag % 8;
      if (!known) skip(kind, input);
      else if (kind === 2) this.#readBlock(value, known, input);
      else if (known.rank === "repeated") value[known.field].push(readScalar(known.type, input));
      else value[known.field] = readScalar(known.type, input);
    }
    return value;
  }

  #readBlock(value, { field, type, rank }, input) {
    const length = readVarint(input);
    const end = input.at + length;
    let found;
    if (this.fields[type]) found = this.#read(type, input, end);
    else if (type === "string") found = text.decode(input.bytes.subarray(input.at, end));
    else if (type === "bytes") found = input.bytes.slice(input.at, end);
    else {
      while (input.at < end) value[field].push(readScalar(type, input));
      return;
    }
    input.at = end;
    if (rank === "repeated") value[field].push(found);
    else value[field] = found;
  }
}

function block(number, bytes, out) {
  out.push(varint(number * 8 + 2), varint(bytes.length), bytes);
}

function scalar(type, value) {
  const size = FIXED[type];
  if (!size) return varint(Number(value));
  const view = new DataView(new ArrayBuffer(size));
  if (size === 8) view.setFloat64(0, value, true);
  else view.setFloat32(0, value, true);
  return new Uint8Array(view.buffer);
}

function varint(value) {
  const bytes = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) {
      bytes.push(rest);
      return new Uint8Array(bytes);
    }
    bytes.push((rest % 128) + 128);
  }
}

function readVarint(input) {
  let value = 0;
  let factor = 1;
  for (;;) {
    const byte = input.bytes[input.at++];
    if (byte === undefined) throw new Error("a message from the service ends too early");
    value += (byte & 127) * factor;
    if (byte < 128) return value;
    factor *= 128;
  }
}

function readScalar(type, input) {
  const size = FIXED[type];
  if (!size) {
    const value = readVarint(input);
    return type === "bool" ? value !== 0 : value;
  }
  input.at += size;
  return size === 8 ? input.view.getFloat64(input.at - 8, true) : input.view.getFloat32(input.at - 4, true);
}

function skip(kind, input) {
  if (kind === 0) readVarint(input);
  else if (kind === 2) {
    const length = readVarint(input);
    input.at += length;
  } else input.at += kind === 1 ? 8 : 4;
}

function join(parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
