"""Chinese nouns and texts of the genres. The texts use the characters of `words.characters()`, digits and signs only.

Slots: {w} a word, {c} made-up characters, {n} a number, {y} a year, {t} a time, {p} a price.
"""

from __future__ import annotations

from inkwash.scenes.card_genre import parts

ZH_NOUNS: dict[str, tuple[str, ...]] = {
    name: parts(nouns)
    for name, nouns in {
        "birthday": "生日贺卡 | 生日卡片", "party": "派对邀请函 | 聚会海报", "wedding": "婚礼请柬 | 结婚请帖",
        "thank_you": "感谢卡 | 谢卡", "baby": "宝宝贺卡 | 满月卡", "christmas": "圣诞贺卡 | 圣诞卡片",
        "new_year": "新年贺卡 | 春节海报", "halloween": "万圣节海报", "easter": "复活节卡片",
        "valentine": "情人节卡片 | 情书卡片", "mothers_day": "母亲节贺卡", "get_well": "慰问卡",
        "graduation": "毕业贺卡 | 毕业海报", "postcard": "明信片", "welcome": "欢迎牌 | 欢迎横幅",
        "coupon": "优惠券 | 代金券", "award": "奖状 | 获奖横幅", "letter": "字母卡片 | 单字标志",
        "quote": "励志海报 | 格言海报", "weather": "天气卡片", "todo": "待办清单 | 购物清单", "animals": "动物卡片",
        "menu": "菜单 | 餐厅菜单", "cafe_board": "咖啡馆黑板 | 小黑板菜单", "recipe": "菜谱 | 食谱卡片",
        "bakery": "面包店招牌", "stand": "小摊招牌", "sign": "招牌 | 门牌 | 标牌", "warning": "警告牌 | 禁止标志",
        "directions": "路牌 | 指示牌", "hours": "营业时间牌", "shop": "店铺海报 | 橱窗海报",
        "sale": "促销海报 | 打折海报", "price_tag": "价格标签 | 价签", "jar": "果酱标签 | 瓶子标签",
        "garage_sale": "旧货市场海报", "market": "农贸市场海报", "lost_pet": "寻猫启事 | 寻狗启事",
        "notice": "通知 | 公告", "school": "学校海报 | 班级海报", "ticket": "门票 | 入场券 | 车票",
        "concert": "音乐会海报 | 演唱会海报", "movie": "电影海报", "travel": "旅行海报 | 旅游海报",
        "sports": "运动会海报 | 比赛海报", "book": "书的封面 | 图书封面", "magazine": "杂志封面",
        "slide": "幻灯片 | 演示文稿", "infographic": "信息图 | 示意图", "web_banner": "网站横幅 | 网页广告",
        "channel": "频道横幅", "web_page": "网页 | 应用界面", "logo": "标志 | 店铺标志", "business_card": "名片",
        "speech": "漫画 | 对话气泡", "tshirt": "T恤图案", "sticker": "贴纸", "album": "专辑封面",
        "headline": "新闻横幅 | 标题横幅", "plain_poster": "海报 | 图片 | 卡片 | 横幅",
    }.items()
}  # fmt: skip

ZH_TEXTS: dict[str, tuple[str, ...]] = {
    name: parts(texts)
    for name, texts in {
        "birthday": (
            "生日快乐 | 生日快乐! | 祝你生日快乐 | {c}生日快乐 | 今天{n}年 | 天天快乐 | 好友生日"
            " | 祝爸爸生日快乐 | {c}, 生日快乐! | {n}周年快乐"
        ),
        "party": "欢乐周末 | 今晚有舞会 | 音乐晚会 | 晚上{t} | 春节晚会 | 今晚舞会 | 周末茶会 | 欢快{c}",
        "wedding": "{y}年{n}月{n}日 | 相亲相爱 | 相爱一生 | 祝福新人 | {c}&{c}",
        "thank_you": "谢谢老师 | 谢谢你, {c} | 谢谢妈妈 | 谢谢! | 谢谢好友 | {w}谢谢你",
        "baby": "健康平安 | {y}年{n}月 | 祝福小{c} | 平安健康 | 小羊{c}",
        "christmas": "圣诞快乐 | 祝圣诞快乐 | {y}年12月 | 圣诞树 | 雪人 | 祝福{c}",
        "new_year": "新年快乐 | 万事如意 | 恭喜发财 | {y}年大吉 | 红包 | 春节快乐 | 恭喜新年",
        "halloween": "小心{w} | 小心黑猫 | 万圣晚会",
        "easter": "彩蛋 | 彩蛋{n} | 春日花开 | 小兔子",
        "valentine": "相爱一生 | 花好月圆 | 爱{c} | 一生相爱 | 玫瑰花",
        "mothers_day": "母亲节快乐 | 谢谢妈妈 | 祝妈妈健康 | 爱妈妈",
        "get_well": "早日健康 | 祝你平安 | 好好休息 | {c}加油",
        "graduation": "毕业快乐 | 学业有成 | {y}年毕业 | 大学{y} | 祝{c}成功",
        "postcard": "来自{c} | 旅行快乐 | 风景如画 | 海阳光{c} | 金色沙滩 | 夏日{c}",
        "welcome": "欢迎朋友 | 你好{c} | 请进 | 欢迎 | 请进{c} | 喜迎好友",
        "coupon": "免费{w} | {n}元优惠 | 全场{n}折 | 会员优惠 | 兔年大礼 | 送{w} | {p}优惠",
        "award": "喜报{c}",
        "letter": "{x} | {x}{x}",
        "quote": "努力学习 | 天天向上 | 心想事成 | 一步一步 | 行动有力 | 日日新 | 爱和平 | 活出{c}",
        "weather": "今天有雨 | 大风 | {w}有雪 | 有雨 | 雪 -{n} | 明日大雨 | 风{n}",
        "todo": "买{w} | 写作业 | 交电费 | 打电话{c} | 健身{n} | 学习{w}",
        "animals": "小猫{c} | 爱动物 | 快乐熊猫 | 大熊猫{c} | 小鸟{c}",
        "menu": (
            "面条 {p} | 饺子 {p} | {w} {p} | 热汤 {n}元 | 今日午餐 | {c}餐馆 | 红茶{p} | 米饭{n}元 | 羊汤{p}"
            " | 鱼饭 {p} | 早餐{t}"
        ),
        "cafe_board": "咖啡 {p} | 今日{w} | 奶茶{n}元 | 果汁 {p} | 热可可 {p}",
        "recipe": "牛奶{n}0 | {w}蛋糕 | {c}汤 | 奶油{n}0 | {w}和{w}",
        "bakery": "面包 {p} | 早上{t} | {c}饼店 | 热面包{n}元 | {w}饼 {p}",
        "stand": "果汁{n}元 | 西瓜 {p} | 草莓 | 冰水 {p} | 清水{n}元 | {c}果 {p}",
        "sign": "营业中 | 入口 | 出口 | 请进 | 休息 | {c}商店 | {w}馆 | 休息{t} | 有人 | 出租",
        "warning": "禁止{w} | 小心{c} | 请勿{c} | 危险 | 注意安全 | 请勿停车 | 禁止通行 | 请勿打扰{c}",
        "directions": "向前{n}步 | 车站 | 公园入口 | 向北{n} | 地铁{c} | 北门",
        "hours": "营业时间 | {t}-{t} | 星期{n} {t} | 上午{t} | 周末休息",
        "shop": "新品上市 | {c}花店 | 来{w}, 有优惠 | {c}书店 | 新品{w}",
        "sale": "大优惠 | 全场{n}折 | 买{n}送{n} | {w}{n}折 | 会员{n}折 | 优惠{n}% | 打{n}折 | 今日{w}",
        "price_tag": "{p} | {n}元 | {w} {p} | 今日{n}元 | 优惠{p} | 会员{n}元",
        "jar": "{w}茶 | {n}克 | {y}年 | 蓝莓{c} | 绿茶{n}克 | 有机{w}",
        "garage_sale": "周日{t} | {c}市场 | 全场{n}元 | 星期日{t}",
        "market": "水果 {p} | 周末{t} | {c}果园 | 有机{w} | 葡萄{n}元",
        "lost_pet": "小狗{c} | 电话{n}{n}{n} | 小猫{c} | 黑白小狗 | {c}, {n}元",
        "notice": "通知 | 明天停水 | {t}开会 | {n}日停电 | 会议时间{t} | 请保持安静 | 会议{t} | 限行{n}日",
        "school": "好好学习 | 科学节 | 读书周 | 期末考试 | {n}年{c} | 英语{w} | 作业{n}",
        "ticket": "入场票 | {w}馆 | 票价{p} | {c}-{c} | 入场{t} | {n}元票",
        "concert": "{w}音乐会 | {t}开场 | 票价{p} | 星光音乐",
        "movie": "星球{c} | 大{w}, 小{w} | {c}{y}",
        "travel": "美丽{w} | {n}日游 | 发现{c} | 云上{c} | {w}旅行 | 海上{c} | {w}假期",
        "sports": "加油{c} | {n}:{n} | {t}开赛 | 篮球{c} | 长跑{n} | {c}比赛",
        "book": "{c} | {w}和{w} | 花园{w}",
        "magazine": "{w}生活 | 艺术{c} | {y}年{n}月",
        "slide": "{w}+{w} | {y}年{c} | 动力{n}%",
        "infographic": "{n}%{w} | 阳光 | {w}{n}步 | 阳光和水 | 花{n}%",
        "web_banner": "免费{n}天 | 全新{w} | 会员{p} | 今天{w} | 新年{c} | 打字{n}",
        "channel": "{n}月{w}",
        "web_page": "读{w} | 你好, {c} | 信息{w} | 会员",
        "logo": "{c} | {c}茶 | {w} | {w}{w} | 小{w}",
        "business_card": "{c} | 设计师 | 电话{n}{n}{n}{n} | 会计{c} | {c}教师 | {c}设计 | 电话{n}{n}",
        "speech": "你好! | 再见… | 你好{c}! | 小心! | 好吃! | {w}?",
        "tshirt": "{c} | 爱{w} | {c}{n} | 自由{c}",
        "sticker": "{w}! | 加油! | {n}分 | {c} | 好{w}",
        "album": "{c} | 夏日{c} | {n}月{w} | 青春{c}",
        "headline": "今日{w} | 大{c} | 喜报! | {w}和{w}",
        "plain_poster": "{w} | {c} | {w}{w} | {w}, {w} | {c}{n} | {n}{w} | {w}! | {w} {w}",
    }.items()
}  # fmt: skip

ZH_PATTERNS = (
    "{w}", "{c}", "{w}{w}", "{c}{c}", "{w}, {w}", "{w}!", "{c}?", "{n}{w}", "{w}{n}", "{n}%{c}", "{c} {p}", "{w}: {c}",
    "{w}-{w}", "{c}/{c}", "{w}&{w}", "({c})", "No.{n} {c}", "{c}…", "#{c}", "{c} {t}", "{c} {c}",
)  # fmt: skip
