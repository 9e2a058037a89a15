// The mask editor: a picture, and over it, half transparent, what may change.

import { menu, node } from "./dom.js";
import { t } from "./words.js";
import { canvasOf, pngOf, settingsOf, withSettings } from "./files.js";

const COLOR = "#e8432e";
const STEPS = 40; // of undo
const GROWN = 8; // pixels that a mask grows by on every side
const WIDER = 128; // pixels that a picture is widened by

export class MaskEditor {
  /** `place` takes the canvases, `tools` the buttons; `changed` is told when the picture itself changes size. */
  constructor(place, tools, changed) {
    Object.assign(this, { place, tools, changed, mode: "brush", size: 40, feather: 0, done: [], undone: [] });
    this.picture = canvasOf(1, 1);
    this.mask = canvasOf(1, 1);
    this.picture.setAttribute("role", "img");
    this.mask.id = "mask";
    this.mask.tabIndex = 0;
    this.ring = node("div.ring", { hidden: true });
    this.wrap = node("div.canvas-wrap", {}, this.picture, this.mask, this.ring);
    this.mask.addEventListener("pointerdown", (event) => this.begin(event));
    this.mask.addEventListener("pointermove", (event) => this.showRing(this.at(event)));
    for (const name of ["pointerleave", "blur"]) this.mask.addEventListener(name, () => (this.ring.hidden = true));
    this.mask.addEventListener("focus", () => { if (this.mask.matches(":focus-visible")) this.showRing(this.placeOfKeys()); });
    this.mask.addEventListener("keydown", (event) => this.key(event));
    this.words();
  }

  words() {
    this.mask.setAttribute("aria-label", `${t("mask_hint")} ${t("mask_keys")}`);
    this.picture.setAttribute("aria-label", t("picture"));
    const press = (name) => node("button.plain", { type: "button", onclick: () => this.setMode(name), "aria-pressed": String(this.mode === name), "data-mode": name }, t(name));
    const act = (name, run, sign) => node("button.plain", { type: "button", onclick: run, "data-act": name, title: t(name), "aria-label": t(name) }, sign ?? t(name));
    const slide = (name, least, most, value, take) => {
      const input = node("input", { type: "range", min: least, max: most, value, oninput: () => take(Number(input.value)), "data-slide": name });
      return node("label", {}, t(name), input);
    };
    const sides = ["left", "right", "top", "bottom"];
    const widen = menu({ "data-act": "widen" }, t("widen"), ...sides.map((side) => node("button", { type: "button", "data-side": side, onclick: (event) => { event.currentTarget.parentElement.hidden = true; this.widen(side, WIDER); } }, t("widen_by", { px: WIDER, side: t(side) }))));
    this.tools.replaceChildren(
      press("brush"), press("eraser"), slide("size", 4, 160, this.size, (value) => (this.size = value)), slide("feather", 0, 40, this.feather, (value) => (this.feather = value)),
      act("undo", () => this.step(this.done, this.undone), "↶"), act("redo", () => this.step(this.undone, this.done), "↷"), act("clear", () => this.clear()), act("invert", () => this.invert()),
      act("grow", () => this.grow(GROWN)), widen, node("p.hint", {}, t("mask_hint")),
    );
  }

  setMode(name) {
    this.mode = name;
    for (const button of this.tools.querySelectorAll("[data-mode]")) button.setAttribute("aria-pressed", String(button.dataset.mode === name));
  }

  /** Take a picture (a blob) and forget what was painted. */
  async load(blob) {
    const bitmap = await createImageBitmap(blob);
    this.blob = blob;
    this.resize(bitmap.width, bitmap.height);
    this.picture.getContext("2d").drawImage(bitmap, 0, 0);
    this.done = [];
    this.undone = [];
  }

  show() {
    this.place.replaceChildren(this.wrap);
    this.tools.hidden = false;
  }

  resize(width, height) {
    for (const canvas of [this.picture, this.mask]) Object.assign(canvas, { width, height });
    this.changed(width, height);
  }

  begin(event) {
    if (event.button) return;
    event.preventDefault();
    this.mask.setPointerCapture(event.pointerId);
    this.remember();
    let last = this.at(event);
    this.line(last, last);
    const move = (moved) => {
      for (const each of moved.getCoalescedEvents?.() ?? [moved]) {
        const next = this.at(each);
        this.line(last, next);
        last = next;
      }
    };
    this.mask.addEventListener("pointermove", move);
    const end = () => this.mask.removeEventListener("pointermove", move);
    for (const name of ["pointerup", "pointercancel"]) this.mask.addEventListener(name, end, { once: true });
  }

  at(event) {
    const box = this.mask.getBoundingClientRect();
    return { x: ((event.clientX - box.left) / box.width) * this.mask.width, y: ((event.clientY - box.top) / box.height) * this.mask.height };
  }

  line(from, to) {
    const pen = this.mask.getContext("2d");
    pen.globalCompositeOperation = this.mode === "eraser" ? "destination-out" : "source-over";
    Object.assign(pen, { strokeStyle: COLOR, lineCap: "round", lineJoin: "round", lineWidth: this.size });
    pen.beginPath();
    pen.moveTo(from.x, from.y);
    pen.lineTo(to.x + 0.01, to.y);
    pen.stroke();
    pen.globalCompositeOperation = "source-over";
  }

  key(event) {
    const command = event.ctrlKey || event.metaKey;
    if (command && event.key.toLowerCase() === "z") this.step(...(event.shiftKey ? [this.undone, this.done] : [this.done, this.undone]));
    else if (command && event.key.toLowerCase() === "y") this.step(this.undone, this.done);
    else if (event.key === "Delete" || event.key === "Backspace") this.clear();
    else if (event.key === "a" && command) this.invert();
    else if (event.key === "Enter" && !command) this.dab();
    else if (event.key.startsWith("Arrow")) this.walk(event.key);
    else return;
    event.preventDefault();
  }

  /** Painting without a pointer: the arrows walk, Enter paints. */
  walk(key) {
    const step = Math.max(8, this.size / 2);
    this.cursor = this.placeOfKeys();
    const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key];
    this.cursor = { x: Math.min(this.mask.width, Math.max(0, this.cursor.x + dx * step)), y: Math.min(this.mask.height, Math.max(0, this.cursor.y + dy * step)) };
    if (this.painting) this.line(this.cursor, this.cursor);
    this.showRing(this.cursor);
  }

  /** Where the keys paint: in the middle, until they have moved. */
  placeOfKeys() {
    return this.cursor ?? { x: this.mask.width / 2, y: this.mask.height / 2 };
  }

  /** A ring as large as the brush. */
  showRing({ x, y }) {
    const across = (px) => `${(100 * px) / this.mask.width}%`, down = (px) => `${(100 * px) / this.mask.height}%`;
    Object.assign(this.ring.style, { left: across(x), top: down(y), width: across(this.size), height: down(this.size) });
    this.ring.hidden = false;
  }

  dab() {
    this.cursor = this.placeOfKeys();
    this.painting = !this.painting;
    this.remember();
    this.line(this.cursor, this.cursor);
    this.showRing(this.cursor);
  }

  pixels() {
    return this.mask.getContext("2d", { willReadFrequently: true }).getImageData(0, 0, this.mask.width, this.mask.height);
  }

  remember() {
    this.done.push(this.pixels());
    if (this.done.length > STEPS) this.done.shift();
    this.undone = [];
  }

  step(from, to) {
    const pixels = from.pop();
    if (pixels === undefined || pixels.width !== this.mask.width || pixels.height !== this.mask.height) return;
    to.push(this.pixels());
    this.mask.getContext("2d").putImageData(pixels, 0, 0);
  }

  clear() {
    this.remember();
    this.mask.getContext("2d").clearRect(0, 0, this.mask.width, this.mask.height);
  }

  invert() {
    this.remember();
    const pen = this.mask.getContext("2d");
    pen.globalCompositeOperation = "xor";
    pen.fillStyle = COLOR;
    pen.fillRect(0, 0, this.mask.width, this.mask.height);
    pen.globalCompositeOperation = "source-over";
  }

  /** What is painted reaches `px` further on every side. */
  grow(px) {
    this.remember();
    const { width, height } = this.mask, pen = this.mask.getContext("2d");
    const old = canvasOf(width, height);
    old.getContext("2d").drawImage(this.mask, 0, 0);
    for (let turn = 0; turn < 32; turn++) pen.drawImage(old, px * Math.cos((turn * Math.PI) / 16), px * Math.sin((turn * Math.PI) / 16));
    for (let inner = px / 2; inner >= 1; inner /= 2) for (let turn = 0; turn < 8; turn++) pen.drawImage(old, inner * Math.cos((turn * Math.PI) / 4), inner * Math.sin((turn * Math.PI) / 4));
  }

  /** Paint what was painted at another time. */
  restore(pixels) {
    if (pixels.width === this.mask.width && pixels.height === this.mask.height) this.mask.getContext("2d").putImageData(pixels, 0, 0);
  }

  /** More canvas on one side, filled with the colour of that edge and free to change. */
  async widen(side, px) {
    const { width, height } = this.picture;
    const old = canvasOf(width, height), painted = canvasOf(width, height);
    old.getContext("2d").drawImage(this.picture, 0, 0);
    painted.getContext("2d").drawImage(this.mask, 0, 0);
    const across = side === "left" || side === "right";
    const [dx, dy] = [side === "left" ? px : 0, side === "top" ? px : 0];
    this.resize(width + (across ? px : 0), height + (across ? 0 : px));
    const pen = this.picture.getContext("2d");
    const edge = { left: [0, 0, 1, height], right: [width - 1, 0, 1, height], top: [0, 0, width, 1], bottom: [0, height - 1, width, 1] }[side];
    const strip = { left: [0, 0, px, height], right: [width, 0, px, height], top: [0, 0, width, px], bottom: [0, height, width, px] }[side];
    pen.drawImage(old, ...edge, ...strip);
    pen.drawImage(old, dx, dy);
    const mask = this.mask.getContext("2d");
    mask.drawImage(painted, dx, dy);
    mask.fillStyle = COLOR;
    mask.fillRect(...strip);
    this.done = [];
    this.undone = [];
    this.blob = await pngOf(this.picture);
    this.show();
  }

  isPainted() {
    const { data } = this.pixels();
    for (let i = 3; i < data.length; i += 4) if (data[i] > 8) return true;
    return false;
  }

  /** The mask of the API as a blob: transparent where something was painted; null where nothing was. */
  async apiMask() {
    if (!this.isPainted()) return null;
    const pixels = this.pixels();
    for (let i = 0; i < pixels.data.length; i += 4) pixels.data.set([0, 0, 0, pixels.data[i + 3] > 8 ? 0 : 255], i);
    const canvas = canvasOf(pixels.width, pixels.height);
    canvas.getContext("2d").putImageData(pixels, 0, 0);
    return pngOf(canvas);
  }

  /** `result` inside what was painted and the picture outside, with an edge `feather` pixels soft. */
  async softened(result) {
    if (!this.feather || !this.isPainted()) return result;
    const { width, height } = this.picture;
    const bitmap = await createImageBitmap(result);
    const inside = canvasOf(width, height), pen = inside.getContext("2d");
    pen.filter = `blur(${this.feather / 2}px)`;
    pen.drawImage(this.mask, 0, 0);
    pen.filter = "none";
    pen.globalCompositeOperation = "source-in";
    pen.drawImage(bitmap, 0, 0, width, height);
    const whole = canvasOf(width, height), onto = whole.getContext("2d");
    onto.drawImage(this.picture, 0, 0);
    onto.drawImage(inside, 0, 0);
    return withSettings(await pngOf(whole), await settingsOf(result));
  }
}
