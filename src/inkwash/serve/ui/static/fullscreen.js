// A picture on the whole screen: Escape or a click ends it, the arrow keys go through the others.

import { node } from "./dom.js";
import { urlOf } from "./results.js";
import { t } from "./words.js";

/** Show `pictures[at]`; each has a blob and a prompt. */
export function fullscreen(pictures, at = 0) {
  const dialog = document.getElementById("fullscreen");
  const image = node("img", { alt: "" }), count = node("span.count");
  const show = (number) => {
    at = (number + pictures.length) % pictures.length;
    Object.assign(image, { src: urlOf(pictures[at]), alt: pictures[at].prompt ?? t("picture") });
    count.textContent = pictures.length > 1 ? `${at + 1} / ${pictures.length}` : "";
  };
  const step = (label, by, mark) => node(`button.step.${label}`, { type: "button", "aria-label": t(label), hidden: pictures.length < 2, onclick: (event) => { event.stopPropagation(); show(at + by); } }, mark);
  const close = node("button.close", { type: "button", "aria-label": t("close"), onclick: () => dialog.close() }, "×");
  const frame = node("div.frame", { onclick: () => dialog.close() }, image, step("previous", -1, "‹"), step("next", 1, "›"), count, close);
  dialog.replaceChildren(frame);
  dialog.onkeydown = (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by && pictures.length > 1) show(at + by);
  };
  const left = () => { if (!document.fullscreenElement) dialog.close(); };
  dialog.onclose = () => {
    document.removeEventListener("fullscreenchange", left);
    if (document.fullscreenElement) document.exitFullscreen();
    dialog.replaceChildren();
  };
  show(at);
  dialog.showModal();
  close.focus();
  // The whole screen where the browser lets us, else the whole window.
  frame.requestFullscreen?.().then(() => document.addEventListener("fullscreenchange", left), () => {});
}
