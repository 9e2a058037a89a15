// Every word of the page, in English and Chinese.

const EN = {
  skip: "Skip to the content", sections: "Sections", draw_tab: "Draw", edit_tab: "Edit", chat_tab: "Ask", history_tab: "History",
  language: "中文", theme: "Light or dark", close: "Close", picture: "Picture",
  prompt: "What shall be drawn?", prompt_hint: 'A birthday card with balloons that says "Happy Birthday Mia"',
  instruction: "What shall change?", instruction_hint: 'Make the background blue',
  choose_picture: "Drop a picture here, paste it, or choose one", more_references: "More pictures", remove: "Remove",
  shape: "Shape", square: "Square", landscape: "Landscape", portrait: "Portrait", as_picture: "As the picture", custom: "Own size",
  width: "Width", height: "Height", swap: "Swap width and height", count: "Pictures", fewer: "Fewer", more_pictures: "More",
  verify: "Read the words back; draw again until they are right", more: "More settings", seed: "Seed (empty: a new one)", new_seed: "Forget the seed",
  steps: "Steps", guidance: "Guidance", quality: "Quality", temperature: "Temperature", top_p: "Top-p", layout: "Several pictures",
  adapters: "Styles learnt beside the model (LoRA)", add_adapter: "Add one …", adapter_scale: "How strongly {name} acts",
  layout_new: "each with a layout of its own", layout_same: "one layout, other details", negative: "Texts to avoid, in quotation marks",
  draw: "Draw", change: "Change it", stop: "Stop", to_write: "Words to write: {words}",
  examples: "Try one", examples_hint: "A click draws it.", helps: "Add",
  queued: "Waiting: {position} before this one, about {eta} s", planning: "Planning: {done} of {total} tokens", drawing: "Drawing: step {done} of {total}",
  starting: "Starting …", done: "{seconds} s", stopped: "Stopped.", unfinished: "unfinished",
  edit_this: "Edit this", download: "Download", again_seed: "Use this seed", ask_this: "Ask about it", fullscreen: "Full screen", keep_going: "Change it further",
  words_right: "All words are right", words_wrong: "Not all words are right", redraw: "Draw until the words are right",
  brush: "Brush", eraser: "Eraser", size: "Size", feather: "Soft edge", undo: "Undo", redo: "Redo", clear: "Clear", invert: "Invert", mask_hint: "Paint what may change; nothing painted means everything may.",
  widen: "Widen", widen_by: "Add {px} px {side}", left: "on the left", right: "on the right", top: "above", bottom: "below",
  before_after: "Before and after", start_picture: "Start", no_picture: "Choose a picture to change first.", no_prompt: "Say what shall be drawn.", no_instruction: "Say what shall change.",
  restored: "The settings of this picture are filled in.", no_settings: "This picture holds no settings of Inkwash.", copied: "Copied.",
  chat_empty: "Ask about a picture, a PDF or a video.", chat_hint: "Ask something", chat_think: "Let it think first", chat_clear: "New conversation", send: "Ask", attach: "Add files",
  thoughts: "Thoughts", thinking: "Thinking …", cost: "{prompt} tokens read, {said} written, {seconds} s", cut: "The answer was cut off at its length.",
  ask_1: "What is on this picture?", ask_2: "Read all the text.", ask_3: "How many things are there?", latest: "with the newest picture",
  search: "Search prompts", history_empty: "What you draw is kept here, in this browser only.", count_pictures: "{count} pictures", download_all: "Download all", forget: "Forget all",
  sure_forget: "Delete all {count} pictures of this browser's history?", use_again: "Use these settings again", delete: "Delete", model: "Model", knows: "Draws", alphabet: "Letters", sizes: "Sizes", languages: "Prompts in",
  things: "{count} things, such as {some}", speed: "Runs on", api: "For programs", limits_line: "{name} draws cards, posters and signs with texts and {count} things: {some} …",
  act_tab: "Act", act_task: "What shall be done?", act_task_hint: "Find the opening hours and tell me when it opens on Sunday", act_url: "Page to begin at",
  act_mode: "How far it goes", act_dry: "Show the first act, do nothing", act_ask: "Act, and ask before risky acts", act_auto: "Act, and refuse risky acts",
  act_go: "Begin", act_yes: "Do it", act_no: "No", act_steps: "Acts", act_note: "It acts in a browser of this server, on these pages only: {places}",
  act_no_task: "Say what shall be done.", act_no_url: "Name the page to begin at.", act_opening: "Opening the page …", act_thinking: "Step {step}: looking and thinking …",
  act_waits: "Shall it do this: {said}?", act_waiting: "It waits for your answer.", act_unanswered: "Nobody answered, so it was not done.", act_ended: "{status}: {reason}", act_again: "The connection was lost; trying again …",
  act_shown: "Step {step}: {said}", act_unread: "(no act could be read)",
  status_done: "Done", status_answer: "Answer", status_fail: "Not possible", status_budget: "Budget used up", status_stopped: "Stopped", status_unreadable: "Not understood",
  status_refused: "Not permitted", status_stuck: "No progress", status_dry: "Shown only", status_error: "Failed",
  key_title: "This server asks for a key", key_label: "Key", key_go: "Continue", key_wrong: "This key is not known here.",
  lost: "The server cannot be reached.", failed: "Something went wrong: {message}", en: "English", zh: "Chinese", photo_note: "pictures that look like photographs are not understood",
};

const ZH = {
  skip: "跳到内容", sections: "栏目", draw_tab: "绘制", edit_tab: "编辑", chat_tab: "提问", history_tab: "历史",
  language: "English", theme: "浅色或深色", close: "关闭", picture: "图片",
  prompt: "想画什么?", prompt_hint: "一张生日贺卡,有气球,写着“生日快乐”",
  instruction: "要改什么?", instruction_hint: "把背景改成蓝色",
  choose_picture: "把图片拖到这里、粘贴,或选择一张", more_references: "更多图片", remove: "移除",
  shape: "形状", square: "方形", landscape: "横向", portrait: "纵向", as_picture: "与原图相同", custom: "自定尺寸",
  width: "宽", height: "高", swap: "交换宽高", count: "张数", fewer: "减少", more_pictures: "增加",
  verify: "读回文字,直到画对为止", more: "更多设置", seed: "种子(留空则随机)", new_seed: "清除种子",
  steps: "步数", guidance: "引导强度", quality: "质量", temperature: "温度", top_p: "Top-p", layout: "多张图片",
  adapters: "模型之外学到的风格(LoRA)", add_adapter: "添加一个 …", adapter_scale: "{name} 的强度",
  layout_new: "每张布局不同", layout_same: "同一布局,细节不同", negative: "不想出现的文字,放在引号里",
  draw: "绘制", change: "修改", stop: "停止", to_write: "要写的文字:{words}",
  examples: "试一试", examples_hint: "点一下就画。", helps: "添加",
  queued: "排队中:前面还有 {position} 个,约 {eta} 秒", planning: "规划:{done} / {total} 个词元", drawing: "绘制:第 {done} / {total} 步",
  starting: "正在开始 …", done: "{seconds} 秒", stopped: "已停止。", unfinished: "未完成",
  edit_this: "编辑这张", download: "下载", again_seed: "使用这个种子", ask_this: "对它提问", fullscreen: "全屏", keep_going: "继续修改",
  words_right: "文字全部正确", words_wrong: "文字不全对", redraw: "重画直到文字正确",
  brush: "画笔", eraser: "橡皮", size: "大小", feather: "柔边", undo: "撤销", redo: "重做", clear: "清空", invert: "反选", mask_hint: "涂抹允许修改的地方;不涂则整张都可修改。",
  widen: "扩展", widen_by: "{side}加 {px} 像素", left: "左边", right: "右边", top: "上边", bottom: "下边",
  before_after: "修改前后", start_picture: "起点", no_picture: "请先选择要修改的图片。", no_prompt: "请说明要画什么。", no_instruction: "请说明要改什么。",
  restored: "已填入这张图片的设置。", no_settings: "这张图片里没有 Inkwash 的设置。", copied: "已复制。",
  chat_empty: "可以就图片、PDF 或视频提问。", chat_hint: "想问什么", chat_think: "先思考再回答", chat_clear: "新的对话", send: "提问", attach: "添加文件",
  thoughts: "思考过程", thinking: "思考中 …", cost: "读取 {prompt} 个词元,写出 {said} 个,{seconds} 秒", cut: "回答因长度限制被截断。",
  ask_1: "图片上有什么?", ask_2: "读出所有文字。", ask_3: "一共有几个东西?", latest: "用最新的图片",
  search: "搜索提示词", history_empty: "画过的图片保存在这里,只在这个浏览器里。", count_pictures: "{count} 张图片", download_all: "全部下载", forget: "全部清除",
  sure_forget: "删除此浏览器历史中的全部 {count} 张图片?", use_again: "再次使用这些设置", delete: "删除", model: "模型", knows: "能画", alphabet: "字符", sizes: "尺寸", languages: "提示词语言",
  things: "{count} 种东西,如 {some}", speed: "运行于", api: "供程序使用", limits_line: "{name} 能画带文字和 {count} 种东西的卡片、海报和招牌:{some} …",
  act_tab: "操作", act_task: "要做什么?", act_task_hint: "查一下开放时间,告诉我星期天几点开门", act_url: "从哪个网页开始",
  act_mode: "做到哪一步", act_dry: "只演示第一步,不执行", act_ask: "执行,有风险时先问", act_auto: "执行,有风险时拒绝",
  act_go: "开始", act_yes: "执行", act_no: "否", act_steps: "操作", act_note: "在此服务器的浏览器中操作,只限这些网页:{places}",
  act_no_task: "请说明要做什么。", act_no_url: "请填写开始的网页。", act_opening: "正在打开网页 …", act_thinking: "第 {step} 步:正在查看和思考 …",
  act_waits: "要执行吗:{said}?", act_waiting: "正在等你回答。", act_unanswered: "没有人回答,因此没有执行。", act_ended: "{status}:{reason}", act_again: "连接中断,正在重试 …",
  act_shown: "第 {step} 步:{said}", act_unread: "(没有读出操作)",
  status_done: "完成", status_answer: "回答", status_fail: "无法完成", status_budget: "预算用完", status_stopped: "已停止", status_unreadable: "无法理解",
  status_refused: "不允许", status_stuck: "没有进展", status_dry: "仅演示", status_error: "失败",
  key_title: "此服务器需要密钥", key_label: "密钥", key_go: "继续", key_wrong: "这里不认识这个密钥。",
  lost: "无法连接服务器。", failed: "出错了:{message}", en: "英文", zh: "中文", photo_note: "看不懂像照片的图片",
};

const TABLES = { en: EN, zh: ZH };
let current = initial();

function initial() {
  const kept = read("inkwash-language");
  if (kept in TABLES) return kept;
  return (navigator.languages?.[0] ?? navigator.language ?? "en").toLowerCase().startsWith("zh") ? "zh" : "en";
}

/** A kept setting of this browser; null where it keeps none. */
export function read(key) {
  try { return localStorage.getItem(key); } catch { return null; }
}

export function write(key, value) {
  try { localStorage.setItem(key, value); } catch { /* a private window keeps nothing */ }
}

export const language = () => current;

export function setLanguage(name) {
  current = name;
  write("inkwash-language", name);
}

/** A sentence with its slots filled. */
export function t(key, slots = {}) {
  const sentence = TABLES[current][key];
  if (sentence === undefined) throw new Error(`no words for ${key}`);
  return sentence.replace(/\{(\w+)\}/g, (_, name) => String(slots[name]));
}

/** Write the words into everything below `root` that names them. */
export function translate(root = document) {
  document.documentElement.lang = current;
  for (const node of root.querySelectorAll("[data-t]")) node.textContent = t(node.dataset.t);
  for (const node of root.querySelectorAll("[data-t-label]")) node.setAttribute("aria-label", t(node.dataset.tLabel));
  for (const node of root.querySelectorAll("[data-t-title]")) node.title = t(node.dataset.tTitle);
  for (const node of root.querySelectorAll("[data-t-placeholder]")) node.placeholder = t(node.dataset.tPlaceholder);
}
