"""Genres that hang or lie where people eat, buy, learn and go: menus, signs, labels, tickets."""

from __future__ import annotations

from inkwash.scenes.card_genre import genre

genre(
    "menu",
    "menu | restaurant menu | lunch menu | dinner menu | menu card",
    "Menu | MENU | Lunch | Today's menu | Chez {name} | Speisekarte | Trattoria {name} | The {w} Kitchen"
    " | Dinner at {place}",
    "Soup {price} | Salad {price} | Fish & chips {price} | {w} pie {price} | Crème brûlée {price}"
    " | Käsespätzle {price} | Burger {price} | Ramen {price} | Pizza {w} {price} | Iced tea {price}"
    " | Paella {price} | Omelette {price} | Jalapeño fries {price} | Curry of the day {price}"
    " | Tofu bowl {price} | Kids' plate {price}",
    "Open daily {time} | Ask for our {w} | Service included | cash only | Table {n}",
    things="pizza | burger | coffee | cake | cooking pot | fish | wine | plate | ice cream | bread | lemon",
    colors="cream | white | black | brown | green | navy",
    structures="menu",
)  # fmt: skip

genre(
    "cafe_board",
    "chalkboard menu | café chalkboard | chalkboard",
    "Coffee time | Today: {w} | Espresso yourself | Hot {w} | Cake of the day | Soup of the day",
    "Latte {price} | Espresso {price} | Chai {price} | {w} muffin {price} | Flat white {price}"
    " | Hot cocoa {price} | first coffee, then {w}",
    "refills {price} | Wi-Fi: {w}{n} | oat milk +{price}",
    things="coffee | bread | cake | cookie | donut | tea",
    colors="brown | cream | teal | green | white",
    structures="chalkboard",
)  # fmt: skip

genre(
    "recipe",
    "recipe card | recipe | recipe page | cooking card",
    "{name}'s {w} cake | Pancakes | Grandma's apple pie | Banana bread | Tomato soup | Lemon tart"
    " | {w} cookies | Quick {w} salad",
    "{n}0g flour | {n} eggs | {n}0g sugar | 1 pinch of {w} | Butter {n}0g | {n} ripe bananas"
    " | Milk {n}0ml | stir {n} times",
    "Bake {n} min | serves {n} | Oven: {n}0 C | ready in {n} min",
    things="egg | cake | lemon | strawberry | banana | bread | cookie | tomato | apple",
    colors="cream | white | light green | yellow | pink",
    structures="paper",
)  # fmt: skip

genre(
    "bakery",
    "bakery sign | sign for a bakery | bakery poster",
    "Fresh rolls | Hot bagels | {name}'s bakery | Warm pretzels | Pain au chocolat | Bäckerei {name}"
    " | DAILY BREAD | The {w} Oven",
    "baked at {time} | {n} for {price} | Rye, spelt and {w} | buttery croissants",
    "{price} each | from {time} | {place}",
    things="bread | cake | cookie",
    colors="cream | brown | yellow | white | light blue",
)  # fmt: skip

genre(
    "stand",
    "sign for a lemonade stand | sign for our stand | fruit stand sign",
    "Cold drinks | Ice cold {w} | Fresh juice | Strawberries | Honey for sale | Pumpkins {price}"
    " | Iced tea here",
    "{n} cents a cup | {price} a basket | sweet & sour | Made by {name} and {name}",
    "{price} | {n} cents | cash or cookies",
    things="lemon | strawberry | ice cream | bee | cherries | watermelon | apple | sun",
    colors="yellow | light green | light blue | orange | white | pink",
)  # fmt: skip

genre(
    "sign",
    "sign | door sign | shop sign",
    "OPEN | CLOSED | Come in | PUSH | PULL | EXIT | Entrance | Back at {time} | Welcome | Please knock"
    " | RESERVED | Office {n} | SOLD OUT | Room {n} | ouvert | geschlossen",
    "Please ring the bell | Sorry, we're at {w} | back in {n} minutes | Please wait here",
    "Thank you | {day} to {day} | floor {n}",
    things="key | clock | bell | coffee",
    colors="red | green | white | blue | black | yellow",
)  # fmt: skip

genre(
    "warning",
    "warning sign | prohibition sign | safety sign | no parking sign",
    "NO ENTRY | STOP | CAUTION | DANGER | Keep out | NO {W} | Wet floor | Mind the step | KEEP CLEAR"
    " | Beware of the dog | NO SMOKING | PRIVATE | HIGH VOLTAGE",
    "Do not feed the {w} | Authorised staff only | Tow-away zone | Hard hats required",
    "Fine: {price} | {time} - {time} | Zone {L}{n}",
    things="lightning | fire | dog",
    colors="yellow | red | white | orange | black",
)  # fmt: skip

genre(
    "directions",
    "signpost | wooden signpost | direction sign | trail sign",
    "{place} {n} km | To the beach | Toilets | {W} TRAIL | Campsite | This way | Platform {n}"
    " | Gate {L}{n} | Lake {w}",
    "{n} min on foot | Please stay on the path | Exit to {w} Street",
    "{n} km | {n}.{n} miles | Route {n}",
    things="tree | mountain | bicycle | tent | train | leaf | ship",
    colors="light blue | light green | green | white | blue",
    structures="post",
)  # fmt: skip

genre(
    "hours",
    "opening hours sign | opening hours",
    "Opening hours | OPENING HOURS | We're open | Öffnungszeiten | Horaires | Library hours",
    "{day} {time} - {time} | {day} closed | {day}-{day} {time}-{time} | {day}: {time} to {time}",
    "closed on {date} | Tel. {phone} | {url}",
    things="clock | coffee | book | key",
    colors="white | navy | green | cream | black",
)  # fmt: skip

genre(
    "shop",
    "shop window sign | shop window poster | storefront sign",
    "New in! | {name}'s {w} shop | Welcome to {place} | Made with love | Hand made | Flowers | {w} & {w}"
    " | Schöne Dinge | Welcome in",
    "Everything for your {w} | Local, fair, {w} | Come in and find out | since {year}",
    "{url} | {phone} | {w} Street {n}",
    things="flower | gift | shirt | top hat | shoe | shopping bag | leaf | crown",
    colors="white | teal | pink | cream | navy | light green",
)  # fmt: skip

genre(
    "sale",
    "sale poster | sale banner | discount poster",
    "SALE | UP TO {pct}% OFF | BIG SALE | -{pct}% | Summer sale | FINAL SALE | {pct}% off"
    " | Buy {n}, get 1 free | MEGA {W} | Winter sale",
    "today only | until {date} | on all {w} | everything must go | only this {day} | while stocks last",
    "code {W}{n} | {url} | members save {pct}% more",
    things="shopping bag | gift | fire | shoe | shirt",
    colors="red | yellow | orange | black | pink | blue",
)  # fmt: skip

genre(
    "price_tag",
    "price tag | price label",
    "{price} | Only {price} | NOW {price} | {price} / kg | 2 for {price} | {w} {price}",
    "was {price} | organic {w} | from {place} | {n} pieces",
    "No. {n} | incl. tax | {n} g | size {L}",
    things="apple | tomato | cheese | shirt | strawberry | bread | fish | banana",
    colors="yellow | white | red | orange | cream",
    structures="label",
)  # fmt: skip

genre(
    "jar",
    "jar label | label for a jar of jam | bottle label | product label",
    "{w} jam | Honey | Grandma {name}'s jam | Pickles | Cherry jelly | Sea salt | Green tea | Olive oil"
    " | Crème de {w} | Äpfel & {w}",
    "home made in {place} | best before {date} | {n}0 g | picked by {name} | 100% {w}",
    "{year} | No. {n} | {date}",
    things="bee | strawberry | cherries | lemon | leaf | grapes | apple",
    colors="light green | cream | red | yellow | brown | teal",
    structures="label",
)  # fmt: skip

genre(
    "garage_sale",
    "garage sale sign | yard sale flyer | flea market poster",
    "GARAGE SALE | Yard sale | Flea market | Flohmarkt | Vide-grenier | Moving sale",
    "toys, tools, {w} | {n} {w} Lane | bring cash and {w} | rain or shine",
    "{day} {time} | {date} | {phone}",
    things="house | book | guitar | bicycle | shirt | football",
    colors="yellow | orange | white | light blue | green",
)  # fmt: skip

genre(
    "market",
    "farmers market poster | market stall sign | farm shop sign",
    "Farmers market | Fresh eggs | Farm shop | Local {w} | Wochenmarkt | Harvest fair | {place} market"
    " | Organic {w}",
    "every {day} from {time} | {n} eggs {price} | apples, pears, {w} | from our own {w}",
    "{price} / kg | {day} {time} | {w} Square",
    things="carrot | tomato | apple | egg | corn | cheese | pumpkin | chicken | grapes",
    colors="light green | cream | green | yellow | brown | white",
)  # fmt: skip

genre(
    "lost_pet",
    "lost pet notice | missing pet poster | lost pet flyer",
    "LOST CAT | Lost dog | MISSING: {name} | Have you seen {name}? | Reward {price} | FOUND {W}"
    " | Where is {name}?",
    "answers to {name} | last seen near {w} Street | shy but loves {w} | please check your garage",
    "call {phone} | {phone} | reward: {price}",
    things="cat | dog | rabbit | turtle | owl",
    colors="white | yellow | cream | light blue | red",
)  # fmt: skip

genre(
    "notice",
    "notice | announcement | notice on the board | memo",
    "NOTICE | Meeting at {time} | Please note | Lift out of order | Attention! | Quiet please"
    " | Water off on {day} | Room {n} moved",
    "Clean up after your {w} | The {w} meeting is on {day} | Free {w} in the kitchen"
    " | Rehearsal is in room {n}",
    "{date} | thanks, {name} | the management | ext. {n}",
    things="bell | clock | microphone | lightning | key | coffee",
    colors="white | cream | yellow | light blue | gray",
    structures="paper",
)  # fmt: skip

genre(
    "school",
    "school poster | classroom poster | school notice",
    "Back to school | Science fair | Room {n}: {w} | Book week | Read more | Spelling bee | Math club"
    " | Class {n}{L}",
    "{n} + {n}? | Bring your own {w} | Be kind, be curious | with Mrs {w}",
    "{day}, {time} | grade {n} | ask {name}",
    things="book | pencil | apple | globe | bus | owl | rocket",
    colors="yellow | green | white | light blue | orange | navy",
)  # fmt: skip

genre(
    "ticket",
    "ticket | entry ticket | train ticket | boarding pass | raffle ticket",
    "ADMIT ONE | Ticket {n} | {place} - {place} | Cinema {w} | VIP | Boarding pass | {W} PARK"
    " | Row {n} seat {n}",
    "seat {n}{L}, row {n} | gate {n} | {date}, {time} | one way, second class",
    "No. {n}{n} | {price} | {time} | {year}",
    things="train | airplane | popcorn | music note | bus | ship",
    colors="yellow | red | light blue | cream | teal | navy",
    structures="ticket",
)  # fmt: skip
