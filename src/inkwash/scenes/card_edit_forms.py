"""The sentence forms of editing instructions for cards, one list per kind of edit, in English and Chinese.

Slots: {O} things of the card ("the three cats"), {N} new things ("a dog"), {P} a place ("at the top"), {C} a colour,
{T} a text of the card in quotation marks, {W} new words in quotation marks, {S} a style or structure ("on a
chalkboard", or just "chalkboard"), {F} how letters look, {X} what becomes bigger or smaller, {Y} and {Z} things without
"the", {K} a number. Forms that begin with one of `VERBS` may follow "can you" and the like. Split by hash
(`words.of_split`, kind `edit`), so keep a form's wording once it has been trained on.
"""

from __future__ import annotations

from inkwash.scenes.card_genre import parts

ENGLISH_FORMS: dict[str, tuple[str, ...]] = {
    kind: parts(forms)
    for kind, forms in {
        "replace_thing": (
            "replace {O} with {N} | swap {O} for {N} | change {O} to {N} | turn {O} into {N}"
            " | make it {N} instead of {O} | exchange {O} for {N} | use {N} instead of {O}"
            " | draw {N} instead of {O} | put {N} in place of {O} | take {O} out and put {N} there"
            " | {N} instead of {O} | I want {N} rather than {O} | I'd prefer {N} instead of {O}"
            " | {O} should be {N} | not {O}, {N}"
        ),
        "add_thing": (
            "add {N} {P} | add {N} | put {N} {P} | draw {N} {P} | place {N} {P} | also draw {N} {P}"
            " | also add {N} | include {N} {P} | decorate it with {N} {P} | I'd like {N} {P} as well"
            " | there should also be {N} {P} | {N} {P}, please | it still needs {N} {P} | give me {N} {P} too"
            " | insert {N} {P} | how about {N} {P}?"
        ),
        "remove_thing": (
            "remove {O} | delete {O} | take {O} away | get rid of {O} | erase {O} | drop {O} | leave out {O}"
            " | I don't want {O} | no {Z} please | {O} can go | do it without {O} | lose {O} | clear away {O}"
            " | without {O} now | {O} should disappear | take out {O}"
        ),
        "move_thing": (
            "move {O} so that it is {P} | move {O}: {P} | put {O} {P} | place {O} {P}"
            " | shift {O}, it should be {P} | I want {O} {P} | {O} should be {P} | let {O} be {P}"
            " | have {O} {P} instead | bring {O} over, {P} | {O} {P}, please | relocate {O}, {P}"
        ),
        "recolor_shape": (
            "make {O} {C} | turn {O} {C} | paint {O} {C} | color {O} {C} | colour {O} {C} | change {O} to {C}"
            " | recolor {O} in {C} | use {C} for {O} | I want {O} in {C} | {O} should be {C}"
            " | give {O} the color {C} | change the color of {O} to {C} | now {O} in {C} | {O} in {C}, please"
            " | switch {O} to {C} | let {O} be {C} | draw {O} in {C} | please make {O} {C} | {O} becomes {C}"
            " | try {O} in {C} | color: {O} {C} | please color {O} {C} | please paint {O} {C}"
            " | please turn {O} {C}"
        ),
        "count_thing": (
            "make it {K} {Y} | change it to {K} {Y} | draw {K} {Y} instead | I want {K} {Y} | show {K} {Y} now"
            " | there should be {K} {Y} | {K} {Y}, please | {K} {Y} instead of {O} | turn {O} into {K} {Y}"
            " | use {K} {Y}"
        ),
        "bigger": (
            "make {X} bigger | make {X} larger | enlarge {X} | {X} should be bigger | I want {X} bigger"
            " | increase the size of {X} | blow up {X} | a bigger size for {X} | {X} bigger, please"
            " | scale {X} up | let {X} be huge | {X} is too small | draw {X} larger | grow {X}"
            " | can {X} be bigger? | {X} larger | {X} could be bigger | have {X} bigger"
        ),
        "smaller": (
            "make {X} smaller | shrink {X} | reduce the size of {X} | {X} should be smaller | I want {X} smaller"
            " | {X} is too big | scale {X} down | {X} smaller, please | a smaller size for {X} | let {X} be small"
            " | draw {X} smaller | make {X} a bit smaller"
        ),
        "words": (
            "change {T} to {W} | replace {T} with {W} | make {T} say {W} | write {W} instead of {T}"
            " | swap {T} for {W} | {T} should read {W} | turn {T} into {W} | rewrite {T} as {W}"
            " | where it says {T}, write {W} | it should say {W}, not {T} | I meant {W}, not {T}"
            " | {W} instead of {T} | correct {T} to {W} | edit the text: {T} becomes {W}"
            " | use {W} in place of {T} | put {W} where {T} is"
        ),
        "words_only": (
            "change the text to {W} | make it say {W} | it should say {W} | replace the words with {W}"
            " | write {W} instead | the text should be {W} | let it say {W} | now it says {W}"
            " | I want it to read {W} | new text: {W} | put {W} on it instead | have it read {W}"
            " | say {W} instead | please let it read {W} | change it to {W} | replace it by {W}"
            " | the words should be {W}"
        ),
        "add_text": (
            "add the text {W} | add {W} | write {W} below | also write {W} | put {W} on it too | add the line {W}"
            " | add {W} as a last line | include the words {W} | and {W} below it, please"
            " | it should also say {W} | insert {W} | there should also be the words {W}"
        ),
        "remove_text": (
            "remove the text {T} | delete {T} | erase the words {T} | take {T} off | remove {T} | leave out {T}"
            " | get rid of the text {T} | I don't want {T} on it | without {T} | drop the line {T} | {T} can go"
            " | do it without {T} | clear {T} | remove the words {T} | take out {T} | no more {T} | {T} should go"
            " | cut {T}"
        ),
        "recolor_text": (
            "make {T} {C} | turn {T} {C} | write {T} in {C} | change {T} to {C} letters | I want {T} in {C}"
            " | {T} should be {C} | use {C} for {T} | color {T} {C} | set {T} in {C} | {T} in {C}, please"
            " | change the color of {T} to {C} | give {T} {C} letters"
        ),
        "recolor_all": (
            "make the text {C} | make the letters {C} | write everything in {C} | change the text color to {C}"
            " | use {C} letters | all text in {C} | the text should be {C} | I want {C} letters"
            " | turn all the letters {C} | {C} text, please | set the text in {C} | give the text {C} letters"
            " | let the text be {C} | paint the letters {C} | have the letters in {C} | {C} letters instead"
            " | {C} lettering now"
        ),
        "background": (
            "make the background {C} | change the background to {C} | turn the background {C}"
            " | use a {C} background | put it on {C} | now make it {C} | set the background to {C}"
            " | I want a {C} background | give it a {C} background | the background should be {C}"
            " | {C} background instead | paint the background {C} | try it on {C} | {C} behind it, please"
            " | switch the background to {C} | can the background be {C}?"
        ),
        "panel": (
            "make the {S} {C} | change the {S} to {C} | turn the {S} {C} | use a {C} {S} | the {S} should be {C}"
            " | I want the {S} {C} | {C} for the {S} | paint the {S} {C} | color the {S} {C} | give it a {C} {S}"
            " | the {S} in {C}, please"
        ),
        "style": (
            "make it {S} | redo it {S} | I want it {S} | change the style: {S} | the same, but {S}"
            " | draw the same card {S} | now {S} | could I have it {S}? | restyle it, {S} | same picture {S}"
            " | show it {S} | let it be {S} | change it: {S} | have it {S} | give it the look {S} | redraw it {S}"
            " | can you do it {S}?"
        ),
        "structure": (
            "put it {S} | put everything {S} | show it {S} | draw it {S} | I want it {S}"
            " | make it look like it is {S} | now {S} | the same, but {S} | turn it into something {S}"
            " | could it be {S}? | change the layout: {S} | redraw it {S}"
        ),
        "combine_thing": (
            "put {O} of the second picture on the first"
            " | take {O} from the second image and add it to the first one | add {O} of picture 2 to picture 1"
            " | the first picture, but with {O} from the second | copy {O} from the second card to the first"
            " | use the first picture and put {O} of the second on it"
            " | combine both: the first with {O} of the second | bring {O} over from the second picture"
            " | insert {O} from image 2 into image 1 | place {O} of the second picture on the first"
            " | I want {O} from the second one on the first one"
        ),
        "combine_text": (
            "put the text of the second picture on the first"
            " | write the words of the second image on the first one"
            " | use the first card with the text of the second"
            " | take the text from picture 2 and put it on picture 1"
            " | the first picture with the words of the second | copy the text of the second card to the first"
            " | combine them: first picture, words of the second | make the first say what the second says"
            " | I want the second text on the first picture | swap the text of the first for that of the second"
            " | bring the text of the second to the first | put the second text on the first picture"
            " | write what the second says on the first | use the words of picture 2 on picture 1"
            " | the text of image 2 on image 1"
        ),
        "combine_background": (
            "use the background of the second picture for the first | give the first the background of the second"
            " | put the first picture on the background of the second"
            " | the first card in the background colour of the second"
            " | change the background of picture 1 to that of picture 2"
            " | take the background from the second image, the rest from the first"
            " | first picture, second background | make the background of the first like the second one"
            " | copy the background colour of the second to the first"
            " | I want the background of the second on the first"
        ),
        "frame": (
            "put a frame around it | add a frame | give it a frame | frame it | put a border around it"
            " | add a border | I want a frame around it | it needs a frame | draw a frame around everything"
            " | a frame around it, please | with a frame now | surround it with a frame | make it framed"
            " | set it in a frame | can it have a border?"
        ),
        "remove_structure": (
            "remove the {S} | take the {S} away | no {S} please | get rid of the {S} | without the {S}"
            " | drop the {S} | delete the {S} | I don't want the {S} | leave out the {S} | erase the {S}"
            " | the {S} can go | lose the {S} | do it without the {S} | take out the {S}"
        ),
        "remove_style": (
            "remove the {S} | no {S} please | without the {S} | get rid of the {S} | take away the {S}"
            " | drop the {S} | a flat background, no {S} | I don't want the {S} | leave out the {S}"
            " | make it flat, without {S} | plain colours instead of the {S} | lose the {S} | erase the {S}"
        ),
        "face": (
            "use {F} letters | make the letters {F} | change the font to {F} | set the text in {F} type"
            " | I want {F} letters | {F} letters, please | write it in {F} letters | the lettering should be {F}"
            " | change the typeface: {F} | turn the text into {F} lettering | give it {F} lettering"
            " | switch to {F} type | a {F} font instead | I'd like a {F} font | letters in {F} style"
            " | use a {F} font | write everything {F}"
        ),
    }.items()
}  # fmt: skip

VERBS = frozenset(
    parts(
        "replace | swap | change | turn | make | exchange | use | draw | put | take | add | place | include"
        " | decorate | give"
        " | insert | remove | delete | get | erase | drop | leave | do | lose | clear | move | shift | let"
        " | have | bring | relocate"
        " | paint | color | colour | recolor | show | enlarge | increase | blow | scale | shrink | reduce"
        " | write | rewrite"
        " | correct | edit | set | switch | try | redo | restyle | redraw | combine | copy | frame"
        " | surround | pick | fill | repaint | tint | render"
        " | print | cut | strike | swap | grow | double | wipe | exchange | repeat | dye"
    )
)
PREFIXES = parts(
    "please | now | ok, now | can you | could you | would you | next, | then | and now | one more thing: | hm,"
    " | great, but | nice!"
    " Now | I'd like you to | could you please | also, | almost perfect, just | edit: | good, now please"
)
SUFFIXES = parts(
    ", keep everything else | , keep the rest | , leave the rest as it is | . Everything else stays the same"
    " | , nothing else changes"
    " | and keep all the other things as they are | , don't touch anything else | . Keep the rest of the card unchanged"
    " | , but leave everything else alone | please | , thanks | , please | , the rest is perfect"
    " | . Do not change anything else"
    " | , otherwise the same"
)

CHINESE_FORMS: dict[str, tuple[str, ...]] = {
    kind: parts(forms)
    for kind, forms in {
        "replace_thing": (
            "把{O}换成{N} | 将{O}替换为{N} | {O}改成{N} | 不要{O}，要{N} | 用{N}代替{O} | {O}变成{N}"
            " | 把{O}改为{N}"
        ),
        "add_thing": (
            "加{N} | 在{P}加{N} | 再画{N} | {P}画{N} | 添加{N} | 请在{P}添上{N} | {P}放{N} | 还要{N} | {P}再加{N}"
            " | 请画{N} | 在{P}画上{N} | 多画{N} | 请加{N} | 在{P}放上{N} | 我还想要{N}"
        ),
        "remove_thing": (
            "去掉{O} | 删除{O} | 不要{O} | 把{O}去掉 | 移除{O} | 把{O}删了 | 拿走{O} | 擦掉{O} | 抹去{O}"
            " | 请删除{O} | 把{O}移走 | 把{O}擦掉"
        ),
        "move_thing": (
            "把{O}移到{P} | 将{O}放在{P} | {O}放{P} | 让{O}在{P} | 把{O}挪到{P} | {O}应该在{P} | 移动{O}到{P}"
        ),
        "recolor_shape": (
            "把{O}变成{C} | {O}改成{C} | {O}用{C} | 把{O}涂成{C} | 让{O}变{C} | {O}换成{C} | 将{O}改为{C}"
        ),
        "count_thing": (
            "改成{K}{Y} | 要{K}{Y} | 画{K}{Y} | 变成{K}{Y} | 应该有{K}{Y} | 换成{K}{Y} | 我想要{K}{Y}"
            " | 改为{K}{Y} | 我要{K}{Y} | 请画{K}{Y} | 让它有{K}{Y}"
        ),
        "bigger": (
            "把{X}放大 | {X}大一点 | {X}变大 | 让{X}更大 | {X}太小了 | 放大{X} | {X}再大些 | {X}更大 | 请放大{X}"
            " | {X}要大 | {X}画大一些 | 请让{X}变大 | {X}再大一些 | {X}放大"
        ),
        "smaller": (
            "把{X}缩小 | {X}小一点 | {X}变小 | 让{X}更小 | {X}太大了 | 缩小{X} | {X}再小些 | {X}更小 | {X}要小"
            " | 希望{X}小一点 | 请缩小{X} | 把{X}变小 | 将{X}缩小"
        ),
        "words": (
            "把{T}改成{W} | 将{T}替换为{W} | {T}换成{W} | 不是{T}，是{W} | 用{W}代替{T} | {T}应为{W}"
            " | 写{W}，不写{T} | 把{T}变成{W} | {T}改为{W} | {T}改成{W} | {T}的地方写{W} | {T}换为{W}"
            " | 应该是{W}而不是{T} | {T}错了，应为{W}"
        ),
        "words_only": (
            "文字改成{W} | 换成{W} | 把字改为{W} | 上面写{W} | 应该写{W} | 内容改为{W} | 让它写{W} | 文字为{W}"
            " | 改写{W} | 请写{W} | 现在写{W} | 要写{W} | 文字换成{W} | 写成{W} | 字换成{W}"
        ),
        "add_text": (
            "加上{W} | 再写{W} | 下面加{W} | 添加文字{W} | 还要写{W} | 下方写上{W} | 增加一行{W}"
        ),
        "remove_text": (
            "去掉{T} | 删除文字{T} | 不要{T} | 把{T}删掉 | 擦掉{T} | 移除{T}这行字 | 不写{T}"
        ),
        "recolor_text": (
            "把{T}改成{C} | {T}用{C} | {T}变成{C} | {T}换成{C}字 | 让{T}变{C} | 将{T}设为{C} | {T}应该是{C}"
        ),
        "recolor_all": (
            "文字改成{C} | 字用{C} | 所有文字{C} | 把字变成{C} | 文字换成{C} | 全部用{C}字 | 字的颜色改为{C}"
            " | 文字用{C} | 字变{C} | 字{C} | 用{C}写 | 请用{C}字"
        ),
        "background": (
            "背景改成{C} | 把背景换成{C} | 用{C}背景 | 背景变{C} | 换{C}背景 | 将背景设为{C} | 底色改为{C}"
            " | 现在改成{C}的 | 要{C}背景 | 放在{C}上 | 请用{C}背景 | 背景用{C} | 背景为{C}"
        ),
        "panel": (
            "把{S}改成{C} | {S}用{C} | {S}换成{C} | 让{S}变{C} | 将{S}设为{C} | {S}改为{C} | {C}的{S}"
        ),
        "style": (
            "改成{S} | 换成{S} | 风格改为{S} | 一样的，但要{S} | 要{S} | 请用{S} | 变成{S} | 换个风格：{S}"
            " | 变为{S} | 试试{S} | 请改成{S} | 做成{S} | 现在{S}"
        ),
        "structure": (
            "改成{S} | {S} | 一样的，但要{S} | 请{S} | 要{S} | 版式改为{S} | 现在{S} | 试试{S} | 我要{S}"
            " | 布局：{S} | 变成{S} | 换成{S} | 做一下：{S}"
        ),
        "combine_thing": (
            "把第二张图的{O}放到第一张上 | 第一张加上第二张的{O} | 将图二的{O}加到图一 | 用第一张，加第二张的{O}"
            " | 合并：第一张和第二张的{O} | 从第二张拿{O}放进第一张 | 第二张的{O}放到第一张 | 图一加图二的{O}"
            " | 把图二的{O}画到图一上 | 图一里放图二的{O} | 合成：第一张加第二张的{O} | 把第二张里的{O}移到第一张"
            " | 第一张不变，加上第二张的{O}"
        ),
        "combine_text": (
            "把第二张的文字写到第一张上 | 第一张用第二张的文字 | 将图二的文字放到图一 | 图一，文字用图二的"
            " | 用第二张的字替换第一张的字 | 把两张合并，文字取第二张"
        ),
        "combine_background": (
            "第一张用第二张的背景 | 把第一张的背景换成第二张的 | 图一，背景用图二的 | 将图二的背景用到图一"
            " | 背景取第二张，其他取第一张 | 第一张放在第二张的背景上"
        ),
        "frame": (
            "加一个框 | 加边框 | 四周加框 | 请加边框 | 给它加个边框 | 要有边框 | 画一个边框 | 周围加一圈框"
            " | 带上边框 | 用框框起来"
        ),
        "remove_structure": (
            "去掉{S} | 不要{S} | 删除{S} | 把{S}去掉 | 移除{S} | 没有{S} | 拿走{S} | 取消{S} | 把{S}删了"
            " | 请去掉{S}"
        ),
        "remove_style": (
            "去掉{S} | 不要{S} | 没有{S} | 取消{S} | 请去掉{S} | 把{S}去掉 | 用纯色，不要{S} | 删除{S} | 不用{S}"
            " | 移除{S}"
        ),
        "face": (
            "用{F} | 字体改成{F} | 换成{F} | 文字用{F} | 字体换成{F} | 请用{F}写 | 改用{F} | 把字体改为{F}"
            " | 要{F} | 写成{F}"
        ),
    }.items()
}  # fmt: skip
CHINESE_PREFIXES = parts(
    "请 | 现在 | 麻烦 | 好，现在 | 能不能 | 然后 | 再帮我 | 劳驾 | 接下来 | 请帮我 | 好的， | 接着 | 麻烦再"
)
CHINESE_SUFFIXES = parts(
    "，其他不变 | ，其余保持不变 | ，别的不要动 | ，谢谢 | 。其他都一样 | ，其他保留 | ，剩下的不变"
    " | 。其余保留 | ，别动其他的 | ，保持其余内容"
)
