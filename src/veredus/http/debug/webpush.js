// What a browser does for web push: keys (RFC 8291 §2) and decryption (RFC 8188, RFC 8291 §3).

const text = (words) => new TextEncoder().encode(words);

const join = (...parts) => new Uint8Array(parts.flatMap((part) => [...part]));

export function fromBase64(words) {
  return Uint8Array.from(atob(words), (character) => character.charCodeAt(0));
}

export function toBase64url(octets) {
  const words = btoa(String.fromCharCode(...octets));
  return words.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

async function hkdf(salt, secret, info, size) {
  const key = await crypto.subtle.importKey("raw", secret, "HKDF", false, ["deriveBits"]);
  const how = { name: "HKDF", hash: "SHA-256", salt, info };
  return new Uint8Array(await crypto.subtle.deriveBits(how, key, size * 8));
}

export class Keys {
  static async made() {
    const keys = new Keys();
    keys.pair = await crypto.subtle.generateKey({ name: "ECDH", namedCurve: "P-256" }, false, ["deriveBits"]);
    keys.publicKey = new Uint8Array(await crypto.subtle.exportKey("raw", keys.pair.publicKey));
    keys.auth = crypto.getRandomValues(new Uint8Array(16));
    return keys;
  }

  /** As a PushSubscription wants them (RFC 8620 §7.2). */
  toJSON() {
    return { p256dh: toBase64url(this.publicKey), auth: toBase64url(this.auth) };
  }

  /** The text of a body of content encoding aes128gcm. */
  async decrypt(body) {
    const salt = body.slice(0, 16);
    const view = new DataView(body.buffer, body.byteOffset);
    const recordSize = view.getUint32(16);
    const senderKey = body.slice(21, 21 + body[20]);
    const { key, nonce } = await this.#secrets(salt, senderKey);
    const plain = [];
    for (let at = 21 + body[20], number = 0; at < body.length; at += recordSize, number++) {
      const iv = nonce.slice();
      new DataView(iv.buffer).setUint32(8, new DataView(iv.buffer).getUint32(8) ^ number);
      const record = body.slice(at, at + recordSize);
      const padded = new Uint8Array(await crypto.subtle.decrypt({ name: "AES-GCM", iv }, key, record));
      // Behind the text stand a 2 (the last record) or a 1, and padding of zeros.
      plain.push(...padded.slice(0, padded.findLastIndex((octet) => octet !== 0)));
    }
    return new TextDecoder().decode(new Uint8Array(plain));
  }

  async #secrets(salt, senderKey) {
    const curve = { name: "ECDH", namedCurve: "P-256" };
    const sender = await crypto.subtle.importKey("raw", senderKey, curve, false, []);
    const how = { name: "ECDH", public: sender };
    const shared = new Uint8Array(await crypto.subtle.deriveBits(how, this.pair.privateKey, 256));
    const about = join(text("WebPush: info\0"), this.publicKey, senderKey);
    const secret = await hkdf(this.auth, shared, about, 32);
    const raw = await hkdf(salt, secret, text("Content-Encoding: aes128gcm\0"), 16);
    return {
      key: await crypto.subtle.importKey("raw", raw, "AES-GCM", false, ["decrypt"]),
      nonce: await hkdf(salt, secret, text("Content-Encoding: nonce\0"), 12),
    };
  }
}
