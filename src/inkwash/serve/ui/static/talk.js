// The conversation: questions with files, answers as they come, thoughts folded, boxes drawn on the picture.

import * as api from "./api.js";
import { node, toast } from "./dom.js";
import { dataUrl } from "./files.js";
import { t } from "./words.js";

const TOKENS = 1024;
const BOX = /\[\s*(\d{1,4}(?:\.\d+)?)\s*,\s*(\d{1,4}(?:\.\d+)?)\s*,\s*(\d{1,4}(?:\.\d+)?)\s*,\s*(\d{1,4}(?:\.\d+)?)\s*\]/g;
const MARKS = /<\|(?:begin|end)_of_box\|>/g;

export class Talk {
  /** `ways` lead back: edit(blob), draw(prompt). */
  constructor(info, ways) {
    Object.assign(this, { model: info.chat, draws: info.draws, ways });
    this.messages = [];
    this.files = [];
    this.picture = null; // that was sent last, for boxes
    this.running = null;
    this.$ = (id) => document.getElementById(id);
    this.$("chat-form").addEventListener("submit", (event) => { event.preventDefault(); this.ask(); });
    const question = this.$("chat-question");
    question.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); this.ask(); }
    });
    question.addEventListener("input", () => { question.style.height = "auto"; question.style.height = `${question.scrollHeight + 2}px`; });
    this.$("chat-file").addEventListener("change", (event) => { this.take([...event.target.files]); event.target.value = ""; });
    this.$("chat-stop").addEventListener("click", () => this.running?.abort());
    this.$("chat-clear").addEventListener("click", () => this.clear());
    this.words();
  }

  words() {
    const ask = ["ask_1", "ask_2", "ask_3"].map((key) => node("button.chip", { type: "button", onclick: () => { this.$("chat-question").value = t(key); this.$("chat-question").focus(); } }, t(key)));
    this.$("chat-examples").replaceChildren(...ask);
  }

  take(files) {
    this.files.push(...files);
    this.showFiles();
  }

  showFiles() {
    this.$("chat-files").replaceChildren(...this.files.map((file, number) =>
      node("li", {}, thumb(file), node("button", { type: "button", "aria-label": t("remove"), onclick: () => { this.files.splice(number, 1); this.showFiles(); } }, "×"))));
  }

  clear() {
    this.running?.abort();
    Object.assign(this, { messages: [], files: [], picture: null });
    this.$("turns").replaceChildren();
    this.$("chat-empty").hidden = false;
    this.$("chat-status").textContent = "";
    this.showFiles();
  }

  async ask() {
    const field = this.$("chat-question"), question = field.value.trim();
    if (!question || this.running) return;
    const files = this.files;
    this.running = new AbortController();
    this.busy(true);
    const asked = node("li.turn.user", {}, ...files.map((file) => this.sent(file)), node("p", {}, question));
    const answer = node("li.turn.assistant", {}, node("p", {}, "…"));
    this.$("turns").append(asked, answer);
    this.$("chat-empty").hidden = true;
    this.scroll();
    field.value = "";
    field.style.height = "auto";
    this.files = [];
    this.showFiles();
    const said = { thoughts: "", content: "" };
    let messages = this.messages;
    try {
      const parts = [...(await Promise.all(files.map(part))), { type: "text", text: question }];
      messages = [...messages, { role: "user", content: parts }];
      await this.follow(messages, said, answer);
      this.keep(messages, said, files, answer);
    } catch (error) {
      if (error.name === "AbortError") {
        this.$("chat-status").textContent = t("stopped");
        show(said, answer, false);
        if (answer.isConnected) this.keep(messages, said, files, answer);
      } else {
        toast(error.message);
        asked.remove();
        answer.remove();
        field.value = question;
        this.files = files;
        this.showFiles();
      }
    } finally {
      this.running = null;
      this.busy(false);
      this.scroll();
    }
  }

  /** What was said stays in the conversation, and its boxes are drawn on the picture that was sent last. */
  keep(messages, said, files, place) {
    this.messages = [...messages, { role: "assistant", content: said.content }];
    this.picture = files.findLast((file) => file.type.startsWith("image/")) ?? this.picture;
    boxes(said.content, this.picture, place);
    const text = said.content.replace(MARKS, "").trim();
    if (this.draws && text) place.append(node("button.quiet", { type: "button", "data-act": "draw_answer", onclick: () => this.ways.draw(text) }, t("draw_answer")));
  }

  /** A file that was sent; a picture can go on to be edited. */
  sent(file) {
    const back = this.draws && file.type.startsWith("image/") ? node("button.quiet", { type: "button", "data-act": "edit_answer", onclick: () => this.ways.edit(file) }, t("edit_answer")) : null;
    return node("div.sent", {}, thumb(file), back);
  }

  async follow(messages, said, place) {
    const began = performance.now();
    let usage = null, ending = null;
    const body = { model: this.model, messages, max_tokens: TOKENS, temperature: 0, thinking: { type: this.$("chat-think").checked ? "enabled" : "disabled" } };
    for await (const chunk of api.chat(body, this.running.signal)) {
      const choice = chunk.choices?.[0];
      said.thoughts += choice?.delta?.reasoning_content ?? "";
      said.content += choice?.delta?.content ?? "";
      ending = choice?.finish_reason ?? ending;
      usage = chunk.usage ?? usage;
      show(said, place, ending === null);
      this.scroll();
    }
    show(said, place, false);
    const facts = usage === null ? "" : t("cost", { prompt: usage.prompt_tokens, said: usage.completion_tokens, seconds: ((performance.now() - began) / 1000).toFixed(1) });
    this.$("chat-status").textContent = [ending === "length" ? t("cut") : "", facts].filter(Boolean).join(" ");
  }

  busy(on) {
    this.$("chat-send").hidden = on;
    this.$("chat-stop").hidden = !on;
  }

  scroll() {
    const box = this.$("chat").querySelector(".talk");
    box.scrollTop = box.scrollHeight;
  }
}

function show(said, place, running) {
  const open = running && !said.content;
  const parts = [];
  if (said.thoughts.trim()) {
    const summary = node("summary", {}, t(open ? "thinking" : "thoughts"));
    parts.push(node("details", { open }, summary, node("p", {}, said.thoughts.trim())));
  }
  const text = said.content.replace(MARKS, "").trim();
  if (text || !parts.length) parts.push(node("p", {}, text || "…"));
  place.replaceChildren(...parts);
}

/** The boxes of an answer, in thousandths of the picture, drawn on it. */
function boxes(text, picture, place) {
  if (!picture) return;
  const found = [...text.matchAll(BOX)].map((match) => match.slice(1, 5).map(Number)).filter(([x1, y1, x2, y2]) => x1 < x2 && y1 < y2 && x2 <= 1000 && y2 <= 1000);
  if (!found.length) return;
  const ns = "http://www.w3.org/2000/svg", drawing = document.createElementNS(ns, "svg");
  drawing.setAttribute("viewBox", "0 0 1000 1000");
  drawing.setAttribute("preserveAspectRatio", "none");
  for (const [x1, y1, x2, y2] of found) {
    const box = document.createElementNS(ns, "rect");
    for (const [name, value] of [["x", x1], ["y", y1], ["width", x2 - x1], ["height", y2 - y1]]) box.setAttribute(name, value);
    drawing.append(box);
  }
  const image = node("img", { src: URL.createObjectURL(picture), alt: "" });
  place.append(node("div.boxed", {}, image, drawing));
}

function thumb(file) {
  return file.type.startsWith("image/") ? node("img", { src: URL.createObjectURL(file), alt: file.name ?? "" }) : node("span.file", {}, file.name);
}

async function part(file) {
  const url = await dataUrl(file);
  if (file.type.startsWith("image/")) return { type: "image_url", image_url: { url } };
  if (file.type.startsWith("video/")) return { type: "video_url", video_url: { url } };
  return { type: "file", file: { filename: file.name, file_data: url } };
}
