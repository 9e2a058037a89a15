// Small helpers to make and find nodes. Texts are always text, never markup.

/** node("button.plain", { onclick, title }, "text", child) */
export function node(kind, properties = {}, ...children) {
  const [tag, ...classes] = kind.split(".");
  const made = document.createElement(tag);
  if (classes.length) made.className = classes.join(" ");
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name in made && !name.includes("-")) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export function toast(text) {
  const shown = node("div.toast", {}, text);
  document.getElementById("toasts").append(shown);
  setTimeout(() => shown.remove(), 6000);
}

/** A file for the person: `blob` under `name`. */
export function save(blob, name) {
  const link = node("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

/** A prompt as the name of a file, without what file systems refuse. */
export function fileName(prompt, ending) {
  const words = prompt.normalize("NFC").replace(/[\p{C}\\/:*?"<>|“”„«»「」『』'’]+/gu, " ").trim().replace(/\s+/g, "-");
  return `${Array.from(words).slice(0, 60).join("").replace(/^[.-]+|[.-]+$/g, "") || "inkwash"}.${ending}`;
}

/** A button that opens a list of further buttons above itself; a click anywhere else closes it (page.js). */
export function menu(properties, label, ...items) {
  const list = node("div", { hidden: true }, ...items);
  const button = node("button.plain", { type: "button", "aria-haspopup": "true", "aria-expanded": "false", ...properties, onclick: () => {
    list.hidden = !list.hidden;
    button.setAttribute("aria-expanded", String(!list.hidden));
  } }, label);
  return node("div.menu", {}, button, list);
}
