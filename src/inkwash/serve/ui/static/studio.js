// One workplace for drawing and for editing: the form on the left, the picture on the right.

import { Adapters } from "./adapters.js";
import * as api from "./api.js";
import { menu, node, toast } from "./dom.js";
import { blobOf, dataUrl, settingsOf } from "./files.js";
import { fullscreen } from "./fullscreen.js";
import { Ideas } from "./ideas.js";
import { MaskEditor } from "./mask.js";
import { downloads, grid, sheet, strip, urlOf, verdict } from "./results.js";
import * as store from "./store.js";
import { language, t, translate } from "./words.js";

const MOST_PICTURES = 4;
const NOTES_AFTER_MS = 250;
const EXAMPLES = 6;
const STARTERS = 8; // pictures to choose from where none is edited yet
const QUALITIES = ["auto", "low", "medium", "high", "xhigh", "max"];
const TRIES = 4;
const CHECKS = { off: {}, until: { verify: true, tries: TRIES }, best: { verify: true, best_of: TRIES } };
const ICONS = { square: [14, 14], landscape: [18, 13.5], portrait: [13.5, 18], wide: [20, 11], tall: [11, 20] };
const SHAPES = Object.keys(ICONS);
const UPRIGHT = { landscape: "portrait", portrait: "landscape", wide: "tall", tall: "wide" };

export class Studio {
  /** `info` is what the server says about itself; `ways` are the page's: edit(blob), ask(blob), look(picture) and so on. */
  constructor(root, info, ways) {
    Object.assign(this, { root, info, ways, editing: root.dataset.kind === "edit", results: [], chosen: 0, running: null });
    Object.assign(this, { chain: [], at: -1 }); // of an edit: the pictures so far, and which of them is edited next
    root.append(document.getElementById("studio-template").content.cloneNode(true));
    this.$ = (selector) => root.querySelector(selector);
    this.editor = this.editing ? new MaskEditor(this.$(".view"), this.$(".tools"), (width, height) => this.sized(width, height)) : null;
    this.references = [];
    this.adapters = new Adapters(this.$(".adapters"), info.adapters);
    this.ideas = new Ideas(this.$(".ideas"), this.editing ? {} : info.ideas, (words, first) => this.add(words, first));
    this.aspect = this.editing ? "as_picture" : "square";
    this.form();
    this.words();
  }

  // -- the form -------------------------------------------------------------------------------------------------------

  form() {
    const prompt = this.$(".prompt");
    this.prompt = prompt;
    prompt.id = `prompt-${this.root.id}`;
    this.$(".prompt-label").htmlFor = prompt.id;
    this.$("form").addEventListener("submit", (event) => { event.preventDefault(); this.run(); });
    prompt.addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); this.run(); } });
    prompt.addEventListener("input", () => this.note());
    this.$(".stop").addEventListener("click", () => this.running?.abort());
    this.$(".less").addEventListener("click", () => this.setCount(this.count - 1));
    this.$(".stepper .more").addEventListener("click", () => this.setCount(this.count + 1));
    this.setCount(1);
    this.$(".dice").addEventListener("click", () => (this.$(".seed").value = ""));
    this.$(".swap").addEventListener("click", () => this.swap());
    for (const field of [".width", ".height"]) this.$(field).addEventListener("input", () => this.sizeChanged());
    this.describe();
    this.$(".verify-row").hidden = !this.info.can_verify;
    const taken = (event) => { this.take([...event.target.files]); event.target.value = ""; };
    this.$(".reference-file").addEventListener("change", taken);
    this.starter = node("input.hidden-input.base-file", { type: "file", accept: this.$(".reference-file").accept, onchange: taken });
    this.$(".another").addEventListener("click", () => this.startOver());
  }

  /** What depends on the model that draws. */
  describe() {
    const { defaults, natural, max_steps } = this.info;
    this.sized(...natural);
    for (const [name, value] of [["steps", defaults.steps], ["guidance", defaults.guidance], ["temperature", defaults.temperature], ["top-p", defaults.top_p]]) this.$(`.${name}`).placeholder = value ?? "";
    this.$(".steps").max = Math.min(100, max_steps);
  }

  /** Another model draws from now on; the prompt and the pictures stay. */
  adopt(info) {
    this.info = info;
    this.ideas.ideas = this.editing ? {} : info.ideas;
    this.adapters.offer(info.adapters);
    this.describe();
    this.setAspect(this.editing ? "as_picture" : "square");
    this.words();
  }

  words() {
    translate(this.root);
    this.label();
    this.$(".go .draw").textContent = t(this.editing ? "change" : "draw");
    this.$(".go .draw").title = "Ctrl+Enter";
    const shapes = SHAPES.filter((name) => name in this.info.shapes);
    const shown = this.editing ? ["as_picture", ...shapes.slice(0, 3), "custom"] : [...shapes, "custom"];
    this.$(".segments").replaceChildren(...shown.map((name) => this.shapeButton(name)));
    options(this.$(".quality"), QUALITIES.map((name) => [name, t(`quality_${name}`)]));
    options(this.$(".layout"), [["new", t("layout_new")], ["same", t("layout_same")]]);
    options(this.$(".verify"), Object.keys(CHECKS).map((name) => [name, t(`check_${name}`, { tries: TRIES })]), this.info.can_verify ? "until" : "off");
    this.ideas.words();
    this.adapters.show();
    this.editor?.words();
    this.sizeChanged();
    this.showChain();
    if (this.results.length) this.showResults();
    else this.showStart();
  }

  label() {
    const next = this.editing && this.at > 0;
    this.$(".prompt-label").textContent = t(!this.editing ? "prompt" : next ? "instruction_next" : "instruction");
    this.prompt.placeholder = t(!this.editing ? "prompt_hint" : next ? "instruction_next_hint" : "instruction_hint");
  }

  shapeButton(name) {
    const sides = ICONS[name];
    const icon = sides ? node("i", { style: `width: ${sides[0]}px; height: ${sides[1]}px` }) : node("b", { "aria-hidden": "true" }, name === "as_picture" ? "=" : "…");
    const label = sides ? `${t(name)} ${this.info.shapes[name].join(" × ")}` : t(name);
    return node("button", { type: "button", title: label, "aria-label": label, "aria-pressed": String(this.aspect === name), "data-shape": name, onclick: () => this.setAspect(name) }, icon);
  }

  setAspect(name) {
    if (name === "custom" && this.aspect in this.info.shapes) this.sized(...this.info.shapes[this.aspect]);
    this.aspect = name;
    for (const button of this.$(".segments").children) button.setAttribute("aria-pressed", String(button.dataset.shape === name));
    this.$(".custom-size").hidden = name !== "custom";
    this.sizeChanged();
  }

  /** Width and height change places, in the shape that is chosen or in the fields. */
  swap() {
    if (this.aspect in UPRIGHT) return this.setAspect(UPRIGHT[this.aspect]);
    this.sized(this.$(".height").value, this.$(".width").value);
    this.sizeChanged();
  }

  sized(width, height) {
    this.$(".width").value = width;
    this.$(".height").value = height;
  }

  sizeChanged() {
    this.$(".swap").hidden = !(this.aspect in UPRIGHT || this.aspect === "custom");
    this.$(".shape-size").textContent = this.aspect in this.info.shapes ? this.info.shapes[this.aspect].join(" × ") : "";
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

  /** Words of an idea: a kind of picture stands first, everything else at the end. */
  add(words, first) {
    const before = this.prompt.value.trim().replace(/[.,。,]$/, ""), parts = first ? [words, before] : [before, words];
    const joins = /^(with|on|in|as|that)\b/.test(parts[1]) ? " " : ", ";
    this.prompt.value = parts.filter(Boolean).join(language() === "zh" ? "，" : joins);
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
      const said = await api.notes({ prompt: this.prompt.value, size: this.size, edit: this.editing, language: language(), model: this.ways.model() }, this.asking.signal);
      const lines = said.notes.map((line) => node("li.warn", {}, line));
      if (said.words.length && !this.editing) lines.push(node("li", {}, t("to_write", { words: said.words.map((word) => `“${word}”`).join(", ") })));
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
      toast(t("no_image", { name: blob.name ?? blob.type }));
      return;
    }
    Object.assign(this, { chain: [{ blob, words: t("start_picture") }], at: 0, results: [] });
    this.showChain();
    this.showEditor();
  }

  /** Another picture is chosen; what was made of this one is in the history. */
  startOver() {
    Object.assign(this, { chain: [], at: -1, results: [], references: [] });
    this.editor.blob = null;
    this.showReferences();
    this.showChain();
    this.showStart();
  }

  showEditor() {
    this.root.classList.add("has-result");
    this.editor.show();
    this.$(".variants").hidden = this.$(".actions").hidden = true;
    this.progress("");
    this.showReferences();
  }

  showReferences() {
    this.$(".reference-row").hidden = !this.editing || !this.editor.blob;
    this.$(".references").replaceChildren(...this.references.map((picture, number) =>
      node("li", {}, node("img", { src: urlOf({ blob: picture }), alt: picture.name ?? t("picture") }),
        node("button", { type: "button", "aria-label": t("remove"), onclick: () => { this.references.splice(number, 1); this.showReferences(); } }, "×"))));
  }

  /** The pictures so far, each with the words that made it; a click goes back to one. */
  showChain() {
    if (!this.editing) return;
    this.label();
    const list = this.$(".chain");
    list.hidden = this.chain.length < 2;
    list.replaceChildren(...this.chain.map((link, number) => node("li", {}, node("button", { type: "button", "aria-current": String(number === this.at), onclick: () => this.back(number) }, node("img", { src: urlOf(link), alt: "" }), node("span", {}, link.words)))));
    list.scrollTop = list.scrollHeight;
  }

  async back(number) {
    if (this.running) return;
    this.at = number;
    await this.editor.load(this.chain[number].blob);
    this.results = [];
    this.showEditor();
    this.showChain();
  }

  /** The result of an edit is what the next instruction changes. */
  async continueFrom(body) {
    const link = { blob: this.results[0].blob, words: body.prompt, before: this.results[0].before, mask: this.editor.isPainted() ? this.editor.pixels() : null };
    this.chain = [...this.chain.slice(0, this.at + 1), link];
    this.at += 1;
    await this.editor.load(link.blob);
    this.prompt.value = "";
    this.note();
    this.showChain();
  }

  /** The same change once more, from the picture before it; `more` goes into the request. */
  async again(picture, more) {
    if (this.running) return;
    if (this.editing) {
      const link = this.chain[this.at];
      this.chain = this.chain.slice(0, this.at);
      this.at -= 1;
      await this.editor.load(link.before);
      if (link.mask) this.editor.restore(link.mask);
      this.showChain();
    }
    this.prompt.value = picture.prompt;
    await this.run(more);
  }

  // -- drawing --------------------------------------------------------------------------------------------------------

  async body() {
    const number = (selector) => (this.$(selector).value === "" ? undefined : Number(this.$(selector).value));
    const body = {
      prompt: this.prompt.value, n: this.count, size: this.size, seed: number(".seed"), steps: number(".steps"), guidance_scale: number(".guidance"),
      temperature: number(".temperature"), top_p: number(".top-p"), negative_prompt: this.$(".negative").value || undefined,
      quality: this.$(".quality").value, layout: this.count > 1 ? this.$(".layout").value : undefined, lora: this.adapters.body(),
      ...(quotes(this.prompt.value) ? CHECKS[this.$(".verify").value] : {}), model: this.ways.model(),
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
    if (!this.prompt.value.trim()) {
      this.prompt.focus();
      return toast(t(this.editing ? "no_instruction" : "no_prompt"));
    }
    this.running = new AbortController();
    const began = performance.now(), pictures = new Map();
    Object.assign(this, { until: 0, stage: null, chosen: (more.n ?? this.count) > 1 ? null : 0 });
    this.busy(true);
    this.progress(t("starting"), 0);
    try {
      const body = { ...(await this.body()), ...more };
      const before = this.editing ? this.editor.blob : null;
      let last = null;
      for await (const event of api.draw(this.editing ? "edits" : "generations", body, this.running.signal)) {
        if (event.b64_json) await this.arrived(event, pictures, before, body);
        else this.follow(event);
        last = event;
      }
      const done = [...pictures.values()].filter((picture) => picture.finished);
      if (!done.length) throw new api.ApiError(t("failed", { message: last?.type ?? "" }), 500);
      await this.finish(done, body, (performance.now() - began) / 1000);
    } catch (error) {
      this.failed(error);
    } finally {
      this.running = null;
      this.busy(false);
    }
  }

  async arrived(event, pictures, before, body) {
    const finished = event.type.endsWith("completed");
    let blob = blobOf(event.b64_json);
    if (finished && this.editing) blob = await this.editor.softened(blob);
    pictures.set(event.image_index, { blob, finished, event, before, prompt: body.prompt });
    this.results = [...pictures.entries()].sort(([a], [b]) => a - b).map(([, picture]) => picture);
    this.root.classList.add("has-result");
    this.showResults();
  }

  /** Where it stands: its place in the queue, the step, the attempt, and how long it is likely to take. */
  follow(event) {
    const now = performance.now();
    if (event.type.endsWith("queued")) {
      this.until = now + 1000 * event.eta_s;
      if (event.position) this.progress(t("queued", { position: event.position, eta: Math.max(1, Math.round(event.eta_s)) }), 0);
      return;
    }
    if (!event.type.endsWith("progress")) return;
    const planning = event.stage === "prior", part = event.done / Math.max(1, event.total);
    if (this.stage?.name !== event.stage || this.stage.attempt !== event.attempt) this.stage = { name: event.stage, attempt: event.attempt, done: event.done, at: now };
    else if (!planning && event.done > this.stage.done) this.until = now + ((now - this.stage.at) * (event.total - event.done)) / (event.done - this.stage.done);
    const left = Math.round((this.until - now) / 1000);
    const attempt = event.attempt > 1 ? t("attempt", { attempt: event.attempt, attempts: event.attempts, read: event.read?.length ? event.read.join(" ") : t("nothing_read") }) : "";
    this.progress([attempt, t(planning ? "planning" : "drawing", event), left > 0 ? t("left_s", { seconds: left }) : ""].filter(Boolean).join(" · "), planning ? part / 2 : 0.5 + part / 2);
  }

  async finish(done, body, seconds) {
    this.results = done;
    const own = /^(prompt|size|verify): /; // said below the prompt and below the picture
    const warnings = [...new Set(done.flatMap((picture) => picture.event.warnings ?? []))].filter((line) => !own.test(line)).map((line) => line.replace(/^\w+: /, ""));
    this.progress([t("done", { seconds: seconds.toFixed(1) }), ...warnings].join(" · "), 0);
    const { images: _, mask: __, verify: ___, tries: ____, best_of: _____, ...settings } = body;
    for (const picture of done) {
      const { used, seed, size } = picture.event;
      picture.settings = { ...settings, n: 1, seed, size, steps: used.steps, guidance_scale: used.guidance_scale };
      store.keep({ blob: picture.blob, prompt: body.prompt, kind: this.editing ? "edit" : "draw", settings: picture.settings, at: Date.now() }).then(() => this.ways.kept());
    }
    if (this.editing) await this.continueFrom(body);
    this.showResults();
  }

  failed(error) {
    const stopped = error.name === "AbortError";
    this.results = this.results.filter((picture) => picture.finished);
    this.chosen = this.results.length > 1 ? null : 0;
    this.progress(stopped ? t("stopped") : error.message, 0, !stopped);
    if (this.results.length) this.showResults();
    else if (this.editing && this.editor.blob) this.editor.show();
    else this.showStart();
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

  /** The first screen: examples to draw, or pictures to edit. */
  async showStart() {
    if (this.editing && this.editor.blob) return this.editor.show();
    this.root.classList.remove("has-result");
    this.$(".tools").hidden = this.$(".variants").hidden = this.$(".actions").hidden = true;
    const own = ({ language: spoken }) => Number(spoken === language());
    const usual = this.info.examples.filter((example) => own(example) || example.language === "en");
    const examples = usual.sort((a, b) => own(b) - own(a)).slice(0, EXAMPLES);
    if (!this.editing) return this.$(".view").replaceChildren(this.examples(examples));
    const kept = (await store.all()).slice(0, STARTERS);
    if (this.editor.blob) return;
    const address = (example) => `ui/static/examples/${example.name}.webp`;
    const mine = kept.map((entry) => this.startTile(urlOf(entry), entry.prompt, async () => entry.blob));
    const ours = examples.slice(0, STARTERS - mine.length).map((example) => this.startTile(address(example), example.prompt, async () => (await fetch(address(example))).blob()));
    this.$(".view").replaceChildren(node("div.start", {}, node("label.dropzone", {}, this.starter, node("strong", {}, t("choose_picture")), node("span", {}, t("choose_picture_more"))), node("p", {}, t("or_one_of_these")), node("ul", {}, ...mine, ...ours)));
  }

  startTile(src, prompt, blob) {
    return node("li", {}, node("button", { type: "button", "aria-label": prompt, title: prompt, onclick: async () => { await this.begin(await blob()); this.prompt.focus(); } }, node("img", { src, alt: "", width: 96, height: 96 })));
  }

  examples(examples) {
    const tiles = examples.map((example) => node("li", {}, node("button", { type: "button", "data-example": example.name, onclick: () => this.try(example) }, node("img", { src: `ui/static/examples/${example.name}.webp`, alt: "", width: 192, height: 192 }), node("span", {}, example.prompt))));
    return node("div.examples", {}, node("h2", {}, t("examples")), node("p", {}, this.ways.limitsLine() || t("examples_hint")), node("ul", {}, ...tiles));
  }

  try(example) {
    this.prompt.value = example.prompt;
    this.$(".seed").value = example.seed;
    this.setAspect("square");
    this.setCount(1);
    this.run();
  }

  /** Look at one variant, or at all of them (null). */
  choose(number) {
    this.chosen = number;
    if (this.editing && number !== null && !this.running) {
      const picture = this.results[number];
      Object.assign(this.chain[this.at], { blob: picture.blob });
      this.editor.load(picture.blob);
      this.showChain();
    }
    this.showResults();
  }

  showResults() {
    const several = this.results.length > 1, all = several && this.chosen === null;
    const picture = this.results[this.chosen ?? 0];
    if (!picture) return;
    this.$(".tools").hidden = true;
    const variants = this.$(".variants");
    variants.hidden = !several || all;
    variants.replaceChildren(...strip(this.results, this.chosen, (number) => this.choose(number)));
    this.$(".view").replaceChildren(all ? grid(this.results, (number) => this.choose(number)) : sheet(picture, picture.prompt, () => this.large()));
    const done = this.results.every((each) => each.finished);
    this.$(".actions").hidden = !(all ? done : picture.finished);
    if (all) this.$(".actions").replaceChildren(node("div.facts", {}, t("choose_variant")));
    else if (picture.finished) this.showActions(picture);
  }

  large() {
    fullscreen(this.results.filter((each) => each.finished), this.chosen ?? 0);
  }

  showActions(picture) {
    const act = (key, run, kind = "plain") => node(`button.${kind}`, { type: "button", onclick: run, "data-act": key }, t(key));
    const facts = node("div.facts", { role: "status" }, verdict(picture.event), node("span", {}, t("seed_of", { seed: picture.event.seed })));
    const buttons = [
      ...(this.editing ? [act("paint_on", () => { this.results = []; this.showEditor(); }), act("try_again", () => this.again(picture, { seed: undefined }))] : [act("edit_this", () => this.ways.edit(picture.blob))]),
      downloads(picture.blob, picture.prompt),
    ];
    if (this.info.can_verify && quotes(picture.prompt)) buttons.push(this.checks(picture));
    buttons.push(act("again_seed", () => { this.$(".seed").value = picture.event.seed; this.$(".more-settings").open = true; }), act("fullscreen", () => this.large()));
    if (this.ways.canAsk) buttons.push(act("ask_this", () => this.ways.ask(picture.blob)));
    this.$(".actions").replaceChildren(facts, ...buttons);
  }

  /** Read the words of a picture, or draw it until they are right. */
  checks(picture) {
    const item = (name, run) => node("button", { type: "button", "data-check": name, onclick: (event) => { event.currentTarget.parentElement.hidden = true; run(); } }, t(`now_${name}`, { tries: TRIES }));
    const again = (name) => this.again(picture, { ...CHECKS[name], n: 1, seed: picture.event.seed });
    return menu({ "data-act": "check" }, t("check_words"), item("read", () => this.readWords(picture)), item("until", () => again("until")), item("best", () => again("best")));
  }

  async readWords(picture) {
    this.progress(t("reading"));
    try {
      const before = picture.before ? await dataUrl(picture.before) : undefined;
      const found = await api.readWords({ prompt: picture.prompt, image: await dataUrl(picture.blob), before });
      picture.event = { ...picture.event, verified: found.right, verify: found };
      this.progress("");
      this.showResults();
    } catch (error) {
      this.progress(error.message, 0, true);
    }
  }

  /** Fill in the settings of a picture. */
  fill(settings) {
    this.prompt.value = settings.prompt ?? "";
    const [width, height] = String(settings.size ?? "").split("x").map(Number);
    if (width && height) {
      const shape = Object.entries(this.info.shapes).find(([, sides]) => sides[0] === width && sides[1] === height)?.[0];
      this.setAspect(shape ?? "custom");
      this.sized(width, height);
    }
    const values = { seed: settings.seed, steps: settings.steps, guidance: settings.guidance_scale ?? settings.guidance, temperature: settings.temperature, "top-p": settings.top_p, negative: settings.negative_prompt };
    for (const [name, value] of Object.entries(values)) this.$(`.${name}`).value = value ?? "";
    this.$(".quality").value = QUALITIES.includes(settings.quality) ? settings.quality : "auto";
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

/** Whether a prompt has words to be read back. */
const quotes = (prompt) => /["“”„«»「」『』]/.test(prompt);

function options(select, pairs, first = undefined) {
  const value = select.value || first;
  select.replaceChildren(...pairs.map(([name, words]) => node("option", { value: name }, words)));
  if (value) select.value = value;
}
