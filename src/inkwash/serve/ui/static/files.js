// Pictures as files: settings inside them, other formats, data URLs, an archive of many.

const text = new TextDecoder();

/** The settings that Inkwash wrote into a PNG (a text chunk), JPEG or WebP (an EXIF comment); null where there are none. */
export async function settingsOf(blob) {
  const bytes = new Uint8Array(await blob.arrayBuffer());
  const found = bytes[0] === 0x89 ? fromPng(bytes) : fromComment(bytes);
  try {
    return found === null ? null : JSON.parse(found);
  } catch {
    return null;
  }
}

function fromPng(bytes) {
  const view = new DataView(bytes.buffer);
  for (let at = 8; at + 12 <= bytes.length; ) {
    const length = view.getUint32(at);
    const kind = text.decode(bytes.subarray(at + 4, at + 8));
    if (kind === "tEXt") {
      const chunk = new TextDecoder("latin1").decode(bytes.subarray(at + 8, at + 8 + length));
      const [key, ...rest] = chunk.split("\0");
      if (key === "inkwash") return rest.join("\0");
    }
    if (kind === "IEND") return null;
    at += 12 + length;
  }
  return null;
}

function fromComment(bytes) {
  const all = new TextDecoder("latin1").decode(bytes);
  const begin = all.indexOf('ASCII\0\0\0{"');
  if (begin < 0) return null;
  let depth = 0, quoted = false;
  for (let at = begin + 8; at < all.length; at++) {
    const letter = all[at];
    if (quoted) {
      if (letter === "\\") at++;
      else if (letter === '"') quoted = false;
    } else if (letter === '"') quoted = true;
    else if (letter === "{") depth++;
    else if (letter === "}" && --depth === 0) return all.slice(begin + 8, at + 1);
  }
  return null;
}

export const blobOf = (base64, type = "image/png") => new Blob([Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))], { type });

export const dataUrl = (blob) =>
  new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });

export function canvasOf(width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  return canvas;
}

export const pngOf = (canvas, type = "image/png", quality = undefined) => new Promise((resolve) => canvas.toBlob(resolve, type, quality));

/** The picture in another format; a PNG stays as it is, with its settings. */
export async function converted(blob, type) {
  if (blob.type === type) return blob;
  const bitmap = await createImageBitmap(blob);
  const canvas = canvasOf(bitmap.width, bitmap.height);
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  return pngOf(canvas, type, 0.95);
}

/** A ZIP archive without compression, since pictures are compressed already: [{name, blob}]. */
export async function archive(files) {
  const encode = new TextEncoder();
  const parts = [], directory = [];
  let offset = 0;
  for (const { name, blob } of files) {
    const bytes = new Uint8Array(await blob.arrayBuffer()), named = encode.encode(name);
    const common = [[20, 2], [0x800, 2], [0, 2], [0, 2], [0x21, 2], [crc(bytes), 4], [bytes.length, 4], [bytes.length, 4], [named.length, 2], [0, 2]];
    const local = record(0x04034b50, common);
    parts.push(local, named, bytes);
    directory.push(record(0x02014b50, [[20, 2], ...common, [0, 2], [0, 2], [0, 2], [0, 4], [offset, 4]]), named);
    offset += local.length + named.length + bytes.length;
  }
  const size = directory.reduce((sum, part) => sum + part.length, 0);
  const end = record(0x06054b50, [[0, 2], [0, 2], [files.length, 2], [files.length, 2], [size, 4], [offset, 4], [0, 2]]);
  return new Blob([...parts, ...directory, end], { type: "application/zip" });
}

function record(magic, fields) {
  const bytes = new Uint8Array(4 + fields.reduce((sum, [, width]) => sum + width, 0));
  const view = new DataView(bytes.buffer);
  view.setUint32(0, magic, true);
  let at = 4;
  for (const [value, width] of fields) {
    if (width === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
    at += width;
  }
  return bytes;
}

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n >>> 0;
});

function crc(bytes) {
  let value = 0xffffffff;
  for (const byte of bytes) value = TABLE[(value ^ byte) & 255] ^ (value >>> 8);
  return (value ^ 0xffffffff) >>> 0;
}
