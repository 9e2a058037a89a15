// A native list opens outside of the page, where no screenshot shows it: this one opens within.
(() => {
  let open = null;
  const close = () => { if (open) { open.remove(); open = null; } };
  const choose = (select, option) => {
    select.value = option.value;
    option.selected = true;
    for (const name of ["input", "change"]) select.dispatchEvent(new Event(name, {bubbles: true}));
    close();
  };
  const show = (select) => {
    close();
    const r = select.getBoundingClientRect();
    open = document.createElement("div");
    open.setAttribute("role", "listbox");
    const below = Math.max(60, innerHeight - r.bottom - 4);
    open.style.cssText = `position:fixed;left:${r.left}px;top:${Math.min(r.bottom, innerHeight - 60)}px;min-width:${r.width}px;` +
      `max-height:${below}px;overflow:auto;z-index:2147483647;background:#fff;color:#000;border:1px solid #888;` +
      "font:13px sans-serif;box-shadow:0 2px 6px #0006";
    for (const option of select.options) {
      const row = document.createElement("div");
      row.setAttribute("role", "option");
      row.tabIndex = 0;
      row.textContent = option.label || option.text;
      row.style.cssText = `padding:4px 8px;cursor:pointer;background:${option.selected ? "#cde" : "#fff"}`;
      if (option.disabled) row.style.color = "#888";
      else row.addEventListener("mousedown", (event) => { event.preventDefault(); event.stopPropagation(); choose(select, option); });
      open.append(row);
    }
    document.documentElement.append(open);
  };
  addEventListener("mousedown", (event) => {
    const select = event.composedPath().find((e) => e.tagName === "SELECT");
    if (select && !select.multiple && select.size < 2 && !select.disabled) {
      event.preventDefault();
      select.focus();
      show(select);
    } else if (open && !event.composedPath().includes(open)) close();
  }, true);
  addEventListener("scroll", (event) => { if (open && event.target !== open) close(); }, true);
})();
