// Every word of the page, in English and Chinese.

const EN = {
  skip: "Skip to the content", sections: "Sections", draw_tab: "Draw", edit_tab: "Edit", chat_tab: "Ask", history_tab: "History",
  language: "中文", theme: "Light or dark", close: "Close", picture: "Picture",
  prompt: "What shall be drawn?", prompt_hint: 'A birthday card with balloons that says "Happy Birthday Mia"',
  instruction: "What shall change?", instruction_hint: 'Change "OPEN" to "CLOSED"', instruction_next: "And now?", instruction_next_hint: "Now make the background blue",
  choose_picture: "Choose a picture", choose_picture_more: "or drop it here, or paste it", or_one_of_these: "Or start with one of these:", another: "Another picture", more_references: "+ More pictures to take things from", remove: "Remove",
  shape: "Shape", square: "Square", landscape: "Landscape", portrait: "Portrait", wide: "Wide", tall: "Tall", as_picture: "As the picture", custom: "Own size",
  width: "Width", height: "Height", swap: "Swap width and height", count: "Pictures", fewer: "Fewer", more_pictures: "More",
  verify: "Words", check_off: "Not checked", check_until: "Read back; up to {tries} tries", check_best: "The best of {tries}", more: "More settings", seed: "Seed (empty: a new one)", new_seed: "Forget the seed",
  steps: "Steps", guidance: "Guidance", quality: "Quality", temperature: "Temperature", top_p: "Top-p", layout: "Several pictures",
  adapters: "Styles learnt beside the model (LoRA)", add_adapter: "Add one …", adapter_scale: "How strongly {name} acts",
  layout_new: "each with a layout of its own", layout_same: "one layout, other details", negative: "Texts to avoid, in quotation marks",
  draw: "Draw", change: "Change it", stop: "Stop", to_write: "Words to write: {words}",
  examples: "Try one", examples_hint: "A click draws it.",
  queued: "Waiting: {position} before this one, about {eta} s", planning: "Planning: {done} of {total} tokens", drawing: "Drawing: step {done} of {total}",
  starting: "Starting …", done: "{seconds} s", stopped: "Stopped.",
  edit_this: "Edit this", download: "Download", again_seed: "Use this seed", ask_this: "Ask about it", fullscreen: "Full screen", paint_on: "Paint on it", try_again: "Try again",
  words_right: "All words are right", words_wrong: "Reads {read}, not {wanted}", words_left: "Still reads {read}", nothing_read: "nothing", check_words: "Check the words", now_read: "Read them now", now_until: "Draw until they are right", now_best: "Draw {tries}, keep the best", reading: "Reading the words …",
  brush: "Brush", eraser: "Eraser", size: "Size", feather: "Soft edge", undo: "Undo", redo: "Redo", clear: "Clear", invert: "Invert", grow: "Grow", mask_hint: "Paint what may change; nothing painted means everything may.", mask_keys: "The arrow keys move the brush, Enter starts and ends painting, Ctrl+Z undoes.",
  widen: "Extend", widen_by: "Add {px} px {side}", left: "on the left", right: "on the right", top: "above", bottom: "below",
  before: "Before", before_after: "Before and after", start_picture: "Start", no_picture: "Choose a picture to change first.", no_prompt: "Say what shall be drawn.", no_instruction: "Say what shall change.",
  restored: "The settings of this picture are filled in.", no_settings: "This picture holds no settings of Inkwash.",
  chat_empty: "Ask about a picture, a PDF or a video.", chat_hint: "Ask something", chat_think: "Let it think first", chat_clear: "New conversation", send: "Ask", attach: "Add files",
  thoughts: "Thoughts", thinking: "Thinking …", cost: "{prompt} tokens read, {said} written, {seconds} s", cut: "The answer was cut off at its length.",
  ask_1: "What is on this picture?", ask_2: "Read all the text.", ask_3: "How many things are there?",
  search: "Search prompts", history_empty: "What you draw is kept here, in this browser only.", count_pictures: "{count} pictures", download_all: "Download all", forget: "Delete all",
  sure_forget: "Delete all {count} pictures of this browser's history?", use_again: "Use these settings again", delete: "Delete", model: "Model", knows: "Draws", alphabet: "Letters", sizes: "Sizes", languages: "Prompts in",
  things: "{count} things: {some}", speed: "Runs on", api: "For programs", limits_line: "{name} draws cards, posters and signs: short texts and {count} things such as {some}. No photographs.",
  act_tab: "Act", act_task: "What shall be done?", act_task_hint: "Find the opening hours and tell me when it opens on Sunday", act_url: "Page to begin at",
  act_mode: "How far it goes", act_dry: "Show the first act, do nothing", act_ask: "Act, and ask before risky acts", act_auto: "Act, and refuse risky acts",
  act_go: "Begin", act_yes: "Do it", act_no: "No", act_steps: "Acts", act_note: "It acts in a browser of this server, on these pages only: {places}",
  act_no_task: "Say what shall be done.", act_no_url: "Name the page to begin at.", act_opening: "Opening the page …", act_thinking: "Step {step}: looking and thinking …",
  act_waits: "Shall it do this: {said}?", act_waiting: "It waits for your answer.", act_unanswered: "Nobody answered, so it was not done.", act_ended: "{status}: {reason}", act_again: "The connection was lost; trying again …",
  act_shown: "Step {step}: {said}", act_unread: "(no act could be read)",
  status_done: "Done", status_answer: "Answer", status_fail: "Not possible", status_budget: "Budget used up", status_stopped: "Stopped", status_unreadable: "Not understood",
  status_refused: "Not permitted", status_stuck: "No progress", status_dry: "Shown only", status_error: "Failed",
  key_title: "This server asks for a key", key_label: "Key", key_go: "Continue", key_wrong: "This key is not known here.",
  lost: "The server cannot be reached.", failed: "Something went wrong: {message}",
  all_pictures: "All pictures", choose_variant: "Choose one to edit, check or download it.", seed_of: "Seed {seed}", previous: "Previous picture", next: "Next picture",
  attempt: "Attempt {attempt} of {attempts}, the last one read {read}", left_s: "about {seconds} s left", no_image: "{name} is no picture that can be read.",
  idea_kinds: "Kind", idea_things: "Thing", idea_styles: "Style", idea_grounds: "Background", find_idea: "Find",
  quality_auto: "as trained", quality_low: "quickest", quality_medium: "quicker", quality_high: "quick", quality_xhigh: "nothing left out", quality_max: "twice the steps",
  edit_answer: "Edit this picture", draw_answer: "Draw this answer", remove_one: "Delete “{prompt}”", pick_model: "Model that draws", about: "About", sees: "Answers questions",
  error_queue_full: "{message}", error_rate_limit_exceeded: "{message}", error_concurrency_limit_exceeded: "{message}", error_deadline_exceeded: "{message}", error_invalid_image: "{message}", error_image_too_large: "{message}", error_request_too_large: "{message}", error_size: "{message}", error_draining: "{message}",
};

const ZH = {
  skip: "跳到内容", sections: "栏目", draw_tab: "绘制", edit_tab: "编辑", chat_tab: "提问", history_tab: "历史",
  language: "English", theme: "浅色或深色", close: "关闭", picture: "图片",
  prompt: "想画什么？", prompt_hint: "一张生日贺卡，画着气球，写着“生日快乐”",
  instruction: "要改什么？", instruction_hint: "把“OPEN”改成“CLOSED”", instruction_next: "接着改什么？", instruction_next_hint: "现在把背景改成蓝色",
  choose_picture: "选择一张图片", choose_picture_more: "或拖到这里，或直接粘贴", or_one_of_these: "或从这里选一张开始：", another: "换一张图片", more_references: "+ 更多可参考的图片", remove: "移除",
  shape: "形状", square: "方形", landscape: "横向", portrait: "纵向", wide: "宽幅", tall: "竖幅", as_picture: "与原图相同", custom: "自定尺寸",
  width: "宽", height: "高", swap: "交换宽高", count: "张数", fewer: "减少", more_pictures: "增加",
  verify: "文字", check_off: "不检查", check_until: "读回检查，最多 {tries} 次", check_best: "{tries} 张里选最好的", more: "更多设置", seed: "种子（留空则随机）", new_seed: "清除种子",
  steps: "步数", guidance: "引导强度", quality: "质量", temperature: "温度", top_p: "Top-p", layout: "多张图片",
  adapters: "模型之外学到的风格（LoRA）", add_adapter: "添加一个 …", adapter_scale: "{name} 的强度",
  layout_new: "每张布局不同", layout_same: "同一布局，细节不同", negative: "不想出现的文字，放在引号里",
  draw: "绘制", change: "修改", stop: "停止", to_write: "要写的文字：{words}",
  examples: "试一试", examples_hint: "点一下就画。",
  queued: "排队中：前面还有 {position} 个，约 {eta} 秒", planning: "规划：{done} / {total} 个词元", drawing: "绘制：第 {done} / {total} 步",
  starting: "正在开始 …", done: "{seconds} 秒", stopped: "已停止。",
  edit_this: "编辑这张", download: "下载", again_seed: "使用这个种子", ask_this: "对它提问", fullscreen: "全屏", paint_on: "涂抹后再改", try_again: "再试一次",
  words_right: "文字全部正确", words_wrong: "读出 {read}，应为 {wanted}", words_left: "仍能读出 {read}", nothing_read: "(无)", check_words: "检查文字", now_read: "现在读一遍", now_until: "重画直到正确", now_best: "画 {tries} 张，留最好的", reading: "正在读文字 …",
  brush: "画笔", eraser: "橡皮", size: "大小", feather: "柔边", undo: "撤销", redo: "重做", clear: "清空", invert: "反选", grow: "扩大涂抹", mask_hint: "涂抹允许修改的地方；不涂则整张都可修改。", mask_keys: "方向键移动画笔，回车开始或结束涂抹，Ctrl+Z 撤销。",
  widen: "扩展画面", widen_by: "{side}加 {px} 像素", left: "左边", right: "右边", top: "上边", bottom: "下边",
  before: "修改前", before_after: "修改前后", start_picture: "起点", no_picture: "请先选择要修改的图片。", no_prompt: "请说明要画什么。", no_instruction: "请说明要改什么。",
  restored: "已填入这张图片的设置。", no_settings: "这张图片里没有 Inkwash 的设置。",
  chat_empty: "可以就图片、PDF 或视频提问。", chat_hint: "想问什么", chat_think: "先思考再回答", chat_clear: "新的对话", send: "提问", attach: "添加文件",
  thoughts: "思考过程", thinking: "思考中 …", cost: "读取 {prompt} 个词元，写出 {said} 个，{seconds} 秒", cut: "回答因长度限制被截断。",
  ask_1: "图片上有什么？", ask_2: "读出所有文字。", ask_3: "一共有几个东西？",
  search: "搜索提示词", history_empty: "画过的图片保存在这里，只在这个浏览器里。", count_pictures: "{count} 张图片", download_all: "全部下载", forget: "全部删除",
  sure_forget: "删除此浏览器历史中的全部 {count} 张图片？", use_again: "再次使用这些设置", delete: "删除", model: "模型", knows: "能画", alphabet: "字符", sizes: "尺寸", languages: "提示词语言",
  things: "{count} 种东西：{some}", speed: "运行于", api: "供程序使用", limits_line: "{name} 能画卡片、海报和招牌：短文字和 {count} 种东西，如 {some}。不能画照片。",
  act_tab: "操作", act_task: "要做什么？", act_task_hint: "查一下开放时间，告诉我星期天几点开门", act_url: "从哪个网页开始",
  act_mode: "做到哪一步", act_dry: "只演示第一步，不执行", act_ask: "执行，有风险时先问", act_auto: "执行，有风险时拒绝",
  act_go: "开始", act_yes: "执行", act_no: "否", act_steps: "操作", act_note: "在此服务器的浏览器中操作，只限这些网页：{places}",
  act_no_task: "请说明要做什么。", act_no_url: "请填写开始的网页。", act_opening: "正在打开网页 …", act_thinking: "第 {step} 步：正在查看和思考 …",
  act_waits: "要执行吗：{said}？", act_waiting: "正在等你回答。", act_unanswered: "没有人回答，因此没有执行。", act_ended: "{status}：{reason}", act_again: "连接中断，正在重试 …",
  act_shown: "第 {step} 步：{said}", act_unread: "(没有读出操作)",
  status_done: "完成", status_answer: "回答", status_fail: "无法完成", status_budget: "预算用完", status_stopped: "已停止", status_unreadable: "无法理解",
  status_refused: "不允许", status_stuck: "没有进展", status_dry: "仅演示", status_error: "失败",
  key_title: "此服务器需要密钥", key_label: "密钥", key_go: "继续", key_wrong: "这里不认识这个密钥。",
  lost: "无法连接服务器。", failed: "出错了：{message}",
  all_pictures: "全部图片", choose_variant: "选一张来编辑、检查或下载。", seed_of: "种子 {seed}", previous: "上一张", next: "下一张",
  attempt: "第 {attempt} 次，共 {attempts} 次，上次读出 {read}", left_s: "还需约 {seconds} 秒", no_image: "{name} 不是能读取的图片。",
  idea_kinds: "种类", idea_things: "东西", idea_styles: "样式", idea_grounds: "背景", find_idea: "查找",
  quality_auto: "按训练设置", quality_low: "最快", quality_medium: "较快", quality_high: "略快", quality_xhigh: "不省略", quality_max: "两倍步数",
  edit_answer: "编辑这张图片", draw_answer: "画出这个回答", remove_one: "删除“{prompt}”", pick_model: "绘图模型", about: "关于", sees: "回答问题",
  error_queue_full: "排队已满，请稍后再试。（{message}）", error_rate_limit_exceeded: "请求太频繁，请稍后再试。（{message}）", error_concurrency_limit_exceeded: "同时进行的请求太多。（{message}）", error_deadline_exceeded: "超过了时间限制。（{message}）", error_invalid_image: "图片无法读取。（{message}）", error_image_too_large: "图片太大。（{message}）", error_request_too_large: "发送的内容太大。（{message}）", error_size: "不能画这个尺寸，边长须在 1 到 2048 像素之间。（{message}）", error_draining: "服务器正在停止。（{message}）",
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
