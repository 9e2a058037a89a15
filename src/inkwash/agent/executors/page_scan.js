// Runs in a world of its own, where nothing of the page is in reach: what can be used in one document, and what it does.
(() => {
  const USABLE = "a[href],area[href],button,input:not([type=hidden]),select,textarea,summary,label,option,[onclick]," +
    "[contenteditable=''],[contenteditable=true],[tabindex]:not([tabindex='-1']),[role=button],[role=link],[role=tab]," +
    "[role=checkbox],[role=radio],[role=menuitem],[role=option],[role=switch],[role=textbox],[role=combobox]";
  const PASSWORD = /pass(word|wort|code|phrase)|密码|口令|\bpin\b|\bcvv\b|\bcvc\b|security code|one.?time.?code/i;
  const TEXTS = ["text", "search", "email", "url", "tel", "password", "number", "date", "time", "month", "week",
    "datetime-local", ""];
  const short = (text, n) => (text || "").replace(/\s+/g, " ").trim().slice(0, n);
  const seen = (e) => {
    const style = getComputedStyle(e);
    return style.visibility !== "hidden" && style.display !== "none" && parseFloat(style.opacity) > 0.05;
  };
  const up = (e) => e.parentElement || (e.getRootNode() instanceof ShadowRoot ? e.getRootNode().host : null);
  const climb = (e, test) => { while (e && !test(e)) e = up(e); return e; };
  const words = (e) => {
    const labels = e.labels ? [...e.labels].map((l) => l.innerText).join(" ") : "";
    const by = (e.getAttribute("aria-labelledby") || "").split(/\s+/).filter(Boolean)
      .map((id) => (e.getRootNode().getElementById(id) || {}).innerText || "").join(" ");
    const own = ["INPUT", "TEXTAREA", "SELECT"].includes(e.tagName)
      ? (["submit", "button", "reset", "image"].includes(e.type) ? e.value || e.alt || e.type : "") : e.innerText;
    const image = e.querySelector ? e.querySelector("img[alt],svg title") : null;
    return short(e.getAttribute("aria-label") || by || labels || own || e.getAttribute("placeholder") ||
      e.getAttribute("title") || e.getAttribute("alt") || (image && (image.alt || image.textContent)) || e.name, 120);
  };
  const made = (e) => ["::before", "::after"].map((part) => getComputedStyle(e, part).content)
    .map((text) => (/^"/.test(text) ? text.slice(1, -1) : "")).join(" ").trim();
  const says = (e) => {
    if (editable(e)) return "";
    const inside = [e, ...e.querySelectorAll("*")].slice(0, 50);
    const parts = inside.flatMap((x) => [made(x), x.getAttribute("alt"), x.getAttribute("title"), x.getAttribute("aria-label")]);
    const drawn = [...e.querySelectorAll("svg text,svg title")].map((x) => x.textContent);
    return short([e.innerText, e.tagName === "INPUT" ? e.value : "", ...drawn, ...parts].filter(Boolean).join(" "), 400);
  };
  const leads = (e) => {
    const found = [];
    const link = climb(e, (x) => x.matches("a[href],area[href]"));
    if (link) found.push(link.href, ...(link.ping || "").split(/\s+/).filter(Boolean));
    const form = e.form || climb(e, (x) => x.tagName === "FORM");
    if (form && !link) {
      const submits = e.matches("button:not([type]),button[type=submit],input[type=submit],input[type=image]");
      if (submits && e.hasAttribute("formaction")) found.push(e.formAction);
      else if (submits || editable(e)) found.push(new URL(form.getAttribute("action") || document.URL, document.baseURI).href);
    }
    return found;
  };
  const editable = (e) => (e.tagName === "INPUT" && TEXTS.includes(e.type)) || e.tagName === "TEXTAREA" ||
    e.isContentEditable || e.getAttribute("role") === "textbox";
  const near = (e) => {
    const box = climb(e, (x) => x.matches("dialog,[role=dialog],[role=alertdialog],form,fieldset")) || up(e);
    if (!box) return "";
    const buttons = [...box.querySelectorAll("button,input[type=submit],[role=button]")].map(words).join(" ");
    return short(box.innerText, 400) + " " + short(buttons, 100);
  };
  const secret = (e) => {
    if (!editable(e)) return false;
    const said = [e.name, e.id, e.autocomplete, words(e), e.getAttribute("placeholder")].join(" ");
    const hidden = getComputedStyle(e).webkitTextSecurity;
    return e.type === "password" || (hidden && hidden !== "none") || PASSWORD.test(said);
  };
  const pointed = (e) => getComputedStyle(e).cursor === "pointer" && (!up(e) || getComputedStyle(up(e)).cursor !== "pointer");
  const info = (e) => {
    const control = e.tagName === "LABEL" && e.control ? e.control : e;
    const r = e.getBoundingClientRect();
    return {
      role: e.getAttribute("role") || ({A: "link", BUTTON: "button", SELECT: "list", TEXTAREA: "field"})[control.tagName] ||
        (control.tagName === "INPUT" ? (editable(control) ? "field" : control.type) : e.tagName.toLowerCase()),
      name: words(control) || words(e), says: e.matches(USABLE) || pointed(e) ? says(e) : "", box: [r.left, r.top, r.right, r.bottom],
      goes_to: leads(control), near: near(control), secret: secret(control), editable: editable(control),
      opens_files: control.tagName === "INPUT" && control.type === "file",
      downloads: !!climb(control, (x) => x.matches("a[download]")),
      value: editable(control) ? (control.isContentEditable ? control.innerText : control.value || "") : "",
    };
  };
  const deepest = (x, y) => {
    let e = document.elementFromPoint(x, y);
    while (e && e.shadowRoot) {
      const inner = e.shadowRoot.elementFromPoint(x, y);
      if (!inner || inner === e) break;
      e = inner;
    }
    return e;
  };
  const every = function* (root) {
    for (const e of root.querySelectorAll("*")) {
      yield e;
      if (e.shadowRoot) yield* every(e.shadowRoot);
    }
  };
  return {
    scan() {
      const found = [];
      for (const e of every(document)) {
        if (!(e instanceof HTMLElement || e instanceof SVGElement) || !(e.matches(USABLE) || pointed(e)) || !seen(e)) continue;
        if (e.tagName === "LABEL" && e.control && seen(e.control)) continue;
        const r = e.getBoundingClientRect();
        const left = Math.max(r.left, 0), right = Math.min(r.right, innerWidth);
        const top = Math.max(r.top, 0), bottom = Math.min(r.bottom, innerHeight);
        if (right - left < 2 || bottom - top < 2) continue;
        const hit = deepest((left + right) / 2, (top + bottom) / 2);
        if (!hit || !(climb(hit, (x) => x === e) || climb(e, (x) => x === hit))) continue;
        found.push(info(e));
        if (found.length >= 300) break;
      }
      return found;
    },
    texts() {
      const found = [];
      const walk = (root) => {
        const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
        while (walker.nextNode() && found.length < 2000) {
          const range = document.createRange();
          range.selectNodeContents(walker.currentNode);
          const r = range.getBoundingClientRect();
          const text = walker.currentNode.textContent.trim();
          if (text && r.width > 0 && r.bottom > 0 && r.top < innerHeight) found.push([text, [r.left, r.top, r.right, r.bottom]]);
        }
      };
      walk(document);
      for (const e of every(document)) {
        if (e.shadowRoot) walk(e.shadowRoot);
        const chosen = e.tagName === "SELECT" && e.selectedOptions[0] ? e.selectedOptions[0].text : "";
        for (const text of [e.value, chosen, e.placeholder, e.alt, made(e)]) {
          if (!text || typeof text !== "string") continue;
          const r = e.getBoundingClientRect();
          if (r.width > 0 && r.bottom > 0 && r.top < innerHeight) found.push([text, [r.left, r.top, r.right, r.bottom]]);
        }
      }
      return found;
    },
    painted() {
      const boxes = [...every(document)].filter((e) => ["CANVAS", "VIDEO"].includes(e.tagName)).map((e) => e.getBoundingClientRect());
      return boxes.filter((r) => r.width > 0 && r.height > 0).map((r) => [r.left, r.top, r.right, r.bottom]);
    },
    at(x, y) {
      const e = deepest(x, y);
      if (!e) return null;
      if (e.tagName === "IFRAME" || e.tagName === "FRAME") return {frame: true};
      return info(climb(e, (c) => c.matches(USABLE) || pointed(c)) || e);
    },
    focused() {
      let e = document.activeElement;
      while (e && e.shadowRoot && e.shadowRoot.activeElement) e = e.shadowRoot.activeElement;
      if (!e || e === document.body || e === document.documentElement) return null;
      if (e.tagName === "IFRAME" || e.tagName === "FRAME") return {frame: true};
      return info(e);
    },
  };
})()
