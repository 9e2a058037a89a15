"""Words of prompts that name nothing to draw: they ask, place, order, size or join, and every model passes over them.

What a checkpoint can draw stands in its own limits (`models.glm_image.folder`); `engine.notes` takes a word that is
in neither for something that the checkpoint does not know.
"""

from __future__ import annotations

_ENGLISH = """
a an the this that these those it its they them their there here i me my mine we us our you your he she his her who
whose which what where when how and or but nor so as if than then also too both either each every all any some none
no not without only just simply one two three four five six seven eight nine ten first second third fourth fifth
last other another others same single double pair couple few many much more most less least several of in on at to
from by with within into onto over under above below beneath underneath beside besides between behind before after
near next around along across against through inside outside off out up down for about like per via plus together
instead apart away else again now always still once is are was were be been being am has have having had do does did
can could will would shall should may might must let lets make makes making made draw draws drawing drawn create
creates creating generate generates design designs designed show shows showing shown display displays displaying put
puts place places placed placing set sets add adds adding added include includes including included insert inserts
give gives need needs want wants wanted please get use uses using used write writes writing written say says saying
said read reads reading spell spells spelling spelled spelt print printed contain contains containing hold holds
holding keep keeps keeping kept look looks looking replace replaces replacing change changes changing changed turn
turns swap exchange edit edited remove removes delete erase drop wipe take takes leave leaves move moves shift bring
drag relocate recolor recolour color colors colour colours coloured colored paint painted repaint redraw restyle
rewrite correct copy combine decorate decorated become becomes go goes come comes stand stands standing sit sits
appear appears fill fills filled accompany accompanied i'd i'm it's that's don't doesn't isn't can't let's there's
top bottom left right middle center centre centered centred corner corners edge edges side sides upper lower upside
line lines row rows column columns half part parts area space margin background backdrop foreground ground canvas
front back far close high low wide tall long short text texts word words letter letters lettering letterings title
titles subtitle subtitles headline heading headings caption captions slogan slogans inscription message sentence
phrase name number numbers digit digits character characters quote quotes font fonts type typeface typography
capital capitals uppercase lowercase case big bigger biggest large larger largest huge giant small smaller smallest
little tiny medium size sized sizes thick thin simple plain clean clear nice good great beautiful pretty cute lovely
new old solid empty blank bare nothing anything something everything readable legible bright dark light thing things
object objects shape shapes english style version kind sort way work called named content contents rid well titled
entitled labelled labeled captioned
"""

# Praise and mood: prompts are full of them, and a picture without them is still what was asked for.
_PRAISE = """
cool elegant modern classy stylish fancy fresh lively cheerful friendly warm cozy cosy calm bold catchy creative unique
professional beautifully nicely neatly tastefully minimalist minimalistic minimal amazing awesome stunning gorgeous
fun funny happy sweet charming festive romantic eye-catching perfect high-quality quality best detailed colorful
colourful vibrant vivid polished crisp sharp timeless trendy handmade homemade designer graphic feel mood very really
quite somewhat
"""

# Words that tell of another language, where two of them stand: none is a word of English prompts.
_FOREIGN = {
    "de": "und mit dem den der das ein eine einen einem einer für auf im zum zur ist nicht auch oben unten schrift",
    "fr": "le la les des du une avec pour dans sur et au aux qui est en au-dessus titre lettres",
    "es": "el los las del una con para en y por que un palabras fondo letras",
    "it": "lo gli dello della di per che sul nel con una",
    "nl": "een het met van voor op",
    "pt": "um uma com os na do da dos das",
}

_CHINESE = """
一张 一幅 一个 一只 一块 一条 一份 一 二 两 三 四 五 六 七 八 九 十 几 个 张 幅 块 条 份 请 帮我 给我 我想要 我要 我
想要 需要 生成 画 绘制 制作 设计 创建 做 写着 写有 写上 写 画着 画有 印着 印有 显示 展示 文字 文本 内容 标题 副标题
字样 字体 字母 汉字 字 单词 词 背景 底色 底 颜色 色 上面 下面 上方 下方 左边 右边 左上角 右上角 左下角 右下角 左侧
右侧 中间 中央 顶部 底部 旁边 里面 里 外 边 角 上 下 左 右 在 是 为 有 的 了 着 和 与 及 以及 还有 并 并且 也 都 就
把 将 被 用 从 到 向 对 这 那 它 其 其中 每 加上 配上 带 带有 放 放在 位于 改成 改为 改 换成 换为 换 替换为 替换成
替换 变成 变为 去掉 删除 移除 添加 增加 移动 移到 保持 不变 不要 没有 不 无 大 小 大号 小号 大字 小字 方
只 朵 辆 棵 颗 位 座 艘 匹 头 杯 枚 根 束 串 盆 台 架 片 轮 双 支 本 碗 瓶 盒 纯 空白
只有 简洁 简单 好看 漂亮 一下 吧 吗 呢 中 中文 英文 图形 形状 样式 风格
"""

_COLORS = """
white black red blue green yellow orange purple pink gray grey brown gold golden silver beige cyan magenta turquoise
violet navy
"""

# Short capitals that are no text to be written.
_ACRONYMS = """
TV USA US UK EU DIY PDF URL QR AI LED RGB CMYK VIP DJ CEO OK USB GPS HD UHD DSLR RAW NOT NO AND OR ONLY ID FAQ DNA
NASA SUV BBQ IT
"""

ENGLISH = frozenset((_ENGLISH + _PRAISE).split())
FOREIGN = {language: frozenset(words.split()) - ENGLISH for language, words in _FOREIGN.items()}
CHINESE = tuple(sorted(set(_CHINESE.split()), key=lambda word: (-len(word), word)))
COLORS = frozenset(_COLORS.split())
ACRONYMS = frozenset(_ACRONYMS.split())
