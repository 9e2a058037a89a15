"""Genres of posters, covers, screens and logos."""

from __future__ import annotations

from inkwash.scenes.card_genre import genre

genre(
    "concert",
    "concert poster | gig poster | poster for a concert | band poster",
    "The {w} {w}s | LIVE MUSIC | {name} & the {w} band | Jazz night | {W} FEST | Rock the {w}"
    " | {w} quartet | DJ {name} | Open mic",
    "live in {place} | unplugged tour {year} | doors {time}, show {time} | one night only at the {w}"
    " | with special guests",
    "{date} | tickets {price} | {url} | {day}, {time}",
    things="guitar | music note | microphone | drum | headphones",
    colors="black | purple | navy | red | orange | teal | cream",
)  # fmt: skip

genre(
    "movie",
    "movie poster | film poster | cinema poster",
    "The last {w} | {W} | Return to {place} | {w} of the {w} | Planet {W} | Midnight in {place}"
    " | A {w} too far",
    "starring {name} and {name} | This {day} the {w} comes home | a film by {name} {w}",
    "in cinemas {date} | {year} | coming soon | {n} min",
    things="rocket | moon | robot | camera | popcorn | car | ghost | clapperboard",
    colors="black | navy | red | purple | teal | brown",
)  # fmt: skip

genre(
    "travel",
    "travel poster | vintage travel poster | tourism poster",
    "{place} | {PLACE} | Visit {place} | Hello from {place} | Discover {place} | Isla de {w} | {W} ISLAND",
    "the pearl of the {w} | Sun, sea and {w} | by train and boat | where {w} meets {w}",
    "from {price} | {url} | daily flights | {year}",
    things="airplane | palm tree | mountain | sun | ship | train | camera | globe | wave",
    colors="teal | orange | light blue | cream | navy | yellow",
)  # fmt: skip

genre(
    "sports",
    "sports poster | match poster | tournament flyer | race poster",
    "Go, {place}! | {W} CUP {year} | {place} vs {place} | Run for {w} | Finals | City marathon | Team {w}"
    " | GOAL! | Yoga with {name}",
    "Kick-off {time} | {n} km through {place} | Sign up now, {name} | train hard, play {w}",
    "{date} | {n} : {n} | court {n} | {day} {time}",
    things="football | basketball | trophy | medal | bicycle | shoe",
    colors="green | blue | white | orange | red | navy",
)  # fmt: skip

genre(
    "book",
    "book cover | cover of a novel | cover for a cookbook",
    "The {w} and the {w} | A {w} in {place} | {w} | How to {w} a {w} | Letters from {place}"
    " | The art of {w} | {W} {W} | L'été de {name}",
    "a novel | a story of {w} and {w} | volume {n} | poems from {place}",
    "{name} {w} | {year} | {name} {w} & {name} {w}",
    things="cat | moon | tree | fox | owl | house | ship | key | rose | rocket | book",
    colors="navy | cream | red | teal | white | brown | green | light blue",
)  # fmt: skip

genre(
    "magazine",
    "magazine cover | cover of a magazine",
    "{W} | GARDEN | Modern {w} | {w} weekly | Küche & {w} | Le {w}",
    "{n} ways to {w} | {name}'s secret {w} | The {w} issue | cats, cakes and {w}",
    "issue {n} | {price} | {date}",
    things="flower | camera | cake | crown | sun | butterfly | cat | avocado",
    colors="white | pink | yellow | teal | red | cream",
)  # fmt: skip

genre(
    "slide",
    "slide | presentation slide | slide of a talk | title slide",
    "Agenda | Q{n} results | Our plan | Why {w}? | Three {w} rules | Next steps | Summary {year}"
    " | {w} in {year}",
    "{w} first | Ask {n} users | cost: {price} | {w} + {w} | grow by {pct}% | ship it on {day}"
    " | hire {n} people",
    "{name} {w} | {date} | page {n} / {n}",
    things="light bulb | rocket | trophy | clock | globe",
    colors="white | navy | light blue | cream | teal",
    structures="slide",
)  # fmt: skip

genre(
    "infographic",
    "infographic | diagram with labels | explainer graphic",
    "The {w} cycle | How a {w} works | Parts of a {w} | Life of a {w} | From {w} to {w}"
    " | {n} facts about {w}",
    "seed | roots | sunlight | {w} | {pct}% {w} | 1. {w} | step {n}: {w} | larva | oxygen | steam",
    "source: {url} | fig. {n} | {year}",
    things="sun | cloud | tree | leaf | fish | bee | globe | umbrella | butterfly",
    colors="light blue | white | light green | cream | navy",
)  # fmt: skip

genre(
    "web_banner",
    "web banner | website banner | header for a website | online ad",
    "Shop now | Free shipping | New: {w} {n} | Try {w} today | Join {w} | Download the {w} app"
    " | Cookies? Yes!",
    "{n} days free, then {price} | Trusted by {n}00 {w} fans | Learn {w} online | Sign up in {n} seconds",
    "{url} | {mail} | from {price} / month",
    things="rocket | laptop | smartphone | light bulb | shopping bag | lock",
    colors="blue | white | purple | teal | navy | orange",
)  # fmt: skip

genre(
    "channel",
    "banner for my channel | channel banner | podcast cover | banner for a stream",
    "{w}Cast | {name} plays | {W} TV | Pixel{w} | {name} & {name} talk | The {w} show | Radio {w}",
    "new videos every {day} | games, {w} and more | one {w} a week | subscribe!",
    "@{w}{n} | episode {n} | {url}",
    things="camera | microphone | headphones | game controller | robot | fire | rocket | cat",
    colors="purple | black | navy | teal | red | orange",
)  # fmt: skip

genre(
    "web_page",
    "web page | landing page | home page of a website | app screen",
    "Hello, I'm {name} | {w}.io | Welcome back, {name} | {w} made easy | Error 404 | Page not found",
    "Sign in | Home | About | Contact | Read more | I build {w} for {w} | Plans from {price}"
    " | Your {w} in one place",
    "{url} | {mail} | (c) {year} {w}",
    things="rocket | house | light bulb | lock | laptop | cat",
    colors="white | light blue | navy | cream | teal",
)  # fmt: skip

genre(
    "logo",
    "logo | company logo | minimalist logo | logo for a shop",
    "{w} | {W} | {w} & {w} | {L}{L} | {w}lab | Studio {w} | Café {w} | {name}'s | {w} + {w} | nordic {w}"
    " | Bistro {name}",
    "{w} since {year} | coffee & {w} | {place} | tools for {w}",
    "est. {year} | {place}",
    things="coffee | leaf | cat | crown | mountain | fox | bee | owl | wave | tree",
    colors="white | cream | black | navy | teal | green",
)  # fmt: skip

genre(
    "business_card",
    "business card | visiting card",
    "{name} {w} | {name} {w} & Co. | {w} Consulting | Dr. {name} {w} | Müller & {w} | {w} GmbH"
    " | Señor {w}",
    "Photographer | Tax {w} | Head of {w} | Baker and {w} | Software engineer | Gärtnerei {w}"
    " | Piano teacher",
    "{phone} | {mail} | {url} | {w} Street {n}, {place}",
    things="camera | house | leaf | scissors | book | bread | smartphone",
    colors="white | cream | navy | black | teal | gray",
)  # fmt: skip

genre(
    "speech",
    "comic panel | cartoon with a speech bubble | speech bubble | comic",
    "Hello! | What's up? | Oh no! | I am {name} | Where is my {w}? | Hmm… | {w}?! | Beep boop"
    " | Wait for me! | Yes, {w}! | Who ate the {w}? | Ça va? | I need {n} more {w}",
    "I told you: no {w} today | Nobody expects the {w} | {n} {w}, please | Well, that was {w}",
    "(whispers) {w} | sigh… | to be continued",
    things="robot | cat | dog | ghost | owl | panda | bear | fox | chicken | dinosaur",
    colors="light blue | yellow | pink | light green | orange | teal",
    structures="bubble",
)  # fmt: skip

genre(
    "tshirt",
    "t-shirt design | t-shirt print | hoodie print | tote bag design",
    "{w} or never | Born to {w} | I love {place} | {W} CLUB | {w}, eat, repeat | Powered by {w}"
    " | Certified {w} | {W} BEFORE {W} | Team {name}",
    "since {year} | no {w}, no party | made in {place}",
    "No. {n} | {year} | {place}",
    things="skull | cat | wave | fire | mountain | coffee | pizza | rocket | dinosaur",
    colors="black | white | navy | gray | teal | red",
)  # fmt: skip

genre(
    "sticker",
    "sticker | sticker design | badge | enamel pin design",
    "{w}! | Good {w} | 100% {w} | Nice | Fragile | {W} INSIDE | WOW | Handle with care | I voted"
    " | Best in {w}",
    "made by {name} | {w} approved | level {n}",
    "No. {n} | {year}",
    things="cat | avocado | rainbow | crown | unicorn | ghost",
    colors="yellow | pink | white | light blue | purple | orange",
)  # fmt: skip

genre(
    "album",
    "album cover | record sleeve | playlist cover | mixtape cover",
    "{w} {w} | Songs for {name} | {W} | Blue {w} | Lo-fi {w} | Nights in {place} | Noël à {place}"
    " | vol. {n}",
    "the {w} sessions | {n} songs about {w} | recorded in {place}",
    "{name} {w} | {year} | side {L}",
    things="moon | headphones | music note | guitar | cloud | wave | rose | fire",
    colors="navy | purple | black | orange | pink | teal | cream",
)  # fmt: skip

genre(
    "headline",
    "news banner | headline banner | announcement banner | title card",
    "Breaking news | {W} {W} | {w} wins {place} | Extra! | {name} for mayor | Vote {w}"
    " | The {place} times | Chapter {n}",
    "{n} {w} found in {place} | experts say: more {w} | part {n}: the {w}",
    "{date} | {time} | live | page {n}",
    things="globe | microphone | lightning",
    colors="white | red | navy | yellow | cream | black",
    structures="band",
)  # fmt: skip

genre(
    "plain_poster",
    "poster | card | flyer | banner | picture | print",
    "Hello | {w} | {W} {W} | {w} {w} | {w} & {w} | {n} {w} | Hi {name} | Guten Morgen | Hola, {name}"
    " | Ça va bien | Ål og {w} | Smörgås | Déjà vu | São {w} | Ünique {w}",
    "{w} {w} {w} | more {w}, less {w} | The {w} of {place} | #{w}{n} | €{n} for {w} | £{n} or {n} {w}"
    " | {w}; {w}*",
    "{date} | {url} | {price} | {w} ({n})",
)  # fmt: skip
