"""A panel as a page of HTML, with its own account of its state: `panel.state()`, `panel.set(state)`, `panel.boxes()`,
`panel.glyphs()`.

The account is for those who make and mark tasks; an agent sees the picture only. Keys of widgets are their kind and
label, such as `button:SAVE` and `radio:SIZE/TALL`.
"""

from __future__ import annotations

from html import escape

from inkwash.scenes.panels import Panel, Widget

FONT_URL = "/font/{face}"  # where a page asks for its face

_SCRIPT = """
const panel = (() => {
  const all = (query) => [...document.querySelectorAll(query)];
  const key = (e) => e.dataset.key;
  let clicked = [];
  let tab = all("[data-key^='tab:']").map(key)[0] || null;
  const show = (wanted) => {
    tab = wanted;
    for (const t of all("[data-key^='tab:']")) t.classList.toggle("on", key(t) === tab);
    for (const b of all("[data-tab]")) b.hidden = b.dataset.tab !== tab;
  };
  document.addEventListener("click", (event) => {
    const e = event.target.closest("button[data-key],a[data-key]");
    if (!e) return;
    event.preventDefault();
    if (key(e).startsWith("tab:")) show(key(e)); else clicked.push(key(e));
  });
  document.addEventListener("submit", (event) => event.preventDefault());
  if (tab) show(tab);
  const glyphs = () => {
    const found = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const range = document.createRange();
    while (walker.nextNode()) {
      const node = walker.currentNode, e = node.parentElement;
      if (["SCRIPT", "STYLE", "OPTION"].includes(e.tagName) || e.offsetParent === null) continue;
      for (let n = 0; n < node.length; n++) {
        range.setStart(node, n);
        range.setEnd(node, n + 1);
        const r = range.getBoundingClientRect();
        if (node.data[n].trim() && r.width) found.push([node.data[n], r.left, r.top, r.right, r.bottom]);
      }
    }
    const ruler = document.createElement("canvas").getContext("2d");
    for (const e of all("input[type=text],select")) {
      const text = e.tagName === "SELECT" ? e.selectedOptions[0].text : e.value;
      const r = e.getBoundingClientRect(), style = getComputedStyle(e);
      ruler.font = style.font;
      const inset = e.tagName === "SELECT" ? 4 : parseFloat(style.paddingLeft);
      const left = r.left + parseFloat(style.borderLeftWidth) + inset;
      const at = (n) => left + ruler.measureText(text.slice(0, n)).width;
      for (let n = 0; n < text.length; n++) found.push([text[n], at(n), r.top + 4, at(n + 1), r.bottom - 4]);
    }
    return found;
  };
  const focus = () => (document.activeElement && key(document.activeElement)) || null;
  return {
    state: () => ({
      clicked: [...clicked], tab, focus: focus(),
      on: all("input[type=checkbox],input[type=radio]").filter((e) => e.checked).map(key),
      fields: Object.fromEntries(all("input[type=text]").map((e) => [key(e), e.value])),
    }),
    set: (state) => {
      clicked = [...state.clicked];
      if (state.tab) show(state.tab);
      for (const e of all("input[type=checkbox],input[type=radio]")) e.checked = state.on.includes(key(e));
      for (const e of all("input[type=text]")) e.value = state.fields[key(e)] || "";
      const target = state.focus && all("[data-key]").find((e) => key(e) === state.focus);
      if (target) target.focus(); else if (document.activeElement) document.activeElement.blur();
    },
    boxes: () => Object.fromEntries(all("[data-key]").filter((e) => e.offsetParent !== null).map((e) => {
      const r = (e.labels && e.labels.length && e.type !== "text" ? e.labels[0] : e).getBoundingClientRect();
      return [key(e), [r.left, r.top, r.right, r.bottom]];
    })),
    glyphs,
  };
})();
"""


def panel_html(panel: Panel) -> str:
    """The whole page; it asks for nothing but its face."""
    body = "\n".join(_widget(widget, panel) for widget in panel.widgets)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(panel.title)}</title>'
        f"<style>{_css(panel)}</style></head><body><h1>{escape(panel.title)}</h1><main>{body}</main>"
        f"<script>{_SCRIPT}</script></body></html>"
    )


def _css(panel: Panel) -> str:
    style, layout = panel.style, panel.layout
    columns = {"grid": "1fr 1fr", "card": "1fr 1fr"}.get(layout, "1fr")
    card = f"border:1px solid {style.accent};padding:5px;box-shadow:0 1px 3px #0005;" if layout == "card" else ""
    row = "display:flex;justify-content:space-between;align-items:center;" if layout == "row" else ""
    font = FONT_URL.format(face=style.face)
    return f"""
@font-face{{font-family:face;src:url({font})}}
*{{box-sizing:border-box;font:{style.size}px/1.2 face;color:{style.ink}}}
body{{margin:0;padding:8px;background:{style.ground};width:{panel.width}px;height:{panel.height}px;overflow:hidden}}
h1{{margin:0 0 {style.gap}px;font-size:{style.size + 3}px;line-height:26px}}
main{{display:grid;grid-template-columns:{columns};gap:{style.gap}px;align-content:start}}
main>div{{border-radius:{style.radius}px;min-width:0;{card}{row}}}
button{{background:{style.accent};color:{style.on_accent};border:0;border-radius:{style.radius}px;
height:30px;padding:0 10px}}
button.tab{{background:none;color:{style.ink};border:1px solid {style.accent}}}
button.tab.on{{background:{style.accent};color:{style.on_accent}}}
input[type=text],select{{height:28px;width:104px;border:1px solid {style.ink};background:#fff;color:#111;
border-radius:{style.radius}px}}
input[type=checkbox],input[type=radio]{{width:17px;height:17px;vertical-align:-3px;margin:0 5px 0 0}}
label.pick{{display:inline-block;margin-right:8px;line-height:22px}}
a{{color:{style.accent};text-decoration:underline}}
input[type=range]{{width:90px;vertical-align:middle}}
:focus{{outline:3px solid {style.accent};outline-offset:1px}}
"""


def _widget(widget: Widget, panel: Panel) -> str:
    label, key = escape(widget.label), escape(f"{widget.kind}:{widget.label}")
    if widget.kind == "button":
        return f'<div><button data-key="{key}">{label}</button></div>'
    if widget.kind == "link":
        return f'<div><a href="#" data-key="{key}">{label}</a></div>'
    if widget.kind == "field":
        return f'<div><label>{label} <input type="text" autocomplete="off" data-key="{key}"></label></div>'
    if widget.kind == "checkbox":
        on = " checked" if widget.on else ""
        return f'<div><label class="pick"><input type="checkbox" data-key="{key}"{on}>{label}</label></div>'
    if widget.kind == "slider":
        return f"<div>{label} <input type='range' tabindex='-1'></div>"
    options = [escape(option) for option in widget.options]
    if widget.kind == "list":
        rows = "".join(f"<option>{each}</option>" for each in options)
        return f"<div>{label} <select tabindex='-1'>{rows}</select></div>"
    if widget.kind == "radio":
        rows = "".join(
            f'<label class="pick"><input type="radio" name="{label}" data-key="radio:{label}/{each}">{each}</label>'
            for each in options
        )
        return f"<div>{label}<br>{rows}</div>"
    tabs = "".join(f'<button class="tab" data-key="tab:{each}">{each}</button>' for each in options)
    inside = "".join(
        f'<button data-key="button:{escape(name)}" data-tab="tab:{each}" hidden>{escape(name)}</button>'
        for name, each in zip(panel.inside, options, strict=True)
    )
    return f"<div>{tabs}<div style='padding-top:6px'>{inside}</div></div>"
