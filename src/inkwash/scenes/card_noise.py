"""What people write around a prompt that means nothing here: style talk, camera talk, chat, unknown things, negations.

None of it names a colour, a style, a structure or a thing that a card can have. Each list is split into train and
held-out like the sentence forms.
"""

from __future__ import annotations

from inkwash.scenes.card_genre import parts

TAGS = parts(
    "photorealistic | hyperrealistic | 35mm | 85mm lens | bokeh | shallow depth of field | pastel colours"
    " | elegant | grunge"
    " | vintage | minimalist | minimal | 4k | 8k | trending on artstation | soft lighting | golden hour"
    " | studio light | cinematic"
    " | modern | retro | playful | cute | clean design | high quality | highly detailed | masterpiece | award winning"
    " | professional | luxurious | rustic | art deco | art nouveau | bauhaus | watercolour | oil painting"
    " | charcoal drawing"
    " | vector art | isometric | low poly | 3d render | octane render | unreal engine | vaporwave | cyberpunk"
    " | steampunk"
    " | kawaii | hand drawn look | whimsical | dreamy | moody | dramatic lighting | warm tones | cool tones"
    " | muted colours"
    " | vivid colours | vibrant | harmonious colours | friendly | festive | romantic | cheerful | bold typography"
    " | elegant typography | beautiful typography | centered composition | lots of empty space | symmetrical"
    " | balanced layout"
    " | print ready | a4 | 300 dpi | instagram post | square format | wide format | portrait format"
    " | sharp focus | ultra hd"
    " | film grain | polaroid look | analog photo | f/1.8 | iso 100 | canon eos | wide angle | macro shot | aerial view"
    " | depth | glossy | matte finish | embossed look | letterpress | screen print | risograph | collage style"
    " | pop art"
    " | swiss style | scandinavian style | japanese style | mid-century modern | seventies look | 90s aesthetic | y2k"
    " | corporate | handmade feel | kid friendly | timeless | stylish | fancy | classy | cozy mood | airy | fresh look"
    " | eye-catching | artsy | edgy | high contrast | crisp | polished | best quality | no noise, sharp"
    " | made with love"
    " | editorial style | flat lay | behance | dribbble | pinterest style | creative | unique | simple but nice"
)
BEFORE = parts(
    "Hi! | Hello there. | Hey, quick question. | Good morning! | I hope you can help me."
    " | I'm organising something for work."
    " | My printer needs this by tonight. | You are a professional designer. | Act as a graphic designer."
    " | New request!"
    " | This is a test. | Let me describe what I have in mind. | We tried this last year and it went well."
    " | My daughter asked for it. | I have no talent for drawing, so here it goes. | Please read carefully."
    " | Ok, next one."
    " | Something for the office. | It is for a friend of mine. | The budget is tight, so keep it easy. | Task:"
    " | Here is what I need. | I saw something like this online. | First try. | Surprise me a bit, but not too much."
    " | The event is next week. | Our club turns ten this year. | I'm new to this. | Dear assistant, | Image request:"
    " | A beautifully made piece in a modern editorial look, themed around good taste."
    " | An award-winning composition with refined details and a calm mood."
    " | Imagine you walk through a little town in summer and see this in a window."
    " | The scene has a warm atmosphere, as if taken on a quiet afternoon."
    " | Picture a cozy studio where somebody has just finished this piece."
)
AFTER = parts(
    "Thanks! | Thank you so much. | Make it look great. | It should look professional. | Keep it simple. | Surprise me."
    " | The mood is calm and friendly. | Think of a sunny afternoon. | It will hang in our hallway."
    " | We will print it on A3."
    " | People should be happy to see it. | Nothing too loud. | Make sure it is easy to read. | High quality, please."
    " | The style should feel modern. | As if made by a famous designer. | It is for someone special."
    " | Soft shadows and gentle light."
    " | The composition is balanced and pleasing. | I trust your taste. | Let me know if anything is unclear."
    " | No rush."
    " | The typography is crisp and well spaced. | Everything is in focus. | Shot on film with natural light."
    " | The overall feeling is festive but relaxed. | It should appeal to adults and kids alike. | Please be creative."
    " | The viewer should feel at ease. | It has a timeless quality, with subtle details that reward a second look."
    " | Rendered with great care, every detail in its place. | The result should be ready to post. | Cheers!"
    " | This would make my day. | Don't overdo it. | Think of the good old days. | Quality over quantity."
)
NEGATIONS = parts(
    "no watermark | no people | no logo of yours | no blurry letters | no other text | no spelling mistakes"
    " | no shadows"
    " | without people | nothing else | no extra words | no clutter | not too busy | no signature | avoid clutter"
    " | no distorted letters | don't add other words | no misspelled words | no photo, please | without any person"
)
UNKNOWN = parts(
    "an old fisherman | a woman with a scarf | a castle | a dragon | a crowd of dancers | a jazz trio | a wooden table"
    " | a busy street | a harbour | a knight | a wizard | two children playing | a barista | a squirrel"
    " | a giraffe | an elephant"
    " | a kangaroo | a hedgehog | a lighthouse | a skyline | a waterfall | a raspberry tart | a bowl of olives"
    " | a violin"
    " | a typewriter | a sofa | a marble statue | a vase | a windmill | a fountain | a bridge | a stadium | a peacock"
    " | a flamingo | a swan | a mermaid | an astronaut | a pirate | a samurai | a grandmother knitting | a market stall"
    " | a swimming pool | a bathtub | a feather | a compass | a hot air vessel | a sewing machine"
    " | a skateboard | a hammock"
)
UNKNOWN_FORMS = (
    "with {u} in the background",
    "in the distance {u}",
    "{u} nearby",
    "next to {u}",
    "in front of {u}",
    "and {u}",
    "somewhere {u}",
    "inspired by {u}",
    "maybe {u}",
    "with {u}",
)
LONG = (
    "A beautifully designed {g} in a modern editorial style, with a warm atmosphere and a sense of calm.",
    "This {g} is made with great attention to detail and a feeling for space and rhythm.",
    "An elegant {g}, composed like a page of a fine magazine, with soft light and delicate shadows.",
    "The {g} has a friendly look that invites people to come closer and read.",
    "A professional {g} with a clear hierarchy, generous margins and carefully chosen typography.",
    "Imagine a {g} that you would find in a small studio, made by somebody who loves good design.",
    "The whole thing feels light, fresh and honest, like a quiet morning in late spring.",
    "A high resolution {g} with crisp edges, natural materials and a pleasing balance of shapes and space.",
    "It captures the spirit of the season without being loud, and it stays in your memory.",
    "There is something honest about it, like a letter from an old friend.",
    "It looks as if it had been made a long time ago and kept with care.",
    "The light is gentle, the mood is open, and the eye finds rest.",
    "The design draws on classic print culture and gives it a contemporary touch.",
)
SCENES = (
    "In the background, {u} can be seen, slightly out of focus.",
    "On one side stands {u}, lit by the evening sun.",
    "The viewer's eye is first drawn to {u}.",
    "Behind it one can make out {u}, painted with loose strokes.",
    "Far away there is {u}, half hidden in the mist.",
    "A camera at eye level captures {u} and the quiet street around it.",
    "Next to it, {u} adds a touch of humour.",
    "It reminds me of {u}.",
    "Everything takes place around {u}, with long soft shadows.",
    "The foreground shows {u}, with every detail in sharp focus.",
    "Passers-by stop and look, and somebody points at {u}.",
    "Through a window you see {u}.",
)
ZH_TAGS = parts(
    "高清 | 写实 | 极简 | 复古 | 可爱风格 | 简约 | 时尚 | 电影感 | 柔和光线 | 手绘感 | 治愈系 | 商务风 | 国潮风"
    " | 4k | 细节丰富"
    " | 专业设计 | 大气 | 清新 | 高级感 | 扁平插画 | 水彩风 | 写真 | 浅景深 | 居中构图 | 留白 | 吸引人 | 超清"
    " | 温馨 | 明亮 | 质感好"
)
ZH_BEFORE = parts(
    "你好！ | 请帮个忙。 | 你是一名设计师。 | 我们公司要用。 | 下周有活动。 | 任务： | 送给朋友的。"
    " | 第一次用。 | 给孩子做的。 | 急用！"
)
ZH_AFTER = parts(
    "谢谢！ | 要好看一点。 | 尽量简单。 | 质量高一些。 | 不要太复杂。 | 清楚易读就好。 | 给人温暖的感觉。"
    " | 打印用。 | 要有设计感。 | 拜托了！"
)
ZH_NEGATIONS = parts(
    "不要水印 | 不要人物 | 不要别的文字 | 没有错别字 | 不要多余的东西 | 没有其他文字 | 不要照片 | 不要多余文字"
)
ZH_LONG = (
    "这是一张精心设计的{g}，氛围温馨，光线柔和。",
    "整体风格现代而优雅，构图平衡，细节丰富。",
    "让人看了心情愉快，像一个安静的早晨。",
    "画面干净，主题突出。",
    "像是一位老朋友寄来的信。",
    "{g}的版式清晰，留白充足，字体讲究。",
)
EU_TAGS = {
    "de": parts(
        "modern | elegant | hochwertig | schlicht | fröhlich | fotorealistisch | im Retro-Stil | druckfertig"
        " | edel | verspielt"
    ),
    "fr": parts(
        "moderne | élégant | haute qualité | style rétro | photoréaliste | minimaliste | festif | sobre"
        " | joyeux | soigné"
    ),
    "es": parts(
        "moderno | elegante | alta calidad | estilo retro | fotorrealista | minimalista | alegre | festivo"
        " | sencillo | bonito"
    ),
}
