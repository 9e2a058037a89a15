"""Sentence forms of questions about cards, English and Chinese, by what they ask for.

{A} is a thing with its article, {O} a thing, {S} its plural, {W} a text, {P} a place, {G} the panel of a structure.
"""

from __future__ import annotations

from collections.abc import Mapping

ENGLISH: Mapping[str, tuple[str, ...]] = {
    "read_all": (
        "What does it say?", "Read the text in this picture.", "What is written here?", "What text is on this card?",
        "Please read everything that is written.", "Transcribe all texts.", "what does the picture say",
        "Which texts does it show?", "Read it to me.", "Tell me every text on this picture.", "Read this card.",
        "Can you read this?", "What words are on it?", "What is the wording?", "Give me all the text.",
        "Write down what is written.", "What can be read on this poster?", "What does the sign say?", "Text?",
        "List every text.", "OCR this picture.", "What's written on the image?", "Extract the text.",
        "Read the words out, please.",
    ),
    "read_one": (
        "What does the text {P} say?", "Read the text {P}.", "What is written {P}?", "What stands written {P}?",
        "Which words are {P}?", "Transcribe the text {P}.", "What can you read {P}?", "what does it say {P}",
        "Tell me what is written {P}.", "Which text do you see {P}?", "Only the text {P}, please.",
        "The text {P}: what does it say?",
    ),
    "read_title": (
        "What is the title?", "Read the title.", "What does the heading say?", "Which headline does it have?",
        "What is the first line about, word for word?", "Give the heading.", "what's the title",
        "Read the headline.", "What does the uppermost text say?", "Read the first text.", "What is the top text?",
        "Title?",
    ),
    "things": (
        "Which things are there?", "What things do you see?", "Name the things in this picture.",
        "Which pictures are on the card?", "What is drawn here, text not counted?", "What objects are there?",
        "List the things.", "What objects can you see?", "what things are in the picture", "Name all objects.",
        "Which objects does it show?", "What is pictured besides the words?", "Which drawings do you see?",
        "Tell me which things you can see.", "What icons are there?", "Which emoji can be seen?",
        "What is depicted?", "Which symbols does the card have?",
    ),
    "count_one": (
        "How many {S} are there?", "How many {S} do you see?", "Count the {S}.", "how many {S}",
        "What is the number of {S}?", "How many {S} does the picture show?", "How many {S} can you count?",
        "Tell me how many {S} there are.", "How many {S} are in this picture?", "Number of {S}?",
        "How many {S} are on the card?", "Please count the {S}.", "Give the number of {S}.",
        "How many {S} have been drawn?",
    ),
    "count_all": (
        "How many things are there?", "Count the things.", "How many pictures are on it, text not counted?",
        "How many objects are there in total?", "What is the number of things?", "How many things can you see?",
        "how many objects do you see", "How many things does the card show altogether?", "Count all objects.",
        "How many drawings are there?", "Tell me how many things there are.", "Total number of things?",
        "How many items are drawn?",
    ),
    "count_texts": (
        "How many texts are there?", "Count the texts.", "How many separate texts does it have?",
        "In how many places is something written?", "What is the number of texts?",
        "How many text blocks do you see?", "how many texts", "How many different texts are on the card?",
        "Tell me how many texts there are.", "How many pieces of text can you see?", "Number of texts?",
        "Give the number of texts.",
    ),
    "background": (
        "What colour is the background?", "Which color does the background have?", "Name the background colour.",
        "what color is the background", "What is the colour of the background?", "Background color?",
        "What colour is behind it all?", "In which colour is the background?", "Tell me the background colour.",
        "Which colour was chosen for the background?", "On what colour is it?", "What is the background color here?",
        "What ground colour does the picture have?",
    ),
    "panel": (
        "What colour is the {G}?", "Which color does the {G} have?", "Name the colour of the {G}.",
        "what color is the {G}", "The {G} has which colour?", "What is the {G}'s colour?", "Colour of the {G}?",
        "In which colour is the {G}?", "Tell me the color of the {G}.", "Of what colour is the {G}?",
        "What shade is the {G}?", "Say which colour the {G} has.", "What color was the {G} given?",
    ),
    "text_color": (
        'What colour is "{W}"?', 'Which color does the text "{W}" have?', 'In what colour is "{W}" written?',
        'what color is "{W}"', 'Name the colour of "{W}".', 'What colour are the letters of "{W}"?',
        'The text "{W}" is of which colour?', 'Tell me the color of "{W}".', 'Colour of "{W}"?',
        '"{W}" is written in which color?', 'What is the colour of "{W}"?', 'Which colour have the words "{W}"?',
        'Say the colour of "{W}".',
    ),
    "shape_color": (
        "What colour is the {O}?", "Which color does the {O} have?", "Name the colour of the {O}.",
        "what color is the {O}", "In what colour is the {O} drawn?", "The {O} is of which colour?",
        "What is the color of the {O}?", "Tell me the colour of the {O}.", "Colour of the {O}?",
        "Of which colour is the {O}?", "Say the color of the {O}.", "What colour does the {O} have?",
    ),
    "where_thing": (
        "Where is the {O}? Answer with a box in thousandths.", "Give the box of the {O} in thousandths.",
        "Where is the {O}?", "Locate the {O}.", "where is the {O}", "Find the {O} and give its box.",
        "Point out the {O} with a box.", "Give the bounding box of the {O}.", "In which box is the {O}?",
        "Where do you see the {O}?", "Box of the {O}, please.", "Show me where the {O} is.",
        "Help me to locate the {O} in the image and give me its bounding boxes.",
        "Give the coordinates of the {O} in thousandths.",
    ),
    "where_text": (
        'Where is the text "{W}"? Answer with a box in thousandths.', 'Give the box of "{W}" in thousandths.',
        'Where is "{W}"?', 'Locate "{W}".', 'where does it say "{W}"', 'Find "{W}" and give its box.',
        'Point out "{W}" with a box.', 'Give the bounding box of "{W}".', 'In which box is "{W}" written?',
        'Where do you read "{W}"?', 'Box of "{W}", please.', 'Show me where "{W}" is written.',
        'Help me to locate "{W}" in the image and give me its bounding boxes.',
        'Give the coordinates of "{W}" in thousandths.',
    ),
    "exists": (
        "Is there {A}?", "Can you see {A}?", "Do you see {A}?", "Does the picture show {A}?", "is there {A} in it",
        "Is {A} in the picture?", "Are there any {S}?", "Do you see any {S}?", "Tell me whether there is {A}.",
        "Can {A} be seen anywhere?", "Does the card have {A}?", "Any {S}?", "Is there {A} on this picture?",
        "Are {S} shown?", "Does it show any {S}?",
    ),
    "structure": (
        "What kind of picture is this?", "What is the text written on?", "Which kind of layout is it?",
        "What form does this picture have?", "what kind of card is it", "How is the picture built?",
        "What frames or carries the text?", "Name the kind of layout.", "What sort of design is it?",
        "Which structure does the card have?", "What type of picture do you see?",
        "Is it a sign, a menu, a ticket ...?",
    ),
    "style": (
        "What style does the background have?", "Is the background plain or patterned?", "Describe the pattern.",
        "Which pattern does the background have?", "what pattern is behind the text",
        "How is the background styled?", "Name the style of the background.",
        "What does the background's surface look like?", "Tell me the background's style.",
        "Which texture has the background?", "In what style is the ground drawn?",
        "What is the background's pattern?",
    ),
    "describe": (
        "What is on this picture?", "Describe this picture.", "What do you see?", "Describe the image.",
        "What does the image show?", "what is this", "Tell me about this picture.", "What's in the picture?",
        "Describe the card.", "Give a description.", "Explain what you see.", "What can be seen here?",
        "Please describe this image.", "Caption this.", "Can you describe it?", "What is shown?",
        "Describe what is on the card.", "What is in this image?",
    ),
}  # fmt: skip
CHINESE: Mapping[str, tuple[str, ...]] = {
    "read_all": (
        "上面写了什么？", "图里写着什么？", "请读出图中的文字。", "图片上有哪些文字？", "写的是什么？",
        "读一下文字。", "把图中的文字抄下来。", "上面有什么字？", "请识别图中文字。", "这张图写了什么",
        "念一下上面的字。", "图上的字是什么？",
    ),
    "read_one": (
        "{P}写了什么？", "{P}的文字是什么？", "请读出{P}的文字。", "{P}写着什么？", "{P}有什么字？",
        "读一下{P}的字。", "{P}的字是什么？", "告诉我{P}写了什么。", "{P}的内容是什么？", "{P}是哪些字？",
        "识别{P}的文字。", "把{P}的字抄下来。",
    ),
    "read_title": (
        "标题是什么？", "请读出标题。", "标题写了什么？", "最上面的文字是什么？", "第一行文字是什么？",
        "大标题是什么", "读一下标题。", "标题写着什么？", "最上面写了什么？", "告诉我标题。", "这张图的标题是什么？",
        "标题的内容是什么？",
    ),
    "things": (
        "图里有什么东西？", "图中有哪些物品？", "画了什么？", "有哪些图案？", "除了文字还有什么？",
        "你看到哪些东西？", "列出图中的物品。", "上面画着什么？", "图中有什么图案", "有什么物体？",
        "说出图中的东西。", "图上有哪些小图？",
    ),
    "count_one": (
        "有几{M}{O}？", "图里有几{M}{O}？", "数一数{O}。", "有多少{M}{O}？", "{O}有几{M}？", "{O}有多少？",
        "图中有多少{M}{O}？", "一共有几{M}{O}？", "你看到几{M}{O}？", "{O}的数量是多少？", "画了几{M}{O}",
        "请数一下{O}。",
    ),
    "count_all": (
        "一共有几个东西？", "图里有多少个物品？", "数一数所有的东西。", "共有多少个图案？", "有几个物体？",
        "物品有多少个？", "图案一共几个？", "总共画了几个东西？", "有多少个东西", "图中物品的总数是多少？",
        "你看到几个物品？", "请数一下物品。",
    ),
    "count_texts": (
        "有几段文字？", "一共有几处文字？", "图中有多少段文字？", "文字有几段？", "有几处写了字？",
        "数一数有几段文字。", "有多少处文字？", "你看到几段文字？", "文字一共几处？", "有几段字",
        "文字的段数是多少？", "请数一下文字。",
    ),
    "background": (
        "背景是什么颜色？", "背景是什么颜色的？", "底色是什么？", "背景色是什么？", "说出背景的颜色。",
        "背景用了什么颜色？", "背景颜色", "图的底色是什么颜色？", "背景是哪种颜色？", "告诉我背景的颜色。",
        "这张图的背景是什么颜色？", "底是什么颜色的？",
    ),
    "panel": (
        "{G}是什么颜色？", "{G}是什么颜色的？", "{G}的颜色是什么？", "说出{G}的颜色。", "{G}用了什么颜色？",
        "{G}是哪种颜色？", "{G}什么颜色", "告诉我{G}的颜色。", "{G}的颜色是哪种？", "图里的{G}是什么颜色？",
        "请说{G}的颜色。", "{G}用的是什么颜色？", "{G}有什么颜色？",
    ),
    "text_color": (
        "“{W}”是什么颜色？", "“{W}”是什么颜色的？", "“{W}”的颜色是什么？", "“{W}”用了什么颜色？",
        "文字“{W}”是哪种颜色？", "说出“{W}”的颜色。", "“{W}”什么颜色", "告诉我“{W}”的颜色。",
        "“{W}”这些字是什么颜色？", "“{W}”是用什么颜色写的？", "请说“{W}”的颜色。", "“{W}”的字色是什么？",
    ),
    "shape_color": (
        "{O}是什么颜色？", "{O}是什么颜色的？", "{O}的颜色是什么？", "说出{O}的颜色。", "{O}用了什么颜色？",
        "{O}是哪种颜色？", "{O}什么颜色", "告诉我{O}的颜色。", "图里的{O}是什么颜色？", "请说{O}的颜色。",
        "{O}有什么颜色？", "{O}的颜色是哪种？",
    ),
    "where_thing": (
        "{O}在哪里？", "{O}在哪里？请用千分位坐标框回答。", "找出{O}的位置。", "给出{O}的坐标框。",
        "{O}的位置在哪？", "框出{O}。", "请定位{O}。", "{O}在什么位置？", "{O}在哪", "用框标出{O}。",
        "告诉我{O}的坐标。", "{O}位于哪里？", "{O}的边框是多少？",
    ),
    "where_text": (
        "“{W}”在哪里？", "“{W}”在哪里？请用千分位坐标框回答。", "找出“{W}”的位置。", "给出“{W}”的坐标框。",
        "“{W}”的位置在哪？", "框出“{W}”。", "请定位“{W}”。", "“{W}”在什么位置？", "“{W}”在哪",
        "用框标出“{W}”。", "告诉我“{W}”的坐标。", "“{W}”写在哪里？",
    ),
    "exists": (
        "有{O}吗？", "图里有{O}吗？", "能看到{O}吗？", "有没有{O}？", "图中有没有{O}？", "你看到{O}了吗？",
        "上面有{O}吗？", "画了{O}吗？", "有{O}吗", "这张图里有没有{O}？", "看得到{O}吗？", "是否有{O}？",
    ),
    "structure": (
        "这是什么样的图？", "文字写在什么上面？", "这张图是什么形式？", "这是哪种版式？", "图的结构是什么？",
        "字写在哪里，什么样的底板？", "这是什么版式", "说出这张图的形式。", "是哪种设计？", "这张卡片是什么样式？",
        "这是什么类型的图？", "版式是什么？",
    ),
    "style": (
        "背景是什么风格？", "背景有什么花纹？", "背景是纯色吗，还是有花纹？", "背景的样式是什么？",
        "背景有什么图案？", "底纹是什么？", "背景什么花纹", "说出背景的风格。", "背景的纹理是什么？",
        "告诉我背景的样式。", "背景是什么样的？", "背景是哪种花纹？",
    ),
    "describe": (
        "图里有什么？", "描述这张图片。", "你看到了什么？", "这是什么？", "请描述一下图片。", "这张图上有什么？",
        "介绍一下这张图。", "图片的内容是什么？", "说说图里的内容。", "描述一下", "图上都有什么？", "请说明这张图。",
    ),
}  # fmt: skip
