// An agent at work in a browser of the server: its picture and its acts, questions that are answered here, and stop.

import * as api from "./api.js";
import { node, toast } from "./dom.js";
import { read, t, write } from "./words.js";

const KEPT = "inkwash-run"; // so that a page that is loaded again still watches, and can stop, its run
const AGAIN_MS = 1000;

export class Acting {
  constructor(info) {
    this.places = info.acts;
    this.run = null; // {id, next, question, steps, ended}
    this.$ = (id) => document.getElementById(`act-${id}`);
    this.$("form").addEventListener("submit", (event) => { event.preventDefault(); this.begin(); });
    this.$("task").addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); this.begin(); }
    });
    this.$("stop").addEventListener("click", () => this.stop());
    this.$("yes").addEventListener("click", () => this.answer(true));
    this.$("no").addEventListener("click", () => this.answer(false));
    this.$("places").replaceChildren(...this.places.map((place) => node("option", { value: place })));
    this.$("url").value = this.places[0];
    this.words();
    this.resume();
  }

  words() {
    this.$("note").textContent = t("act_note", { places: this.places.join(", ") });
  }

  async begin() {
    const task = this.$("task").value.trim(), url = this.$("url").value.trim();
    if (this.run && !this.run.ended) return;
    if (!task || !url) {
      this.say(t(task ? "act_no_url" : "act_no_task"));
      this.$(task ? "url" : "task").focus();
      return;
    }
    const mode = document.querySelector("input[name=act-mode]:checked").value;
    this.busy(true);
    this.say(t("act_opening"));
    try {
      const begun = await api.beginRun({ task, url, mode });
      write(KEPT, begun.id);
      await this.follow(begun.id);
    } catch (error) {
      this.busy(false);
      this.say(error.message);
    }
  }

  /** Watch the run of an earlier load of this page, where it still goes on. */
  async resume() {
    const id = read(KEPT);
    if (!id) return;
    try {
      const found = await api.findRun(id);
      if (found.status !== "running") return;
      this.$("task").value = found.task;
      this.busy(true);
      await this.follow(id);
    } catch (error) {
      if (error.status !== 404) toast(error.message);
    }
  }

  async follow(id) {
    const run = this.run = { id, next: 0, question: null, ended: false };
    this.$("steps").replaceChildren();
    this.$("picture").hidden = true;
    while (!run.ended) {
      try {
        for await (const event of api.watchRun(id, run.next)) this.happened(run, event);
      } catch (error) {
        if (error.status) throw error;
      }
      if (run.ended) break;
      if ((await api.findRun(id).catch(() => null))?.status === "error") run.ended = true;
      else {
        this.say(t("act_again"));
        await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
      }
    }
    this.ask(null);
    this.busy(false);
  }

  happened(run, event) {
    if (event.number !== undefined) run.next = event.number + 1;
    if (event.type === "look") {
      this.say(t("act_thinking", { step: event.step + 1 }));
      this.show(run, event.step);
    } else if (event.type === "confirm") {
      this.show(run, event.step);
      this.say(t("act_waiting"));
      this.ask(event);
    } else if (event.type === "unanswered") {
      this.ask(null);
      toast(t("act_unanswered"));
    } else if (event.type === "step") {
      this.ask(null);
      this.show(run, event.step);
      this.add(run, event);
    } else if (event.type === "end") {
      run.ended = true;
      this.say(t("act_ended", { status: t(`status_${event.status}`), reason: event.answer ?? event.reason }));
    }
  }

  add(run, step) {
    const line = step.said || t("act_unread"), facts = [...(step.reasons ?? []), step.result ?? ""].filter(Boolean).join(" ");
    const look = node("button", { type: "button", onclick: () => this.show(run, step.step) }, node("b", {}, line), node("span", {}, [step.thought, facts].filter(Boolean).join(" ")));
    this.$("steps").append(node(`li.${step.decision}`, {}, look));
  }

  async show(run, step) {
    this.wanted = step;
    const image = this.$("picture"), before = image.src;
    const blob = await api.pictureOfRun(run.id, step).catch(() => null);
    if (blob === null || this.wanted !== step || this.run !== run) return;
    image.src = URL.createObjectURL(blob);
    image.alt = t("act_shown", { step: step + 1, said: "" }).trim();
    image.hidden = false;
    if (before) URL.revokeObjectURL(before);
  }

  ask(question) {
    this.run.question = question;
    this.$("question").hidden = question === null;
    this.$("asks").textContent = question === null ? "" : [question.thought, t("act_waits", { said: question.said }), ...question.reasons].filter(Boolean).join(" ");
  }

  async answer(allow) {
    const { id, question } = this.run;
    if (question === null) return;
    this.ask(null);
    try {
      await api.answerRun(id, question.number, allow);
    } catch (error) {
      this.say(error.message);
    }
  }

  async stop() {
    if (!this.run) return;
    try {
      await api.stopRun(this.run.id);
    } catch (error) {
      this.say(error.message);
    }
  }

  say(text) {
    this.$("status").textContent = text;
  }

  busy(on) {
    this.$("go").hidden = on;
    this.$("stop").hidden = !on;
    document.getElementById("act").classList.toggle("has-result", on || this.run !== null);
  }
}
