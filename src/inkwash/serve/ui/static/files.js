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

/** The picture in another format, with its settings. */
export async function converted(blob, type) {
  if (blob.type === type) return blob;
  const bitmap = await createImageBitmap(blob);
  const canvas = canvasOf(bitmap.width, bitmap.height), pen = canvas.getContext("2d");
  if (type === "image/jpeg") {
    pen.fillStyle = "white";
    pen.fillRect(0, 0, canvas.width, canvas.height);
  }
  pen.drawImage(bitmap, 0, 0);
  return withSettings(await pngOf(canvas, type, 0.95), await settingsOf(blob));
}

// -- settings into files that a canvas made ---------------------------------------------------------------------------

/** The file with the settings in it, where Inkwash itself puts them; as it is where there are none. */
export async function withSettings(blob, settings) {
  if (settings === null) return blob;
  const bytes = new Uint8Array(await blob.arrayBuffer());
  const said = ascii(JSON.stringify(settings));
  const parts = { "image/png": intoPng, "image/jpeg": intoJpeg, "image/webp": intoWebp }[blob.type](bytes, said);
  return parts === null ? blob : new Blob(parts, { type: blob.type });
}

/** JSON in letters of ASCII alone. */
const ascii = (json) => bytesOf(json.replace(/[\u0080-\uffff]/g, (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`));
const bytesOf = (letters) => Uint8Array.from(letters, (letter) => letter.charCodeAt(0));
const big = (value, width) => Uint8Array.from({ length: width }, (_, n) => value >>> (8 * (width - 1 - n)));
const little = (value, width) => big(value, width).reverse();

function joined(...parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** A text chunk behind the header, which is 33 bytes with the signature. */
function intoPng(bytes, said) {
  const content = joined(bytesOf("tEXtinkwash\0"), said);
  return [bytes.subarray(0, 33), big(content.length - 4, 4), content, big(crc(content), 4), bytes.subarray(33)];
}

/** An EXIF block (big-endian) whose one entry leads to a user comment. */
function exif(said) {
  const entry = (tag, type, count, value) => joined(big(tag, 2), big(type, 2), big(count, 4), big(value, 4));
  const comment = joined(bytesOf("ASCII\0\0\0"), said);
  const first = joined(big(1, 2), entry(0x8769, 4, 1, 26), big(0, 4)); // 8 bytes of header, 18 of this
  const second = joined(big(1, 2), entry(0x9286, 7, comment.length, 44), big(0, 4));
  return joined(bytesOf("MM\0*"), big(8, 4), first, second, comment);
}

/** A segment of at most 64 KiB behind the start of the image. */
function intoJpeg(bytes, said) {
  const content = joined(bytesOf("Exif\0\0"), exif(said));
  return content.length > 65533 ? null : [bytes.subarray(0, 2), Uint8Array.of(0xff, 0xe1), big(content.length + 2, 2), content, bytes.subarray(2)];
}

/** The extended form of the container: its header, the picture's chunks, EXIF. */
function intoWebp(bytes, said) {
  const chunk = (name, content) => joined(bytesOf(name), little(content.length, 4), content, new Uint8Array(content.length % 2));
  const view = new DataView(bytes.buffer), kind = text.decode(bytes.subarray(12, 16));
  const own = exif(said);
  if (kind === "VP8X") {
    const flags = Uint8Array.from(bytes);
    flags[20] |= 8;
    return riff([flags.subarray(12), chunk("EXIF", own)]);
  }
  const packed = kind === "VP8L" ? view.getUint32(21, true) : 0;
  const [width, height] = kind === "VP8L" ? [packed & 0x3fff, (packed >>> 14) & 0x3fff] : [(view.getUint16(26, true) & 0x3fff) - 1, (view.getUint16(28, true) & 0x3fff) - 1];
  return riff([chunk("VP8X", joined(Uint8Array.of(8, 0, 0, 0), little(width, 3), little(height, 3))), bytes.subarray(12), chunk("EXIF", own)]);
}

function riff(chunks) {
  return [bytesOf("RIFF"), little(4 + chunks.reduce((sum, part) => sum + part.length, 0), 4), bytesOf("WEBP"), ...chunks];
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
