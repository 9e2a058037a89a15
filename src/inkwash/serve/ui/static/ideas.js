// Prompt help: kinds of picture, things, styles and grounds that the model knows, to be chosen from lists.

import { node } from "./dom.js";
import { language, t } from "./words.js";

const GROUPS = ["kinds", "things", "styles", "grounds"];
const SEARCHED = 24; // lists longer than this have a field to search

export class Ideas {
  /** `root` takes a button for each group; `take(words, first)` is told what was chosen. */
  constructor(root, ideas, take) {
    Object.assign(this, { root, ideas, take, opened: null });
    this.panel = node("div.choices", { hidden: true, role: "group" });
    this.panel.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      const group = this.opened;
      this.close();
      this.root.querySelector(`[data-ideas=${group}]`).focus();
    });
  }

  words() {
    const groups = GROUPS.filter((group) => this.ideas[group]?.length);
    this.root.hidden = !groups.length;
    const buttons = groups.map((group) => node("button.chip", { type: "button", "aria-expanded": "false", "data-ideas": group, onclick: () => (this.opened === group ? this.close() : this.open(group)) }, `+ ${t(`idea_${group}`)}`));
    this.root.replaceChildren(node("div.chips", {}, ...buttons), this.panel);
    this.close();
  }

  open(group) {
    this.close();
    this.opened = group;
    const all = this.ideas[group], list = node("ul", {});
    const show = (asked) => list.replaceChildren(...all.filter(({ name }) => `${name.en} ${name.zh}`.toLowerCase().includes(asked)).map((idea) => this.choice(idea, group)));
    const search = node("input", { type: "search", placeholder: t("find_idea"), "aria-label": t("find_idea"), autocomplete: "off", hidden: all.length <= SEARCHED, oninput: () => show(search.value.trim().toLowerCase()) });
    show("");
    this.panel.replaceChildren(search, list);
    this.panel.setAttribute("aria-label", t(`idea_${group}`));
    this.panel.hidden = false;
    this.root.querySelector(`[data-ideas=${group}]`).setAttribute("aria-expanded", "true");
    (search.hidden ? list.querySelector("button") : search).focus();
  }

  choice(idea, group) {
    const choose = () => { this.close(); this.take(idea.words[language()], group === "kinds"); };
    return node("li", {}, node("button.chip", { type: "button", onclick: choose }, idea.name[language()]));
  }

  close() {
    this.opened = null;
    this.panel.hidden = true;
    for (const button of this.root.querySelectorAll("[data-ideas]")) button.setAttribute("aria-expanded", "false");
  }
}
