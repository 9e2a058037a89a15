// The adapters (LoRA) of a drawing: chosen from those of the server, each with its strength.

import { node } from "./dom.js";
import { t } from "./words.js";

const LEAST = -1, MOST = 2, STEP = 0.05;

export class Adapters {
  /** `root` is the fieldset, `names` are those that the server has. */
  constructor(root, names) {
    this.root = root;
    this.offer(names);
    root.querySelector("select").addEventListener("change", (event) => this.add(event.target.value));
  }

  /** Those of another model. */
  offer(names) {
    Object.assign(this, { names, chosen: [] });
    this.root.hidden = !names.length;
  }

  /** What a request says: NAME:SCALE of each; undefined for none. */
  body() {
    return this.chosen.length ? this.chosen.map(({ name, scale }) => `${name}:${scale}`) : undefined;
  }

  /** Choose what a picture was drawn with, as far as the server has it. */
  fill(texts) {
    const found = (texts ?? []).map((text) => ({ name: text.slice(0, text.lastIndexOf(":")), scale: Number(text.slice(text.lastIndexOf(":") + 1)) }));
    this.chosen = found.filter(({ name }) => this.names.includes(name));
    this.show();
  }

  add(name) {
    this.chosen.push({ name, scale: 1 });
    this.show();
    [...this.root.querySelectorAll("input")].at(-1).focus();
  }

  show() {
    const taken = this.chosen.map(({ name }) => name), left = this.names.filter((name) => !taken.includes(name));
    this.root.querySelector("ul").replaceChildren(...this.chosen.map((one) => this.row(one)));
    const select = this.root.querySelector("select");
    select.replaceChildren(node("option", { value: "", disabled: true, selected: true }, t("add_adapter")), ...left.map((name) => node("option", { value: name }, name)));
    select.hidden = !left.length;
  }

  row(one) {
    const said = node("output", {}, one.scale.toFixed(2));
    const slider = node("input", { type: "range", min: LEAST, max: MOST, step: STEP, value: one.scale, "aria-label": t("adapter_scale", { name: one.name }), oninput: () => {
      one.scale = Number(slider.value);
      said.textContent = one.scale.toFixed(2);
    } });
    const remove = node("button.quiet", { type: "button", "aria-label": `${t("remove")} ${one.name}`, onclick: () => {
      this.chosen = this.chosen.filter((other) => other !== one);
      this.show();
    } }, "×");
    return node("li", { "data-adapter": one.name }, node("span", { title: one.name }, one.name), slider, said, remove);
  }
}
