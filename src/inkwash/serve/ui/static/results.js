// What is shown of a drawing: a picture or a grid of several, what was read in it, and what can be done with it.

import { fileName, menu, node, save } from "./dom.js";
import { converted } from "./files.js";
import { t } from "./words.js";

const urls = new WeakMap();

export function urlOf({ blob }) {
  if (!urls.has(blob)) urls.set(blob, URL.createObjectURL(blob));
  return urls.get(blob);
}

/** One picture as large as there is room, with the slider of before and after where there is a picture before it. */
export function sheet(picture, alt, look) {
  if (picture.finished && picture.before) return compare(picture, alt);
  const image = node("img.sheet", { src: urlOf(picture), alt, onclick: () => picture.finished && look() });
  image.classList.toggle("unfinished", !picture.finished);
  return image;
}

/** Every variant at once; `choose(number)` is told which one is looked at. */
export function grid(pictures, choose) {
  return node("ul.grid-view", { style: `--columns: ${pictures.length > 4 ? 3 : 2}` }, ...pictures.map((picture, number) =>
    node("li", {}, node("button", { type: "button", disabled: !picture.finished, "aria-label": name(picture, number), onclick: () => choose(number) },
      node("img", { src: urlOf(picture), alt: "" }), caption(picture)))));
}

/** A row of small ones below the picture that is looked at. */
export function strip(pictures, chosen, choose) {
  const all = node("li", {}, node("button.all", { type: "button", "aria-label": t("all_pictures"), title: t("all_pictures"), onclick: () => choose(null) }, "⊞"));
  return [all, ...pictures.map((picture, number) => node("li", {}, node("button", { type: "button", "aria-pressed": String(number === chosen), "aria-label": name(picture, number), onclick: () => choose(number) }, node("img", { src: urlOf(picture), alt: "" }))))];
}

const seed = (picture) => (picture.finished ? t("seed_of", { seed: picture.event.seed }) : "");
const name = (picture, number) => `${t("picture")} ${number + 1} ${seed(picture)}`.trim();

function caption(picture) {
  const { verified } = picture.event ?? {};
  const mark = typeof verified === "boolean" ? node(verified ? "span.good" : "span.bad", {}, ` ${verified ? "✓" : "✗"}`) : null;
  return node("span.caption", {}, seed(picture), mark);
}

function compare(picture, alt) {
  const box = node("div.compare", {}, node("img", { src: urlOf(picture), alt }), node("img.before", { src: urlOf({ blob: picture.before }), alt: t("before") }));
  const slider = node("input", { type: "range", min: 0, max: 100, value: 0, "aria-label": t("before_after"), oninput: () => box.style.setProperty("--at", `${slider.value}%`) });
  box.style.setProperty("--at", "0%");
  box.append(node("span.grip", { "aria-hidden": "true" }, "‹ ›"), slider);
  return box;
}

/** What was read in a picture, as one line. */
export function verdict({ verified, verify }) {
  if (typeof verified !== "boolean") return null;
  if (verified) return node("span.good", {}, `✓ ${t("words_right")}`);
  const quoted = (texts) => texts.map((text) => `“${text}”`).join(" ") || t("nothing_read");
  return node("span.bad", {}, `✗ ${t(verify.wanted.length ? "words_wrong" : "words_left", { read: quoted(verify.read), wanted: quoted(verify.wanted) })}`);
}

/** A button with the three formats. */
export function downloads(blob, prompt) {
  const formats = [["PNG", "png", "image/png"], ["WebP", "webp", "image/webp"], ["JPEG", "jpg", "image/jpeg"]];
  const items = formats.map(([label, ending, type]) => node("button", { type: "button", "data-format": ending, onclick: async (event) => {
    event.currentTarget.parentElement.hidden = true;
    save(await converted(blob, type), fileName(prompt, ending));
  } }, label));
  return menu({ "data-act": "download" }, t("download"), ...items);
}
