// One workplace for drawing and for editing: the form on the left, the picture on the right.

import { Adapters } from "./adapters.js";
import * as api from "./api.js";
import { fileName, menu, node, save, toast } from "./dom.js";
import { blobOf, dataUrl, converted, settingsOf } from "./files.js";
import { MaskEditor } from "./mask.js";
import * as store from "./store.js";
import { t, translate } from "./words.js";

const MOST_PICTURES = 4;
const NOTES_AFTER_MS = 250;
const QUALITIES = ["auto", "low", "medium", "high", "xhigh", "max"];

export class Studio {
  /** `info` is what the server says about itself; `ways` are the page's: edit(blob), ask(blob), examples. */
  constructor(root, info, ways) {
    Object.assign(this, { root, info, ways, editing: root.dataset.kind === "edit", results: [], chosen: 0, chain: [], running: null });
    root.append(document.getElementById("studio-template").content.cloneNode(true));
    this.$ = (selector) => root.querySelector(selector);
    this.editor = this.editing ? new MaskEditor(this.$(".view"), this.$(".tools"), (width, height) => this.sized(width, height)) : null;
    this.references = [];
    this.adapters = new Adapters(this.$(".adapters"), info.adapters);
    this.aspect = this.editing ? "as_picture" : "square";
    this.form();
    this.words();
    if (!this.editing) this.showExamples();
  }

  // -- the form -------------------------------------------------------------------------------------------------------

  form() {
    const form = this.$("form"), prompt = this.$(".prompt");
    this.prompt = prompt;
    prompt.id = `prompt-${this.root.id}`;
    this.$(".prompt-label").htmlFor = prompt.id;
    form.addEventListener("submit", (event) => { event.preventDefault(); this.run(); });
    prompt.addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); this.run(); } });
    prompt.addEventListener("input", () => this.note());
    this.$(".stop").addEventListener("click", () => this.running?.abort());
    this.$(".less").addEventListener("click", () => this.setCount(this.count - 1));
    this.$(".stepper .more").addEventListener("click", () => this.setCount(this.count + 1));
    this.setCount(1);
    this.$(".dice").addEventListener("click", () => (this.$(".seed").value = ""));
    this.$(".swap").addEventListener("click", () => {
      const [width, height] = [this.$(".width"), this.$(".height")];
      [width.value, height.value] = [height.value, width.value];
      this.note();
    });
    for (const field of [".width", ".height"]) this.$(field).addEventListener("input", () => this.note());
    const { defaults, natural } = this.info;
    Object.assign(this.$(".width"), { value: natural[0] });
    Object.assign(this.$(".height"), { value: natural[1] });
    for (const [name, value] of [["steps", defaults.steps], ["guidance", defaults.guidance], ["temperature", defaults.temperature], ["top-p", defaults.top_p]]) this.$(`.${name}`).placeholder = value ?? "";
    this.$(".steps").max = Math.min(100, this.info.max_steps);
    this.$(".verify-row").hidden = !this.info.can_verify;
    this.$(".verify").checked = this.info.can_verify;
    if (this.editing) this.pictureInputs();
    this.$(".start").hidden = !this.editing;
  }

  pictureInputs() {
    this.$(".base-file").addEventListener("change", (event) => { this.take([...event.target.files]); event.target.value = ""; });
  }

  words() {
    translate(this.root);
    this.$(".prompt-label").textContent = t(this.editing ? "instruction" : "prompt");
    this.prompt.placeholder = t(this.editing ? "instruction_hint" : "prompt_hint");
    this.$(".go .draw").textContent = t(this.editing ? "change" : "draw");
    const shapes = this.editing ? ["as_picture", "square", "landscape", "portrait", "custom"] : ["square", "landscape", "portrait", "custom"];
    this.$(".segments").replaceChildren(...shapes.map((name) => this.shapeButton(name)));
    options(this.$(".quality"), QUALITIES.map((name) => [name, name]));
    options(this.$(".layout"), [["new", t("layout_new")], ["same", t("layout_same")]]);
    this.helpers();
    this.adapters.show();
    this.editor?.words();
    this.note();
    if (this.results.length) this.showResults();
    else if (!this.editing) this.showExamples();
  }

  shapeButton(name) {
    const sides = { square: [16, 16], landscape: [22, 15], portrait: [15, 22] }[name];
    const icon = sides ? node("i") : node("small", {}, name === "as_picture" ? "=" : "…");
    if (sides) Object.assign(icon.style, { width: `${sides[0]}px`, height: `${sides[1]}px` });
    return node("button", { type: "button", title: t(name), "aria-label": t(name), "aria-pressed": String(this.aspect === name), "data-shape": name, onclick: () => this.setAspect(name) }, icon);
  }

  setAspect(name) {
    this.aspect = name;
    for (const button of this.$(".segments").children) button.setAttribute("aria-pressed", String(button.dataset.shape === name));
    this.$(".custom-size").hidden = name !== "custom";
    this.note();
  }

  setCount(value) {
    this.count = Math.min(MOST_PICTURES, Math.max(1, value));
    this.$(".stepper output").textContent = this.count;
    this.$(".less").disabled = this.count === 1;
    this.$(".stepper .more").disabled = this.count === MOST_PICTURES;
  }

  /** WIDTHxHEIGHT, or auto for an edit as large as its picture. */
  get size() {
    if (this.aspect === "custom") return `${this.$(".width").value || 0}x${this.$(".height").value || 0}`;
    if (this.aspect === "as_picture") return "auto";
    return this.info.shapes[this.aspect].join("x");
  }

  helpers() {
    const shown = this.editing ? [] : this.info.helpers;
    this.$(".helpers").replaceChildren(...shown.map((words) => node("button.chip", { type: "button", onclick: () => this.append(words) }, `+ ${words}`)));
  }

  append(words) {
    const before = this.prompt.value.trimEnd();
    this.prompt.value = before ? `${before.replace(/[.,。,]$/, "")}, ${words}` : words;
    this.prompt.focus();
    this.note();
  }

  note() {
    clearTimeout(this.noting);
    this.noting = setTimeout(() => this.askNotes(), NOTES_AFTER_MS);
  }

  async askNotes() {
    this.asking?.abort();
    this.asking = new AbortController();
    const list = this.$(".notes");
    if (!this.prompt.value.trim()) {
      list.replaceChildren();
      return;
    }
    try {
      const said = await api.notes({ prompt: this.prompt.value, size: this.size, edit: this.editing, language: document.documentElement.lang }, this.asking.signal);
      const lines = said.notes.map((line) => node("li.warn", {}, line));
      if (said.words.length) lines.push(node("li", {}, t("to_write", { words: said.words.map((word) => `“${word}”`).join(", ") })));
      list.replaceChildren(...lines);
    } catch (error) {
      if (error.name !== "AbortError") list.replaceChildren();
    }
  }

  // -- pictures to edit -----------------------------------------------------------------------------------------------

  /** Take pictures: the first is edited where there is none yet, others are references. */
  async take(files, fresh = false) {
    const pictures = files.filter((file) => file.type.startsWith("image/"));
    if (fresh && pictures.length) this.references = [];
    for (const picture of pictures) {
      if (fresh || !this.editor.blob) {
        await this.begin(picture);
        fresh = false;
      } else this.references.push(picture);
    }
    this.showReferences();
  }

  /** Begin anew with one picture. */
  async begin(blob) {
    try {
      await this.editor.load(blob);
    } catch {
      toast(t("failed", { message: blob.name ?? blob.type }));
      return;
    }
    this.chain = [{ blob, words: t("start_picture") }];
    this.results = [];
    this.showChain();
    this.showEditor();
  }

  showEditor() {
    this.root.classList.add("has-result");
    this.editor.show();
    this.$(".variants").hidden = this.$(".actions").hidden = true;
    this.progress("");
  }

  sized(width, height) {
    Object.assign(this.$(".width"), { value: width });
    Object.assign(this.$(".height"), { value: height });
  }

  showReferences() {
    this.$(".dropzone span").textContent = t(this.editor.blob ? "more_references" : "choose_picture");
    this.$(".references").replaceChildren(...this.references.map((picture, number) =>
      node("li", {}, node("img", { src: URL.createObjectURL(picture), alt: picture.name ?? "" }),
        node("button", { type: "button", "aria-label": t("remove"), onclick: () => { this.references.splice(number, 1); this.showReferences(); } }, "×"))));
  }

  showChain() {
    const list = this.$(".chain");
    list.hidden = this.chain.length < 2;
    list.replaceChildren(...this.chain.map((link) => {
      const current = link.blob === this.editor.blob;
      return node("li", {}, node("button", { type: "button", "aria-current": String(current), "aria-label": link.words, onclick: () => this.back(link) }, node("img", { src: URL.createObjectURL(link.blob), alt: "" })), node("span", { title: link.words }, link.words));
    }));
  }

  async back(link) {
    await this.editor.load(link.blob);
    this.results = [];
    this.showEditor();
    this.showChain();
  }

  // -- drawing --------------------------------------------------------------------------------------------------------

  async body() {
    const number = (selector) => (this.$(selector).value === "" ? undefined : Number(this.$(selector).value));
    const body = {
      prompt: this.prompt.value, n: this.count, size: this.size, seed: number(".seed"), steps: number(".steps"), guidance_scale: number(".guidance"),
      temperature: number(".temperature"), top_p: number(".top-p"), negative_prompt: this.$(".negative").value || undefined,
      quality: this.$(".quality").value, layout: this.count > 1 ? this.$(".layout").value : undefined, verify: this.$(".verify").checked || undefined,
      lora: this.adapters.body(),
    };
    if (!this.editing) return body;
    const mask = await this.editor.apiMask();
    body.images = await Promise.all([this.editor.blob, ...this.references].map(dataUrl));
    if (mask !== null) {
      body.mask = await dataUrl(mask);
      delete body.size; // exactly the picture's
    }
    return body;
  }

  async run(more = {}) {
    if (this.running) return;
    if (this.editing && !this.editor.blob) return toast(t("no_picture"));
    if (!this.prompt.value.trim()) return toast(t(this.editing ? "no_instruction" : "no_prompt"));
    this.running = new AbortController();
    const began = performance.now(), pictures = new Map();
    this.busy(true);
    this.progress(t("starting"), 0);
    try {
      const body = { ...(await this.body()), ...more };
      const before = this.editing ? this.editor.blob : null;
      let last = null;
      for await (const event of api.draw(this.editing ? "edits" : "generations", body, this.running.signal)) {
        if (event.b64_json) await this.arrived(event, pictures, before);
        else this.follow(event);
        last = event;
      }
      const done = [...pictures.values()].filter((picture) => picture.finished);
      if (!done.length) throw new api.ApiError(t("failed", { message: last?.type ?? "" }), 500);
      this.finish(done, body, (performance.now() - began) / 1000);
    } catch (error) {
      this.failed(error);
    } finally {
      this.running = null;
      this.busy(false);
    }
  }

  async arrived(event, pictures, before) {
    const finished = event.type.endsWith("completed");
    let blob = blobOf(event.b64_json);
    if (finished && this.editing) blob = await this.editor.softened(blob);
    pictures.set(event.image_index, { blob, finished, event, before });
    this.results = [...pictures.entries()].sort(([a], [b]) => a - b).map(([, picture]) => picture);
    this.chosen = Math.min(this.chosen, this.results.length - 1);
    this.root.classList.add("has-result");
    this.showResults();
  }

  follow(event) {
    if (event.type.endsWith("queued") && event.position) this.progress(t("queued", { position: event.position, eta: Math.max(1, Math.round(event.eta_s)) }), 0);
    if (!event.type.endsWith("progress")) return;
    const part = event.done / Math.max(1, event.total), planning = event.stage === "prior";
    this.progress(t(planning ? "planning" : "drawing", event), planning ? part / 2 : 0.5 + part / 2);
  }

  finish(done, body, seconds) {
    this.results = done;
    this.chosen = 0;
    const warnings = [...new Set(done.flatMap((picture) => picture.event.warnings ?? []))].map((line) => line.replace(/^\w+: /, ""));
    this.progress([t("done", { seconds: seconds.toFixed(1) }), ...warnings].join(" · "), 0);
    for (const picture of done) {
      picture.prompt = body.prompt;
      const { images: _, mask: __, ...settings } = body;
      picture.settings = { ...settings, n: 1, seed: picture.event.seed, size: picture.event.size };
      store.keep({ blob: picture.blob, prompt: body.prompt, kind: this.editing ? "edit" : "draw", settings: picture.settings, at: Date.now() }).then(() => this.ways.kept());
    }
    this.showResults();
  }

  failed(error) {
    const stopped = error.name === "AbortError";
    this.results = this.results.filter((picture) => picture.finished);
    this.progress(stopped ? t("stopped") : error.message, 0, !stopped);
    if (this.results.length) this.showResults();
    else if (this.editing && this.editor.blob) this.editor.show();
    else if (!this.editing) this.showExamples();
  }

  busy(on) {
    this.$(".go .draw").disabled = on;
    this.$(".go .stop").hidden = !on;
    this.root.setAttribute("aria-busy", String(on));
  }

  progress(text, part = 0, bad = false) {
    this.$(".progress-text").textContent = text;
    this.$(".progress-text").classList.toggle("bad", bad);
    this.$(".bar-fill").style.width = `${100 * part}%`;
  }

  // -- what is shown --------------------------------------------------------------------------------------------------

  showExamples() {
    const { examples, limits_line } = this.ways;
    const tiles = examples.map((example) => node("li", {}, node("button", { type: "button", "data-example": example.name, onclick: () => this.try(example) }, node("img", { src: `ui/static/examples/${example.name}.webp`, alt: "", width: 192, height: 192, loading: "eager" }), node("span", {}, example.prompt))));
    this.$(".view").replaceChildren(node("div.examples", {}, node("h2", {}, t("examples")), node("p", {}, limits_line() || t("examples_hint")), node("ul", {}, ...tiles)));
  }

  try(example) {
    this.prompt.value = example.prompt;
    this.$(".seed").value = example.seed ?? "";
    this.setAspect(example.shape ?? "square");
    this.setCount(1);
    this.run();
  }

  showResults() {
    const picture = this.results[this.chosen];
    if (!picture) return;
    const several = this.results.length > 1;
    const variants = this.$(".variants");
    variants.hidden = !several;
    variants.replaceChildren(...this.results.map((each, number) => node("li", {}, node("button", { type: "button", "aria-pressed": String(number === this.chosen), "aria-label": `${t("picture")} ${number + 1}`, onclick: () => { this.chosen = number; this.showResults(); } }, node("img", { src: urlOf(each), alt: "" })))));
    this.$(".tools").hidden = true;
    const plain = node("img.sheet", { src: urlOf(picture), alt: this.prompt.value, onclick: () => picture.finished && this.ways.look(picture) });
    plain.classList.toggle("unfinished", !picture.finished);
    this.$(".view").replaceChildren(picture.finished && picture.before ? compare(picture) : plain);
    this.$(".actions").hidden = !picture.finished;
    if (picture.finished) this.showActions(picture);
  }

  showActions(picture) {
    const act = (key, run, kind = "plain") => node(`button.${kind}`, { type: "button", onclick: run, "data-act": key }, t(key));
    const verified = picture.event.verified;
    const facts = node("div.facts");
    if (verified !== undefined && verified !== null) facts.append(node(verified ? "span.good" : "span.bad", {}, t(verified ? "words_right" : "words_wrong")), " · ");
    facts.append(`${t("seed").split(/[((]/)[0].trim()} ${picture.event.seed}`);
    const buttons = [
      this.editing ? act("keep_going", () => this.keepGoing(picture)) : act("edit_this", () => this.ways.edit(picture.blob)),
      downloads(picture.blob, picture.prompt ?? this.prompt.value),
      act("again_seed", () => { this.$(".seed").value = picture.event.seed; this.$(".more-settings").open = true; }),
      act("fullscreen", () => this.ways.look(picture)),
    ];
    if (this.ways.canAsk) buttons.push(act("ask_this", () => this.ways.ask(picture.blob)));
    if (this.info.can_verify && verified !== true) buttons.push(act("redraw", () => this.run({ verify: true, n: 1, seed: picture.event.seed })));
    this.$(".actions").replaceChildren(facts, ...buttons);
  }

  /** The result becomes the picture that is edited next; the way there stays. */
  async keepGoing(picture) {
    this.chain.push({ blob: picture.blob, words: picture.prompt });
    await this.editor.load(picture.blob);
    this.results = [];
    this.prompt.value = "";
    this.showEditor();
    this.showChain();
    this.note();
    this.prompt.focus();
  }

  /** Fill in the settings of a picture. */
  fill(settings) {
    this.prompt.value = settings.prompt ?? "";
    const [width, height] = String(settings.size ?? "").split("x").map(Number);
    if (width && height) {
      const shape = Object.entries(this.info.shapes).find(([, sides]) => sides[0] === width && sides[1] === height)?.[0];
      Object.assign(this.$(".width"), { value: width });
      Object.assign(this.$(".height"), { value: height });
      this.setAspect(shape ?? "custom");
    }
    const values = { seed: settings.seed, steps: settings.steps, guidance: settings.guidance_scale ?? settings.guidance, temperature: settings.temperature, "top-p": settings.top_p, negative: settings.negative_prompt };
    for (const [name, value] of Object.entries(values)) this.$(`.${name}`).value = value ?? "";
    if (QUALITIES.includes(settings.quality)) this.$(".quality").value = settings.quality;
    this.adapters.fill(settings.lora);
    this.setCount(1);
    this.note();
  }

  /** A file that was dropped: on the form for drawing its settings count, for editing the picture. */
  async dropped(files) {
    if (this.editing) return this.take(files);
    const settings = files.length ? await settingsOf(files[0]) : null;
    if (settings === null) return toast(t("no_settings"));
    this.fill(settings);
    toast(t("restored"));
  }
}

const urls = new WeakMap();

export function urlOf({ blob }) {
  if (!urls.has(blob)) urls.set(blob, URL.createObjectURL(blob));
  return urls.get(blob);
}

function compare(picture) {
  const box = node("div.compare", {}, node("img", { src: urlOf(picture), alt: picture.prompt ?? "" }), node("img.before", { src: urlOf({ blob: picture.before }), alt: "" }));
  const slider = node("input", { type: "range", min: 0, max: 100, value: 0, "aria-label": t("before_after"), oninput: () => box.style.setProperty("--at", `${slider.value}%`) });
  box.style.setProperty("--at", "0%");
  box.append(slider);
  return box;
}

/** A button with the three formats. */
export function downloads(blob, prompt) {
  const formats = [["PNG", "png", "image/png"], ["WebP", "webp", "image/webp"], ["JPEG", "jpg", "image/jpeg"]];
  const items = formats.map(([name, ending, type]) => node("button", { type: "button", "data-format": ending, onclick: async (event) => {
    event.currentTarget.parentElement.hidden = true;
    save(await converted(blob, type), fileName(prompt, ending));
  } }, name));
  return menu({ "data-act": "download" }, t("download"), ...items);
}

function options(select, pairs) {
  const value = select.value;
  select.replaceChildren(...pairs.map(([name, words]) => node("option", { value: name }, words)));
  if (value) select.value = value;
}
