// The page: sections, language, theme, history, what is dropped or pasted, and the two workplaces.

import { Acting } from "./acting.js";
import * as api from "./api.js";
import { node, toast, save, fileName } from "./dom.js";
import { archive } from "./files.js";
import { fullscreen } from "./fullscreen.js";
import { downloads, urlOf } from "./results.js";
import { Studio } from "./studio.js";
import * as store from "./store.js";
import { Talk } from "./talk.js";
import { language, read, setLanguage, t, translate, write } from "./words.js";

const $ = (id) => document.getElementById(id);
const SECTIONS = ["draw", "edit", "chat", "act", "history"];
const ENDINGS = { "image/png": "png", "image/webp": "webp", "image/jpeg": "jpg" };
let info = null, studios = {}, talk = null, acting = null;

// -- sections ---------------------------------------------------------------------------------------------------------

function open(name, focus = false) {
  for (const each of SECTIONS) {
    const tab = $(`tab-${each}`), here = each === name;
    tab.setAttribute("aria-selected", String(here));
    tab.tabIndex = here ? 0 : -1;
    $(each).hidden = !here;
    if (here && focus) tab.focus();
  }
  if (name === "history") showHistory();
  history.replaceState(null, "", `#${name}`);
}

const shownTabs = () => SECTIONS.filter((name) => !$(`tab-${name}`).hidden);
const current = () => SECTIONS.find((name) => !$(name).hidden);

function sections() {
  for (const name of SECTIONS) $(`tab-${name}`).addEventListener("click", () => open(name));
  document.querySelector("nav").addEventListener("keydown", (event) => {
    const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!move) return;
    const names = shownTabs(), at = names.indexOf(current());
    open(names[(at + move + names.length) % names.length], true);
  });
  document.querySelector(".mark").addEventListener("click", (event) => { event.preventDefault(); open("draw"); });
}

// -- language and theme -----------------------------------------------------------------------------------------------

function words() {
  translate();
  $("language").textContent = language() === "zh" ? "EN" : "中";
  $("language").lang = language() === "zh" ? "en" : "zh";
  for (const studio of Object.values(studios)) studio.words();
  talk?.words();
  acting?.words();
  if (info) aboutDialog();
  if (current() === "history") showHistory();
}

function theme() {
  const kept = read("inkwash-theme");
  if (kept) document.documentElement.dataset.theme = kept;
  $("theme").addEventListener("click", () => {
    const dark = getComputedStyle(document.documentElement).colorScheme === "dark";
    document.documentElement.dataset.theme = dark ? "light" : "dark";
    write("inkwash-theme", document.documentElement.dataset.theme);
  });
  $("language").addEventListener("click", () => { setLanguage(language() === "zh" ? "en" : "zh"); words(); });
}

// -- history ----------------------------------------------------------------------------------------------------------

/** The kept pictures whose prompts hold what is searched for. */
async function found() {
  const asked = $("search").value.trim().toLowerCase();
  return (await store.all()).filter((entry) => entry.prompt.toLowerCase().includes(asked));
}

async function showHistory() {
  const entries = await found();
  $("history-empty").hidden = entries.length > 0;
  $("download-all").disabled = $("forget").disabled = !entries.length;
  $("history-count").textContent = entries.length ? t("count_pictures", { count: entries.length }) : "";
  const remove = async (entry) => { await store.remove(entry.id); await showHistory(); $("search").focus(); };
  $("shelf").replaceChildren(...entries.map((entry) => node("li", {},
    node("button.kept", { type: "button", onclick: () => lookAt(entry) }, node("img", { src: urlOf(entry), alt: "", loading: "lazy" }), node("span", {}, entry.prompt)),
    node("button.remove", { type: "button", title: t("delete"), "aria-label": t("remove_one", { prompt: entry.prompt }), onclick: () => remove(entry) }, "×"))));
}

/** A kept picture with its settings, and what can be done with it. */
function lookAt(entry) {
  const act = (key, run, kind = "plain") => node(`button.${kind}`, { type: "button", "data-act": key, onclick: async () => { await run(); $("lightbox").close(); } }, t(key));
  const shown = { size: "size", seed: "seed", steps: "steps", guidance_scale: "guidance", temperature: "temperature", top_p: "top_p", negative_prompt: "negative", lora: "adapters" };
  const rows = Object.entries(shown).filter(([name]) => entry.settings?.[name] !== undefined).flatMap(([name, key]) => [node("dt", {}, t(key).split(/[(（]/)[0].trim()), node("dd", {}, [entry.settings[name]].flat().join(", "))]);
  const buttons = [act("edit_this", () => edit(entry.blob)), downloads(entry.blob, entry.prompt), node("button.plain", { type: "button", "data-act": "fullscreen", onclick: () => fullscreen([entry]) }, t("fullscreen"))];
  if (entry.kind === "draw" && studios.draw) buttons.unshift(act("use_again", () => { studios.draw.fill(entry.settings); open("draw"); }, "primary"));
  if (info.chat) buttons.push(act("ask_this", () => ask(entry.blob)));
  if (entry.id !== undefined) buttons.push(act("delete", async () => { await store.remove(entry.id); showHistory(); }, "plain.danger"));
  const side = node("div", {}, node("p", {}, entry.prompt), node("dl", {}, ...rows), node("div.stack", {}, ...buttons));
  $("lightbox-body").replaceChildren(node("div.light", {}, node("img", { src: urlOf(entry), alt: entry.prompt }), side));
  $("lightbox").showModal();
}

function historyButtons() {
  $("search").addEventListener("input", showHistory);
  $("download-all").addEventListener("click", async () => {
    const entries = await found(), taken = new Map();
    const files = entries.map((entry) => {
      const name = fileName(entry.prompt, ENDINGS[entry.blob.type] ?? "png"), seen = taken.get(name) ?? 0;
      taken.set(name, seen + 1);
      return { name: seen ? name.replace(/(\.\w+)$/, `-${seen + 1}$1`) : name, blob: entry.blob };
    });
    save(await archive(files), "inkwash.zip");
  });
  $("forget").addEventListener("click", async () => {
    const count = (await store.all()).length;
    if (!window.confirm(t("sure_forget", { count }))) return;
    await store.forget();
    showHistory();
  });
}

// -- from one section to another --------------------------------------------------------------------------------------

async function edit(blob) {
  open("edit");
  await studios.edit.take([blob], true);
  studios.edit.prompt.focus();
}

function ask(blob) {
  talk.take([new File([blob], "picture.png", { type: blob.type })]);
  open("chat");
  $("chat-question").focus();
}

function received(files) {
  const here = current();
  if (!files.length || !info) return;
  if (here === "chat") talk.take(files);
  else if (here === "edit") studios.edit.dropped(files);
  else { open("draw"); studios.draw.dropped(files); }
}

function drops() {
  const root = document.documentElement;
  for (const name of ["dragenter", "dragover"]) root.addEventListener(name, (event) => { event.preventDefault(); root.classList.add("dragging"); });
  root.addEventListener("dragleave", (event) => { if (!event.relatedTarget) root.classList.remove("dragging"); });
  root.addEventListener("drop", (event) => { event.preventDefault(); root.classList.remove("dragging"); received([...event.dataTransfer.files]); });
  document.addEventListener("paste", (event) => { const files = [...event.clipboardData.files]; if (files.length) { event.preventDefault(); received(files); } });
  document.addEventListener("click", (event) => { for (const menu of document.querySelectorAll(".menu > div:not([hidden])")) if (!menu.parentElement.contains(event.target)) menu.hidden = true; });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") for (const menu of document.querySelectorAll(".menu > div")) menu.hidden = true; });
}

// -- the server -------------------------------------------------------------------------------------------------------

function askForKey() {
  const dialog = $("key-dialog");
  return new Promise((resolve) => {
    $("key-form").onsubmit = async (event) => {
      event.preventDefault();
      if (await api.tryKey($("key").value.trim())) {
        dialog.close();
        resolve();
      } else $("key-error").textContent = t("key_wrong");
    };
    dialog.oncancel = (event) => event.preventDefault();
    if (!dialog.open) dialog.showModal();
  });
}

const comma = () => (language() === "zh" ? "、" : ", ");
const things = (count) => info.things.slice(0, count).map((name) => name[language()]).join(comma());
const limitsLine = () => (info.things.length ? t("limits_line", { name: info.name, count: info.things.length, some: things(6) }) : "");

function aboutDialog() {
  $("model-name").textContent = info.models.length > 1 ? t("about") : info.name;
  $("about-open").onclick = () => {
    $("about-title").textContent = `Inkwash ${info.version}`;
    const rows = [[t("model"), info.name], [t("speed"), info.device]];
    if (info.chat) rows.push([t("sees"), info.chat]);
    if (info.things.length) rows.push([t("knows"), t("things", { count: info.things.length, some: things() })], [t("alphabet"), info.alphabet]);
    if (info.adapters.length) rows.push([t("adapters"), info.adapters.join(", ")]);
    if (info.sizes) rows.push([t("sizes"), `${info.sizes.shortest} – ${info.sizes.longest} px`]);
    if (info.languages.length) rows.push([t("languages"), info.languages.map((name) => languageName(name)).join(comma())]);
    rows.push([t("api"), node("a", { href: "docs", target: "_blank" }, `${location.origin}/v1`)]);
    $("about-body").replaceChildren(node("dl", {}, ...rows.flatMap(([name, value]) => [node("dt", {}, name), node("dd", {}, value)])));
    $("about").showModal();
  };
}

/** Which of several models draws; kept for the next visit. */
function modelPicker() {
  const pick = $("model"), several = info.models.length > 1;
  pick.hidden = !several;
  if (!several) return;
  pick.replaceChildren(...info.models.map((name) => node("option", { value: name, selected: name === info.name }, name)));
  pick.addEventListener("change", async () => {
    info = await api.about(pick.value);
    write("inkwash-model", info.name);
    for (const studio of Object.values(studios)) studio.adopt(info);
    aboutDialog();
  });
}

const languageName = (name) => new Intl.DisplayNames([language()], { type: "language" }).of(name);

async function start() {
  theme();
  sections();
  historyButtons();
  drops();
  api.onKeyNeeded(askForKey);
  words();
  for (;;) {
    try {
      info = await api.about(read("inkwash-model") ?? "");
    } catch (error) {
      toast(error.message);
    }
    if (info?.ready) break;
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
  if (info.chat) {
    talk = new Talk(info, { edit, draw: (prompt) => { studios.draw.fill({ prompt }); open("draw"); studios.draw.prompt.focus(); } });
    $("tab-chat").hidden = false;
  }
  if (info.acts.length) {
    acting = new Acting(info);
    $("tab-act").hidden = false;
  }
  const ways = { edit, ask, kept: () => current() === "history" && showHistory(), canAsk: Boolean(info.chat), limitsLine, model: () => (info.models.length > 1 ? info.name : undefined) };
  if (info.draws) for (const kind of ["draw", "edit"]) studios[kind] = new Studio($(kind), info, ways);
  else for (const kind of ["draw", "edit"]) $(`tab-${kind}`).hidden = true;
  modelPicker();
  aboutDialog();
  words();
  const asked = location.hash.slice(1);
  open(shownTabs().includes(asked) ? asked : shownTabs()[0]);
  document.documentElement.dataset.ready = "true";
  performance.mark("inkwash-ready");
}

start();
