"""The English sentence forms of one genre each: they name the genre in their own words.

Slots as in `card_phrases`. A form with {O} is for cards with things, one without texts of its own is not here.
"""

from __future__ import annotations

from inkwash.scenes.card_genre import parts

GENRE_FORMS: dict[str, tuple[str, ...]] = {
    name: parts(forms)
    for name, forms in {
        "birthday": "birthday card for my son, {T}, {O} | my niece has her birthday on Saturday, make a card with {T}"
        " | bday card {T} | birthday card for grandpa: {T} with {O} | a birthday card, it says {T}"
        " | card for a kid's birthday"
        " with {O} and {T}",
        "party": "invite for our party, {T} | party invitation with {O}, {T}"
            " | we're having a party, the invitation should"
        " say {T}",
        "wedding": "wedding invitation, {T}, romantic | invitation for our wedding: {T}"
            " | elegant wedding card with {O} and {T}"
        " | save the date card {T}",
        "thank_you": "a thank-you card for my teacher, {T} | thank you card {T} with {O}"
            " | small thank-you note saying {T}",
        "baby": "baby shower card {T}, {O} | birth announcement reading {T} | a sweet baby card that says {T}",
        "christmas": "Christmas card for the neighbours, {T}, {O} | xmas card {T}"
            " | a cosy Christmas card with {O} that reads {T}"
        " | holiday greeting card, text {T}",
        "new_year": "New Year's card, {T} | a card for New Year's Eve with {O}, {T} | new year greeting {T}",
        "halloween": "spooky Halloween poster {T} with {O} | Halloween party flyer, {T} | a Halloween card saying {T}",
        "easter": "Easter card with {O}, {T} | happy Easter card that says {T} | easter greetings, {T}",
        "valentine": "Valentine's card for my wife, {T} | love card {T}, {O}"
            " | romantic Valentine's card with the words {T}",
        "mothers_day": "card for Mother's Day, {T}, {O} | Mother's Day card saying {T} | a card my kids can give me for"
        " Mother's Day: {T}",
        "get_well": "get well soon card for a colleague, {T} | get-well card with {O} and {T}",
        "graduation": "graduation card for my sister: {T} | congratulations card for graduation, {T}, {O}",
        "postcard": "a holiday postcard that says {T} | postcard with {O}, {T} | vintage postcard, {T}",
        "welcome": "welcome sign for the front door, {T} | welcome banner with {T} and {O}",
        "coupon": "coupon that says {T} | gift voucher, {T} | voucher with {O} reading {T}",
        "award": "an award ribbon reading {T} | winner's ribbon for the bake-off, {T} | prize ribbon with {O}, {T}",
        "letter": "the letter {T} | logo with just {T} | a monogram {T} | alphabet card {T} with {O}"
            " | single letter {T}",
        "quote": "motivational poster with {O}: {T} | quote poster: {T} | inspirational print, {T}"
            " | print for my office wall"
        " with the quote {T} | a poster with the saying {T}",
        "weather": "weather card: {T}, {O} | weather forecast widget with {T}",
        "todo": "a to-do list with {T} | checklist: {T} | shopping list with the items {T}",
        "animals": "kids' poster with {O} and {T} | nursery print, {O}, {T} | an animal card that says {T}",
        "menu": "a restaurant menu: {T}, classy | menu with the items {T} | lunch menu for my bistro, {T}"
            " | menu card listing {T}"
        " | a menu for an Italian place, {T}, {O} | menu with prices: {T}",
        "cafe_board": "café chalkboard with {T} | chalkboard menu outside a coffee bar, {T}"
            " | blackboard of a café, {O}, {T}",
        "recipe": "recipe card with the ingredients {T} | recipe named {F}, ingredients {R} | recipe: {T}"
            " | a page from a cookbook, {T}, {O}",
        "bakery": "bakery sign {T} | sign for a little bakery with {O}, saying {T}",
        "stand": "hand painted sign for a kids' stand, {T} | sign for our fruit stand with {O}: {T}",
        "sign": "door sign {T} | shop sign saying {T} | a sign for the office door: {T} | sign with {T}",
        "warning": "warning sign, {T} | safety sign that says {T} | prohibition sign reading {T} | caution sign {T}",
        "directions": "hiking trail sign {T} | a signpost pointing the way, {T} | wooden signpost with {T}",
        "hours": "opening hours: {T} | a sign with our opening hours {T} | store hours sign, {T}",
        "shop": "window sign for a boutique, {T} | shop window poster with {O}, {T} | storefront sign that says {T}",
        "sale": "sale poster, {T} | discount banner with {T} | clearance sale flyer, {T}, {O}"
            " | a sale sign that shouts {T}",
        "price_tag": "price tag {T} | a price tag reading {T} | supermarket price label with {O}, {T}",
        "jar": "label for a jar of home-made jam, {T} | jar label {T} with {O} | product label reading {T}",
        "garage_sale": "garage sale sign: {T} | yard sale flyer, {T} | flea market poster with {T}",
        "market": "poster for the farmers market, {T}, {O} | farm shop sign {T}",
        "lost_pet": "missing pet notice with {O}: {T} | lost pet poster, {T} | flyer for a missing pet, {T}",
        "notice": "a notice for the stairwell: {T} | office notice, {T} | announcement that says {T}",
        "school": "classroom poster {T} | poster for the school corridor with {O}, {T} | school notice: {T}",
        "ticket": "a ticket, {T} | concert ticket with {T} | entry ticket reading {T} | train ticket {T}, {O}",
        "concert": "gig poster for my band, {T} | concert poster, {T}, {O} | a rock concert poster with {T}"
        " | jazz night poster {T}",
        "movie": "movie poster for {T} | film poster, title {F}, credits {R} | a sci-fi movie poster: {T}, {O}",
        "travel": "retro travel poster {T} | travel poster with {O}, {T} | tourism poster that says {T}",
        "sports": "match day poster: {T} | tournament flyer with {O} and {T} | race poster, {T}",
        "book": "book cover, {T} | cover of a children's book with {O}, titled {T} | a novel's cover: {F} by {R}"
        " | crime novel cover {T}",
        "magazine": "magazine cover {T} | front page of a magazine with {O}, {T}",
        "slide": "a slide with the title {F} and the bullets {R} | presentation slide: {F}; bullet points {R}"
        " | slide titled {F} with {R} | power point slide, {T} | title slide {T}",
        "infographic": "infographic with labels {T} | diagram of a process, labels {T}, {O}"
            " | a chart explaining it, {T}",
        "web_banner": "web banner {T} | banner ad for our site with {O}, {T} | website header saying {T}",
        "channel": "a channel banner, {T} | podcast cover art, {T}, {O} | banner for my gaming channel with {T}",
        "web_page": "landing page with {T} | screenshot of a web page, {T} | mock-up of a home page: {T}",
        "logo": "minimalist logo for a start-up called {T} | logo {T} | logo for a restaurant named {T} with {O}"
        " | company logo that reads {T} | clean logo, {T} | wordmark {T}",
        "business_card": "business card: {T} | visiting card for a freelancer, {T} | business card with {O}, {T}",
        "speech": "comic panel with {O}, the speech bubble says {T} | {O} saying {T} | a cartoon, speech bubble {T}"
        " | {O} with a speech bubble {T} | comic strip panel, dialogue {T}",
        "tshirt": "t-shirt print, {T}, {O} | tee design with the text {T} | shirt graphic {T}",
        "sticker": "sticker {T} | a laptop sticker with {O} that says {T} | badge reading {T}",
        "album": "album cover {T} | album art, {T}, {O} | playlist cover with the title {T}",
        "headline": "news banner: {T} | headline {T} | title card that says {T}",
    }.items()
}  # fmt: skip
